package worker_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/outage/outagetest"
	"github.com/attune-automation/attune/internal/store/storetest"
	"github.com/attune-automation/attune/internal/testserver"
)

// TestOutageIsToldOnce cuts a worker off from its database for many heartbeats while an action of it ends: the log has
// one line of the heartbeats and two of the result, kept and not delivered, and one of each when it is over.
func TestOutageIsToldOnce(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	network, through := testserver.Through(t, db.URL)
	direct := db.Open(t)
	db.URL = through
	var log outagetest.Journal
	h := newHostOn(t, db, leased(100*time.Millisecond, time.Second))
	h.log = log.Logger()
	h.start()
	begun, end := filepath.Join(t.TempDir(), "begun"), filepath.Join(t.TempDir(), "end")
	id := h.submit("a.sh", `touch "$PARAM_BEGUN"; until [ -e "$PARAM_END" ]; do sleep 0.05; done`,
		`{"begun":"`+begun+`","end":"`+end+`"}`, nil)
	h.place()
	storetest.Eventually(t, func() bool { return isThere(begun) }) // before, it waits for its pack
	h.store = direct
	refused := network.Refused.Load()
	network.Cut()
	if err := os.WriteFile(end, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	storetest.Eventually(t, func() bool { return network.Refused.Load() > refused+20 && log.Count("kept on this host") > 0 })
	network.Restore()
	h.untilIs(id, attune.StatusCompleted)
	storetest.Eventually(t, func() bool {
		return log.Count("the heartbeat works again") == 1 && log.Count("results are stored again") == 1
	})
	for _, once := range []string{
		"heartbeat failed, it is repeated", "result kept on this host until the database takes it", "spooled results not stored",
	} {
		if n := log.Count(once); n != 1 {
			t.Errorf("%q is in the log %d times", once, n)
		}
	}
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
