package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/pack"
)

// limits is a mapping of the keys that resources has in an action's file, each with its form.
func limits(name string, at func(*Config) *attune.Limits) key {
	assign := func(c *Config, all map[string]string) error {
		var l attune.Limits
		for _, limit := range slices.Sorted(maps.Keys(all)) {
			if err := pack.SetLimit(&l, limit, all[limit]); err != nil {
				return err
			}
		}
		*at(c) = l
		return nil
	}
	return key{
		name: name,
		show: func(c *Config) any {
			shown := map[string]string{}
			for _, limit := range pack.LimitNames() {
				if text := pack.LimitText(*at(c), limit); text != "" {
					shown[limit] = text
				}
			}
			return shown
		},
		set: func(c *Config, text string) error {
			all := map[string]string{}
			for pair := range strings.SplitSeq(text, ",") {
				if pair = strings.TrimSpace(pair); pair == "" {
					continue
				}
				limit, value, ok := strings.Cut(pair, "=")
				if !ok {
					return fmt.Errorf("%q is not a list of limits: write memory=256MiB,pids=64", text)
				}
				all[limit] = value
			}
			return assign(c, all)
		},
		special: func(c *Config, v value) error {
			all, err := v.strings()
			if err != nil {
				return err
			}
			return assign(c, all)
		},
	}
}
