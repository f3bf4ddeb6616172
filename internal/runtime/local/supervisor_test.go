package local_test

import (
	"log/slog"
	"testing"

	"github.com/attune-automation/attune/internal/process"
)

func newSupervisor(tb testing.TB) *process.Supervisor {
	tb.Helper()
	s, err := process.New(process.Config{Name: "test", RecordsDir: tb.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}
