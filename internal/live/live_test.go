package live_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/broker/inproc"
	"github.com/attune-automation/attune/internal/live"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	workerID = 7
	patience = 20 * time.Second
)

// faulty is a broker on whose way messages are lost, and that counts.
type faulty struct {
	broker.Broker
	lose    func(broker.Payload) bool
	written atomic.Int64 // bytes that workers have sent
	lost    atomic.Int64
}

func (f *faulty) Publish(ctx context.Context, m broker.Message) error {
	if part, ok := m.Envelope.Payload.(broker.OutputWritten); ok {
		f.written.Add(int64(len(part.Data)))
	}
	if f.lose != nil && f.lose(m.Envelope.Payload) {
		f.lost.Add(1)
		return nil
	}
	return f.Broker.Publish(ctx, m)
}

// system is a worker that writes, and a server.
type system struct {
	broker  *faulty
	mirror  *live.Mirror
	files   *artifact.Store
	running atomic.Bool
	log     *artifact.Log
}

func newSystem(t *testing.T, lose func(broker.Payload) bool) *system {
	t.Helper()
	s := &system{broker: &faulty{Broker: inproc.New(inproc.Config{}), lose: lose}}
	var err error
	if s.files, err = artifact.New(t.TempDir(), "w"); err != nil {
		t.Fatal(err)
	}
	attempt, err := s.files.Create(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if s.log, err = attempt.OpenLog(attune.Stdout); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.log.Close() })
	s.running.Store(true)
	s.mirror = s.server(t)
	source := live.NewSource(live.SourceConfig{
		Broker: s.broker, Artifacts: s.files, Logger: slog.New(slog.DiscardHandler),
		Running: func(int64, int) bool { return s.running.Load() },
	})
	during(t, func(ctx context.Context) error { return source.Run(ctx, workerID) })
	return s
}

// server starts one more server.
func (s *system) server(t *testing.T) *live.Mirror {
	t.Helper()
	m := live.NewMirror(live.MirrorConfig{Broker: s.broker, Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	during(t, m.Run)
	return m
}

// during runs something for as long as the test lasts.
func during(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		stop(errors.New("the test is over"))
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func stdout() live.Log {
	return live.Log{WorkerID: workerID, ExecutionID: 1, Attempt: 1, Stream: attune.Stdout}
}

// following is a reader on its way.
type following struct {
	mu    sync.Mutex
	text  bytes.Buffer
	grown chan struct{} // gets a value when there is more
	ended chan error
}

func (f *following) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case f.grown <- struct{}{}:
	default:
	}
	return f.text.Write(p)
}

func (f *following) read() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return bytes.Clone(f.text.Bytes())
}

func (f *following) size() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text.Len()
}

// await waits until the reader has so much.
func (f *following) await(t *testing.T, size int) {
	t.Helper()
	late := time.After(patience)
	for f.size() < size {
		select {
		case <-f.grown:
		case <-late:
			t.Fatalf("the reader has %d of %d bytes after %v", f.size(), size, patience)
		}
	}
}

func (f *following) end(t *testing.T, want []byte) {
	t.Helper()
	select {
	case err := <-f.ended:
		if err != nil {
			t.Fatalf("Follow: %v", err)
		}
	case <-time.After(patience):
		t.Fatalf("the reader did not end, it has %d of %d bytes", f.size(), len(want))
	}
	if got := f.read(); !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, want %d: they differ at %d", len(got), len(want), difference(got, want))
	}
}

func difference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func follow(t *testing.T, m *live.Mirror, offset int64, done <-chan struct{}) *following {
	t.Helper()
	reader, err := m.Join(stdout(), offset)
	if err != nil {
		t.Fatal(err)
	}
	f := &following{grown: make(chan struct{}, 1), ended: make(chan error, 1)}
	go func() {
		defer reader.Close()
		f.ended <- reader.Follow(context.Background(), f, done)
	}()
	return f
}

func TestFollowersGetWhatIsWrittenAsItIs(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	done := make(chan struct{})
	first := follow(t, s.mirror, 0, done)
	var all []byte
	write := func(text string) {
		all = append(all, text...)
		_, _ = s.log.Write([]byte(text)) // never fails
	}
	write("one\n")
	first.await(t, len(all))
	write("two\n")
	late := follow(t, s.mirror, 0, done)
	again := follow(t, s.mirror, 4, done)
	elsewhere := follow(t, s.server(t), 2, done)
	late.await(t, len(all))
	write("three, without an end of line")
	s.running.Store(false)
	close(done)
	first.end(t, all)
	late.end(t, all)
	again.end(t, all[4:])
	elsewhere.end(t, all[2:])
}

// TestManyFollowersCostTheWorkerAsMuchAsOne counts what the worker has sent.
func TestManyFollowersCostTheWorkerAsMuchAsOne(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	done := make(chan struct{})
	const followers = 1000
	all := make([]*following, followers)
	for i := range all {
		all[i] = follow(t, s.mirror, 0, done)
	}
	text := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
	for part := range 10 {
		_, _ = s.log.Write(text[part*len(text)/10 : (part+1)*len(text)/10])
		all[0].await(t, (part+1)*len(text)/10)
	}
	s.running.Store(false)
	close(done)
	for _, f := range all {
		f.end(t, text)
	}
	// A part that is late on a busy machine is sent again.
	if sent := s.broker.written.Load(); sent > 3*int64(len(text)) {
		t.Errorf("the worker has sent %d bytes to %d followers of a log of %d", sent, followers, len(text))
	}
}

