package pack

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// unpackAttempts bounds how often Unpack meets another process that unpacks into the same place.
const unpackAttempts = 10

// Unpack makes dir hold the archive with this digest and nothing else; several processes may do so at once. It costs a
// look at the files if they are there unchanged (see Verify). Else the whole pack is unpacked beside dir and then takes
// its place, files read only (0444, 0555): nobody ever sees half of it. The archive must be one that Archive or Load
// returned; one that doesn't have the digest is an error and changes nothing.
func Unpack(archive []byte, digest, dir string) error {
	if Verify(dir, digest) == nil {
		return nil
	}
	content, err := unzip(archive)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != digest {
		return fmt.Errorf("the stored archive doesn't have the digest %.12s: install its pack again", digest)
	}
	files, err := Open(archive)
	if err != nil {
		return err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("unpack a pack: %w", err)
	}
	fresh, err := os.MkdirTemp(parent, ".unpack-*")
	if err != nil {
		return fmt.Errorf("unpack a pack: %w", err)
	}
	err = writeFiles(files, fresh, digest)
	if err == nil {
		err = replace(fresh, dir, digest)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("unpack a pack into %s: %w", dir, err), os.RemoveAll(fresh))
	}
	return nil
}

func writeFiles(files fs.FS, dir, digest string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	tree, err := list(files, &report{})
	if err != nil {
		return err
	}
	for _, name := range tree.names() {
		content, err := tree.read(name, tree.sizes[name])
		if err != nil {
			return err
		}
		target := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, content, tree.modes[name]&^0o222); err != nil {
			return err
		}
		if err := os.Chmod(target, tree.modes[name]&^0o222); err != nil { // whatever the umask is
			return err
		}
	}
	return writeManifest(dir, digest)
}

// replace puts fresh in the place of dir. Between the two renames there is no dir: who looks then unpacks it too.
func replace(fresh, dir, digest string) error {
	for range unpackAttempts {
		err := os.Rename(fresh, dir)
		if err == nil {
			return nil
		}
		if _, missing := os.Lstat(dir); errors.Is(missing, fs.ErrNotExist) {
			return err
		}
		if Verify(dir, digest) == nil { // another process was first
			return os.RemoveAll(fresh)
		}
		stale := fresh + ".stale"
		if err := os.Rename(dir, stale); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.RemoveAll(stale); err != nil {
			return err
		}
	}
	return fmt.Errorf("other processes keep unpacking into %s", dir)
}
