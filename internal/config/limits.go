package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/host"
	"github.com/attune-automation/attune/internal/pack"
)

// limits is a mapping of the keys that resources has in an action's file, each with its form.
func limits(name string, at func(*Config) *attune.Limits) key {
	return mapping(name, "", "memory=256MiB,pids=64",
		func(c *Config, all map[string]string) error {
			var l attune.Limits
			for _, limit := range slices.Sorted(maps.Keys(all)) {
				if err := pack.SetLimit(&l, limit, all[limit]); err != nil {
					return err
				}
			}
			*at(c) = l
			return nil
		},
		func(c *Config) map[string]string {
			shown := map[string]string{}
			for _, limit := range pack.LimitNames() {
				if text := pack.LimitText(*at(c), limit); text != "" {
					shown[limit] = text
				}
			}
			return shown
		})
}

// defaultHeadroom leaves the host, and what runs already, some room to end in good order.
const defaultHeadroom = "disk=256MiB,inodes=2000,memory=64MiB,open_files=128"

// headroom is a mapping of what is to be free; what it does not name keeps its default.
func headroom(name string, at func(*Config) *host.Headroom) key {
	assign := func(c *Config, all map[string]string) error {
		h := *at(c)
		for _, resource := range slices.Sorted(maps.Keys(all)) {
			if err := setHeadroom(&h, attune.Resource(resource), all[resource]); err != nil {
				return err
			}
		}
		*at(c) = h
		return nil
	}
	return mapping(name, defaultHeadroom, "disk=1GiB,memory=512MiB", assign, func(c *Config) map[string]string {
		h := *at(c)
		return map[string]string{
			string(attune.ResourceDisk): pack.SizeText(h.Disk), string(attune.ResourceInodes): strconv.FormatInt(h.Inodes, 10),
			string(attune.ResourceMemory): pack.SizeText(h.Memory), string(attune.ResourceOpenFiles): strconv.FormatInt(h.OpenFiles, 10),
		}
	})
}

func setHeadroom(h *host.Headroom, resource attune.Resource, text string) (err error) {
	switch resource {
	case attune.ResourceDisk:
		h.Disk, err = pack.ParseSize(text)
	case attune.ResourceMemory:
		h.Memory, err = pack.ParseSize(text)
	case attune.ResourceInodes:
		h.Inodes, err = count(text)
	case attune.ResourceOpenFiles:
		h.OpenFiles, err = count(text)
	default:
		err = fmt.Errorf("unknown resource %q: there are disk, inodes, memory and open_files", resource)
	}
	return err
}

func count(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a number of files: write 2000, or 0 to look at none", text)
	}
	return n, nil
}

// mapping is a setting of several names with a value each, in the file a mapping, in a variable a list. assign gets all
// that are given, show returns all that there are.
func mapping(name, deflt, example string, assign func(*Config, map[string]string) error, show func(*Config) map[string]string) key {
	return key{
		name: name, deflt: deflt, show: func(c *Config) any { return show(c) },
		set: func(c *Config, text string) error {
			all := map[string]string{}
			for pair := range strings.SplitSeq(text, ",") {
				if pair = strings.TrimSpace(pair); pair == "" {
					continue
				}
				one, value, ok := strings.Cut(pair, "=")
				if !ok {
					return fmt.Errorf("%q is not a list of names and values: write %s", text, example)
				}
				all[one] = value
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

// list is a setting of several texts, in the file a list, in a variable separated by commas.
func list(name, example string, at func(*Config) *[]string, check func(string) error) key {
	assign := func(c *Config, all []string) error {
		for _, one := range all {
			if err := check(one); err != nil {
				return err
			}
		}
		*at(c) = all
		return nil
	}
	return key{
		name: name, listed: true, show: func(c *Config) any { return append([]string{}, *at(c)...) },
		set: func(c *Config, text string) error {
			var all []string
			for one := range strings.SplitSeq(text, ",") {
				if one = strings.TrimSpace(one); one != "" {
					all = append(all, one)
				}
			}
			return assign(c, all)
		},
		special: func(c *Config, v value) error {
			var all []string
			for _, node := range v.node.Content {
				text, err := valueOf(node, v.file).scalar()
				if err != nil {
					return fmt.Errorf("must be a list of texts, like [%s]", example)
				}
				all = append(all, text)
			}
			return assign(c, all)
		},
	}
}
