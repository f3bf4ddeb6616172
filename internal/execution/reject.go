package execution

import (
	"context"
	"fmt"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
)

// Reject fails the executions of classes that can never run, and returns how many it failed. Those that may only run
// on one worker can't when that one is no more, or is a command's own and does not offer what they need. All others
// wait: another worker may come.
func (s *Service) Reject(ctx context.Context) (int, error) {
	lines, err := s.store.Read().Lines(ctx)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, line := range lines {
		class, err := ParseClass(line.Class)
		if err != nil {
			return total, err
		}
		why, err := hopeless(ctx, s.store.Read(), class)
		if err != nil {
			return total, err
		}
		if why == "" {
			continue
		}
		failure := attune.Failure{Kind: attune.FailureUnschedulable, Message: why}
		n, err := s.endClass(ctx, line.Class, attune.StatusFailed, "", failure)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// hopeless says why a class can never run, "" if it may.
func hopeless(ctx context.Context, q *store.Queries, class Class) (string, error) {
	if class.Pin == 0 {
		return "", nil
	}
	worker, err := q.Worker(ctx, class.Pin)
	switch {
	case attune.ErrorCode(err) == attune.CodeNotFound:
		return "the worker that alone might run it is gone: run it again", nil
	case err != nil:
		return "", err
	case worker.Exclusive && !class.Suits(worker):
		return fmt.Sprintf("this command's own worker does not offer %s: `attune config show` tells what it is told to be, "+
			"and -v what it has found", class.describe()), nil
	}
	return "", nil
}

// endClass ends all executions that wait in a class.
func (s *Service) endClass(ctx context.Context, class string, to attune.Status, by string, why attune.Failure) (int, error) {
	ids, err := s.store.Read().InClass(ctx, class, placeBatch)
	if err != nil {
		return 0, err
	}
	ended := 0
	for _, id := range ids {
		_, err := s.endWaiting(ctx, id, to, by, why)
		if err != nil {
			return ended, err
		}
		ended++
	}
	return ended, nil
}