// TestNothingIsMissingOrDoubledWhateverIsLost loses a tenth of all messages between the two.
func TestNothingIsMissingOrDoubledWhateverIsLost(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var mu sync.Mutex
	chance, messages := rand.New(rand.NewPCG(seed, 1)), 0
	s := newSystem(t, func(broker.Payload) bool {
		mu.Lock()
		defer mu.Unlock()
		messages++
		return chance.IntN(10) == 0 || messages == 3 // or, now and then, none would be
	})
	done := make(chan struct{})
	first := follow(t, s.mirror, 0, done)
	var all []byte
	for range 30 {
		part := make([]byte, rand.IntN(80_000))
		for i := range part {
			part[i] = byte(rand.Uint32())
		}
		all = append(all, part...)
		_, _ = s.log.Write(part)
	}
	middle := rand.Int64N(int64(len(all)))
	late := follow(t, s.mirror, middle, done)
	first.await(t, len(all))
	s.running.Store(false) // done stays open: a worker that ends may be silent for long
	first.end(t, all)
	late.end(t, all[middle:])
	if s.broker.lost.Load() == 0 {
		t.Error("nothing was lost")
	}
}

// TestASlowReaderHoldsNobodyBack stops reading while others read, and goes on.
func TestASlowReaderHoldsNobodyBack(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	done := make(chan struct{})
	from, to := io.Pipe()
	reader, err := s.mirror.Join(stdout(), 0)
	if err != nil {
		t.Fatal(err)
	}
	slow := make(chan error, 1)
	go func() {
		defer reader.Close()
		slow <- errors.Join(reader.Follow(context.Background(), to, done), to.Close())
	}()
	quick := follow(t, s.mirror, 0, done)
	text := bytes.Repeat([]byte("x"), 2<<20)
	_, _ = s.log.Write(text)
	quick.await(t, len(text))
	s.running.Store(false)
	close(done)
	quick.end(t, text)
	got, err := io.ReadAll(from)
	if err := errors.Join(err, <-slow); err != nil || !bytes.Equal(got, text) {
		t.Errorf("the slow reader got %d bytes of %d, and %v", len(got), len(text), err)
	}
}

// TestALogEndsWhereARequestDoes writes as much as a server asks for at once, and a byte less and more; then it ends, or goes on.
func TestALogEndsWhereARequestDoes(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1<<20 - 1, 1 << 20, 1<<20 + 1} {
		for _, more := range []string{"", "tail"} {
			t.Run(fmt.Sprint(size, more), func(t *testing.T) {
				t.Parallel()
				s := newSystem(t, nil)
				done := make(chan struct{})
				f := follow(t, s.mirror, 0, done)
				text := bytes.Repeat([]byte("x"), size)
				_, _ = s.log.Write(text)
				f.await(t, size)
				_, _ = s.log.Write([]byte(more))
				if more != "" {
					begun := time.Now()
					f.await(t, size+len(more))
					if took := time.Since(begun); took > 4*time.Second { // which is before a request is repeated
						t.Errorf("the rest took %v", took)
					}
				}
				s.running.Store(false)
				close(done)
				f.end(t, append(text, more...))
			})
		}
	}
}

func TestPresentIsWhatTheLogHasNow(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	present := func(m *live.Mirror, offset int64) string {
		reader, err := m.Join(stdout(), offset)
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		var text bytes.Buffer
		if err := reader.Present(t.Context(), &text); err != nil {
			t.Fatal(err)
		}
		return text.String()
	}
	if got := present(s.mirror, 0); got != "" {
		t.Errorf("got %q of an empty log", got)
	}
	_, _ = s.log.Write([]byte("some"))
	other := s.server(t)
	if got := present(other, 0); got != "some" {
		t.Errorf("got %q", got)
	}
	if got := present(other, 2); got != "me" {
		t.Errorf("got %q from 2 on", got)
	}
	if got := present(other, 100); got != "" {
		t.Errorf("got %q from beyond the end", got)
	}
}

func TestWorkersThatAreNotThere(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	of := stdout()
	of.WorkerID = 99
	reader, err := s.mirror.Join(of, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := reader.Present(t.Context(), io.Discard); !errors.Is(err, live.ErrSilent) {
		t.Errorf("got %v, want ErrSilent", err)
	}
	done := make(chan struct{})
	close(done)
	if err := reader.Follow(t.Context(), io.Discard, done); !errors.Is(err, live.ErrSilent) {
		t.Errorf("got %v, want ErrSilent", err)
	}
}

// TestALogThatIsNowhere is one whose attempt has ended and whose file is gone.
func TestALogThatIsNowhere(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	s.running.Store(false)
	if err := s.files.Delete(1); err != nil {
		t.Fatal(err)
	}
	follow(t, s.mirror, 0, nil).end(t, nil)
}
