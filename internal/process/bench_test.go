package process_test

import (
	"context"
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/attune-automation/attune/internal/process"
)

// BenchmarkRun compares a supervised process with a bare fork and exec of the same program, turn by turn, so that both
// see the same machine: the budget is 0.3 ms more, 1 ms with limits, and 6 ms in a sandbox.
func BenchmarkRun(b *testing.B) {
	for _, m := range []process.Mechanism{process.Cgroup2, process.Freezer, process.Subreaper} {
		s := supervisor(b, m)
		if _, err := s.Mechanism(); err != nil {
			b.Logf("not on this host: %v", err)
			continue
		}
		b.Run(string(m), func(b *testing.B) { compare(b, s, process.Command{}) })
		b.Run(string(m)+"/limits", func(b *testing.B) {
			compare(b, s, process.Command{Limits: process.Limits{Memory: 1 << 30, CPUs: 2, PIDs: 100}})
		})
		b.Run(string(m)+"/all-limits", func(b *testing.B) {
			compare(b, s, process.Command{Limits: process.Limits{Memory: 1 << 30, CPUs: 2, PIDs: 100, FileSize: 1 << 30, OpenFiles: 1000}})
		})
		b.Run(string(m)+"/sandbox", func(b *testing.B) {
			compare(b, s, process.Command{Sandbox: &process.Sandbox{Hidden: []string{b.TempDir()}, Network: true}})
		})
		b.Run(string(m)+"/sandbox-without-network", func(b *testing.B) {
			compare(b, s, process.Command{Sandbox: &process.Sandbox{Hidden: []string{b.TempDir()}}})
		})
		b.Run(string(m)+"/user", func(b *testing.B) {
			if os.Geteuid() != 0 {
				b.Skip("only root can run commands as others")
			}
			compare(b, s, process.Command{User: &process.User{UID: 20000, GID: 20000}})
		})
	}
}

func compare(b *testing.B, s *process.Supervisor, c process.Command) {
	b.Helper()
	var supervised, bare time.Duration
	for i := range b.N {
		begun := time.Now()
		c.ID, c.Path, c.Dir, c.Stdout, c.Stderr = strconv.Itoa(i), "/bin/true", "/", io.Discard, io.Discard
		if _, err := s.Run(context.Background(), c); err != nil {
			b.Fatal(err)
		}
		supervised += time.Since(begun)
		begun = time.Now()
		cmd := exec.CommandContext(context.Background(), "/bin/true")
		cmd.Stdout, cmd.Stderr = io.MultiWriter(io.Discard), io.MultiWriter(io.Discard)
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
		bare += time.Since(begun)
	}
	b.ReportMetric(supervised.Seconds()/bare.Seconds(), "times-bare")
	b.ReportMetric((supervised-bare).Seconds()*1e3/float64(b.N), "ms-over-bare")
}
