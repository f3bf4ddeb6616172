package artifact

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/attune-automation/attune"
)

// Bounds of what an action may leave as artifacts. They keep a runaway loop from filling the database with rows.
const (
	MaxFiles     = 1000
	maxDepth     = 32
	maxNameBytes = 512
	maxPartBytes = 255 // of a name between two slashes: file systems take no more
	maxSkipped   = 20
	maxNamed     = 5 // of those skipped, in one line
)

// errFull ends a walk once MaxFiles are found.
var errFull = errors.New("enough files")

// Collection is what an action left in its artifacts directory.
type Collection struct {
	Artifacts []attune.Artifact
	Skipped   []Skipped // at most 20; Omitted counts those beyond
	Omitted   int
}

// Skipped is an entry that did not become an artifact, and why.
type Skipped struct {
	Name   string // quoted where it holds control characters
	Reason string
}

// Loss says in one line which files are no artifacts and why, "" if all are.
func (c Collection) Loss() string {
	if len(c.Skipped) == 0 {
		return ""
	}
	var texts []string
	for _, s := range c.Skipped[:min(maxNamed, len(c.Skipped))] {
		texts = append(texts, s.Name+": "+s.Reason)
	}
	line := "not kept as artifacts: " + strings.Join(texts, "; ")
	if more := len(c.Skipped) - len(texts) + c.Omitted; more > 0 {
		line += fmt.Sprintf("; and %d more", more)
	}
	return line
}

// Collect returns the regular files below files/, nested ones too, sorted by name. Links, devices, names with control
// characters or invalid UTF-8, and what is beyond MaxFiles are skipped and reported; nothing is followed, moved or
// deleted. An action that removed the directory left nothing.
func (a *Attempt) Collect() (Collection, error) {
	walk := collector{attempt: a}
	err := walk.run()
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	slices.SortFunc(walk.found.Artifacts, func(x, y attune.Artifact) int { return strings.Compare(x.Name, y.Name) })
	return walk.found, wrap("collect", a.FilesDir(), err)
}

type collector struct {
	attempt *Attempt
	root    *os.Root
	found   Collection
}

func (c *collector) run() error {
	root, err := os.OpenRoot(c.attempt.dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // a directory
	c.root = root
	info, err := root.Lstat(filesDir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		c.skip(filesDir, "not a directory")
		return nil
	}
	if err := c.directory(filesDir, 1); !errors.Is(err, errFull) {
		return err
	}
	c.full()
	return nil
}

// directory reads in portions: one with a million entries costs no more memory than the portion.
func (c *collector) directory(name string, depth int) error {
	dir, err := c.root.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // read only
	for {
		entries, err := dir.ReadDir(256)
		for _, entry := range entries {
			if err := c.entry(path.Join(name, entry.Name()), entry, depth); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *collector) entry(name string, entry fs.DirEntry, depth int) error {
	if reason := checkName(name); reason != "" {
		c.skip(name, reason)
		return nil
	}
	if entry.IsDir() {
		return c.descend(name, depth)
	}
	if !entry.Type().IsRegular() {
		c.skip(name, "not a regular file")
		return nil
	}
	info, err := entry.Info()
	if err != nil {
		c.skip(name, err.Error())
		return nil
	}
	if len(c.found.Artifacts) == MaxFiles {
		return errFull
	}
	c.found.Artifacts = append(c.found.Artifacts, c.attempt.describe(name, attune.ArtifactFile, info))
	return nil
}

// descend goes on past a directory that can't be read, so that it alone is lost.
func (c *collector) descend(name string, depth int) error {
	if depth == maxDepth {
		c.skip(name, fmt.Sprintf("nested deeper than %d directories", maxDepth))
		return nil
	}
	err := c.directory(name, depth+1)
	if err != nil && !errors.Is(err, errFull) {
		c.skip(name, err.Error())
		return nil
	}
	return err
}

func (c *collector) skip(name, reason string) {
	if len(c.found.Skipped) == maxSkipped {
		c.found.Omitted++
		return
	}
	if checkName(name) != "" {
		name = fmt.Sprintf("%.200q", name)
	}
	c.found.Skipped = append(c.found.Skipped, Skipped{Name: name, Reason: reason})
}

// full reports first that there were too many: whoever reads on may not come to the end.
func (c *collector) full() {
	reason := fmt.Sprintf("more than %d files: the rest is no artifact", MaxFiles)
	c.found.Skipped = slices.Insert(c.found.Skipped, 0, Skipped{filesDir, reason})
	if len(c.found.Skipped) > maxSkipped {
		c.found.Skipped = c.found.Skipped[:maxSkipped]
		c.found.Omitted++
	}
}

// checkName returns why a path can't name an artifact, "" if it can. Names travel in JSON, URLs and terminals.
func checkName(name string) string {
	switch {
	case len(name) > maxNameBytes:
		return fmt.Sprintf("the name is longer than %d bytes", maxNameBytes)
	case slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool { return len(part) > maxPartBytes }):
		return fmt.Sprintf("a part of the name is longer than %d bytes", maxPartBytes)
	case !utf8.ValidString(name):
		return "the name is not valid UTF-8"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "the name holds control characters"
	}
	return ""
}

// filesBelow tells whether a slash-separated name is one below files/ in its plain form.
func filesBelow(name string) bool {
	return fs.ValidPath(name) && strings.HasPrefix(name, filesDir+"/")
}
