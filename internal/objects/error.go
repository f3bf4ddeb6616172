package objects

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"github.com/aws/smithy-go"
)

// ErrAway is wrapped by errors that say nothing of an object: the store can't be reached, refuses who asks, does not
// have the bucket, or has no room. Later it may succeed.
var ErrAway = errors.New("the artifact store is away")

// ErrRefused is wrapped by errors of an object that the store will never take: its name is too long, or it is too large.
var ErrRefused = errors.New("the artifact store refuses it")

// Error is a failed operation on the store. It wraps fs.ErrNotExist, ErrAway or ErrRefused, and the cause.
type Error struct {
	Op  string // put, open, remove, probe
	Key string // of the object, or what the keys begin with
	Err error
}

// Error returns "op key: cause".
func (e *Error) Error() string { return fmt.Sprintf("artifact store: %s %s: %v", e.Op, e.Key, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func wrap(op, key string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Key: key, Err: err}
}

// classify tells what an error means for the object that it is of.
func classify(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrAway), errors.Is(err, ErrRefused), errors.Is(err, fs.ErrNotExist):
		return err
	case hasCode(err, "NoSuchKey", "NotFound"), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	case errors.Is(err, syscall.ENAMETOOLONG), hasCode(err, neverTaken...):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return fmt.Errorf("%w: %w", ErrAway, err)
}

// neverTaken are the codes of S3, and of what speaks its protocol, for an object that is wrong by itself.
var neverTaken = []string{"KeyTooLongError", "EntityTooLarge", "InvalidObjectName", "XMinioInvalidObjectName"}

func hasCode(err error, codes ...string) bool {
	var answer smithy.APIError
	return errors.As(err, &answer) && slices.Contains(codes, answer.ErrorCode())
}
