package store_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune/internal/store"
)

func TestNoErrorOfConnectingTellsAPassword(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, url := range []string{
		"postgres://u:hush@127.0.0.1:1/d", "postgres://u:hush#mum?@127.0.0.1:1/d", "postgres://u@127.0.0.1:1/d?password=hush",
		"postgres://u:hush@mum@127.0.0.1:1/d", "postgres://u:12/hush@127.0.0.1:1/d", "postgres://u:12?hush=@127.0.0.1:1/d",
		"postgres://u@127.0.0.1:1/d?password=hush&mum",
	} {
		_, err := store.Open(ctx, store.Config{URL: url, Logger: slog.New(slog.DiscardHandler)})
		if err == nil || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "mum") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
