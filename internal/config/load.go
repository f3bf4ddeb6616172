package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/attune-automation/attune"
)

// maxFileBytes bounds attune.yaml; a real one has a few kilobytes.
const maxFileBytes = 1 << 20

// environPrefix begins the variables that set keys.
const environPrefix = "ATTUNE__"

// faults collects what is wrong, so that a user mends it all at once.
type faults struct{ details []attune.Detail }

func (f *faults) add(place, format string, args ...any) {
	f.details = append(f.details, attune.Detail{Place: place, Message: fmt.Sprintf(format, args...)})
}

func (f *faults) err() error {
	if len(f.details) == 0 {
		return nil
	}
	return &attune.Error{Code: attune.CodeInvalid, Message: "the configuration is not valid", Details: f.details}
}

func (c *Config) applyDefaults(host string) {
	for _, k := range keys() {
		if err := k.set(c, k.deflt); err != nil {
			panic(fmt.Sprintf("the default of %s is not valid: %v", k.name, err)) // a test loads all defaults
		}
		c.origins[k.name] = "default"
	}
	c.Worker.Host = host
}

// applyFile reads attune.yaml. Only a file that can't be read at all is an error; the rest goes to faults.
func (c *Config) applyFile(path string, faults *faults) error {
	content, err := readFile(path)
	if err != nil {
		return err
	}
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	if err := decoder.Decode(&document); err != nil {
		if !errors.Is(err, io.EOF) { // an empty file sets nothing
			faults.add(path, "not YAML: %v", err)
		}
		return nil
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		faults.add(path, "holds more than one document: keep one")
	}
	root := valueOf(document.Content[0], path)
	for section := range root.pairs("", faults) {
		if !isSection(section.name) && !section.value.holdsKeys() {
			faults.add(section.place(), "%s", unknownSection(section.name))
			continue
		}
		for entry := range section.value.pairs(section.name, faults) {
			c.applyValue(section.name+"."+entry.name, entry, faults)
		}
	}
	return nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, attune.Errorf(attune.CodeInvalid, "configuration file: %v", err)
	}
	defer func() { _ = f.Close() }() // read only
	content, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, attune.Errorf(attune.CodeInvalid, "configuration file: %v", err)
	}
	if len(content) > maxFileBytes {
		return nil, attune.Errorf(attune.CodeInvalid, "configuration file %s: larger than %d bytes", path, maxFileBytes)
	}
	return content, nil
}

func (c *Config) applyValue(name string, entry pair, faults *faults) {
	if entry.value.null() {
		return // as in the contract's example: the key stands there and takes its default
	}
	place := entry.place()
	k, ok := find(name)
	if !ok {
		faults.add(place, "%s", unknown(name))
		return
	}
	set := func() error {
		form := yaml.MappingNode
		if k.listed {
			form = yaml.SequenceNode
		}
		if entry.value.node.Kind == form && k.special != nil {
			return k.special(c, entry.value)
		}
		text, err := entry.value.scalar()
		switch {
		case err != nil && k.listed:
			return fmt.Errorf("must be a list, like [a, b], not a mapping")
		case err != nil && k.special != nil:
			return fmt.Errorf("must be a mapping, like {zone: eu, disk: ssd}, not a list")
		}
		if err != nil {
			return err
		}
		return c.assign(k, text)
	}
	if err := set(); err != nil {
		faults.add(entry.value.place(), "%s: %v", name, err)
		return
	}
	c.origins[name] = place
}

// applyEnviron reads ATTUNE__SECTION__KEY.
func (c *Config) applyEnviron(environ []string, faults *faults) {
	for _, variable := range environ {
		name, text, _ := strings.Cut(variable, "=")
		path, ok := strings.CutPrefix(name, environPrefix)
		if !ok {
			continue
		}
		keyName := strings.ToLower(strings.Replace(path, "__", ".", 1))
		k, ok := find(keyName)
		if !ok {
			faults.add(name, "%s", unknown(keyName))
			continue
		}
		if err := c.assign(k, text); err != nil {
			faults.add(name, "%v", err)
			continue
		}
		c.origins[keyName] = name
	}
}

// applyFlag sets a key from a flag of the command line, if that was given.
func (c *Config) applyFlag(name, text, flag string, faults *faults) {
	k, ok := find(name)
	if text == "" || !ok {
		return
	}
	if err := c.assign(k, text); err != nil {
		faults.add(flag, "%v", err)
		return
	}
	c.origins[name] = flag
}

func find(name string) (key, bool) {
	all := keys()
	i := slices.IndexFunc(all, func(k key) bool { return k.name == name })
	if i < 0 {
		return key{}, false
	}
	return all[i], true
}

// unknown says what is wrong with a key that has no effect, and what comes nearest.
func unknown(name string) string {
	nearest, best := "", len(name)/2+1
	for _, k := range keys() {
		if d := distance(name, k.name); d < best {
			nearest, best = k.name, d
		}
	}
	if nearest == "" {
		return fmt.Sprintf("%s: there is no such key: `attune config show` lists them", name)
	}
	return fmt.Sprintf("%s: there is no such key: did you mean %s?", name, nearest)
}

func isSection(name string) bool { return slices.Contains(sections(), name) }

// sections are the first parts of all keys, in the order of the contract.
func sections() []string {
	var names []string
	for _, k := range keys() {
		names = append(names, k.name)
	}
	var found []string
	for _, name := range names {
		if section, _, _ := strings.Cut(name, "."); !slices.Contains(found, section) {
			found = append(found, section)
		}
	}
	return found
}

// unknownSection says that a section has no effect; what comes nearest may be a section, or a key that lacks its own.
func unknownSection(name string) string {
	for _, k := range keys() {
		if section, key, _ := strings.Cut(k.name, "."); key == name {
			return fmt.Sprintf("%s: there is no such section: did you mean the key %s in %s?", name, key, section)
		}
	}
	nearest, best := "", len(name)/2+1
	for _, section := range sections() {
		if d := distance(name, section); d < best {
			nearest, best = section, d
		}
	}
	if nearest == "" {
		return fmt.Sprintf("%s: there is no such section: write one of %s", name, strings.Join(sections(), ", "))
	}
	return fmt.Sprintf("%s: there is no such section: did you mean %s?", name, nearest)
}

// distance is the number of letters to insert, delete or replace that make one word of the other (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
