package pack_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/pack"
)

func mustArchive(t *testing.T, fsys fs.FS) ([]byte, string) {
	t.Helper()
	archive, digest, err := pack.Archive(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return archive, digest
}

func TestArchiveDependsOnContentAlone(t *testing.T) {
	t.Parallel()
	fsys := files("lib/ünï.txt", "x", "actions/run.sh", "y")
	fsys["actions/run.sh"].Mode = 0o755
	archive, digest := mustArchive(t, fsys)
	dir := t.TempDir()
	for name, file := range fsys {
		write(t, filepath.Join(dir, name), string(file.Data))
	}
	if err := os.Chmod(filepath.Join(dir, "actions/run.sh"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		".git/HEAD", "lib/__pycache__/x.pyc", "actions/a.sh~", "actions/.a.sh.swp", "actions/.#a.sh", ".DS_Store",
		".attune-manifest.json",
	} {
		write(t, filepath.Join(dir, name), "left over")
	}
	again, same := mustArchive(t, os.DirFS(dir))
	if digest != same || !bytes.Equal(archive, again) {
		t.Errorf("digests %s and %s, %d and %d bytes", digest, same, len(archive), len(again))
	}
	if alone, err := pack.Digest(os.DirFS(dir)); err != nil || alone != digest {
		t.Errorf("Digest: got %s, %v, want %s", alone, err, digest)
	}
	write(t, filepath.Join(dir, "actions/a.sh"), "false\n")
	if _, other := mustArchive(t, os.DirFS(dir)); other == digest {
		t.Error("another content has the same digest")
	}
}

func TestLoadGivesBackTheCanonicalArchive(t *testing.T) {
	t.Parallel()
	archive, digest := mustArchive(t, files())
	foreign := tarball(t, []tar.Header{
		{Name: "./", Typeflag: tar.TypeDir, Mode: 0o700},
		{Name: "./actions/", Typeflag: tar.TypeDir, Mode: 0o700},
		{Name: "./actions/b.py", ModTime: time.Now(), Uid: 7, Uname: "me"},
		{Name: "./actions/a.sh"}, {Name: "./pack.yaml"}, {Name: "./actions/a.yaml"},
	}, "", "", "def run(): pass\n", "true\n", goodPack, action)
	p, kept, err := pack.Load(foreign)
	if err != nil {
		t.Fatal(err)
	}
	if p.Digest != digest || p.Actions[0].Digest != digest || !bytes.Equal(kept, archive) {
		t.Errorf("digest %s, want %s", p.Digest, digest)
	}
	bad, _ := mustArchive(t, files("pack.yaml", "ref: P\n"))
	if p, kept, err := pack.Load(bad); err == nil || p != nil || kept != nil {
		t.Errorf("a pack with a fault: got %v, %v", p, err)
	}
}

// tarball packs entries as they are, however wrong; the headers' sizes are filled in.
func tarball(t *testing.T, headers []tar.Header, contents ...string) []byte {
	t.Helper()
	var buffer bytes.Buffer
	zipped := gzip.NewWriter(&buffer)
	archive := tar.NewWriter(zipped)
	for i, header := range headers {
		header.Size = int64(len(contents[i]))
		if err := archive.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(archive, contents[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func TestOpenRefusesUnsafeArchives(t *testing.T) {
	t.Parallel()
	one := func(h tar.Header) []byte { return tarball(t, []tar.Header{h}, "") }
	two := func(a, b tar.Header) []byte { return tarball(t, []tar.Header{a, b}, "", "") }
	good, _ := mustArchive(t, files())
	for name, c := range map[string]struct {
		archive []byte
		says    string
	}{
		"nothing":         {nil, "want tar, compressed with gzip"},
		"text":            {[]byte("hello"), "want tar, compressed with gzip"},
		"cut short":       {good[:len(good)/2], "damaged"},
		"too many bytes":  {make([]byte, 16<<20+1), "more than 16 MiB"},
		"parent":          {one(tar.Header{Name: "../x"}), "not inside the pack"},
		"inner parent":    {one(tar.Header{Name: "a/../../x"}), "not inside the pack"},
		"absolute":        {one(tar.Header{Name: "/etc/passwd"}), "not inside the pack"},
		"backslash":       {one(tar.Header{Name: `a\b`}), "backslashes"},
		"control":         {one(tar.Header{Name: "a\nb"}), "control characters"},
		"long":            {one(tar.Header{Name: strings.Repeat("x", 241)}), "at most 240"},
		"link":            {one(tar.Header{Name: "x", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}), "not a regular file"},
		"hard link":       {one(tar.Header{Name: "x", Typeflag: tar.TypeLink, Linkname: "y"}), "not a regular file"},
		"device":          {one(tar.Header{Name: "x", Typeflag: tar.TypeBlock}), "not a regular file"},
		"pipe":            {one(tar.Header{Name: "x", Typeflag: tar.TypeFifo}), "not a regular file"},
		"twice":           {two(tar.Header{Name: "x"}, tar.Header{Name: "./x"}), "twice"},
		"file in a file":  {two(tar.Header{Name: "x"}, tar.Header{Name: "x/y"}), "as a file and as a directory"},
		"directory first": {two(tar.Header{Name: "x/", Typeflag: tar.TypeDir}, tar.Header{Name: "x"}), "twice"},
		"manifest":        {one(tar.Header{Name: ".attune-manifest.json"}), "Attune's own"},
		"bomb":            {bomb(t), "unpacked"},
		"many files":      {manyFiles(t), "more than 10000"},
	} {
		fsys, err := pack.Open(c.archive)
		if fsys != nil || attune.ErrorCode(err) != attune.CodeInvalid || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want …%s…", name, err, c.says)
		}
	}
}

// bomb is 200 MiB of zeros in a few hundred KiB.
func bomb(t *testing.T) []byte {
	t.Helper()
	var buffer bytes.Buffer
	zipped := gzip.NewWriter(&buffer)
	block := make([]byte, 1<<20)
	for range 200 {
		if _, err := zipped.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func manyFiles(t *testing.T) []byte {
	t.Helper()
	headers := make([]tar.Header, 10_001)
	for i := range headers {
		headers[i].Name = fmt.Sprintf("%d", i)
	}
	return tarball(t, headers, make([]string, len(headers))...)
}

func TestArchiveRefusesWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	fsys := files()
	fsys["big"] = &fstest.MapFile{Data: make([]byte, 64<<20)}
	if _, _, err := pack.Archive(fsys); attune.ErrorCode(err) != attune.CodeInvalid {
		t.Errorf("got %v, want invalid", err)
	}
}

func TestUnpack(t *testing.T) {
	t.Parallel()
	fsys := files("lib/x.sh", "x")
	fsys["lib/x.sh"].Mode = 0o755
	archive, digest := mustArchive(t, fsys)
	dir := filepath.Join(t.TempDir(), "packs", "p")
	if err := pack.Unpack(archive, digest, dir); err != nil {
		t.Fatal(err)
	}
	if err := pack.Verify(dir, digest); err != nil {
		t.Error(err)
	}
	if got, err := pack.Digest(os.DirFS(dir)); err != nil || got != digest {
		t.Errorf("what was unpacked has the digest %s, %v", got, err)
	}
	for name, mode := range map[string]fs.FileMode{"lib/x.sh": 0o555, "pack.yaml": 0o444} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: got %v, %v, want %v", name, info.Mode(), err, mode)
		}
	}
	if err := pack.Verify(dir, strings.Repeat("0", 64)); err == nil {
		t.Error("another digest was verified")
	}
}

func TestUnpackRestoresWhatWasChanged(t *testing.T) {
	t.Parallel()
	archive, digest := mustArchive(t, files())
	for name, change := range map[string]func(dir string) error{
		"content of the same size": func(dir string) error { return overwrite(filepath.Join(dir, "actions/a.sh"), "rm *;") },
		"another size":             func(dir string) error { return overwrite(filepath.Join(dir, "actions/a.sh"), "") },
		"permissions":              func(dir string) error { return os.Chmod(filepath.Join(dir, "actions/a.sh"), 0o644) },
		"removed":                  func(dir string) error { return os.Remove(filepath.Join(dir, "actions/a.sh")) },
		"added":                    func(dir string) error { return overwrite(filepath.Join(dir, "lib/evil.py"), "x") },
		"a link instead": func(dir string) error {
			name := filepath.Join(dir, "actions/a.sh")
			return joined(os.Remove(name), os.Symlink("/bin/true", name))
		},
		"no manifest":     func(dir string) error { return os.Remove(filepath.Join(dir, ".attune-manifest.json")) },
		"a bad manifest":  func(dir string) error { return overwrite(filepath.Join(dir, ".attune-manifest.json"), "{") },
		"a file in place": func(dir string) error { return joined(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) },
	} {
		dir := filepath.Join(t.TempDir(), "p")
		if err := pack.Unpack(archive, digest, dir); err != nil {
			t.Fatal(err)
		}
		if err := change(dir); err != nil {
			t.Fatal(err)
		}
		if pack.Verify(dir, digest) == nil {
			t.Errorf("%s: went unnoticed", name)
		}
		if err := pack.Unpack(archive, digest, dir); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := pack.Digest(os.DirFS(dir)); err != nil || got != digest || pack.Verify(dir, digest) != nil {
			t.Errorf("%s: was not restored: %v", name, err)
		}
		leaveNothingBeside(t, dir)
	}
}

func overwrite(name, text string) error {
	return joined(os.MkdirAll(filepath.Dir(name), 0o755), ignoreMissing(os.Remove(name)), os.WriteFile(name, []byte(text), 0o444))
}

func ignoreMissing(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

func joined(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func leaveNothingBeside(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the pack: %v, %v", entries, err)
	}
}

func TestUnpackRefusesAnotherContent(t *testing.T) {
	t.Parallel()
	archive, _ := mustArchive(t, files())
	dir := filepath.Join(t.TempDir(), "p")
	if err := pack.Unpack(archive, strings.Repeat("0", 64), dir); err == nil {
		t.Error("an archive was unpacked under a digest that it doesn't have")
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("something was left: %v", err)
	}
}

func TestUnpackReportsADiskError(t *testing.T) {
	t.Parallel()
	archive, digest := mustArchive(t, files())
	parent := filepath.Join(t.TempDir(), "file")
	write(t, parent, "in the way")
	if err := pack.Unpack(archive, digest, filepath.Join(parent, "p")); err == nil {
		t.Error("a pack was unpacked below a file")
	}
}

func TestManyUnpackAtOnce(t *testing.T) {
	t.Parallel()
	archive, digest := mustArchive(t, files())
	dir := filepath.Join(t.TempDir(), "p")
	var group sync.WaitGroup
	for range 4 * runtime.NumCPU() {
		group.Go(func() {
			if err := pack.Unpack(archive, digest, dir); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if err := pack.Verify(dir, digest); err != nil {
		t.Error(err)
	}
	leaveNothingBeside(t, dir)
}

// TestArchivesRoundTrip: whatever files a pack has, an archive keeps exactly them.
func TestArchivesRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		contents := rapid.MapOf(rapid.StringMatching(`([a-z]{1,8}/){0,3}f[a-z]{0,8}\.[a-z]{1,3}`), rapid.SliceOf(rapid.Byte())).
			Draw(t, "files")
		fsys := fstest.MapFS{}
		for name, content := range contents {
			fsys[name] = &fstest.MapFile{Data: content, Mode: 0o644}
		}
		archive, digest, err := pack.Archive(fsys)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := pack.Open(archive)
		if err != nil {
			t.Fatal(err)
		}
		for name, content := range contents {
			got, err := fs.ReadFile(opened, name)
			if err != nil || !bytes.Equal(got, content) {
				t.Fatalf("%s: got %q, %v, want %q", name, got, err, content)
			}
		}
		if again, err := pack.Digest(opened); err != nil || again != digest {
			t.Fatalf("digest %s became %s, %v", digest, again, err)
		}
	})
}

func TestOpenIsAFileSystem(t *testing.T) {
	t.Parallel()
	archive, _ := mustArchive(t, files("lib/deep/er/x", "x"))
	fsys, err := pack.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(fsys, "pack.yaml", "actions/a.sh", "lib/deep/er/x"); err != nil {
		t.Error(err)
	}
}

func TestScript(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, content, ref, runtime string }{
		{"greet.py", "print()", "adhoc.greet", "python"},
		{"./dir/My Script.sh", "", "adhoc.my_script", "shell"},
		{"x.bash", "", "adhoc.x", "shell"},
		{"tool", "#!/usr/bin/env python3\n", "adhoc.tool", "python"},
		{"tool", "#!/usr/bin/env -S python3 -u\n", "adhoc.tool", "python"},
		{"tool", "#!/bin/sh -e\n", "adhoc.tool", "shell"},
		{"tool", "#! /usr/local/bin/bash\n", "adhoc.tool", "shell"},
	} {
		a, archive, err := pack.Script(c.name, []byte(c.content))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		want := attune.Action{
			Ref: attune.Ref(c.ref), Label: filepath.Base(c.name), Runtime: c.runtime,
			EntryPoint: "actions/" + filepath.Base(c.name), Digest: a.Digest, Parameters: pack.ScriptSchema(),
			Delivery: attune.DeliverStdin, Format: attune.FormatJSON, OutputFormat: attune.OutputAuto,
		}
		if diff := cmp.Diff(want, a); diff != "" {
			t.Error(diff)
		}
		dir := filepath.Join(t.TempDir(), "p")
		if err := pack.Unpack(archive, a.Digest, dir); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, a.EntryPoint)); err != nil || string(got) != c.content {
			t.Errorf("%s: got %q, %v", c.name, got, err)
		}
	}
}

func TestScriptSaysWhatIsPossible(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, content, says string }{
		{"x.js", "", ".py, .sh or .bash"},
		{"x.js", "#!/bin/bash\n", ".py, .sh or .bash"},
		{"x", "echo", "a first line like #!/bin/bash"},
		{"x", "#!/usr/bin/perl\n", "a first line like #!/bin/bash"},
		{"x", "#!", ".py, .sh or .bash"},
		{"..", "", "absolute or has .. in it"},
		{"", "", "absolute or has .. in it"},
		{"a\nb.sh", "", "control characters"},
		{"x.#.sh~", "", ".py, .sh or .bash"},
		{strings.Repeat("x", 200) + ".sh", "", "is not an action ref"},
		{"x.sh", strings.Repeat("x", 1<<20+1), "at most 1048576"},
	} {
		_, _, err := pack.Script(c.name, []byte(c.content))
		if attune.ErrorCode(err) != attune.CodeInvalid || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.40q: got %v, want …%s…", c.name, err, c.says)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	archive, digest, err := pack.Archive(files())
	if err != nil {
		b.Fatal(err)
	}
	dir := filepath.Join(b.TempDir(), "p")
	if err := pack.Unpack(archive, digest, dir); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := pack.Verify(dir, digest); err != nil {
			b.Fatal(err)
		}
	}
}
