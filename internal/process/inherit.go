package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// keepToOurselves sees to it that no command inherits what is open here. Go opens files so; what this process was started
// with (a service manager's sockets, a shell's files) may be open for everybody.
func keepToOurselves() error {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("list open files: %w", err)
	}
	for _, entry := range open {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || fd <= 2 {
			continue
		}
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC)
		if err != nil && !errors.Is(err, unix.EBADF) { // closed meanwhile, as the one that lists them
			return fmt.Errorf("keep file %d from commands: %w", fd, err)
		}
	}
	return nil
}
