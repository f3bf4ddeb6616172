package objects_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/attune-automation/attune/internal/objects"
	"github.com/attune-automation/attune/internal/objects/objectstest"
	"github.com/attune-automation/attune/internal/testserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, url string) *objects.Store {
	t.Helper()
	store, err := objects.New(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func put(t *testing.T, s *objects.Store, key, content string) {
	t.Helper()
	if err := s.Put(t.Context(), key, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, s *objects.Store, key string, offset int64) (string, int64) {
	t.Helper()
	object, err := s.Open(t.Context(), key, offset)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(object)
	if err := errors.Join(err, object.Close()); err != nil {
		t.Fatal(err)
	}
	return string(content), object.Size
}

func isGone(t *testing.T, s *objects.Store, key string) bool {
	t.Helper()
	object, err := s.Open(t.Context(), key, 0)
	if err == nil {
		return object.Close() != nil
	}
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, objects.ErrAway) {
		t.Errorf("open %s: %v", key, err)
	}
	return true
}

func TestWhatIsPutIsRead(t *testing.T) {
	t.Parallel()
	objectstest.Each(t, func(t *testing.T, url string) {
		s := open(t, url)
		if !isGone(t, s, "w/execution_1/stdout.log") {
			t.Error("an empty store has something")
		}
		for _, key := range []string{
			"w/execution_1/stdout.log", "w/execution_1/attempt_2/files/ü ber/x..y", "w/execution_1/files/a+b%2F&?#.txt",
			"w/execution_1/files/of.attrs", "w/execution_1/files/of", "w/execution_1/files/of.attrs_", "w/execution_1/files/dir.attrs/x",
			"w/execution_1/files/__0x2f__", "w/execution_1/files/a../b", "w/execution_1/files/ leading", "w/execution_1/files/" + strings.Repeat("n", 200),
		} {
			put(t, s, key, "first")
			put(t, s, key, "0123456789 of "+key)
			for offset, want := range map[int64]string{0: "0123456789 of " + key, 7: "789 of " + key, 14 + int64(len(key)): "", 1 << 40: ""} {
				if got, size := get(t, s, key, offset); got != want || size != 14+int64(len(key)) {
					t.Errorf("%s from %d: %q of %d", key, offset, got, size)
				}
			}
		}
		put(t, s, "w/execution_1/empty", "")
		if got, size := get(t, s, "w/execution_1/empty", 0); got != "" || size != 0 {
			t.Errorf("empty: %q of %d", got, size)
		}
	})
}

// A few parts go one by one.
func TestLargeObjectsAreStreamed(t *testing.T) {
	t.Parallel()
	objectstest.Each(t, func(t *testing.T, url string) {
		s := open(t, url)
		const size = 40 << 20
		written := sha256.New()
		if err := s.Put(t.Context(), "w/execution_1/files/large", io.TeeReader(&pattern{left: size}, written)); err != nil {
			t.Fatal(err)
		}
		object, err := s.Open(t.Context(), "w/execution_1/files/large", 0)
		if err != nil {
			t.Fatal(err)
		}
		read := sha256.New()
		n, err := io.Copy(read, object)
		if err := errors.Join(err, object.Close()); err != nil || n != size || object.Size != size || !bytes.Equal(read.Sum(nil), written.Sum(nil)) {
			t.Errorf("%d of %d bytes, %v", n, object.Size, err)
		}
	})
}

// pattern is many bytes, none like those before it.
type pattern struct{ at, left int }

func (p *pattern) Read(buffer []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n := min(len(buffer), p.left)
	for i := range n {
		buffer[i] = byte((p.at + i) * 2654435761 >> 13)
	}
	p.at, p.left = p.at+n, p.left-n
	return n, nil
}

func TestRemovingIsRepeatable(t *testing.T) {
	t.Parallel()
	objectstest.Each(t, func(t *testing.T, url string) {
		s := open(t, url)
		for _, key := range []string{"w/execution_1/a", "w/execution_1/files/b", "w/execution_1/attempt_2/c", "w/execution_12/d", "w2/execution_1/e"} {
			put(t, s, key, "x")
		}
		for range 2 {
			if err := s.Delete(t.Context(), "w/execution_1/a", "w/execution_1/not-there"); err != nil {
				t.Fatal(err)
			}
			if !isGone(t, s, "w/execution_1/a") || isGone(t, s, "w/execution_1/files/b") {
				t.Error("not the one that was to be removed")
			}
		}
		for range 2 {
			if err := s.DeletePrefix(t.Context(), "w/execution_1"); err != nil {
				t.Fatal(err)
			}
			if !isGone(t, s, "w/execution_1/files/b") || !isGone(t, s, "w/execution_1/attempt_2/c") {
				t.Error("something is left")
			}
			if isGone(t, s, "w/execution_12/d") || isGone(t, s, "w2/execution_1/e") {
				t.Error("something of others is gone")
			}
		}
	})
}

func TestNamesThatLeadOutAreRefused(t *testing.T) {
	t.Parallel()
	objectstest.Each(t, func(t *testing.T, url string) {
		s := open(t, url)
		for _, key := range []string{"", ".", "..", "../a", "w/../../a", "/etc/passwd", "w//a", "w/a/", "w/./a", "w/a/.."} {
			err := s.Put(t.Context(), key, strings.NewReader("x"))
			_, openErr := s.Open(t.Context(), key, 0)
			for _, err := range []error{err, openErr, s.Delete(t.Context(), key), s.DeletePrefix(t.Context(), key)} {
				if !errors.Is(err, objects.ErrRefused) {
					t.Errorf("%q: %v", key, err)
				}
			}
		}
	})
}

// Content that can't be read to its end must not come to stand for all of it.
func TestBrokenContentLeavesNothing(t *testing.T) {
	t.Parallel()
	objectstest.Each(t, func(t *testing.T, url string) {
		s, cause := open(t, url), errors.New("the disk fails")
		err := s.Put(t.Context(), "w/execution_1/a", io.MultiReader(&pattern{left: 20 << 20}, broken{cause}))
		if !errors.Is(err, cause) {
			t.Errorf("put: %v", err)
		}
		if !isGone(t, s, "w/execution_1/a") {
			t.Error("half of it is there")
		}
	})
}

type broken struct{ cause error }

func (b broken) Read([]byte) (int, error) { return 0, b.cause }

func TestDirectoryHoldsNothingElse(t *testing.T) {
	dir := t.TempDir()
	s := open(t, "file://"+dir)
	t.Setenv("TMPDIR", filepath.Join(dir, "not-there")) // where nothing could be made
	put(t, s, "w/execution_1/files/a", "x")
	if err := s.Probe(t.Context()); err != nil {
		t.Error(err)
	}
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		found = append(found, name)
		if info, infoErr := entry.Info(); infoErr == nil && path != dir && entry.IsDir() && info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if want := ". .Uploading w w/execution_1 w/execution_1/files w/execution_1/files/a"; err != nil || strings.Join(found, " ") != want {
		t.Errorf("%v %v", found, err)
	}
	if err := s.Delete(t.Context(), "w/execution_1/files/a"); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left: %v %v", left, err)
	}
}

