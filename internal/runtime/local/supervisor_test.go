package local_test

import (
	"log/slog"
	"testing"

	"github.com/attune-automation/attune/internal/process"
)

func newSupervisor(t testing.TB) *process.Supervisor {
	t.Helper()
	s, err := process.New(process.Config{Name: "test", RecordsDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
