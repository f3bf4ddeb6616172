package worker

import (
	"bytes"
	"io"
	"os"
	"path/filepath"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/process"
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

// Interleave writes texts to the streams of an attempt with a token, to stdout and stderr by turns. It returns their order, and
// how often masking held something back meanwhile.
func Interleave(token string, texts ...string) (order attune.OutputOrder, held int) {
	var logs [2]bytes.Buffer
	k := &keeping{
		order: &artifact.Order{}, stdout: process.NewCapture(&logs[0], 1<<20), stderr: process.NewCapture(&logs[1], 1<<20),
	}
	k.mask(&secrets{token: token})
	stdout, stderr := k.writers()
	var sizes [2]int
	for i, text := range texts {
		_, _ = io.WriteString([]io.Writer{stdout, stderr}[i%2], text) // which is memory
		sizes[i%2] += len(text)
		if logs[i%2].Len() < sizes[i%2] {
			held++
		}
	}
	return k.order.Turns(), held
}