// A process that is killed leaves what it has written of an object: one that is long dead, and no other.
func TestDirectoryIsRidOfWhatTheDeadWereWriting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old, young := filepath.Join(dir, ".Uploading", "old"), filepath.Join(dir, ".Uploading", "young")
	then := time.Now().Add(-25 * time.Hour)
	if err := errors.Join(os.Mkdir(filepath.Dir(old), 0o700), os.WriteFile(old, nil, 0o600), os.WriteFile(young, nil, 0o600), os.Chtimes(old, then, then)); err != nil {
		t.Fatal(err)
	}
	put(t, open(t, "file://"+dir), "w/execution_1/a", "x")
	left, err := os.ReadDir(filepath.Dir(old))
	if err != nil || len(left) != 1 || left[0].Name() != "young" {
		t.Errorf("%v %v", left, err)
	}
}

// Links in a directory that hosts share lead nowhere else.
func TestDirectoryFollowsNoLinkOut(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	s := open(t, "file://"+dir)
	if err := errors.Join(os.WriteFile(filepath.Join(outside, "secret"), []byte("hush"), 0o600), os.Symlink(outside, filepath.Join(dir, "w"))); err != nil {
		t.Fatal(err)
	}
	if object, err := s.Open(t.Context(), "w/secret", 0); err == nil {
		object.Close()
		t.Error("it reads what is outside")
	}
	if err := s.Put(t.Context(), "w/planted", strings.NewReader("x")); err == nil {
		t.Error("it writes outside")
	}
	_ = s.DeletePrefix(t.Context(), "w/secret")
	if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
		t.Errorf("%v %v", left, err)
	}
}

// A store that is away is none that has nothing, and comes back.
func TestAwayIsNotGone(t *testing.T) {
	t.Parallel()
	t.Run("directory", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "mounted")
		s := open(t, "file://"+dir)
		away(t, s)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, s, "w/execution_1/a", "x")
		if err := os.Rename(dir, dir+".away"); err != nil {
			t.Fatal(err)
		}
		away(t, s)
		if _, err := os.Stat(dir); err == nil {
			t.Error("it was made anew, below where it is to be mounted")
		}
	})
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		network, through := testserver.Through(t, objectstest.Endpoint(t))
		bucket, err := url.Parse(objectstest.S3(t))
		if err != nil {
			t.Fatal(err)
		}
		s := open(t, objectstest.At(bucket.Host, through))
		put(t, s, "w/execution_1/a", "x")
		network.Cut()
		away(t, s)
		network.Restore()
		if got, _ := get(t, s, "w/execution_1/a", 0); got != "x" {
			t.Errorf("%q", got)
		}
	})
	t.Run("bucket", func(t *testing.T) {
		t.Parallel()
		away(t, open(t, objectstest.At("no-such-bucket", objectstest.Endpoint(t))))
	})
}

