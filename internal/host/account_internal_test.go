package host

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/attune-automation/attune/internal/host/hosttest"
)

// TestMemoryOfALimitedGroup sets a limit to a group below our own.
func TestMemoryOfALimitedGroup(t *testing.T) {
	t.Parallel()
	tried := 0
	for _, account := range memoryAccounts {
		own, err := OwnGroup(account.fsType, account.option)
		if err != nil {
			continue
		}
		dir := filepath.Join(own, "attune-free-test")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Logf("no group can be made: %v", err)
			continue
		}
		t.Cleanup(func() {
			if err := os.Remove(dir); err != nil {
				t.Error(err)
			}
		})
		if err := os.WriteFile(filepath.Join(dir, account.limit), []byte("67108864"), 0o600); err != nil {
			t.Logf("it does not account for memory: %v", err)
			continue
		}
		tried++
		if free, limited := account.free(dir); !limited || free != 64<<20 {
			t.Errorf("%s: %d %v", account.fsType, free, limited)
		}
	}
	hosttest.Needs(t, tried > 0, "no control group here accounts for memory, or we may make none")
}
