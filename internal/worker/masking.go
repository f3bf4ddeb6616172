package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/process"
	"github.com/attune-automation/attune/internal/secret"
)

// masking stands before everything that is kept of an attempt which was given secrets. The zero value lets all pass.
type masking struct {
	masker         func() *secret.Masker // made when it is first needed, which for many an action is never; nil: all passes
	files          bool                  // are masked, too: not for a token, which is worth nothing once they can be seen
	stdout, stderr *liveMask
	places         int64
	lost           error // why files are not kept
}

// mask has what is hidden masked from now on.
func (k *keeping) mask(hidden *secrets) {
	values := hidden.values
	if hidden.token != "" {
		values = append(slices.Clone(values), []byte(hidden.token))
	}
	if len(values) == 0 {
		return
	}
	masker := sync.OnceValue(func() *secret.Masker { return secret.NewMasker(values...) })
	k.masking = masking{
		masker: masker, files: len(hidden.values) > 0,
		stdout: &liveMask{masker: masker, w: k.stdout}, stderr: &liveMask{masker: masker, w: k.stderr},
	}
}

// writers are where the attempt's output goes.
func (k *keeping) writers() (stdout, stderr io.Writer) {
	return &turn{k.order, attune.Stdout, k.masking.stdout, k.stdout}, &turn{k.order, attune.Stderr, k.masking.stderr, k.stderr}
}

// turn tells the order of the logs of what comes, which masking may hold back for a while: not when it is written.
type turn struct {
	order  *artifact.Order
	stream attune.Stream
	mask   *liveMask // nil if there is nothing to mask
	log    *process.Capture
}

// Write keeps p.
func (t *turn) Write(p []byte) (n int, err error) {
	var held int64
	if t.mask == nil {
		n, err = t.log.Write(p)
	} else {
		n, held, err = t.mask.take(p)
	}
	t.order.Reach(t.stream, t.log.Head(held))
	return n, err
}

// finishMasking masks what is left to be masked when the action has ended, and tells its log how often that was.
func (k *keeping) finishMasking(o *attune.Outcome) error {
	if k.masker == nil {
		return nil
	}
	fault := errors.Join(k.lost, k.masking.stdout.Close(), k.masking.stderr.Close())
	k.places += k.masking.stdout.Places() + k.masking.stderr.Places()
	o.Result = k.maskJSON(o.Result)
	if o.Failure != nil {
		o.Failure.Message = k.Text(o.Failure.Message)
	}
	switch k.places {
	case 0:
	case 1:
		fmt.Fprintln(k.stderr, "attune: a secret was masked in one place")
	default:
		fmt.Fprintf(k.stderr, "attune: secrets were masked in %d places\n", k.places)
	}
	return fault
}

// takeFiles keeps the files that an attempt has left in its private directory, and those that were added to it, masked.
// Until then nobody can see them.
func (k *keeping) takeFiles(ctx context.Context, p *place) {
	if !k.files && !k.held || k.attempt == nil {
		return
	}
	patience := maskTime
	if ctx.Err() != nil { // somebody waits for the end
		patience = maskTimeEnding
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	var fault error
	var by artifact.Masking
	if k.files {
		by, fault = k, k.takePrivate(ctx, p)
	}
	if k.held {
		fault = errors.Join(fault, k.attempt.TakeHeld(ctx, by))
	}
	if fault != nil {
		text := fault.Error()
		if k.masker != nil { // it may name what it is about
			masked, _ := k.masker().Mask([]byte(text))
			text = string(masked)
		}
		k.lost = errors.New(text)
		fmt.Fprintf(k.stderr, "attune: not all files are kept: %s\n", text)
	}
}

func (k *keeping) takePrivate(ctx context.Context, p *place) error {
	if _, err := os.Lstat(p.files); errors.Is(err, fs.ErrNotExist) { // the action has removed it
		return nil
	}
	return k.attempt.Take(ctx, p.files, k)
}

// How long masking an attempt's files may take, and if it was stopped. What is not masked by then is not kept.
const (
	maskTime       = time.Minute
	maskTimeEnding = 5 * time.Second
)

// Copy copies a file's content, masked, and tells whether anything was. It counts what is kept.
func (m *masking) Copy(to io.Writer, from io.Reader) (bool, error) {
	masked := m.masker().Writer(to)
	_, err := io.Copy(masked, from)
	err = errors.Join(err, masked.Close())
	if to != io.Discard {
		m.places += masked.Places()
	}
	return masked.Places() > 0, err
}

// Holds tells whether anything of a text is to be masked.
func (m *masking) Holds(text string) bool {
	_, places := m.masker().Mask([]byte(text))
	return places > 0
}

// Text masks a text.
func (m *masking) Text(text string) string {
	masked, places := m.masker().Mask([]byte(text))
	m.places += int64(places)
	return string(masked)
}

// maskJSON masks every text, name and number of a JSON value, so that it stays one. What is only there across several of
// them costs the whole value.
func (m *masking) maskJSON(value json.RawMessage) json.RawMessage {
	if value == nil {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	var decoded any
	masked := json.RawMessage(`"` + attune.Mask + `"`)
	if decoder.Decode(&decoded) != nil {
		return masked
	}
	before := m.places
	found := m.maskValue(decoded)
	if _, places := m.masker().Mask(value); places == 0 && m.places == before {
		return value // as it was written
	}
	text, err := encode(found)
	if _, left := m.masker().Mask(text); err != nil || left > 0 {
		m.places = before + 1
		return masked
	}
	return text
}

func (m *masking) maskValue(value any) any {
	switch value := value.(type) {
	case string:
		return m.Text(value)
	case json.Number:
		if masked := m.Text(value.String()); masked != value.String() {
			return masked
		}
		return value
	case []any:
		for i, item := range value {
			value[i] = m.maskValue(item)
		}
	case map[string]any:
		masked := make(map[string]any, len(value))
		for name, item := range value {
			masked[unusedName(masked, m.Text(name))] = m.maskValue(item)
		}
		return masked
	}
	return value
}

// unusedName is a name that an object does not have yet: two of them may look the same once they are masked.
func unusedName(object map[string]any, name string) string {
	unused := name
	for n := 2; object[unused] != nil; n++ {
		unused = fmt.Sprintf("%s-%d", name, n)
	}
	return unused
}

func encode(value any) (json.RawMessage, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimRight(text.Bytes(), "\n"), err
}

// settleAfter is how long the end of a line is held back that might, with the next line, be a secret.
const settleAfter = 200 * time.Millisecond

// liveMask masks a stream that somebody may be reading: what is held back is passed on when nothing comes after it. It is
// safe for concurrent use.
type liveMask struct {
	masker func() *secret.Masker
	w      io.Writer

	mu    sync.Mutex
	to    *secret.Writer // nil before the first Write
	pause *time.Timer
}

func (m *liveMask) settle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.to.Settle() // the next Write, or Close, has the same error
}

// take masks p. It returns how much is held back now.
func (m *liveMask) take(p []byte) (n int, held int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.to == nil {
		m.to = m.masker().Writer(m.w)
		m.pause = time.AfterFunc(settleAfter, m.settle)
	}
	m.pause.Reset(settleAfter)
	n, err = m.to.Write(p)
	return n, m.to.Held(), err
}

// Close passes on the rest.
func (m *liveMask) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.to == nil {
		return nil
	}
	m.pause.Stop()
	return m.to.Close()
}

// Places returns in how many places something was masked.
func (m *liveMask) Places() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.to == nil {
		return 0
	}
	return m.to.Places()
}
