package config

import (
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Setting is one key with its value in force and what set it.
type Setting struct {
	Key    string `json:"key" yaml:"key"`
	Value  any    `json:"value" yaml:"value"`
	Origin string `json:"origin" yaml:"origin"` // default, file:line:column, or the variable
}

// Settings returns every key in force, in the order of the contract.
func (c *Config) Settings() []Setting {
	var all []Setting
	for _, k := range keys() {
		all = append(all, Setting{k.name, k.show(c), c.origins[k.name]})
	}
	return all
}

// Write prints the settings in force as an attune.yaml, each with what set it.
func (c *Config) Write(w io.Writer) error {
	section := ""
	var text strings.Builder
	fmt.Fprintf(&text, "# data directory: %s\n", c.DataDir)
	for _, s := range c.Settings() {
		head, name, _ := strings.Cut(s.Key, ".")
		if head != section {
			section = head
			fmt.Fprintf(&text, "%s:\n", section)
		}
		shown, err := yaml.Marshal(s.Value)
		if err != nil {
			return fmt.Errorf("show %s: %w", s.Key, err)
		}
		line := strings.TrimRight(string(shown), "\n")
		if strings.Contains(line, "\n") || strings.HasSuffix(line, ":") || isNested(s.Value) {
			line = flow(s.Value)
		}
		fmt.Fprintf(&text, "  %s: %s  # %s\n", name, line, s.Origin)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func isNested(v any) bool {
	switch v.(type) {
	case map[string]string, []string:
		return true
	}
	return false
}

// flow writes a mapping or a list on one line.
func flow(v any) string {
	node := &yaml.Node{}
	if err := node.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	node.Style = yaml.FlowStyle
	line, err := yaml.Marshal(node)
	if err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimRight(string(line), "\n")
}
