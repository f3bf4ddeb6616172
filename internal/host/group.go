package host

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// OwnGroup finds our own control group in the hierarchy that fits: its directory below a mount of type, with the option if one
// is named, at the path that /proc/self/cgroup gives (see cgroups(7)).
func OwnGroup(fsType, option string) (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	mount, root := findMount(mounts, fsType, option)
	if mount == "" {
		return "", errors.New("not mounted")
	}
	memberships, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(memberships)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 || !slices.Contains(strings.Split(fields[1], ","), option) {
			continue
		}
		below, err := filepath.Rel(root, fields[2])
		if err != nil || strings.HasPrefix(below, "..") {
			return "", fmt.Errorf("our own group %s is not below the mount's root %s", fields[2], root)
		}
		return filepath.Join(mount, below), nil
	}
	return "", errors.New("we are in no group of it")
}

// findMount reads mountinfo (proc(5)): fields 4 and 5 are root and mount point, type and options follow a lone "-".
func findMount(mountinfo []byte, fsType, option string) (mount, root string) {
	lines := bufio.NewScanner(bytes.NewReader(mountinfo))
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		fields, tail := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(tail) < 3 || tail[0] != fsType {
			continue
		}
		if option == "" || slices.Contains(strings.Split(tail[2], ","), option) {
			return fields[4], fields[3]
		}
	}
	return "", ""
}