func away(t *testing.T, s *objects.Store) {
	t.Helper()
	_, openErr := s.Open(t.Context(), "w/execution_1/a", 0)
	for doing, err := range map[string]error{
		"put": s.Put(t.Context(), "w/execution_1/b", strings.NewReader("x")), "open": openErr, "probe": s.Probe(t.Context()),
		"delete": s.Delete(t.Context(), "w/execution_1/a"), "delete all": s.DeletePrefix(t.Context(), "w/execution_1"),
	} {
		if !errors.Is(err, objects.ErrAway) {
			t.Errorf("%s: %v", doing, err)
		}
	}
}

// What a directory can't name keeps nobody else back.
func TestTooLongANameIsRefusedForGood(t *testing.T) {
	t.Parallel()
	s := open(t, objectstest.Directory(t))
	put(t, s, "w/execution_1/files/"+strings.Repeat("n", 255), "x") // as long as it can be where it comes from
	if err := s.Put(t.Context(), "w/execution_1/files/"+strings.Repeat("n", 256), strings.NewReader("x")); !errors.Is(err, objects.ErrRefused) {
		t.Error(err)
	}
}

func TestWhatTellsOfAStoreIsNamed(t *testing.T) {
	t.Parallel()
	getenv := func(name string) string {
		return map[string]string{"HOME": "/home/attune", "AWS_CONFIG_FILE": "/etc/aws", "AWS_WEB_IDENTITY_TOKEN_FILE": "/run/token"}[name]
	}
	files := strings.Join(objects.CredentialFiles("s3://attune", getenv), " ")
	if want := "/etc/aws /home/attune/.aws/credentials /run/token"; files != want {
		t.Errorf("%s, want %s", files, want)
	}
	if dirs := objects.Directories("file:///srv/artifacts?dir_file_mode=0770"); len(dirs) != 1 || dirs[0] != "/srv/artifacts" {
		t.Error(dirs)
	}
	if len(objects.Directories("s3://attune")) != 0 || len(objects.CredentialFiles("file:///srv", getenv)) != 0 {
		t.Error("one has what only the other has")
	}
}

func TestURLsAreChecked(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"s3://attune-artifacts", "s3://b.c-d?region=eu-central-1&profile=p", "file:///srv/artifacts", "file:///srv/artifacts?dir_file_mode=0770",
		"s3://bucket?endpoint=http%3A%2F%2F127.0.0.1%3A9000&use_path_style=true&request_checksum_calculation=when_required",
		"s3://bucket?endpoint=https://minio.example&use_path_style=true", "s3://bucket?ssetype=aws:kms&kmskeyid=alias/attune",
	} {
		if err := objects.Check(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, want := range map[string]string{
		"":                                     "neither s3:// nor file://",
		"gs://bucket":                          "neither s3:// nor file://",
		"mem://":                               "neither s3:// nor file://",
		"s3://":                                "name of a bucket",
		"s3://Bucket_1":                        "name of a bucket",
		"s3://bucket/prefix":                   "must not have a path",
		"s3://hush:hush@bucket":                "must not hold who asks",
		"s3://hush@bucket":                     "must not hold who asks",
		"s3://bucket?aws_secret=hush":          "an option that there is not",
		"s3://bucket?region=":                  "region is empty",
		"s3://bucket?region=a&region=b":        "region twice",
		"s3://bucket?use_path_style=yes":       "neither true nor false",
		"s3://bucket?endpoint=minio":           "is not an address",
		"s3://bucket?endpoint=http://u:hush@h": "must not hold who asks",
		"s3://bucket?ssetype=none":             "none of AES256",
		"s3://bucket?region=%zz":               "name=value",
		"s3://bucket#hush":                     "behind #",
		"s3://buc ket":                         "not a URL",
		"file://srv/artifacts":                 "three slashes",
		"file:///":                             "three slashes",
		"file:srv":                             "three slashes",
		"file:///srv?create_dir=true":          "an option that there is not",
		"file:///srv?dir_file_mode=0000":       "no mode of directories",
	} {
		err := objects.Check(bad)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, want %s", bad, err, want)
		}
		if _, err := objects.New(bad); err == nil {
			t.Errorf("New(%q) takes it", bad)
		}
	}
}
