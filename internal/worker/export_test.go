package worker

import (
	"os"
	"path/filepath"

	"github.com/attune-automation/attune"
)

// VaultOf returns where the secrets of a worker's executions are.
func VaultOf(home Home) string { return filepath.Join(vaultBases[0], vaultOf(home).name) }

// Enter notes that an attempt has begun on the leased worker of a home, as a life does that is then killed.
func Enter(home Home, f attune.Fence) error {
	if err := os.MkdirAll(home.dir, 0o700); err != nil {
		return err
	}
	return (&ledger{home.ledger()}).enter(f)
}

// LedgerOf returns where the attempts are noted that have begun and are not told as ended.
func LedgerOf(home Home) string { return home.ledger() }
