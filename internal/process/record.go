package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// record is the file that names a living command, for the supervisor that comes after one that was killed.
type record struct {
	path string
	entry
}

// entry is what a record holds.
type entry struct {
	ID     string   `json:"id"`
	Boot   string   `json:"boot_id"`
	Family identity `json:"family"`
}

const recordSuffix = ".json"

// check keeps a record that somebody else has written from naming a group that is none of ours.
func (id identity) check() error {
	if id.Path != "" && !strings.HasPrefix(filepath.Base(id.Path), groupPrefix) {
		return fmt.Errorf("%s is no control group of attune's: remove the record if it is not ours", id.Path)
	}
	return nil
}

// writeRecord writes a record before its command is born, and before its control group is made: its name is known by
// then, so that no kill of ours falls between.
func writeRecord(dir, id string, family identity) (*record, error) {
	boot, err := bootID()
	if err != nil {
		return nil, fmt.Errorf("record of command %s: %w", id, err)
	}
	r := &record{filepath.Join(dir, id+recordSuffix), entry{id, boot, family}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("record of command %s: %w", id, err)
	}
	return r, r.write()
}

// born adds what is known of the leader only now.
func (r *record) born(family identity) error {
	if r.Family == family {
		return nil
	}
	r.Family = family
	return r.write()
}

// write does not sync: after a power cut there is no process to find.
func (r *record) write() error {
	text, err := json.Marshal(r.entry)
	if err != nil {
		return err
	}
	temporary := r.path + ".new"
	if err := os.WriteFile(temporary, text, 0o600); err != nil {
		return fmt.Errorf("record of command %s: %w", r.ID, err)
	}
	return os.Rename(temporary, r.path)
}

func (r *record) remove() error {
	err := os.Remove(r.path)
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
		return left, false, os.Remove(path)
	}
	r := &record{path, e}
	if e.Boot != boot {
		return left, false, r.remove()
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
	return left, lived, errors.Join(family.close(), r.remove())
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
