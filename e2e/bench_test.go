package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// plain builds attune as users have it: static, without the race detector.
func plain(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "attune")
	build := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "../cmd/attune")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return path
}

func commandOf(b *testing.B, path string, env []string, args ...string) *exec.Cmd {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), path, args...)
	cmd.Env = env
	return cmd
}

func benchEnv(b *testing.B) []string {
	b.Helper()
	return append(os.Environ(), "ATTUNE_DATA_DIR="+b.TempDir(), "ATTUNE__SERVER__LISTEN=127.0.0.1:0",
		"ATTUNE__SERVER__RATE_LIMIT=0") // one token makes all requests
}

// BenchmarkWarmRun is the whole command, from its start to its end, on a data directory that was used before, turn by
// turn with `bash -c true`: how much longer it takes, in milliseconds and as a ratio.
func BenchmarkWarmRun(b *testing.B) {
	attune, env := plain(b), benchEnv(b)
	once := func(name string, args ...string) time.Duration {
		cmd := commandOf(b, name, env, args...)
		begun := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%s: %v: %s", name, err, out)
		}
		return time.Since(begun)
	}
	once(attune, "run", "core.noop") // the first one makes the data directory
	var ours, theirs time.Duration
	for b.Loop() {
		ours += once(attune, "run", "core.noop")
		theirs += once("bash", "-c", "true")
	}
	b.ReportMetric(float64((ours-theirs).Microseconds())/1000/float64(b.N), "ms-over-bash")
	b.ReportMetric(float64(ours)/float64(theirs), "times-bash")
}

// BenchmarkIdleMemory is the resident memory of `attune up` that has run one execution.
func BenchmarkIdleMemory(b *testing.B) {
	attune, env := plain(b), benchEnv(b)
	for b.Loop() {
		l := newLog()
		cmd := commandOf(b, attune, env, "up")
		cmd.Stderr = l
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		<-l.ready
		run := commandOf(b, attune, env, "run", "core.noop")
		if out, err := run.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		b.ReportMetric(residentMB(b, cmd.Process.Pid), "MB")
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			b.Fatal(err)
		}
	}
}

// residentMB reads VmRSS of /proc/PID/status (proc(5)).
func residentMB(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	kilobytes, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		b.Fatal(err)
	}
	return float64(kilobytes) / 1000
}
