package worker

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/process"
)

// keeping is what is kept of one attempt: its bounded logs, its result, its files. A disk that fails costs what can't
// be written, never the execution's end.
type keeping struct {
	log            *slog.Logger
	attempt        *artifact.Attempt // nil if its directory can't be made
	stdoutLog      *artifact.Log
	stderrLog      *artifact.Log
	stdout, stderr *process.Capture
	order          *artifact.Order
	held           bool // files that others add are kept back until the end
	masking
}

// openArtifacts returns a keeping in any case; the error says what of it keeps nothing.
func (w *Worker) openArtifacts(a execution.Assignment) (*keeping, error) {
	attempt, err := w.deps.Artifacts.Create(a.ID, a.Attempt)
	k := &keeping{attempt: attempt, order: &artifact.Order{}, log: w.log.With("execution", a.ID)}
	var errOut, errErr error
	k.stdoutLog, errOut = openLog(attempt, attune.Stdout, err)
	k.stderrLog, errErr = openLog(attempt, attune.Stderr, err)
	k.stdout = process.NewCapture(k.stdoutLog, w.cfg.MaxOutputBytes)
	k.stderr = process.NewCapture(k.stderrLog, w.cfg.MaxOutputBytes)
	if err != nil {
		return k, err
	}
	return k, errors.Join(errOut, errErr)
}

func openLog(attempt *artifact.Attempt, stream attune.Stream, fault error) (*artifact.Log, error) {
	if fault != nil {
		return artifact.LostLog(fault), fault
	}
	log, err := attempt.OpenLog(stream)
	if err != nil {
		return artifact.LostLog(err), err
	}
	return log, nil
}

// filesDir is $ATTUNE_ARTIFACTS_DIR. Where nothing can be kept, or not before it was masked, a private directory takes its
// place.
func (k *keeping) filesDir(p *place) (string, error) {
	if k.attempt != nil && !k.files {
		return k.attempt.FilesDir(), nil
	}
	dir := privateFiles(p)
	return dir, os.Mkdir(dir, 0o700)
}

// hold keeps back what is added to the attempt: whoever adds it does not know what is secret.
func (k *keeping) hold() error {
	if k.attempt == nil {
		return nil
	}
	k.held = true
	return k.attempt.Hold()
}

func privateFiles(p *place) string { return filepath.Join(p.dirs.Private, "files") }

// close ends the logs, writes the result and accounts for the output. What was lost on the way counts as dropped.
func (k *keeping) close(o *attune.Outcome) error {
	fault := errors.Join(k.finishMasking(o), k.stdout.Close(), k.stderr.Close(), k.stdoutLog.Close(), k.stderrLog.Close())
	o.Stdout = attune.Output{Bytes: k.stdout.Bytes(), DroppedBytes: k.stdout.Dropped() + k.stdoutLog.Lost()}
	o.Stderr = attune.Output{Bytes: k.stderr.Bytes(), DroppedBytes: k.stderr.Dropped() + k.stderrLog.Lost()}
	if k.attempt == nil {
		return fault
	}
	o.Order = k.order.Turns()
	if o.Result == nil {
		return fault
	}
	return errors.Join(fault, k.attempt.WriteResult(o.Result))
}

// collect writes the trace and lists what the attempt left. What of it is no artifact is told, also in the attempt's own
// log, for who ran it.
func (k *keeping) collect(steps *trace) ([]attune.Artifact, error) {
	if k.attempt == nil {
		return nil, nil
	}
	var fault error
	if document := steps.document(); document != nil {
		fault = k.attempt.WriteTrace(document)
	}
	left, err := k.attempt.List()
	if loss := left.Loss(); loss != "" && err == nil {
		k.log.Warn("files are not kept", "files", loss)
		fault = errors.Join(fault, k.attempt.Note(attune.Stderr, "attune: "+loss))
		left, err = k.attempt.List() // the log has grown
	}
	if err != nil {
		return left.Artifacts, errors.Join(fault, fmt.Errorf("list artifacts: %w", err))
	}
	return left.Artifacts, fault
}
