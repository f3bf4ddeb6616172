package e2e_test

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// moment is how far a transaction has come when an ambush stops it.
type moment string

const (
	beforeStatement moment = "before the statement" // it has left the worker and has not reached PostgreSQL
	beforeCommit    moment = "before the commit"    // all is done but the COMMIT, which has not reached PostgreSQL
	afterCommit     moment = "after the commit"     // PostgreSQL has committed, and its answer has not reached the worker
)

// Texts of statements by which an ambush knows what the worker is doing.
const (
	claiming  = "SET status = 'running'"      // the first statement of Claim
	fetching  = "SELECT content FROM archive" // the first time that files are needed, after the claim and before the process
	finishing = "SET status = ended_as"       // the first statement of Finish
)

// sqlWire is the wire of a process to PostgreSQL.
type sqlWire struct {
	*wire
	url string

	mu     sync.Mutex
	ambush *ambush // the next one; nil once it was met
}

// ambush stops one transaction that holds a statement, when it comes to a moment.
type ambush struct {
	statement string
	moment    moment
	caught    chan struct{} // closed when the transaction is stopped
	port      int           // PostgreSQL's client_port of its session; set before caught is closed
	freed     chan struct{} // closed when it may go on
	dropped   bool          // it goes on to the end of its call; set before freed is closed
}

func newSQLWire(t *testing.T, server string) *sqlWire {
	t.Helper()
	w := &sqlWire{}
	w.wire = newWire(t, parseURL(t, server).Host, w.relay)
	u := w.through(t, server)
	query := u.Query()
	query.Set("sslmode", "disable") // it is listened to
	u.RawQuery = query.Encode()
	w.url = u.String()
	return w
}

// lay lays an ambush for the next transaction that holds the statement.
func (w *sqlWire) lay(statement string, at moment) *ambush {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ambush = &ambush{statement: statement, moment: at, caught: make(chan struct{}), freed: make(chan struct{})}
	return w.ambush
}

// await returns when the transaction is stopped.
func (a *ambush) await(t *testing.T) {
	t.Helper()
	select {
	case <-a.caught:
	case <-time.After(patience):
		t.Fatalf("the fault did not fire: nobody came by with %q, %s", a.statement, a.moment)
	}
}

// pass lets the transaction go on.
func (a *ambush) pass() { close(a.freed) }

// drop ends the call of the transaction: what was held back is lost.
func (a *ambush) drop() {
	a.dropped = true
	close(a.freed)
}

// meet returns the ambush that is laid for these statements at a moment, once.
func (w *sqlWire) meet(statements string, at moment) *ambush {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.ambush
	if a == nil || a.moment != at || !strings.Contains(statements, a.statement) {
		return nil
	}
	w.ambush = nil
	return a
}

// hold stops the call, and tells whether it goes on.
func (a *ambush) hold(c *call) bool {
	a.port = c.server.LocalAddr().(*net.TCPAddr).Port
	close(a.caught)
	select {
	case <-a.freed:
		return !a.dropped
	case <-c.over:
		return false
	}
}

func (w *sqlWire) relay(c *call) {
	ambushes := make(chan *ambush, 1) // of the answer that comes next
	var answers sync.WaitGroup
	answers.Go(func() {
		defer c.end()
		w.answer(c, ambushes)
	})
	_ = w.ask(c, ambushes) // whatever ended it, the call is over
	c.end()
	answers.Wait()
}

// ask relays what the process says. It asks one thing after the other, so that the next bytes from PostgreSQL after a
// COMMIT are the answer to it.
func (w *sqlWire) ask(c *call, ambushes chan<- *ambush) error {
	process := pgproto3.NewBackend(c.client, nil)
	first, err := process.ReceiveStartupMessage()
	if err == nil {
		err = send(c.server, first)
	}
	heard := hearing{prepared: map[string]string{}}
	for err == nil {
		var m pgproto3.FrontendMessage
		if m, err = process.Receive(); err != nil {
			return err
		}
		text := heard.statement(m)
		if a := w.meet(text, beforeStatement); a != nil && !a.hold(c) {
			return net.ErrClosed
		}
		if strings.EqualFold(text, "commit") {
			if a := w.meet(heard.transaction, beforeCommit); a != nil && !a.hold(c) {
				return net.ErrClosed
			}
			if a := w.meet(heard.transaction, afterCommit); a != nil {
				ambushes <- a
			}
		}
		err = send(c.server, m)
	}
	return err
}

// hearing is what was heard in one call.
type hearing struct {
	prepared    map[string]string // statements, by their names
	transaction string            // the statements since the last BEGIN
}

// statement returns the text of the statement that m has PostgreSQL execute, if it does.
func (h *hearing) statement(m pgproto3.FrontendMessage) string {
	text := ""
	switch m := m.(type) {
	case *pgproto3.Parse:
		h.prepared[m.Name] = m.Query
	case *pgproto3.Bind:
		text = h.prepared[m.PreparedStatement]
	case *pgproto3.Query:
		text = m.String
	}
	if strings.HasPrefix(text, "begin") {
		h.transaction = ""
	}
	h.transaction += text
	return text
}

func send(to net.Conn, m pgproto3.FrontendMessage) error {
	text, err := m.Encode(nil)
	if err == nil {
		_, err = to.Write(text)
	}
	return err
}

// answer relays what PostgreSQL says.
func (w *sqlWire) answer(c *call, ambushes <-chan *ambush) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := c.server.Read(buffer)
		if err != nil {
			return
		}
		select {
		case a := <-ambushes:
			if !a.hold(c) {
				return
			}
		default:
		}
		if _, err := c.client.Write(buffer[:n]); err != nil {
			return
		}
	}
}
