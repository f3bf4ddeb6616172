package process

import (
	"os"
	"strconv"
	"strings"
	"sync"
)

// stat is what we need of /proc/PID/stat (proc(5)).
type stat struct {
	pid, parent, session int
	state                byte
	start                uint64 // clock ticks since boot
}

func (s stat) zombie() bool   { return s.state == 'Z' || s.state == 'X' }
func (s stat) member() member { return member{s.pid, s.start} }

// member is a process that can't be mistaken for a later one with the same pid.
type member struct {
	pid   int
	start uint64
}

// alive tells whether this very process is there and no zombie.
func (m member) alive() bool {
	now, ok := readStat(m.pid)
	return ok && now.start == m.start && !now.zombie()
}

// readStat reads one process. Its name, in parentheses, may hold anything, also parentheses.
func readStat(pid int) (stat, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, false
	}
	end := strings.LastIndexByte(string(text), ')')
	if end < 0 {
		return stat{}, false
	}
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 20 { // fields[0] is the third of proc(5), fields[19] the twenty-second
		return stat{}, false
	}
	parent, err1 := strconv.Atoi(fields[1])
	session, err2 := strconv.Atoi(fields[3])
	start, err3 := strconv.ParseUint(fields[19], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil {
		return stat{}, false
	}
	return stat{pid: pid, parent: parent, session: session, state: fields[0][0], start: start}, true
}

// allProcesses reads every process that is there.
func allProcesses() []stat {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var all []stat
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if s, ok := readStat(pid); ok {
			all = append(all, s)
		}
	}
	return all
}

func processName(pid int) string {
	name, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return "gone"
	}
	return strings.TrimSpace(string(name))
}

// bootID names this boot of the kernel: pids of another one mean nothing.
var bootID = sync.OnceValues(func() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id)), err
})
