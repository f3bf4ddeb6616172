package secret_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/secret"
)

func TestTokensOfAttemptsTellWhoseTheyAre(t *testing.T) {
	t.Parallel()
	safe := secret.NewSafe(secret.SafeConfig{Create: filepath.Join(t.TempDir(), "keys")})
	seen := map[string]bool{}
	fence := attune.Fence{ExecutionID: 42, Attempt: 1, WorkerID: 7, Incarnation: 3}
	for _, f := range []attune.Fence{
		fence, {ExecutionID: 42, Attempt: 2, WorkerID: 7, Incarnation: 3}, {ExecutionID: 42, Attempt: 1, WorkerID: 8, Incarnation: 3},
		{ExecutionID: 42, Attempt: 1, WorkerID: 7, Incarnation: 4}, {ExecutionID: 1 << 62, Attempt: 1, WorkerID: 7, Incarnation: 3},
	} {
		token, err := safe.TokenOf(f)
		if err != nil || seen[token] || !secret.IsAttemptToken(token) || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
			t.Fatalf("%q %v", token, err)
		}
		seen[token] = true
		if got, err := safe.FenceOf(token); err != nil || got != f {
			t.Errorf("%+v %v, want %+v", got, err, f)
		}
	}
}

func TestForgedTokensOfAttemptsAreNone(t *testing.T) {
	t.Parallel()
	safe := secret.NewSafe(secret.SafeConfig{Create: filepath.Join(t.TempDir(), "keys")})
	other := secret.NewSafe(secret.SafeConfig{Create: filepath.Join(t.TempDir(), "keys")})
	fence := attune.Fence{ExecutionID: 42, Attempt: 1, WorkerID: 7, Incarnation: 3}
	token, err := safe.TokenOf(fence)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := other.TokenOf(fence)
	if err != nil {
		t.Fatal(err)
	}
	code := token[strings.LastIndexByte(token, '.')+1:]
	for _, forged := range []string{
		"", "attune_x_", "attune_x_.", secret.NewToken(), elsewhere, token + "A", token[:len(token)-1], strings.Replace(token, "42.", "43.", 1),
		"attune_x_42.1.7.3.", "attune_x_42.1.7.3", "attune_x_42.1.7." + code, strings.TrimPrefix(token, "attune_x_"),
		strings.Replace(token, "x_42", "x_042", 1), strings.ToUpper(token),
	} {
		if f, err := safe.FenceOf(forged); !errors.Is(err, secret.ErrNoAttempt) {
			t.Errorf("%q: %+v %v", forged, f, err)
		}
	}
}

// TestTokensOfAttemptsOutliveARotation has them made before and after a new master key has come.
func TestTokensOfAttemptsOutliveARotation(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	safe := secret.NewSafe(secret.SafeConfig{Create: path})
	fence := attune.Fence{ExecutionID: 42, Attempt: 1, WorkerID: 7, Incarnation: 3}
	before, err := safe.TokenOf(fence)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := safe.Renew(); err != nil {
		t.Fatal(err)
	}
	after, err := safe.TokenOf(fence)
	if err != nil || after == before {
		t.Fatalf("the new key makes the token of the old one: %v", err)
	}
	for _, token := range []string{before, after} {
		if got, err := safe.FenceOf(token); err != nil || got != fence {
			t.Errorf("%+v %v", got, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := safe.FenceOf(after); err == nil || errors.Is(err, secret.ErrNoAttempt) {
		t.Errorf("a keyring that is gone: %v", err)
	}
}

func BenchmarkTokenOf(b *testing.B) {
	safe := secret.NewSafe(secret.SafeConfig{Create: filepath.Join(b.TempDir(), "keys")})
	for b.Loop() {
		if _, err := safe.TokenOf(attune.Fence{ExecutionID: 42, Attempt: 1, WorkerID: 7, Incarnation: 3}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNewMaskerOfAToken is what masking the token costs an execution that has no other secret, but for its output.
func BenchmarkNewMaskerOfAToken(b *testing.B) {
	safe := secret.NewSafe(secret.SafeConfig{Create: filepath.Join(b.TempDir(), "keys")})
	token, err := safe.TokenOf(attune.Fence{ExecutionID: 42, Attempt: 1, WorkerID: 7, Incarnation: 3})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		secret.NewMasker([]byte(token))
	}
}
