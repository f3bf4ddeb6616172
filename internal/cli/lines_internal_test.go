package cli

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// place is a file, opened twice as a shell does for `2>&1`.
func place(t *testing.T) (stdout, stderr *os.File, read func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "out")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	return open(), open(), func() string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

func write(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if n, err := io.WriteString(w, text); n != len(text) || err != nil {
		t.Errorf("%d %v", n, err)
	}
}

func TestStreamsInOnePlaceKeepTheirLinesWhole(t *testing.T) {
	t.Parallel()
	file, other, read := place(t)
	stdout, stderr := inLines(&output{w: file}, other)
	synctest.Test(t, func(t *testing.T) {
		write(t, stdout, "copying a fi")
		go write(t, stderr, "warning\n")
		synctest.Wait()
		time.Sleep(linePatience / 2) //nolint:forbidigo // of synctest's clock
		write(t, stdout, "le\nnext ")
		synctest.Wait()
		if got := read(); got != "copying a file\nnext " {
			t.Errorf("%q", got)
		}
		write(t, stdout, "one\n")
		synctest.Wait()
		if got := read(); got != "copying a file\nnext one\nwarning\n" {
			t.Errorf("%q", got)
		}
	})
}

func TestALineWithoutAnEndHoldsNobodyBackForLong(t *testing.T) {
	t.Parallel()
	file, other, read := place(t)
	stdout, stderr := inLines(file, other)
	synctest.Test(t, func(t *testing.T) {
		write(t, stdout, "continue? ")
		begun := time.Now()
		write(t, stderr, "why?")
		if waited := time.Since(begun); waited != linePatience {
			t.Errorf("waited %v", waited)
		}
		time.Sleep(time.Hour) //nolint:forbidigo // of synctest's clock
		write(t, stdout, "\n")
		if got := read(); got != "continue? why?\n" || time.Since(begun) != time.Hour+linePatience {
			t.Errorf("%q after %v", got, time.Since(begun))
		}
	})
}

func TestStreamsInTwoPlacesDoNotWait(t *testing.T) {
	t.Parallel()
	one, _, _ := place(t)
	two, _, read := place(t)
	stdout, stderr := inLines(one, two)
	synctest.Test(t, func(t *testing.T) {
		write(t, stdout, "half ")
		begun := time.Now()
		write(t, stderr, "whole\n")
		if got := read(); got != "whole\n" || time.Since(begun) != 0 {
			t.Errorf("%q after %v", got, time.Since(begun))
		}
	})
}
