package process_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune/internal/process"
)

// where finds the group of the one command that runs, and its record.
const where = `record=$(echo RECORDS/*.json); group=$(sed -n 's/.*"path":"\([^"]*\)".*/\1/p' $record); `

// look prints the record, and then what is to be the same for every command.
const look = where + `echo $record
if [ "$group" ]; then
	grep -q "${group##*/}\$" /proc/self/cgroup && echo member
	find $group -mindepth 1 -type d -printf 'below %f\n'
	stat -c '%a %u %g' $group
	cat $group/cgroup.type $group/cgroup.freeze $group/freezer.state $group/cgroup.max.* 2>/dev/null
	grep -vwc $$ $group/cgroup.procs
fi`

// spoils are what a command may do to what it runs in. MARK is how long what it leaves behind would sleep.
var spoils = []struct {
	what, script string
	of           process.Mechanism // "": of each
}{
	{"frozen", `echo 1 > $group/cgroup.freeze`, process.Cgroup2},
	{"frozen from outside", `echo $$ > $group/../cgroup.procs; echo 1 > $group/cgroup.freeze`, process.Cgroup2},
	{"frozen from outside", `echo $$ > $group/../cgroup.procs; echo FROZEN > $group/freezer.state`, process.Freezer},
	{"threaded", `echo $$ > $group/../cgroup.procs; echo threaded > $group/cgroup.type`, process.Cgroup2},
	{"killed", `echo 1 > $group/cgroup.kill`, process.Cgroup2},
	{"killed itself", `kill -KILL $$`, ""},
	{"a process left", `sleep MARK & setsid sleep MARK &`, ""},
	{"no groups below", `echo 0 > $group/cgroup.max.descendants`, process.Cgroup2},
	{"no depth", `echo 0 > $group/cgroup.max.depth`, process.Cgroup2},
	{"a group below", `mkdir $group/below`, process.Cgroup2},
	{"a group below", `mkdir $group/below`, process.Freezer},
	{"a member below", `mkdir $group/below; sleep MARK & echo $! > $group/below/cgroup.procs`, process.Cgroup2},
	{"a member below", `mkdir $group/below; sleep MARK & echo $! > $group/below/cgroup.procs`, process.Freezer},
	{"another mode", `chmod 700 $group`, process.Cgroup2},
	{"another owner", `chown 1 $group`, process.Freezer},
	{"no record", `rm $record`, ""},
	{"another record", `cp $record $record.x; mv $record.x $record`, ""},
	{"more in the record", `echo x >> $record`, ""},
}

func TestCommandFindsItsPlaceAsNew(t *testing.T) {
	eachMechanism(t, func(t *testing.T, _ *process.Supervisor, mech process.Mechanism) {
		records := t.TempDir()
		s := supervisorIn(t, records, mech)
		run := func(script string) (string, process.Exit) {
			t.Helper()
			var out bytes.Buffer
			c := bash("1", strings.ReplaceAll(script, "RECORDS", records), &out)
			c.Timeout, c.Grace = 10*time.Second, 0
			if strings.Contains(script, "1 > $group/cgroup.freeze") { // it can't end by itself
				c.Timeout = 200 * time.Millisecond
			}
			exit, err := s.Run(context.Background(), c)
			if err != nil {
				t.Errorf("%s: %v", script, err)
			}
			return out.String(), exit
		}
		seen := func() (record, text string) {
			t.Helper()
			out, exit := run(look)
			if exit.Code != 0 && exit.Code != 1 { // grep's, that counts none
				t.Errorf("%+v", exit)
			}
			record, text, _ = strings.Cut(out, "\n")
			return record, text
		}
		before, asNew := seen()
		if mech != process.Subreaper && !strings.HasPrefix(asNew, "member\n") {
			t.Fatalf("a command in its first place finds %q", asNew)
		}
		m := mark()
		for _, kind := range []string{"true", "exit 3", "kill -USR1 $$"} {
			run(kind)
			if after, text := seen(); after != before || text != asNew {
				t.Errorf("after %q: in %s, before in %s, it finds %q", kind, after, before, text)
			}
		}
		for _, spoil := range spoils {
			if spoil.of != "" && spoil.of != mech {
				continue
			}
			before, _ := seen()
			_, exit := run(where + strings.ReplaceAll(spoil.script, "MARK", m))
			if len(exit.Survivors) > 0 {
				t.Errorf("%s: %v", spoil.what, exit.Survivors)
			}
			if after, text := seen(); after == before || text != asNew {
				t.Errorf("%s: in %s, before in %s, the next one finds %q", spoil.what, after, before, text)
			}
		}
		noneLeft(t, m)
	})
}

func TestCommandIsBornElsewhereIfItsPlaceIsGone(t *testing.T) {
	eachMechanism(t, func(t *testing.T, _ *process.Supervisor, mech process.Mechanism) {
		dir := t.TempDir()
		s := supervisorIn(t, dir, mech)
		for range 2 {
			var out bytes.Buffer
			if exit, err := s.Run(context.Background(), bash("1", `echo ok`, &out)); err != nil || exit.Code != 0 || out.String() != "ok\n" {
				t.Errorf("%+v, %v, %q", exit, err, out.String())
			}
			if mech != process.Subreaper { // it has none
				if err := os.Remove(recordIn(t, dir).Family.Path); err != nil {
					t.Fatalf("the fault did not fire: %v", err)
				}
			}
		}
	})
}

func TestProcessorTimeIsTheCommandsOwn(t *testing.T) {
	eachMechanism(t, func(t *testing.T, s *process.Supervisor, _ process.Mechanism) {
		busy, err := s.Run(context.Background(), bash("1", `while [ $((++n)) -lt 200000 ]; do :; done`, io.Discard))
		if err != nil || busy.CPU < 100*time.Millisecond {
			t.Errorf("the busy one: %v, %v", busy.CPU, err)
		}
		idle, err := s.Run(context.Background(), bash("2", `:`, io.Discard))
		if err != nil || idle.CPU > 80*time.Millisecond {
			t.Errorf("the one after it: %v, %v", idle.CPU, err)
		}
	})
}

func TestNothingIsKeptAfterClose(t *testing.T) {
	eachMechanism(t, func(t *testing.T, _ *process.Supervisor, mech process.Mechanism) {
		dir := t.TempDir()
		s := supervisorIn(t, dir, mech)
		var places []string
		out := &trigger{on: "ready", do: func() {
			places = append(places, recordIn(t, dir).Family.Path)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}}
		for _, c := range []process.Command{bash("1", `echo ready`, out), bash("2", `exit 2`, io.Discard)} {
			if exit, err := s.Run(context.Background(), c); err != nil || !exit.Waited {
				t.Errorf("%+v, %v", exit, err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("records left: %v, %v", left, err)
			}
		}
		if _, err := os.Stat(places[0]); err == nil {
			t.Errorf("%s is left", places[0])
		}
	})
}

// TestAnotherLifesRecordIsKept runs a command although what an earlier life has left was not ended: its record must
// stay for whoever does that.
func TestAnotherLifesRecordIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	theirs := filepath.Join(dir, "1.json")
	if err := os.WriteFile(theirs, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := supervisorIn(t, dir, process.Auto)
	if exit, err := s.Run(context.Background(), bash("1", `exit 3`, io.Discard)); err != nil || exit.Code != 3 {
		t.Errorf("%+v, %v", exit, err)
	}
	if text, err := os.ReadFile(theirs); err != nil || string(text) != "theirs" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := s.EndLeftovers(context.Background()); err != nil {
		t.Error(err)
	}
}
