package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// record is the file that names what a command runs in, for the supervisor that comes after one that was killed. It stays
// open, and is written anew for each command.
type record struct {
	path string
	file *os.File
	boot string
	made unix.Stat_t
	size int // of its text
}

// entry is what a record holds.
type entry struct {
	ID     string   `json:"id"` // of the command; "" between two
	Boot   string   `json:"boot_id"`
	Family identity `json:"family"`
}

const recordSuffix = ".json"

// check keeps a record that somebody else has written from naming a group that is none of ours.
func (id identity) check() error {
	for _, path := range append(id.Limits, id.Path) {
		if path != "" && !strings.HasPrefix(filepath.Base(path), groupPrefix) {
			return fmt.Errorf("%s is no control group of attune's: remove the record if it is not ours", path)
		}
	}
	return nil
}

// newRecord writes a record before its command is born, and before its control group is made: its name is known by
// then, so that no kill of ours falls between. One that is there already is somebody's: the error is fs.ErrExist.
func newRecord(dir, name, id string, family identity) (*record, error) {
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	r := &record{path: filepath.Join(dir, name+recordSuffix), boot: boot}
	if r.file, err = os.OpenFile(r.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
		return nil, err
	}
	if err = unix.Fstat(int(r.file.Fd()), &r.made); err == nil {
		err = r.write(id, family)
	}
	if err != nil {
		return nil, errors.Join(err, r.close(), r.remove())
	}
	return r, nil
}

// write says whose the record is now. It is one write to one page, which is there as a whole or not at all for whoever
// looks after a kill. Blanks, which JSON does not mind, cover the end of a longer text. Nothing is synced: after a power
// cut there is no process to find.
func (r *record) write(id string, family identity) error {
	text, err := json.Marshal(entry{id, r.boot, family})
	if err != nil {
		return err
	}
	text = append(text, bytes.Repeat([]byte(" "), max(0, r.size-len(text)))...)
	if _, err := r.file.WriteAt(text, 0); err != nil {
		return fmt.Errorf("write %s: %w", r.path, err)
	}
	r.size = len(text)
	return nil
}

// born adds what is known of the leader only now. A group has been named before.
func (r *record) born(id string, family identity) error {
	if family.PID == 0 {
		return nil
	}
	return r.write(id, family)
}

// asMade tells whether the open file is still what the next supervisor will read.
func (r *record) asMade() bool {
	var now unix.Stat_t
	err := unix.Lstat(r.path, &now)
	return err == nil && now.Dev == r.made.Dev && now.Ino == r.made.Ino && now.Size == int64(r.size)
}

func (r *record) close() error { return r.file.Close() }

func (r *record) remove() error { return removeRecord(r.path) }

func removeRecord(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Leftover is a command of an earlier supervisor whose processes were ended.
type Leftover struct {
	ID     string
	Killed int // processes that needed SIGKILL
}

// EndLeftovers ends what records of earlier supervisors name and returns those of which something had still lived. It
// is called before anything runs; the caller has made sure that no other supervisor uses the records.
func (s *Supervisor) EndLeftovers(ctx context.Context) ([]Leftover, error) {
	files, err := os.ReadDir(s.cfg.RecordsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("records of processes: %w", err)
	}
	boot, err := bootID()
	if err != nil {
		return nil, fmt.Errorf("records of processes: %w", err)
	}
	var ended []Leftover
	for _, file := range files {
		path := filepath.Join(s.cfg.RecordsDir, file.Name())
		left, lived, err := s.endRecorded(ctx, path, boot)
		if err != nil {
			return ended, fmt.Errorf("end what %s names: %w", path, err)
		}
		if lived {
			ended = append(ended, left)
		}
	}
	return ended, nil
}

func (s *Supervisor) endRecorded(ctx context.Context, path, boot string) (left Leftover, lived bool, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return left, false, err
	}
	var e entry
	if strings.HasSuffix(path, ".new") || json.Unmarshal(text, &e) != nil {
		// Half a record: it is written whole before its command is born, so nothing was.
		return left, false, removeRecord(path)
	}
	if e.Boot != boot {
		return left, false, removeRecord(path)
	}
	if err := e.Family.check(); err != nil {
		return left, false, err
	}
	family, err := adopt(e.Family)
	if err != nil {
		return left, false, err
	}
	if lived = !family.empty(); lived {
		log(s.cfg).Warn("ending what an earlier life has left running", "command", e.ID)
		left = Leftover{e.ID, len(family.members())}
		if err := killAll(ctx, family); err != nil {
			return left, true, err
		}
	}
	for _, path := range e.Family.Limits {
		if err := vacate(group{path: path}); err != nil {
			return left, lived, err
		}
	}
	if err := family.close(); err != nil {
		return left, lived, err
	}
	return left, lived && e.ID != "", removeRecord(path)
}

// killAll kills a family without a grace: its supervisor is dead, and so is whoever waited for it.
func killAll(ctx context.Context, family family) error {
	ctx, cancel := context.WithTimeoutCause(ctx, killPatience, errors.New("some processes don't die of SIGKILL"))
	defer cancel()
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	for family.kill(); !family.empty(); family.kill() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-retry.C:
		}
	}
	return nil
}
