package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune/internal/telemetry"
)

func TestLogIsReadable(t *testing.T) {
	t.Parallel()
	tried := errors.New("failed to connect to `user=u`:\n\t127.0.0.1:1: refused\n\t127.0.0.2:1: timeout")
	const line = "failed to connect to `user=u`: 127.0.0.1:1: refused; 127.0.0.2:1: timeout"
	var text bytes.Buffer
	log := telemetry.NewLogger(&text, slog.LevelInfo, true)
	log.Info("x", "lease", 90*time.Second, "error", tried, "n", 3, slog.Group("g", "d", time.Minute))
	var got struct {
		Lease, Error string
		N            int
		G            struct{ D string }
	}
	if err := json.Unmarshal(text.Bytes(), &got); err != nil || got.Lease != "1m30s" || got.Error != line || got.N != 3 || got.G.D != "1m0s" {
		t.Errorf("%v: %s", err, &text)
	}
	text.Reset()
	telemetry.NewLogger(&text, slog.LevelInfo, false).With("every", time.Second).Info("x", "error", tried)
	if !strings.Contains(text.String(), `every=1s error="`+line+`"`) {
		t.Error(text.String())
	}
	text.Reset()
	telemetry.NewLogger(&text, slog.LevelWarn, false).Info("x")
	if text.Len() != 0 {
		t.Error(text.String())
	}
}
