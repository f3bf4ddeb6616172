package worker

import "path/filepath"

// VaultOf returns where the secrets of a worker's executions are.
func VaultOf(home Home) string { return filepath.Join(vaultBases[0], vaultOf(home).name) }
