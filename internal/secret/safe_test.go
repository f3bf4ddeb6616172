package secret_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/secret"
)

// renews, in the environment, has this test binary renew the key of a file that it makes if need be.
const renews = "ATTUNE_TEST_RENEWS"

func TestMain(m *testing.M) {
	if path := os.Getenv(renews); path != "" {
		id, err := secret.NewSafe(secret.SafeConfig{Create: path}).Renew()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Fprintln(os.Stdout, id)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func write(t *testing.T, path string, text []byte) string {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// env returns a Getenv of these names and values.
func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func current(t *testing.T, s *secret.Safe) string {
	t.Helper()
	k, err := s.Keyring()
	if err != nil {
		t.Fatal(err)
	}
	return k.Current()
}

// TestALostFileIsNotMadeAnew removes the file of an installation that has secrets, and of one that has none.
func TestALostFileIsNotMadeAnew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	sealed, failing := false, error(nil)
	config := secret.SafeConfig{Create: path, Sealed: func() (bool, error) { return sealed, failing }}
	first := current(t, secret.NewSafe(config))
	sealed = true
	if again := current(t, secret.NewSafe(config)); again != first {
		t.Errorf("the file is there, and the key is %s, not %s", again, first)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s := secret.NewSafe(config)
	if _, err := s.Seal(secret.OfKey(attune.KeyID{Owner: attune.OwnerSystem, Name: "k"}), []byte("v")); err == nil || !strings.Contains(err.Error(), "the file is gone") {
		t.Errorf("sealed all the same: %v", err)
	}
	if _, err := s.Renew(); err == nil || !strings.Contains(err.Error(), "the file is gone") {
		t.Errorf("renewed all the same: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
	sealed, failing = false, errors.New("the database is away")
	if _, err := s.Keyring(); !errors.Is(err, failing) {
		t.Errorf("nobody knows whether anything is sealed: %v", err)
	}
	if failing = nil; current(t, s) == first {
		t.Error("a new file has the old key")
	}
}

func TestSourcesInOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := newKey(t)
	file := write(t, filepath.Join(dir, "keys"), key.Text())
	credential := newKey(t)
	write(t, filepath.Join(dir, "attune-keys"), credential.Text())
	variable := newKey(t)
	create := filepath.Join(dir, "new", "keys")
	all := env("CREDENTIALS_DIRECTORY", dir, "ATTUNE_ENCRYPTION_KEY", string(variable.Text()))
	noCredential := env("CREDENTIALS_DIRECTORY", t.TempDir(), "ATTUNE_ENCRYPTION_KEY", string(variable.Text()))
	for _, test := range []struct {
		config secret.SafeConfig
		id     string
		source string
	}{
		{secret.SafeConfig{File: file, Create: create, Getenv: all}, key.ID(), "file " + file},
		{secret.SafeConfig{Create: create, Getenv: all}, credential.ID(), "systemd credential attune-keys"},
		{secret.SafeConfig{Create: create, Getenv: noCredential}, variable.ID(), "environment ATTUNE_ENCRYPTION_KEY"},
	} {
		s := secret.NewSafe(test.config)
		if got := current(t, s); got != test.id {
			t.Errorf("%s: key %s, want %s", test.source, got, test.id)
		}
		if s.Source() != test.source {
			t.Errorf("source %q, want %q", s.Source(), test.source)
		}
	}
	if _, err := os.Stat(create); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file was made beside a configured key: %v", err)
	}
	made := secret.NewSafe(secret.SafeConfig{Create: create, Getenv: env()})
	if id := current(t, made); id != current(t, secret.NewSafe(secret.SafeConfig{File: create})) {
		t.Errorf("another key than %s in the file that was made", id)
	}
	if want := "file " + create + ", made on first use"; made.Source() != want {
		t.Errorf("source %q, want %q", made.Source(), want)
	}
}

func TestNoSource(t *testing.T) {
	t.Parallel()
	s := secret.NewSafe(secret.SafeConfig{})
	_, err := s.Seal(password, []byte("hunter22"))
	if !errors.Is(err, secret.ErrNoSource) {
		t.Fatalf("Seal: %v", err)
	}
	for _, way := range []string{"security.encryption_key_file", "attune-keys", "ATTUNE_ENCRYPTION_KEY"} {
		if !strings.Contains(err.Error(), way) {
			t.Errorf("%q does not name %s", err, way)
		}
	}
	if _, err := s.Renew(); !errors.Is(err, secret.ErrNoSource) {
		t.Errorf("Renew: %v", err)
	}
}

func TestAConfiguredFileIsNotMade(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	_, err := secret.NewSafe(secret.SafeConfig{File: path, Create: path}).Keyring()
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("Keyring: %v", err)
	}
}

func TestAFileThatVanishesIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	s := secret.NewSafe(secret.SafeConfig{Create: path})
	current(t, s)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Keyring(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Keyring: %v", err)
	}
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "attune-keys"), newKey(t).Text())
	file := secret.NewSafe(secret.SafeConfig{File: path})
	credential := secret.NewSafe(secret.SafeConfig{Getenv: env("CREDENTIALS_DIRECTORY", dir)})
	for mode, ok := range map[fs.FileMode]struct{ file, credential bool }{
		0o600: {true, true}, 0o400: {true, true}, 0o440: {false, true},
		0o640: {false, true}, 0o460: {false, false}, 0o604: {false, false}, 0o602: {false, false},
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		// Each look is a first one: a mode alone doesn't change what was read.
		for source, want := range map[string]bool{file.Source(): ok.file, credential.Source(): ok.credential} {
			config := secret.SafeConfig{File: path}
			if source == credential.Source() {
				config = secret.SafeConfig{Getenv: env("CREDENTIALS_DIRECTORY", dir)}
			}
			_, err := secret.NewSafe(config).Keyring()
			if (err == nil) != want {
				t.Errorf("%s of mode %#o: %v", source, mode, err)
			}
			if err != nil && !strings.Contains(err.Error(), "chmod 600 "+path) {
				t.Errorf("%q does not say what to run", err)
			}
		}
	}
}

