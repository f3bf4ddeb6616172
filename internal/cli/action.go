package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/attune-automation/attune"
)

// parameterRow is what a table shows of one property of a schema.
type parameterRow struct {
	Type        json.RawMessage `json:"type"`
	Description string          `json:"description"`
	Default     json.RawMessage `json:"default"`
	Secret      bool            `json:"x-secret"`
}

func actionText(w io.Writer, a attune.Action) error {
	timeout := ""
	if a.TimeoutSeconds > 0 {
		timeout = time.Duration(a.TimeoutSeconds * float64(time.Second)).String()
	}
	err := fields(w, "ref", string(a.Ref), "label", a.Label, "description", a.Description, "runtime", a.Runtime,
		"entry point", a.EntryPoint, "timeout", timeout, "attempts", strconv.Itoa(a.Retry.Attempts()), "keys", strings.Join(a.Secrets, " "))
	if err != nil {
		return err
	}
	var schema struct {
		Properties map[string]parameterRow `json:"properties"`
		Required   []string                `json:"required"`
	}
	if err := json.Unmarshal(a.Parameters, &schema); err != nil {
		return fmt.Errorf("parameters of %s: %w", a.Ref, err)
	}
	if len(schema.Properties) == 0 {
		return nil
	}
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		p := schema.Properties[name]
		var need []string
		if p.Secret {
			need = append(need, "secret")
		}
		if slices.Contains(schema.Required, name) {
			need = append(need, "required")
		}
		rows = append(rows, []string{name, typeText(p.Type), strings.Join(need, " "), string(p.Default), p.Description})
	}
	return table(w, []string{"PARAMETER", "TYPE", "NEED", "DEFAULT", "DESCRIPTION"}, rows)
}

// typeText is a schema's type without the quotes of JSON: string, or [string null].
func typeText(raw json.RawMessage) string {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return one
	}
	var several []string
	if json.Unmarshal(raw, &several) == nil {
		return fmt.Sprint(several)
	}
	return "any"
}

func bytesText(n int64) string {
	const unit = 1024
	if n < unit {
		return strconv.FormatInt(n, 10) + " B"
	}
	value, names := float64(n), "KMGTP"
	i := -1
	for value >= unit && i < len(names)-1 {
		value /= unit
		i++
	}
	return fmt.Sprintf("%.1f %ciB", value, names[i])
}
