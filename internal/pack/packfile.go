package pack

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/attune-automation/attune"
)

// The limits of texts, in characters.
const (
	maxLine = 200
	maxText = 10_000
	maxTags = 64
)

// packKeys are the keys of pack.yaml. The last ones are those of the original Attune's pack.yaml.
func packKeys() []key[*reader] {
	return append([]key[*reader]{
		{name: "ref", read: (*reader).readPackRef},
		{name: "label", read: func(r *reader, f field) { f.value.line(&r.pack.Label) }},
		{name: "description", read: func(r *reader, f field) { f.value.prose(&r.pack.Description) }},
		{name: "version", read: func(r *reader, f field) { f.value.version(&r.pack.Version) }},
		{name: "author", read: func(r *reader, f field) { f.value.line(&r.pack.Author) }},
		{name: "tags", read: func(r *reader, f field) { r.pack.Tags = f.value.tags() }},
	}, foreignKeys[*reader]("name", "email", "system", "enabled", "conf_schema", "config_schema", "config", "meta",
		"metadata", "keywords", "runtime_deps", "dependencies", "testing", "license", "homepage", "repository",
		"documentation")...)
}

func (r *reader) readPack() {
	if r.files.has("pack.yml") && !r.files.has(packFile) {
		r.fail(place{file: packFile}, "the file is missing: rename pack.yml to %s", packFile)
		return
	}
	if !r.files.has(packFile) {
		r.fail(place{file: packFile}, "the file is missing: a pack has it at its root, and it needs at least a ref")
		return
	}
	root, ok := r.document(packFile)
	if !ok {
		return
	}
	seen := readKeys(root, r, packKeys())
	if seen.lacks("ref") {
		root.fail("the key ref is missing: it names the pack, like ref: mypack")
	}
	if r.pack.Label == "" {
		r.pack.Label = r.pack.Ref
	}
	if r.pack.Version == "" {
		r.pack.Version = "0.0.0"
	}
}

func (r *reader) readPackRef(f field) {
	ref, ok := f.value.text()
	if !ok {
		return
	}
	if err := attune.CheckPackRef(ref); err != nil {
		f.value.fail("%s", message(err))
		return
	}
	if ref == attune.AdhocPack {
		f.value.fail("the ref %s is kept for scripts that are in no pack: choose another one", ref)
		return
	}
	r.pack.Ref = ref
}

// line reads a short text without line breaks.
func (n node) line(to *string) {
	text, ok := n.text()
	if !ok {
		return
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		n.fail("a line break or another control character: want one line of text")
		return
	}
	if utf8.RuneCountInString(text) > maxLine {
		n.fail("want one line of at most %d characters", maxLine)
		return
	}
	*to = text
}

// prose reads a longer text.
func (n node) prose(to *string) {
	text, ok := n.text()
	if !ok {
		return
	}
	if utf8.RuneCountInString(text) > maxText {
		n.fail("want at most %d characters", maxText)
		return
	}
	*to = text
}

// version reads a version, also one that YAML takes for a number.
func (n node) version(to *string) {
	text, ok := n.scalar()
	if !ok {
		return
	}
	if text == "" || len(text) > 64 || strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' }) {
		n.fail("want a version of 1 to 64 characters without spaces, like 1.0.0")
		return
	}
	*to = text
}

func (n node) tags() []string {
	var tags []string
	for _, item := range n.items() {
		var tag string
		item.line(&tag)
		if tag != "" {
			tags = append(tags, tag)
		}
	}
	if len(tags) > maxTags {
		n.fail("%d tags: at most %d are possible", len(tags), maxTags)
	}
	return tags
}