func TestWhatIsNoFile(t *testing.T) {
	t.Parallel()
	if _, err := secret.NewSafe(secret.SafeConfig{File: t.TempDir()}).Keyring(); err == nil {
		t.Error("a directory was read")
	}
}

func TestRotationReachesWhatRuns(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	worker := secret.NewSafe(secret.SafeConfig{Create: path})
	operator := secret.NewSafe(secret.SafeConfig{File: path})
	old := current(t, worker)
	before, err := worker.Seal(password, []byte("hunter22"))
	if err != nil {
		t.Fatal(err)
	}
	id, err := operator.Renew()
	if err != nil {
		t.Fatal(err)
	}
	if got := current(t, worker); got != id || got == old {
		t.Errorf("the worker seals under %s, want %s", got, id)
	}
	after, err := worker.Rewrap(password, before)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := worker.Open(password, after); err != nil || string(got) != "hunter22" {
		t.Errorf("Open of what was rewrapped: %q, %v", got, err)
	}
	if got, err := worker.Open(password, before); err != nil || string(got) != "hunter22" {
		t.Errorf("Open of what was not: %q, %v", got, err)
	}
}

// A file that was written again within the clock's resolution, as long as before, looks unchanged.
func TestOpenLooksAgainForAMasterKey(t *testing.T) {
	t.Parallel()
	old, next := newKey(t), newKey(t)
	path := write(t, filepath.Join(t.TempDir(), "keys"), old.Text())
	s := secret.NewSafe(secret.SafeConfig{File: path})
	current(t, s)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, next.Text())
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if got := current(t, s); got != old.ID() {
		t.Fatalf("the file was seen to change: %s", got)
	}
	if got, err := s.Open(password, seal(t, ring(t, next), password, "hunter22")); err != nil || string(got) != "hunter22" {
		t.Errorf("Open: %q, %v", got, err)
	}
}

func TestRenewKeepsModeOwnerAndLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "keys"), newKey(t).Text())
	if os.Getuid() == 0 {
		if err := os.Chown(path, 1234, 2345); err != nil {
			t.Fatal(err)
		}
	}
	before := listing(t, path)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.NewSafe(secret.SafeConfig{File: link}).Renew(); err != nil {
		t.Fatal(err)
	}
	if after := listing(t, path); after != before {
		t.Errorf("the file was %q and is %q", before, after)
	}
	if target, err := os.Readlink(link); err != nil || target != path {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// listing returns mode and owner of a file.
func listing(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "stat", "-c", "%a %u %g", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestRenewSaysWhatToDoForWhatIsNoFileOfOurs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := newKey(t).Text()
	write(t, filepath.Join(dir, "attune-keys"), text)
	for _, getenv := range []func(string) string{
		env("CREDENTIALS_DIRECTORY", dir), env("ATTUNE_ENCRYPTION_KEY", string(text)),
	} {
		s := secret.NewSafe(secret.SafeConfig{Getenv: getenv})
		_, err := s.Renew()
		if err == nil || !strings.Contains(err.Error(), "restart") {
			t.Errorf("%s: Renew: %v", s.Source(), err)
		}
	}
}

func TestASafeDoesNotPrintItsKeys(t *testing.T) {
	t.Parallel()
	text := string(newKey(t).Text())
	s := secret.NewSafe(secret.SafeConfig{Getenv: env("ATTUNE_ENCRYPTION_KEY", text)})
	current(t, s)
	if got := fmt.Sprintf("%v %+v %#v", s, s, s); strings.Contains(got, text[30:60]) {
		t.Errorf("printed: %s", got)
	}
}

func TestProcessesShareOneFileAndLoseNoKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "made", "keys")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const processes = 12
	ids := make(chan string, processes)
	var all sync.WaitGroup
	for range processes {
		all.Go(func() {
			command := exec.CommandContext(t.Context(), self)
			command.Env = append(os.Environ(), renews+"="+path)
			out, err := command.CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			ids <- strings.TrimSpace(string(out))
		})
	}
	all.Wait()
	close(ids)
	k, err := secret.NewSafe(secret.SafeConfig{File: path}).Keyring()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(k.IDs()); n != processes+1 { // the last one is that of the first use, made once
		t.Errorf("%d keys in the file, want %d", n, processes+1)
	}
	for id := range ids {
		if !slices.Contains(k.IDs(), id) {
			t.Errorf("key %s is lost", id)
		}
	}
}

func TestOneSafeForMany(t *testing.T) {
	t.Parallel()
	s := secret.NewSafe(secret.SafeConfig{Create: filepath.Join(t.TempDir(), "keys")})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			text, err := s.Seal(password, []byte("hunter22"))
			if err != nil {
				t.Error(err)
				return
			}
			if i%4 == 0 {
				if _, err := s.Renew(); err != nil {
					t.Error(err)
				}
			}
			if got, err := s.Open(password, text); err != nil || string(got) != "hunter22" {
				t.Errorf("Open: %q, %v", got, err)
			}
		})
	}
	all.Wait()
}
