package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// limiter is one controller of one control group.
type limiter struct {
	kind  kind
	path  string // of the group
	files map[string]*os.File
	as    Limits            // that are in force
	asSet map[string]string // what each file reads since then
	hits  int               // of all commands before this one
}

// open reads how a new group is.
func (c *limiter) open() error {
	c.files, c.asSet = map[string]*os.File{}, map[string]string{}
	for _, k := range c.kind.knobs {
		if err := c.note(k.file, k.may); err != nil {
			return err
		}
	}
	for _, guard := range c.kind.guards {
		if err := c.note(guard, true); err != nil {
			return err
		}
	}
	return c.remember()
}

// note keeps what a file reads, so that a change of it shows; one that may be missing need not be there.
func (c *limiter) note(file string, may bool) error {
	text, err := c.read(file)
	if may && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		c.asSet[file] = text
	}
	return err
}

// remember counts what was hit so far as that of earlier commands.
func (c *limiter) remember() (err error) {
	c.hits, err = c.count()
	return err
}

// read returns what a file says. It stays open: to open it costs more than to read it.
func (c *limiter) read(name string) (string, error) {
	file := c.files[name]
	if file == nil {
		var err error
		file, err = openFile(filepath.Join(c.path, name), unix.O_RDWR)
		if errors.Is(err, fs.ErrPermission) { // counts can't be written
			file, err = openFile(filepath.Join(c.path, name), unix.O_RDONLY)
		}
		if err != nil {
			return "", err
		}
		c.files[name] = file
	}
	return readOpen(file)
}

// limit puts limits in force. What is in force already costs nothing.
func (c *limiter) limit(l Limits) error {
	if c.alike(l) {
		return nil
	}
	for _, k := range c.kind.knobs {
		if _, there := c.asSet[k.file]; !there {
			continue
		}
		if _, err := c.files[k.file].WriteString(k.text(l)); err != nil {
			return fmt.Errorf("limit %s: %w", c.kind.limit, err)
		}
		if err := c.note(k.file, false); err != nil {
			return err
		}
	}
	c.as = l
	return nil
}

func (c *limiter) alike(l Limits) bool {
	for _, k := range c.kind.knobs {
		if k.text(l) != k.text(c.as) {
			return false
		}
	}
	return true
}

// count returns how often the limit was hit since the group was made.
func (c *limiter) count() (int, error) {
	if c.kind.events == "" {
		return 0, nil
	}
	text, err := c.read(c.kind.events)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // a kernel that does not count it
	}
	n, _ := strconv.Atoi(field(text, c.kind.count)) // none if it is not there
	return n, err
}

// hit returns how often this command hit the limit.
func (c *limiter) hit() int {
	n, err := c.count()
	if err != nil {
		return 0
	}
	return max(0, n-c.hits)
}

// most returns the most that was ever used in the group, 0 if nobody knows.
func (c *limiter) most() int64 {
	text, err := c.read(c.kind.peak)
	if err != nil {
		return 0
	}
	most, _ := strconv.ParseInt(strings.TrimSpace(text), 10, 64) // 0 if the kernel writes it as we don't know it
	return most
}

// renew tells whether the next command finds the limits as they were set, and nothing that counts against them.
func (c *limiter) renew() bool {
	for file, want := range c.asSet {
		if text, err := c.read(file); err != nil || text != want {
			return false
		}
	}
	return c.remember() == nil && c.unburdened()
}

// unburdened tells whether no memory is taken that can't be had back: files in a tmpfs count against the group of whoever
// wrote them, for as long as they are there.
func (c *limiter) unburdened() bool {
	if c.kind.limit != LimitMemory || !c.as.has(LimitMemory) {
		return true
	}
	text, err := c.read("memory.stat")
	return err == nil && field(text, "shmem") == "0" && field(text, "unevictable") == "0"
}

func (c *limiter) close() {
	for _, file := range c.files {
		_ = file.Close() // each write was complete when it returned
	}
	c.files = nil
}

// field returns what follows a name on a line of its own.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if word, value, _ := strings.Cut(line, " "); word == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
