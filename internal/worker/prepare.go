package worker

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/pack"
	"github.com/attune-automation/attune/internal/runtime"
)

// place is where an attempt runs. Nothing that it puts there is left when it has ended.
type place struct {
	*room
	dirs    runtime.Dirs
	files   string // $ATTUNE_ARTIFACTS_DIR
	secrets string // $ATTUNE_SECRETS_DIR, "" if there are none
}

// written are the directories that an attempt writes to.
func (p *place) written() []string {
	if strings.HasPrefix(p.files, p.path) {
		return []string{p.path}
	}
	return []string{p.path, p.files}
}

// prepare makes the private directories of an attempt and has its pack unpacked.
func (w *Worker) prepare(ctx context.Context, a execution.Assignment) (*place, error) {
	dir, err := w.packs.dir(ctx, a.Action.Digest)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("fetch the files of pack %s: %w", a.Action.Ref.Pack(), context.Cause(ctx))
	}
	if err != nil {
		return nil, runtime.Setupf("the files of pack %s can't be had: %v", a.Action.Ref.Pack(), err)
	}
	room, err := w.rooms.enter(taskID(a), a.Context)
	if err != nil {
		return nil, runtime.Setupf("private directory can't be made: %v", err)
	}
	p := &place{room: room, dirs: room.layout()}
	p.dirs.Pack = dir
	return p, nil
}

func taskID(a execution.Assignment) string {
	return strconv.FormatInt(a.ID, 10) + "-" + strconv.Itoa(a.Attempt)
}

// task puts together what the runtime needs.
func (w *Worker) task(a execution.Assignment, p *place, kept *keeping, hidden *secrets) (*runtime.Task, error) {
	// The API has checked them against the same version of the action: what fails here is ours.
	parameters, err := pack.Parameters(a.Action.Parameters, hidden.parameters, math.MaxInt)
	if err != nil {
		return nil, runtime.Setupf("parameters of %s: %v", a.Action.Ref, err)
	}
	env, err := w.environment(a, p)
	if err != nil {
		return nil, err
	}
	hidden.environment(env, p.secrets, w.cfg.SecretsInFiles)
	if hidden.token != "" {
		env[apiURL], env[apiToken] = w.cfg.APIURL, hidden.token
	}
	check, err := resultCheck(a.Action)
	if err != nil {
		return nil, err
	}
	limits, err := w.limitsOf(a.Action)
	if err != nil {
		return nil, err
	}
	stdout, stderr := kept.writers()
	for _, note := range hidden.notes {
		fmt.Fprintln(stderr, note)
	}
	task := &runtime.Task{
		ID: taskID(a), Action: &a.Action, Parameters: parameters, Dirs: p.dirs, Env: env,
		Timeout: w.timeout(a), Grace: w.cfg.KillGrace,
		Stdout: stdout, Stderr: stderr, MaxResultBytes: w.cfg.MaxResultBytes,
		CheckResult: check, Limits: limits,
	}
	if limits.Disk > 0 {
		// No file outgrows it between two looks.
		task.Limits.FileSize = cmp.Or(min(limits.FileSize, limits.Disk), limits.Disk)
		task.CheckDisk = (&diskUse{dirs: p.written(), most: limits.Disk}).check
	}
	return task, nil
}

// resultCheck is the action's output schema as a function, nil if it has none.
func resultCheck(a attune.Action) (func(json.RawMessage) error, error) {
	if len(a.Output) == 0 {
		return nil, nil
	}
	schema, err := pack.Compile(a.Output)
	if err != nil {
		return nil, runtime.Setupf("output of %s: %v", a.Ref, err)
	}
	return schema.CheckResult, nil
}

// timeout is the execution's own, else the action's, else the worker's.
func (w *Worker) timeout(a execution.Assignment) time.Duration {
	if a.Timeout > 0 {
		return a.Timeout
	}
	if a.Action.TimeoutSeconds > 0 {
		return time.Duration(a.Action.TimeoutSeconds * float64(time.Second))
	}
	return w.cfg.TaskTimeout
}

// environment is the contract's variables, then the action's env, then the execution's.
func (w *Worker) environment(a execution.Assignment, p *place) (map[string]string, error) {
	id := strconv.FormatInt(a.ID, 10)
	env := map[string]string{
		"PATH": w.cfg.Path, "LANG": "C.UTF-8", "TZ": "UTC",
		"ATTUNE_EXECUTION_ID": id, "ATTUNE_EXEC_ID": id,
		"ATTUNE_ACTION": string(a.Action.Ref), "ATTUNE_PACK": a.Action.Ref.Pack(),
		"ATTUNE_ATTEMPT": strconv.Itoa(a.Attempt), "ATTUNE_WORKER": w.cfg.Name,
		"ATTUNE_ARTIFACTS_DIR": p.files, "ATTUNE_CONTEXT_FILE": p.contextFile(),
		"TRACEPARENT": traceparent(),
	}
	maps.Copy(env, a.Action.Env)
	own := map[string]string{}
	if err := json.Unmarshal(a.Env, &own); err != nil {
		return nil, runtime.Setupf("the execution's env can't be read: %v", err)
	}
	maps.Copy(env, own)
	return env, nil
}

// traceparent begins a trace, in the form of W3C Trace Context: version, trace id, span id, sampled.
func traceparent() string {
	var id [24]byte
	_, _ = rand.Read(id[:]) // never fails
	return fmt.Sprintf("00-%s-%s-01", hex.EncodeToString(id[:16]), hex.EncodeToString(id[16:]))
}

// removeTree removes a directory whatever modes and flags an action has given to what is in it.
func removeTree(root string) error {
	err := os.RemoveAll(root)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what it could not open, the second try reports
		}
		if unflag(path); entry.IsDir() {
			_ = os.Chmod(path, 0o700) // the same
		}
		return nil
	})
	return os.RemoveAll(root)
}

// unflag takes the flags from a file that keep even root from removing it (chattr(1)). Who can't, has not set them.
func unflag(path string) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer func() { _ = file.Close() }() // read only
	const keeping = unix.STATX_ATTR_IMMUTABLE | unix.STATX_ATTR_APPEND
	flags, err := unix.IoctlGetInt(int(file.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil && flags&keeping != 0 {
		_ = unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, flags&^keeping)
	}
}
