package pack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// manifest tells what Unpack left in a directory, so that a look at names, sizes, times and modes shows whether it is
// still so.
type manifest struct {
	Digest string                  `json:"digest"`
	Files  map[string]manifestFile `json:"files"`
}

type manifestFile struct {
	Size     int64       `json:"size"`
	Modified int64       `json:"modified"` // nanoseconds since 1970
	Mode     fs.FileMode `json:"mode"`
}

func fileOf(info fs.FileInfo) manifestFile {
	return manifestFile{info.Size(), info.ModTime().UnixNano(), info.Mode()}
}

// Verify returns nil if dir holds the pack of this digest as Unpack left it. It compares the name, size, modification
// time, type and permissions of every file and finds added and removed ones, but reads none of them: who changes a
// file and then sets its time back goes unnoticed. Directories and what is in __pycache__ are not looked at.
func Verify(dir, digest string) error {
	want, err := readManifest(dir)
	if err != nil {
		return err
	}
	if want.Digest != digest {
		return fmt.Errorf("%s holds the pack %.12s, not %.12s", dir, want.Digest, digest)
	}
	found, err := scan(dir)
	if err != nil {
		return err
	}
	for name, file := range want.Files {
		if have, ok := found[name]; !ok || have != file {
			return fmt.Errorf("%s was changed after the pack was unpacked", filepath.Join(dir, name))
		}
	}
	if len(found) != len(want.Files) {
		return fmt.Errorf("%s has files that are not of its pack", dir)
	}
	return nil
}

func readManifest(dir string) (manifest, error) {
	var m manifest
	content, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return m, fmt.Errorf("no pack is unpacked: %w", err)
	}
	if err := json.Unmarshal(content, &m); err != nil {
		return m, fmt.Errorf("read %s in %s: %w", manifestName, dir, err)
	}
	return m, nil
}

// writeManifest records what dir holds now.
func writeManifest(dir, digest string) error {
	files, err := scan(dir)
	if err != nil {
		return err
	}
	content, err := json.Marshal(manifest{digest, files})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, manifestName), content, 0o444)
}

// scan looks at all that is no directory in dir, without following links.
func scan(dir string) (map[string]manifestFile, error) {
	found := map[string]manifestFile{}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == "__pycache__" {
				return fs.SkipDir
			}
			return nil
		}
		relative, err := filepath.Rel(dir, name)
		if err != nil || relative == manifestName {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		found[filepath.ToSlash(relative)] = fileOf(info)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at the unpacked pack: %w", err)
	}
	return found, nil
}
