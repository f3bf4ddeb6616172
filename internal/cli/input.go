package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/pack"
)

// maxInputBytes bounds what is read for parameters; the API accepts less.
const maxInputBytes = 8 << 20

// readInput reads a file for parameters, or stdin for "-". A pipe may have no writer, or one that never ends: the read
// is left to itself when ctx ends, and ends with the process. what begins the error of an input that can't be read.
func (a *app) readInput(ctx context.Context, what, path string) ([]byte, error) {
	type outcome struct {
		content []byte
		err     error
	}
	ended := make(chan outcome, 1)
	go func() {
		content, err := a.readBounded(path, maxInputBytes)
		ended <- outcome{content, err}
	}()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case o := <-ended:
		if o.err != nil {
			return nil, usage("%s: %v", what, o.err)
		}
		return o.content, nil
	}
}

func (a *app) readBounded(path string, limit int64) ([]byte, error) {
	from := a.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }() // read only
		from = f
	}
	content, err := io.ReadAll(io.LimitReader(from, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("%s: larger than %d bytes", path, limit)
	}
	return content, err
}

// isFile tells what looks like a script file's name from an action's ref. One with such an ending may be a ref as well.
func isFile(target string) bool {
	switch filepath.Ext(target) {
	case ".py", ".sh", ".bash":
		return true
	}
	return strings.ContainsRune(target, filepath.Separator)
}

// readScript reads a script file. Devices and pipes are none: some never end, and none can be read again.
func (a *app) readScript(path string) (*client.Script, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, attune.Errorf(attune.CodeNotFound, "script file: %v", err)
	}
	if !info.Mode().IsRegular() {
		return nil, usage("script file: %s is not a regular file", path)
	}
	content, err := a.readBounded(path, pack.MaxScriptBytes)
	if err != nil {
		return nil, usage("script file: %v", err)
	}
	if err := checkText("script file "+path, string(content)); err != nil {
		return nil, err
	}
	return &client.Script{Name: filepath.Base(path), Content: string(content)}, nil
}
