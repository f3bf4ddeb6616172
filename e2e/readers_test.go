package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/broker/amqp/amqptest"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// The load of BenchmarkReaders.
const (
	loadRate     = 100 // executions a second
	loadTime     = 20 * time.Second
	eventReaders = 200
	logReaders   = 50
)

// BenchmarkReaders is how long requests take while 100 executions a second run: first alone, then with as many readers as
// 200 browsers and 50 followers of logs are. It reports the times of both, and how the server's memory goes meanwhile.
func BenchmarkReaders(b *testing.B) {
	path, env := plain(b), benchEnv(b)
	l := newLog()
	cmd := commandOf(b, path, env, "up")
	cmd.Stderr = l
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	<-l.ready
	c := clientOf(b, env, l.url())
	for b.Loop() {
		alone := underLoad(b, c)
		before := residentMB(b, cmd.Process.Pid)
		stop := manyReaders(b, c, l.url(), tokenOf(b, env))
		with := underLoad(b, c)
		middle := residentMB(b, cmd.Process.Pid)
		again := underLoad(b, c)
		after := residentMB(b, cmd.Process.Pid)
		events, written := stop()
		b.ReportMetric(milliseconds(alone, 50), "alone-p50-ms")
		b.ReportMetric(milliseconds(alone, 99), "alone-p99-ms")
		b.ReportMetric(milliseconds(append(with, again...), 50), "p50-ms")
		b.ReportMetric(milliseconds(append(with, again...), 99), "p99-ms")
		b.ReportMetric(before, "before-MB")
		b.ReportMetric(middle, "middle-MB")
		b.ReportMetric(after, "after-MB")
		b.ReportMetric(float64(events)/eventReaders, "events/reader")
		b.ReportMetric(float64(written)/logReaders/1000, "kB/follower")
	}
}

func clientOf(b *testing.B, env []string, url string) *client.Client {
	b.Helper()
	c := client.New(client.Config{BaseURL: url, Token: tokenOf(b, env)})
	b.Cleanup(c.Close)
	return c
}

func tokenOf(b *testing.B, env []string) string {
	b.Helper()
	i := slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, "ATTUNE_DATA_DIR=") })
	token, err := os.ReadFile(filepath.Join(strings.TrimPrefix(env[i], "ATTUNE_DATA_DIR="), "token"))
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(string(token))
}

// milliseconds is a percentile.
func milliseconds(took []time.Duration, percent int) float64 {
	slices.Sort(took)
	return float64(took[min(len(took)-1, len(took)*percent/100)].Microseconds()) / 1000
}

// underLoad submits for a while and asks what people ask, and returns how long each request took.
func underLoad(b *testing.B, c *client.Client) (took []time.Duration) {
	b.Helper()
	var mu sync.Mutex
	var requests errgroup.Group
	timed := func(request func(context.Context) error) {
		requests.Go(func() error {
			begun := time.Now()
			err := request(b.Context())
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(begun))
			return err
		})
	}
	tick := time.NewTicker(time.Second / loadRate)
	defer tick.Stop()
	for n := range int(loadTime.Seconds() * loadRate) {
		<-tick.C
		timed(func(ctx context.Context) error {
			e, err := c.Submit(ctx, client.Submission{Action: "core.noop"})
			if err == nil {
				timed(func(ctx context.Context) error { _, err := c.Execution(ctx, e.ID); return err })
			}
			return err
		})
		if n%5 == 0 {
			timed(func(ctx context.Context) error { _, err := c.Executions(ctx, client.Filter{Limit: 20}); return err })
		}
	}
	if err := requests.Wait(); err != nil {
		b.Fatal(err)
	}
	return took
}

// countEvents reads events until ctx ends. It takes them in and no more: what browsers make of them they make elsewhere,
// and here it would be most of the load that the requests are measured under.
func countEvents(ctx context.Context, url, token string) (n int64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/events", nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = answer.Body.Close() }() // read only
	for lines := bufio.NewReader(answer.Body); ; {
		line, err := lines.ReadSlice('\n')
		if ctx.Err() != nil {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("a stream of events ended: %w", err)
		}
		if bytes.HasPrefix(line, []byte("data: ")) {
			n++
		}
	}
}

