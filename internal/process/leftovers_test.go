package process_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/attune-automation/attune/internal/process"
)

// superviseUntilKilled is the test binary as a supervisor that the test kills.
func superviseUntilKilled(dir string) {
	s, err := process.New(process.Config{
		RecordsDir: dir, Mechanism: process.Mechanism(os.Getenv("PROCESS_TEST_MECHANISM")),
	})
	if err != nil {
		panic(err)
	}
	// The victim is not the first one, and has a shorter name.
	first := bash("one-that-ends-before", "true", io.Discard)
	first.Limits.PIDs = 500
	if _, err := s.Run(context.Background(), first); err != nil {
		panic(err)
	}
	if os.Getenv("PROCESS_TEST_SCRIPT") == "" {
		fmt.Fprintln(os.Stdout, "ready")
		select {}
	}
	victim := bash("victim", os.Getenv("PROCESS_TEST_SCRIPT"), os.Stdout)
	victim.Limits.Memory = 1 << 30
	_, err = s.Run(context.Background(), victim)
	panic(fmt.Sprintf("the test should have killed this process: %v", err))
}

func TestLeftoversOfAKilledSupervisorAreEnded(t *testing.T) {
	eachMechanism(t, func(t *testing.T, _ *process.Supervisor, mech process.Mechanism) {
		m := mark()
		dir := t.TempDir()
		script := `trap '' TERM; sleep ` + m + ` & `
		if mech != process.Subreaper { // what hides after our death is beyond session and start time
			script += strings.ReplaceAll(daemonise, "MARK", m) + `; `
		}
		script += `while [ $(pgrep -c -f "sleep ` + m + `") -lt 2 ]; do sleep ` + m + ` & done; echo ready; sleep ` + m
		killSupervisor(t, dir, script, mech)
		if len(living(t, m)) < 2 {
			t.Fatal("the fault did not fire: nothing was left")
		}
		groups := recordIn(t, dir).Family.Limits
		s, err := process.New(process.Config{RecordsDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		ended, err := s.EndLeftovers(context.Background())
		if err != nil || len(ended) != 1 || ended[0].ID != "victim" {
			t.Errorf("%v, %v", ended, err)
		}
		noneLeft(t, m)
		for _, path := range groups {
			if _, err := os.Stat(path); err == nil {
				t.Errorf("%s is left", path)
			}
		}
		if again, err := s.EndLeftovers(context.Background()); err != nil || len(again) != 0 {
			t.Errorf("a second time: %v, %v", again, err)
		}
	})
}

// TestWhatWasKeptIsNoLeftover kills a supervisor of which nothing runs.
func TestWhatWasKeptIsNoLeftover(t *testing.T) {
	eachMechanism(t, func(t *testing.T, _ *process.Supervisor, mech process.Mechanism) {
		dir := t.TempDir()
		killSupervisor(t, dir, "", mech)
		record := recordIn(t, dir)
		if record.ID != "" || record.Family.PID != 0 || (record.Family.Path == "") != (mech == process.Subreaper) {
			t.Errorf("nothing was kept, or as somebody's: %+v", record)
		}
		s := supervisorIn(t, dir, process.Auto)
		if ended, err := s.EndLeftovers(context.Background()); err != nil || len(ended) != 0 {
			t.Errorf("%v, %v", ended, err)
		}
		if _, err := os.Stat(record.Family.Path); err == nil {
			t.Error("its control group is left")
		}
	})
}

// recorded is what the one record in a directory says.
type recorded struct {
	ID     string
	Family struct {
		Path   string
		Limits []string
		PID    int
	}
}

func recordIn(tb testing.TB, dir string) (r recorded) {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) != 1 {
		tb.Fatalf("not one record: %v, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		tb.Fatalf("%s: %v", text, err)
	}
	return r
}

func killSupervisor(t *testing.T, dir, script string, m process.Mechanism) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PROCESS_TEST_SUPERVISE="+dir, "PROCESS_TEST_SCRIPT="+script, "PROCESS_TEST_MECHANISM="+string(m))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	word := make([]byte, 5)
	if _, err := io.ReadFull(out, word); err != nil || string(word) != "ready" {
		t.Fatalf("%q %v", word, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed, as it should be
}

func TestRecordOfAnotherProcessKillsNobody(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bystander := exec.Command("/bin/sleep", mark())
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bystander.Process.Kill(); _ = bystander.Wait() }()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{
		// the pid is the bystander's, the start time a later one's
		fmt.Sprintf(`{"id":"a","boot_id":%q,"family":{"mechanism":"subreaper","pid":%d,"start":99999999999}}`, strings.TrimSpace(string(boot)), bystander.Process.Pid),
		fmt.Sprintf(`{"id":"b","boot_id":"another","family":{"mechanism":"subreaper","pid":%d,"start":1}}`, bystander.Process.Pid),
		fmt.Sprintf(`{"id":"","boot_id":%q,"family":{"mechanism":"subreaper"}}      `, strings.TrimSpace(string(boot))),
		`{"id":"half`,
		``,
	} {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := process.New(process.Config{RecordsDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if ended, err := s.EndLeftovers(context.Background()); err != nil || len(ended) != 0 {
		t.Errorf("%v, %v", ended, err)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/cmdline", bystander.Process.Pid)); err != nil {
		t.Error("the bystander is gone")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("records left: %v, %v", left, err)
	}
}
