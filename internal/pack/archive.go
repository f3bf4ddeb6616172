package pack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// Archive returns the files in fsys as a gzip-compressed tar archive, and its digest: the SHA-256 of the archive before
// compression, in hexadecimal, which is the same for the same content wherever and whenever it is made. Names are
// sorted, times are zero, modes are 0644 or 0755, links are followed, empty directories are left out, and so is what
// version control, Python and editors leave behind. It does not validate: Read does.
func Archive(fsys fs.FS) (archive []byte, digest string, err error) {
	var buffer bytes.Buffer
	compressed := gzip.NewWriter(&buffer)
	hash := sha256.New()
	if err := writeTar(io.MultiWriter(compressed, hash), fsys); err != nil {
		return nil, "", err
	}
	if err := compressed.Close(); err != nil {
		return nil, "", fmt.Errorf("compress the pack: %w", err)
	}
	if buffer.Len() > maxArchiveBytes {
		return nil, "", tooLargeArchive()
	}
	return buffer.Bytes(), hex.EncodeToString(hash.Sum(nil)), nil
}

// Digest returns the digest that Archive would, without making the archive.
func Digest(fsys fs.FS) (string, error) {
	hash := sha256.New()
	if err := writeTar(hash, fsys); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

func writeTar(w io.Writer, fsys fs.FS) error {
	r := &report{}
	files, err := list(fsys, r)
	if err != nil {
		return err
	}
	if err := r.err("these files can't be in a pack"); err != nil {
		return err
	}
	archive := tar.NewWriter(w)
	for _, name := range files.names() {
		if err := files.writeTo(archive, name); err != nil {
			return fmt.Errorf("archive %s: %w", name, err)
		}
	}
	return archive.Close()
}

func (t *tree) writeTo(archive *tar.Writer, name string) error {
	header := tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: t.sizes[name], Mode: int64(t.modes[name]), ModTime: time.Unix(0, 0),
	}
	if err := archive.WriteHeader(&header); err != nil {
		return err
	}
	content, err := t.read(name, t.sizes[name]+1) // one that grows meanwhile is an error, not a shorter file
	if err != nil {
		return err
	}
	_, err = archive.Write(content)
	return err
}
