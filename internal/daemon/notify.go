package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// notifyTime bounds how long a message to the service manager may take: its socket blocks while its queue is full, and
// nobody's work waits for that.
const notifyTime = time.Second

// tell sends a message to the service manager that has set $NOTIFY_SOCKET (sd_notify(3)), if there is one.
func tell(log *slog.Logger, states ...string) {
	path := os.Getenv("NOTIFY_SOCKET") // a name that begins with @ is an abstract one, to package net as well
	if path == "" {
		return
	}
	if err := send(path, strings.Join(states, "\n")); err != nil {
		log.Warn("the service manager was not told", "state", states[0], "error", err)
	}
}

func send(path, message string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // a datagram is sent whole or not at all
	if err := conn.SetWriteDeadline(time.Now().Add(notifyTime)); err != nil {
		return err
	}
	_, err = conn.Write([]byte(message))
	return err
}

// watchdog tells the service manager that the process gets on. It has no clock of its own: the turns of the loops that
// it watches feed it, so that one that hangs lets it starve.
type watchdog struct {
	log    *slog.Logger
	due    time.Duration // after the last feeding; 0 if nobody asks for any
	mu     sync.Mutex
	fed    time.Time
	turned map[string]bool // the loops, and whether they have made a turn since
}

func newWatchdog(log *slog.Logger) *watchdog {
	return &watchdog{log: log, due: watchdogInterval() / 4, turned: map[string]bool{}}
}

// watchdogInterval is how long the service manager waits before it takes this process for hung; 0 if it never does.
// sd_watchdog_enabled(3) asks for half of it. A quarter leaves the rest to one turn of a loop: what a turn asks of a
// database that is away is given up in that time.
func watchdogInterval() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	us, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || us <= 0 {
		return 0
	}
	return time.Duration(us) * time.Microsecond
}

// watch returns what a loop is to call in each turn. All that are watched must have made one before the next feeding.
func (w *watchdog) watch(loop string) (turned func()) {
	if w.due == 0 {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turned[loop] = false
	return func() { w.turn(loop) }
}

func (w *watchdog) turn(loop string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turned[loop] = true
	if time.Since(w.fed) < w.due {
		return
	}
	for _, turned := range w.turned {
		if !turned {
			return
		}
	}
	for loop := range w.turned {
		w.turned[loop] = false
	}
	w.fed = time.Now()
	tell(w.log, "WATCHDOG=1")
}

func tellReady(log *slog.Logger, status string) { tell(log, "READY=1", "STATUS=ready: "+status) }

// tellEnd tells when ctx ends that the process does, too, and what it grants to whom.
func tellEnd(ctx context.Context, log *slog.Logger, whom string, limit time.Duration) error {
	<-ctx.Done()
	tell(log, "STOPPING=1", fmt.Sprintf("STATUS=ending: %s up to %s", whom, limit))
	return nil
}