// manyReaders begins to read events and logs. stop ends it, and returns how many events and bytes all of them got.
func manyReaders(b *testing.B, c *client.Client, url, token string) (stop func() (events, written int64)) {
	b.Helper()
	ctx, leave := context.WithCancelCause(b.Context())
	var counts struct {
		sync.Mutex
		events, written int64
	}
	var readers errgroup.Group
	for range eventReaders {
		readers.Go(func() error {
			own, err := countEvents(ctx, url, token)
			counts.Lock()
			defer counts.Unlock()
			counts.events += own
			return err
		})
	}
	for range 5 {
		e, err := c.Submit(ctx, script("while :; do echo a line of some forty characters, or so; sleep 0.05; done", nil))
		if err != nil {
			b.Fatal(err)
		}
		for range logReaders / 5 {
			readers.Go(func() error {
				stream, err := c.Logs(ctx, e.ID, attune.Stdout, client.LogOptions{Follow: true})
				if err != nil {
					return err
				}
				n, err := io.Copy(io.Discard, stream)
				counts.Lock()
				defer counts.Unlock()
				counts.written += n
				_ = stream.Close() // read only
				if ctx.Err() != nil {
					return nil
				}
				return errors.Join(errors.New("a log ended"), err)
			})
		}
	}
	return func() (int64, int64) {
		leave(nil)
		if err := readers.Wait(); err != nil {
			b.Fatal(err)
		}
		running, err := c.Executions(b.Context(), client.Filter{Statuses: []attune.Status{attune.StatusRunning}, Action: "adhoc.script.sh"})
		for _, e := range running.Items {
			_, cancelling := c.Cancel(b.Context(), e.ID)
			err = errors.Join(err, cancelling)
		}
		if err != nil {
			b.Fatal(err)
		}
		return counts.events, counts.written
	}
}

// BenchmarkFirstByte is the time from a write of an action to its reader: from a worker whose files the server sees, and
// from one elsewhere, through RabbitMQ, in the same run.
func BenchmarkFirstByte(b *testing.B) {
	path, database, messages := plain(b), storetest.Postgres(b), amqptest.New(b)
	root := b.TempDir()
	env := append(benchEnv(b), "ATTUNE__DATABASE__URL="+database.URL, "ATTUNE__MESSAGE_QUEUE__URL="+messages.URL)
	start := func(more []string, args ...string) *log {
		l := newLog()
		cmd := commandOf(b, path, append(env[:len(env):len(env)], more...), args...)
		cmd.Stderr = l
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		<-l.ready
		return l
	}
	worker := func(name, artifacts string) {
		start([]string{"ATTUNE__ARTIFACTS__DIR=" + filepath.Join(root, artifacts)},
			"worker", "--name", name, "--data-dir", filepath.Join(root, name))
	}
	c := clientOf(b, env, start([]string{"ATTUNE__ARTIFACTS__DIR=" + filepath.Join(root, "shared")}, "server").url())
	for b.Loop() {
		for _, at := range []struct{ name, artifacts string }{{"here", "shared"}, {"elsewhere", "own"}} {
			worker(at.name, at.artifacts)
			took := firstBytes(b, c, at.name)
			b.ReportMetric(milliseconds(took, 50), at.name+"-p50-ms")
			b.ReportMetric(milliseconds(took, 99), at.name+"-p99-ms")
		}
	}
}

// firstBytes follows an action that writes the time, and returns how old each line was when it came.
func firstBytes(b *testing.B, c *client.Client, worker string) (took []time.Duration) {
	b.Helper()
	const writes = `import time
for _ in range(200):
    print(time.time_ns(), flush=True)
    time.sleep(0.033)
`
	for {
		e, err := c.Submit(b.Context(), client.Submission{Script: &client.Script{Name: "times.py", Content: writes}})
		if err != nil {
			b.Fatal(err)
		}
		stream, err := c.Logs(b.Context(), e.ID, attune.Stdout, client.LogOptions{Follow: true})
		if err != nil {
			b.Fatal(err)
		}
		e, err = c.Execution(b.Context(), e.ID)
		if err != nil {
			b.Fatal(err)
		}
		if *e.Worker != worker { // the other one had it: once more
			_, err := c.Cancel(b.Context(), e.ID)
			if err := errors.Join(err, stream.Close()); err != nil {
				b.Fatal(err)
			}
			continue
		}
		for lines := bufio.NewScanner(stream); lines.Scan(); {
			written, err := strconv.ParseInt(lines.Text(), 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Duration(time.Now().UnixNano()-written))
		}
		if err := stream.Close(); err != nil || len(took) != 200 {
			b.Fatal(len(took), err)
		}
		return took
	}
}
