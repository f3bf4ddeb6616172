package pack_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/pack"
	"github.com/attune-automation/attune/packs"
)

func TestCorePackIsValid(t *testing.T) {
	t.Parallel()
	core, err := packs.Core()
	if err != nil {
		t.Fatal(err)
	}
	p, err := pack.Read(core)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Warnings) > 0 {
		t.Errorf("warnings: %v", p.Warnings)
	}
	want := []attune.Ref{"core.echo", "core.http_request", "core.noop", "core.python", "core.shell", "core.sleep"}
	for i, ref := range want {
		if i >= len(p.Actions) || p.Actions[i].Ref != ref {
			t.Fatalf("actions: got %v, want %v", p.Actions, want)
		}
	}
}

func TestExamplePacksAreValid(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob("../../examples/packs/*/pack.yaml")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no example pack found: %v", err)
	}
	for _, name := range dirs {
		p := readDir(t, filepath.Dir(name))
		if len(p.Warnings) > 0 || len(p.Actions) == 0 {
			t.Errorf("%s: warnings %v, %d actions", p.Ref, p.Warnings, len(p.Actions))
		}
	}
}

func TestNewPackIsValid(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "deep", "demo")
	if err := pack.New(dir, "demo"); err != nil {
		t.Fatal(err)
	}
	p := readDir(t, dir)
	if p.Ref != "demo" || len(p.Actions) != 2 || len(p.Warnings) > 0 {
		t.Errorf("got %+v", p)
	}
	if err := pack.New(dir, "demo"); attune.ErrorCode(err) != attune.CodeConflict {
		t.Errorf("a second pack in %s: got %v, want a conflict", dir, err)
	}
	if err := pack.New(filepath.Join(t.TempDir(), "x"), "Demo"); attune.ErrorCode(err) != attune.CodeInvalid {
		t.Errorf("an upper-case ref: got %v, want invalid", err)
	}
	if err := pack.New(filepath.Join(dir, "pack.yaml"), "demo"); attune.ErrorCode(err) != attune.CodeInvalid {
		t.Errorf("a file in the way: got %v, want invalid", err)
	}
}

func TestNewPackTakesAnEmptyDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := pack.New(dir, "demo"); err != nil {
		t.Fatal(err)
	}
	readDir(t, dir)
}

func readDir(t *testing.T, dir string) *pack.Pack {
	t.Helper()
	root, err := pack.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := root.Close(); err != nil {
			t.Error(err)
		}
	}()
	p, err := pack.Read(root.FS())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOpenDirSaysWhatItWants(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, file + "-missing"} {
		if _, err := pack.OpenDir(dir); attune.ErrorCode(err) != attune.CodeInvalid {
			t.Errorf("%s: got %v, want invalid", dir, err)
		}
	}
}

// BenchmarkDigest is what every command pays to learn whether the stored core pack is this one.
func BenchmarkDigest(b *testing.B) {
	core, err := packs.Core()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := pack.Digest(core); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead is what installing the core pack costs.
func BenchmarkRead(b *testing.B) {
	core, err := packs.Core()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := pack.Read(core); err != nil {
			b.Fatal(err)
		}
	}
}
