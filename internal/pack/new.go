package pack

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/attune-automation/attune"
)

// template is the first pack of a user; PACK stands for its ref.
//
//go:embed all:template
var template embed.FS

// New writes a pack with this ref into dir that installs and runs as it is: a Python and a shell action. The directory
// must not exist or be empty; on an error nothing is left behind.
func New(dir, ref string) error {
	if err := attune.CheckPackRef(ref); err != nil {
		return err
	}
	if ref == attune.AdhocPack {
		return attune.Errorf(attune.CodeInvalid, "the ref %s is kept for scripts that are in no pack: choose another one", ref)
	}
	entries, err := os.ReadDir(dir)
	switch {
	case err == nil && len(entries) > 0:
		return attune.Errorf(attune.CodeConflict, "%s is not empty: name a new directory", dir)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return attune.Errorf(attune.CodeInvalid, "%s can't be a pack's directory: %v", dir, err)
	}
	made := err != nil
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make a new pack: %w", err)
	}
	if err := writeTemplate(dir, ref); err != nil {
		return errors.Join(fmt.Errorf("make a new pack: %w", err), discard(dir, made))
	}
	return nil
}

// discard removes what was written into a directory that was empty, and the directory itself if it was made for that.
func discard(dir string, made bool) error {
	if made {
		return os.RemoveAll(dir)
	}
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, entry.Name())))
	}
	return err
}

func writeTemplate(dir, ref string) error {
	files, err := fs.Sub(template, "template")
	if err != nil {
		return err
	}
	return fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		target := filepath.Join(dir, name)
		if err != nil || name == "." {
			return err
		}
		if entry.IsDir() {
			return os.Mkdir(target, 0o755)
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		return os.WriteFile(target, bytes.ReplaceAll(content, []byte("PACK"), []byte(ref)), 0o644)
	})
}
