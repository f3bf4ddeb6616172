package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Shield keeps what this process knows from those that it starts. Nobody but root may look into it any more, it leaves no
// core, nor does what it starts, and the values of the variables whose names are secret are gone from where /proc shows the
// environment that it was started with; os.Environ has a copy.
func Shield(secret func(name string) bool) error {
	scrubbed := scrub(secret)
	var core unix.Rlimit
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &core); err != nil {
		return fmt.Errorf("no core dumps: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("not dumpable: %w", err)
	}
	return scrubbed
}

// scrub overwrites values in the kernel's view of our environment.
func scrub(secret func(name string) bool) (err error) {
	start, end, err := environBlock()
	if err != nil {
		return fmt.Errorf("find the environment that we were started with: %w", err)
	}
	memory, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open our memory: %w", err)
	}
	defer func() { err = errors.Join(err, memory.Close()) }()
	block := make([]byte, end-start)
	if _, err := memory.ReadAt(block, start); err != nil {
		return fmt.Errorf("read the environment that we were started with: %w", err)
	}
	at := start
	for variable := range bytes.SplitSeq(block, []byte{0}) {
		name, value, ok := bytes.Cut(variable, []byte("="))
		if ok && len(value) > 0 && secret(string(name)) {
			blank := bytes.Repeat([]byte("x"), len(value))
			if _, err := memory.WriteAt(blank, at+int64(len(name))+1); err != nil {
				return fmt.Errorf("overwrite %s: %w", name, err)
			}
		}
		at += int64(len(variable)) + 1
	}
	return nil
}

// environBlock returns env_start and env_end of /proc/self/stat, its fields 50 and 51 (proc(5)).
func environBlock() (start, end int64, err error) {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const third = 3 // is the first one after the name
	if len(fields) <= 51-third {
		return 0, 0, errors.New("the kernel does not tell")
	}
	start, err1 := strconv.ParseInt(fields[50-third], 10, 64)
	end, err2 := strconv.ParseInt(fields[51-third], 10, 64)
	if end <= start {
		err1 = errors.Join(err1, errors.New("the kernel does not tell"))
	}
	return start, end, errors.Join(err1, err2)
}
