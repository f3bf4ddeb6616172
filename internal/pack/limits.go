package pack

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/attune-automation/attune"
)

// limitKey is one key of resources.
type limitKey struct {
	name string
	set  func(l *attune.Limits, text string) error
	text func(l attune.Limits) string // "" if there is no such limit
}

// limitKeys are the keys of resources. The least of each is what a shell needs to say that it has too little.
func limitKeys() []limitKey {
	return []limitKey{
		sizeLimit("memory", 1<<20, func(l *attune.Limits) *int64 { return &l.Memory }),
		{
			name: "cpus",
			set:  func(l *attune.Limits, text string) error { return setProcessors(&l.CPUs, text) },
			text: func(l attune.Limits) string { return unlessZero(l.CPUs) },
		},
		countLimit("pids", 1, func(l *attune.Limits) *int { return &l.PIDs }),
		sizeLimit("file_size", 4<<10, func(l *attune.Limits) *int64 { return &l.FileSize }),
		countLimit("open_files", 16, func(l *attune.Limits) *int { return &l.OpenFiles }),
		sizeLimit("disk", 4<<10, func(l *attune.Limits) *int64 { return &l.Disk }),
	}
}

// LimitNames are the keys of resources.
func LimitNames() []string {
	var names []string
	for _, k := range limitKeys() {
		names = append(names, k.name)
	}
	return names
}

// SetLimit sets the limit that resources calls so.
func SetLimit(l *attune.Limits, name, text string) error {
	for _, k := range limitKeys() {
		if k.name == name {
			return k.set(l, text)
		}
	}
	return fmt.Errorf("%s", unknown("limit", name, LimitNames()))
}

// LimitText is a limit as SetLimit reads it, "" for none.
func LimitText(l attune.Limits, name string) string {
	for _, k := range limitKeys() {
		if k.name == name {
			return k.text(l)
		}
	}
	return ""
}

// limits reads resources.
func (n node) limits() attune.Limits {
	var limits attune.Limits
	var keys []key[*attune.Limits]
	for _, k := range limitKeys() {
		keys = append(keys, key[*attune.Limits]{name: k.name, read: func(l *attune.Limits, f field) {
			if text, ok := f.value.scalar(); !ok {
				return
			} else if err := k.set(l, text); err != nil {
				f.value.fail("%v", err)
			}
		}})
	}
	readKeys(n, &limits, keys)
	return limits
}

func sizeLimit(name string, least int64, at func(*attune.Limits) *int64) limitKey {
	return limitKey{
		name: name,
		set: func(l *attune.Limits, text string) error {
			size, err := ParseSize(text)
			if err == nil && (size < least || size > maxSize) {
				err = fmt.Errorf("%s: want %d to %d bytes", name, least, int64(maxSize))
			}
			if err == nil {
				*at(l) = size
			}
			return err
		},
		text: func(l attune.Limits) string {
			if *at(&l) == 0 {
				return ""
			}
			return SizeText(*at(&l))
		},
	}
}

func countLimit(name string, least int, at func(*attune.Limits) *int) limitKey {
	return limitKey{
		name: name,
		set: func(l *attune.Limits, text string) error {
			n, err := strconv.Atoi(text)
			if err != nil || n < least || n > maxCount {
				return fmt.Errorf("%s: want a whole number from %d to %d", name, least, maxCount)
			}
			*at(l) = n
			return nil
		},
		text: func(l attune.Limits) string { return unlessZero(float64(*at(&l))) },
	}
}

func setProcessors(to *float64, text string) error {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || n < 0.01 || n > maxProcessors {
		return fmt.Errorf("cpus: want 0.01 to %d processors", maxProcessors)
	}
	*to = n
	return nil
}

func unlessZero(n float64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatFloat(n, 'f', -1, 64)
}

// What no host has: the most that a limit may be.
const (
	maxSize       = 1 << 50
	maxCount      = 4 << 20 // of processes: the kernel's own limit
	maxProcessors = 8192
)

// sizeUnits are the endings of a size, the longer ones first.
var sizeUnits = []struct {
	suffix string
	factor int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30},
	{"Ti", 1 << 40}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// ParseSize reads a number of bytes: 512KiB, 256Mi, 1GB, 4096.
func ParseSize(text string) (int64, error) {
	for _, unit := range sizeUnits {
		digits, ok := strings.CutSuffix(text, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err == nil && n >= 0 && n <= math.MaxInt64/unit.factor {
			return n * unit.factor, nil
		}
	}
	return 0, fmt.Errorf("%q is not a size: write 512KiB, 256MiB, 1GiB or a number of bytes", text)
}

// SizeText is a size as people write it, and as ParseSize reads it.
func SizeText(size int64) string {
	for _, unit := range []struct {
		suffix string
		factor int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if size >= unit.factor && size%unit.factor == 0 {
			return strconv.FormatInt(size/unit.factor, 10) + unit.suffix
		}
	}
	return strconv.FormatInt(size, 10)
}
