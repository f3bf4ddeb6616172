package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"go.yaml.in/yaml/v4"
)

// show prints an answer as -o asks: as JSON or YAML of value, or by text.
func (a *app) show(value any, text func(io.Writer) error) error {
	switch a.flags.output {
	case "json":
		encoder := json.NewEncoder(plainJSON{a.Stdout})
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(value)
	case "yaml":
		return a.showYAML(value)
	}
	return text(a.Stdout)
}

// showYAML goes through JSON, so that both have the same names.
func (a *app) showYAML(value any) error {
	document, err := json.Marshal(value)
	if err != nil {
		return err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(document, &node); err != nil {
		return err
	}
	blockStyle(&node)
	text, err := yaml.Marshal(&node)
	if err != nil {
		return err
	}
	_, err = a.Stdout.Write(text)
	return err
}

// blockStyle undoes the braces and quotes that the nodes have from JSON.
func blockStyle(node *yaml.Node) {
	node.Style = 0
	for _, child := range node.Content {
		blockStyle(child)
	}
}

// page is how lists are printed as JSON or YAML.
type page[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
	Incomplete bool    `json:"incomplete,omitempty"`
}

func pageOf[T any](items []T, next string) page[T] {
	p := page[T]{Items: items}
	if items == nil {
		p.Items = []T{}
	}
	if next != "" {
		p.NextCursor = &next
	}
	return p
}

// table prints aligned columns, on a terminal no wider than that.
func table(w io.Writer, head []string, rows [][]string) error {
	columns := tabwriter.NewWriter(w, 0, 0, gap, ' ', 0)
	all := append([][]string{head}, rows...)
	for _, row := range all {
		for i, cell := range row {
			row[i] = printable(cell)
		}
	}
	fit(all, widthOf(w))
	for _, row := range all {
		if _, err := fmt.Fprintln(columns, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return columns.Flush()
}

// fields prints one thing as lines of name and value; empty values are left out.
func fields(w io.Writer, pairs ...string) error {
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(columns, "%s:\t%s\n", pairs[i], printable(pairs[i+1])); err != nil {
			return err
		}
	}
	return columns.Flush()
}

// ago is the age of a time as people say it.
func ago(t time.Time) string {
	switch age := time.Since(t); {
	case t.IsZero():
		return "never"
	case age < time.Minute:
		return fmt.Sprintf("%ds ago", int(age.Seconds()))
	case age < time.Hour:
		return fmt.Sprintf("%dm ago", int(age.Minutes()))
	case age < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(age.Hours()))
	default:
		return fmt.Sprintf("%dd ago", int(age.Hours()/24))
	}
}

// span is a duration as people say it.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}

func millis(ms *int64) string {
	if ms == nil {
		return ""
	}
	return span(time.Duration(*ms) * time.Millisecond)
}

func stamp(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05.000")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
