package execution

import (
	"fmt"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
)

// WaitingFor derives why an execution has not begun, from the workers there are; nil when it has, or has been placed.
func WaitingFor(row store.ExecutionRow, workers []store.WorkerRow, now time.Time) *attune.Waiting {
	if row.Status != attune.StatusRequested {
		return nil
	}
	if row.NotBefore.After(now) {
		return &attune.Waiting{
			Reason: attune.WaitRetry, Since: row.CreatedAt,
			Message: fmt.Sprintf("attempt %d of %d begins at %s", row.Attempt, row.MaxAttempts, row.NotBefore.Format(time.RFC3339)),
		}
	}
	waiting := &attune.Waiting{Reason: attune.WaitWorker, Since: row.NotBefore}
	class, err := ParseClass(row.Class)
	if err != nil {
		waiting.Message = err.Error()
		return waiting
	}
	suited, active, free := false, 0, 0
	var short []attune.Shortage
	for _, w := range workers {
		if !class.Suits(w) {
			continue
		}
		suited = true
		switch {
		case w.Status != attune.WorkerActive || w.PassedOver:
		case len(w.ShortOf) > 0:
			short = append(short, w.ShortOf...)
		default:
			active++
			free += max(0, w.Slots-w.SlotsUsed)
		}
	}
	switch {
	case free > 0:
		waiting.Reason = attune.WaitSlot
		waiting.Message = "a slot is free, it is placed in a moment"
	case active > 0:
		waiting.Reason = attune.WaitSlot
		waiting.Message = "every slot is taken on the workers that could run it"
		if active == 1 {
			waiting.Message = "every slot is taken on the one worker that could run it"
		}
	case len(short) > 0:
		waiting.Message = "the workers that could run it take nothing new, their hosts are short of " + attune.ShortOfText(short)
	case suited:
		waiting.Message = fmt.Sprintf("no worker that offers %s is active now", class.describe())
	default:
		waiting.Message = fmt.Sprintf("no worker offers %s", class.describe())
	}
	return waiting
}
