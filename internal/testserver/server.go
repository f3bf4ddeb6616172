package testserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// startTime bounds how long a server may take until it answers, and to end.
const startTime = 90 * time.Second

// Ports that servers get are below those that Linux gives to connections (ip_local_port_range begins at 32768): one of
// those may be taken by anybody between the look and the server's own start.
const (
	firstPort = 20000
	lastPort  = 32000
)

// FreePort returns a loopback port that nobody listens on at the moment.
func FreePort() (int, error) {
	var err error
	for range 100 {
		port := firstPort + rand.N(lastPort-firstPort)
		var l net.Listener
		if l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", address(port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}

// QuickExit is for the environment of a program that was built with the race detector: it ends when it is done. Else it sleeps
// for a second first, for what its goroutines might still do, and so would each command of a test.
const QuickExit = "GORACE=atexit_sleep_ms=0"

// child is a server's process.
type child struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended and err is set
	err   error
	log   string // the file that has its output
}

// spawn starts a process whose output goes to a file, and which the kernel ends with ours.
func spawn(cmd *exec.Cmd, log string) (*child, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // the child has its own
	cmd.Stdout, cmd.Stderr = file, file
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	c := &child{cmd: cmd, ended: make(chan struct{}), log: log}
	started := make(chan error)
	go func() {
		// The signal comes when the thread that forked ends, so this one must last as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			c.err = cmd.Wait()
		}
		close(c.ended)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return c, nil
}

// end sends a signal and waits until the process has ended; one that takes too long is killed. It may be called again, and of
// one that was never there.
func (c *child) end(sig syscall.Signal) {
	if c == nil {
		return
	}
	_ = c.cmd.Process.Signal(sig) // it may have ended by itself
	late := time.AfterFunc(startTime, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	<-c.ended
}

// await calls answers until it returns nil.
func (c *child) await(what string, answers func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := answers(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-c.ended:
			return fmt.Errorf("%s ended: %w\n%s", what, errors.Join(c.err, err), tail(c.log))
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w\n%s", what, err, tail(c.log))
		case <-again.C:
		}
	}
}

// answersOK asks a server for a page.
func answersOK(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }() // read to its end below
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the health check answers %s", answer.Status)
	}
	return nil
}

// tail returns the end of a log, for an error that shows it.
func tail(file string) string {
	const most = 4000
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

// find returns a program of a server package, from the PATH or from where Debian keeps it.
func find(name string, patterns ...string) (string, error) {
	for i := len(patterns) - 1; i >= 0; i-- {
		found, err := filepath.Glob(patterns[i])
		if err == nil && len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is not installed: run `make setup` as root on Debian or Ubuntu, or install it: %w", name, err)
	}
	return path, nil
}

// removal deletes a directory once.
func removal(dir string) func() error {
	return sync.OnceValue(func() error { return os.RemoveAll(dir) })
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
