package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// S3 is a private server that speaks S3, Versity's gateway to a directory.
type S3 struct {
	Endpoint string   // http://127.0.0.1:PORT
	Env      []string // of who asks: AWS_ACCESS_KEY_ID=…, AWS_SECRET_ACCESS_KEY=…, AWS_REGION=…

	program string
	dir     string
	server  *child
	remove  func() error
}

// The credentials of the server's one account. They are good for nothing else.
const (
	accessKey = "attune-tests"
	secretKey = "loopback-only"
	region    = "eu-test-1"
)

// StartS3 makes an empty store in a new temporary directory and serves it. The server is built on first use.
func StartS3() (s *S3, err error) {
	program, err := gateway()
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "attune-s3-*")
	if err != nil {
		return nil, err
	}
	s = &S3{
		Endpoint: "http://" + address(port), program: program, dir: dir, remove: removal(dir),
		Env: []string{
			"AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=" + secretKey, "AWS_REGION=" + region, "AWS_EC2_METADATA_DISABLED=true",
		},
	}
	for _, name := range []string{"data", "about"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return s, errors.Join(err, s.Stop())
		}
	}
	if err := s.Start(); err != nil {
		return s, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Start serves the store again after Halt or Kill, at the same address.
func (s *S3) Start() error {
	serve := exec.CommandContext(context.Background(), s.program, "--port", strings.TrimPrefix(s.Endpoint, "http://"),
		"--region", region, "--health", "/health", "--quiet",
		// Not every file system that tests run on has extended attributes.
		"posix", "--sidecar", filepath.Join(s.dir, "about"), filepath.Join(s.dir, "data"))
	serve.Dir = s.dir
	serve.Env = []string{"ROOT_ACCESS_KEY=" + accessKey, "ROOT_SECRET_KEY=" + secretKey, "PATH=" + os.Getenv("PATH"), "HOME=" + s.dir}
	var err error
	if s.server, err = spawn(serve, filepath.Join(s.dir, "log")); err != nil {
		return err
	}
	return s.server.await("S3", func(ctx context.Context) error { return answersOK(ctx, s.Endpoint+"/health") })
}

// Halt ends the server in good order; the data stays.
func (s *S3) Halt() { s.server.end(syscall.SIGTERM) }

// Kill ends the server as a crash does.
func (s *S3) Kill() { s.server.end(syscall.SIGKILL) }

// Stop ends the server and removes its files.
func (s *S3) Stop() error {
	s.Halt()
	return s.remove()
}

// buildTime bounds how long the gateway may take to be built: on a cold machine, a hundred megabytes of sources come
// first.
const buildTime = 15 * time.Minute

// gateway returns the server's program, build/versitygw of the repository. It is built if it is not there, or older than
// the module that names its version; of several processes, one builds it and the others wait.
func gateway() (string, error) {
	root, err := repository()
	if err != nil {
		return "", err
	}
	build, module := filepath.Join(root, "build"), filepath.Join(root, "tools", "s3")
	program := filepath.Join(build, "versitygw")
	if newer(program, module) {
		return program, nil
	}
	if err := os.MkdirAll(build, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(program+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }() // closing unlocks
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if newer(program, module) {
		return program, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), buildTime)
	defer cancel()
	compile := exec.CommandContext(ctx, "go", "build", "-o", program+".new", "github.com/versity/versitygw/cmd/versitygw")
	compile.Dir, compile.Env = module, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := compile.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the S3 server for tests: %w\n%s", err, out)
	}
	return program, os.Rename(program+".new", program)
}

// newer tells whether a program was built since its module was changed.
func newer(program, module string) bool {
	built, err := os.Stat(program)
	if err != nil {
		return false
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		info, err := os.Stat(filepath.Join(module, name))
		if err != nil || info.ModTime().After(built.ModTime()) {
			return false
		}
	}
	return true
}

// repository returns the root of the repository that the tests run in: each runs in the directory of its package.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "tools", "s3", "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("tools/s3 is in none of the directories above: run the tests in the repository")
		}
	}
}
