package process_test

import (
	"context"
	"io"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/attune-automation/attune/internal/process"
)

// BenchmarkRun compares a supervised process with a bare fork and exec of the same program.
func BenchmarkRun(b *testing.B) {
	for _, m := range []process.Mechanism{process.Cgroup2, process.Freezer, process.Subreaper} {
		s := supervisor(b, m)
		if _, err := s.Mechanism(); err != nil {
			b.Logf("not on this host: %v", err)
			continue
		}
		b.Run(string(m), func(b *testing.B) {
			begun := time.Now()
			for i := range b.N {
				cmd := process.Command{ID: strconv.Itoa(i), Path: "/bin/true", Dir: "/", Stdout: io.Discard, Stderr: io.Discard}
				if _, err := s.Run(context.Background(), cmd); err != nil {
					b.Fatal(err)
				}
			}
			supervised := time.Since(begun)
			b.StopTimer()
			begun = time.Now()
			for range b.N {
				cmd := exec.CommandContext(context.Background(), "/bin/true")
				cmd.Stdout, cmd.Stderr = io.MultiWriter(io.Discard), io.MultiWriter(io.Discard)
				if err := cmd.Run(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(supervised.Seconds()/time.Since(begun).Seconds(), "times-bare")
		})
	}
}
