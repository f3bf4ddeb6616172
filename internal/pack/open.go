package pack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/attune-automation/attune"
)

// Load reads and validates the pack in an archive that somebody sent. It returns the pack with its digest filled in,
// and the archive to keep: made anew from the content, so that its digest fits whatever tool packed the given one.
func Load(archive []byte) (*Pack, []byte, error) {
	fsys, err := Open(archive)
	if err != nil {
		return nil, nil, err
	}
	p, err := Read(fsys)
	if err != nil {
		return nil, nil, err
	}
	kept, digest, err := Archive(fsys)
	if err != nil {
		return nil, nil, err
	}
	p.setDigest(digest)
	return p, kept, nil
}

func (p *Pack) setDigest(digest string) {
	p.Digest = digest
	for i := range p.Actions {
		p.Actions[i].Digest = digest
	}
}

// Open reads an archive into memory, within the limits (16 MiB, 64 MiB unpacked, 10,000 files). It refuses everything
// but regular files and directories, paths that leave the pack, and names given twice.
func Open(archive []byte) (fs.FS, error) {
	if len(archive) > maxArchiveBytes {
		return nil, tooLargeArchive()
	}
	content, err := unzip(archive)
	if err != nil {
		return nil, err
	}
	files := newMemory()
	reader := tar.NewReader(bytes.NewReader(content))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, attune.Errorf(attune.CodeInvalid, "the archive can't be read: %v", err)
		}
		if err := files.take(header, reader); err != nil {
			return nil, err
		}
	}
}

func tooLargeArchive() error {
	return attune.Errorf(attune.CodeInvalid, "the pack's archive has more than %d MiB: remove what its actions don't need",
		maxArchiveBytes>>20)
}

// unzip returns the tar archive inside, and stops where a bomb would go on. Headers and padding take 1 KiB a file.
func unzip(archive []byte) ([]byte, error) {
	const limit = maxUnpackedBytes + maxFiles*1024*2
	zipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, attune.Errorf(attune.CodeInvalid, "not a pack's archive: want tar, compressed with gzip")
	}
	content, err := io.ReadAll(io.LimitReader(zipped, limit+1))
	if err != nil {
		return nil, attune.Errorf(attune.CodeInvalid, "the archive is damaged: %v", err)
	}
	if len(content) > limit {
		return nil, attune.Errorf(attune.CodeInvalid, "the archive has more than %d MiB unpacked", maxUnpackedBytes>>20)
	}
	return content, nil
}

// take adds one entry of an archive.
func (m *memory) take(header *tar.Header, content io.Reader) error {
	name := strings.TrimPrefix(header.Name, "./")
	switch header.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeDir:
		name = strings.TrimSuffix(name, "/")
		if name == "" || name == "." {
			return nil
		}
		return m.entryError(name, m.addDir(name))
	case tar.TypeReg:
		if path.Base(name) == manifestName {
			return m.entryError(name, errors.New("the name is Attune's own"))
		}
		if header.Size > maxUnpackedBytes {
			return m.entryError(name, fmt.Errorf("more than %d MiB", maxUnpackedBytes>>20))
		}
		data, err := io.ReadAll(content)
		if err != nil {
			return m.entryError(name, err)
		}
		return m.entryError(name, m.addFile(name, data, header.FileInfo().Mode()))
	}
	return m.entryError(name, errors.New("not a regular file: archives hold files and directories only"))
}

func (m *memory) entryError(name string, err error) error {
	if err == nil {
		return nil
	}
	return &attune.Error{Code: attune.CodeInvalid, Message: "the archive can't be a pack",
		Details: []attune.Detail{{Place: fmt.Sprintf("%.300q", name), Message: err.Error()}}}
}
