// Package daemon breaks the rules that are not about imports.
package daemon

import (
	"context"
	"time"

	_ "github.com/attune-automation/attune/internal/config" // below
)

func init() { // want gochecknoinits
	time.Sleep(time.Second) // want forbidigo
}

type holder struct {
	ctx context.Context // want containedctx
}

// Hold ends with no cause.
func Hold(ctx context.Context) context.CancelFunc {
	ctx, cancel := context.WithCancel(ctx) // want forbidigo
	_ = holder{ctx: ctx}
	return cancel
}

func Undocumented() {} // want revive
