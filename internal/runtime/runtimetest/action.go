package runtimetest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/runtime"
)

// Action is one attempt of one action, ready to be executed.
type Action struct {
	Task   *runtime.Task
	Stdout *Output
	Stderr *Output
}

// ids makes every task of a test process another one.
var ids atomic.Int64

// NewAction writes the program into a pack and makes a task of it, in directories of its own: parameters as JSON on
// standard input, output_format auto, and 30 s.
func NewAction(t testing.TB, name, file, program string, parameters map[string]any) *Action {
	t.Helper()
	dirs := newDirs(t)
	if err := os.WriteFile(filepath.Join(dirs.Pack, "actions", file), []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	if parameters == nil {
		parameters = map[string]any{}
	}
	document, err := json.Marshal(parameters)
	if err != nil {
		t.Fatal(err)
	}
	a := &Action{Stdout: newOutput(), Stderr: newOutput()}
	a.Task = &runtime.Task{
		ID: strconv.FormatInt(ids.Add(1), 10) + "-1",
		Action: &attune.Action{
			Ref: "test.action", Runtime: name, EntryPoint: "actions/" + file, Delivery: attune.DeliverStdin,
			Format: attune.FormatJSON, OutputFormat: attune.OutputAuto,
		},
		Parameters: document,
		Dirs:       dirs, Env: map[string]string{"LANG": "C.UTF-8", "ATTUNE_EXECUTION_ID": "42"},
		Timeout: 30 * time.Second, Grace: 5 * time.Second, MaxResultBytes: 1 << 20,
		Stdout: a.Stdout, Stderr: a.Stderr,
	}
	return a
}

func newDirs(t testing.TB) runtime.Dirs {
	t.Helper()
	dir := t.TempDir()
	dirs := runtime.Dirs{
		Pack: filepath.Join(dir, "pack"), Private: filepath.Join(dir, "private"), Work: filepath.Join(dir, "work"),
		Home: filepath.Join(dir, "home"), Tmp: filepath.Join(dir, "tmp"),
	}
	for _, d := range []string{filepath.Join(dirs.Pack, "actions"), dirs.Private, dirs.Work, dirs.Home, dirs.Tmp} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dirs
}

// Output keeps what a stream was given and tells when it has become something.
type Output struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	once  sync.Once
	ready chan struct{} // closed with the first write
}

func newOutput() *Output { return &Output{ready: make(chan struct{})} }

// Write keeps p.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Write(p)
	o.once.Do(func() { close(o.ready) })
	return len(p), nil
}

// String returns everything so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
