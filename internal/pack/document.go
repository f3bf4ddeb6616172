package pack

import (
	"bytes"
	"errors"
	"io"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// The limits of a metadata file. Depth and nodes count what aliases stand for, so that a few lines can't become a
// billion values.
const (
	maxMetadataBytes = 256 << 10
	maxDepth         = 64
	maxNodes         = 50_000
)

// parse reads the one YAML document of a metadata file. It reports what is wrong and returns false then; else the
// document can be walked by recursion, with aliases followed, within the limits.
func parse(r *report, file string, content []byte) (node, bool) {
	if len(content) > maxMetadataBytes {
		r.fail(place{file: file}, "the file has %d bytes: metadata has at most %d", len(content), maxMetadataBytes)
		return node{}, false
	}
	return parseAny(r, file, content)
}

// parseAny is parse for a file of any size.
func parseAny(r *report, file string, content []byte) (node, bool) {
	if !checkText(r, file, content) {
		return node{}, false
	}
	loader, err := yaml.NewLoader(bytes.NewReader(content))
	if err != nil {
		r.fail(place{file: file}, "not YAML: %v", err)
		return node{}, false
	}
	var document, further yaml.Node
	if err := loader.Load(&document); err != nil {
		failSyntax(r, file, err)
		return node{}, false
	}
	if err := loader.Load(&further); err == nil {
		r.fail(place{file, further.Line, further.Column}, "a second YAML document: a file holds one")
		return node{}, false
	} else if !errors.Is(err, io.EOF) {
		failSyntax(r, file, err)
		return node{}, false
	}
	root := node{&document, file, r}
	if document.Kind == yaml.DocumentNode && len(document.Content) == 1 {
		root.yaml = document.Content[0]
	}
	return root, checkSize(root)
}

// checkText reports bytes that no text holds, with their place.
func checkText(r *report, file string, content []byte) bool {
	if i := bytes.IndexByte(content, 0); i >= 0 {
		r.fail(offset(file, content, i), "a NUL byte: the file must be text in UTF-8")
		return false
	}
	for i := 0; i < len(content); {
		c, size := utf8.DecodeRune(content[i:])
		switch {
		case c == utf8.RuneError && size == 1:
			r.fail(offset(file, content, i), "not UTF-8: save the file in that encoding")
			return false
		case c < ' ' && c != '\t' && c != '\n' && c != '\r':
			r.fail(offset(file, content, i), "a control character: write it as an escape in double quotes")
			return false
		}
		i += size
	}
	return true
}

// offset returns the place of the byte at index i.
func offset(file string, content []byte, i int) place {
	before := content[:i]
	line := bytes.LastIndexByte(before, '\n') + 1
	return place{file, bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[line:]) + 1}
}

func failSyntax(r *report, file string, err error) {
	if errors.Is(err, io.EOF) {
		r.fail(place{file: file}, "the file is empty: it must hold a mapping of keys to values")
		return
	}
	at, message := place{file: file}, err.Error()
	if e := (*yaml.LoadError)(nil); errors.As(err, &e) {
		at.line, at.column, message = e.Mark.Line, max(1, e.Mark.Column), e.Message
	}
	r.fail(at, "not YAML: %s", message)
}

// checkSize walks the document once, as everybody does after it, and stops at the limits.
func checkSize(root node) bool {
	left := maxNodes
	var walk func(n node, depth int) bool
	walk = func(n node, depth int) bool {
		left--
		if depth > maxDepth || left < 0 {
			n.fail("too deep or too large: at most %d levels and %d values, aliases written out", maxDepth, maxNodes)
			return false
		}
		for _, child := range n.target().yaml.Content {
			if !walk(n.child(child), depth+1) {
				return false
			}
		}
		return true
	}
	return walk(root, 1)
}
