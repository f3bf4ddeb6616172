package process

import (
	"strconv"
)

// kind is a controller in one version of control groups, by the words of its files.
type kind struct {
	limit  Limit
	knobs  []knob   // what is written, in this order
	guards []string // what else could be set, and shows that somebody did
	events string   // the file that counts how often the limit was hit
	count  string   // its word for that
	peak   string   // the file that has the most that was ever used; "" if there is none
}

// knob is a file that limits are written to.
type knob struct {
	file string
	text func(Limits) string
	may  bool // be missing
}

// either is a knob's text: of these limits, or of none.
func either(limit Limit, of func(Limits) string, none string) func(Limits) string {
	return func(l Limits) string {
		if l.has(limit) {
			return of(l)
		}
		return none
	}
}

func fixed(text string) func(Limits) string { return func(Limits) string { return text } }
func pids(l Limits) string                  { return strconv.Itoa(l.PIDs) }

// kinds2 are those of version 2 (the kernel's admin-guide/cgroup-v2). Swap would only put off what is out of memory, and
// of a command that is, nothing is left.
var kinds2 = []kind{
	{limit: LimitMemory, events: "memory.events", count: "oom_kill", peak: "memory.peak",
		guards: []string{"memory.high", "memory.low", "memory.min", "memory.swap.high"},
		knobs: []knob{
			{file: "memory.max", text: either(LimitMemory, Limits.bytes, "max")},
			{file: "memory.swap.max", text: either(LimitMemory, func(Limits) string { return "0" }, "max"), may: true},
			{file: "memory.oom.group", text: either(LimitMemory, func(Limits) string { return "1" }, "0"), may: true},
		}},
	{limit: LimitCPUs, guards: []string{"cpu.weight", "cpu.idle", "cpu.max.burst", "cpu.uclamp.max"},
		knobs: []knob{{file: "cpu.max", text: either(LimitCPUs, func(l Limits) string { return l.quota() + " " + strconv.Itoa(cpuPeriod) }, "max "+strconv.Itoa(cpuPeriod))}}},
	{limit: LimitPIDs, events: "pids.events", count: "max",
		knobs: []knob{{file: "pids.max", text: either(LimitPIDs, pids, "max")}}},
}

// kinds1 are those of version 1 (the kernel's admin-guide/cgroup-v1). The limit of memory and swap can't be below that of
// memory, so it is lifted before and set after.
var kinds1 = []kind{
	{limit: LimitMemory, events: "memory.oom_control", count: "oom_kill", peak: "memory.max_usage_in_bytes",
		guards: []string{"memory.oom_control", "memory.swappiness", "memory.soft_limit_in_bytes", "cgroup.clone_children"},
		knobs: []knob{
			{file: "memory.memsw.limit_in_bytes", text: fixed("-1"), may: true},
			{file: "memory.limit_in_bytes", text: either(LimitMemory, Limits.bytes, "-1")},
			{file: "memory.memsw.limit_in_bytes", text: either(LimitMemory, Limits.bytes, "-1"), may: true},
		}},
	{limit: LimitCPUs, guards: []string{"cpu.shares", "cpu.cfs_period_us", "cpu.cfs_burst_us", "cpu.idle", "cgroup.clone_children"},
		knobs: []knob{{file: "cpu.cfs_quota_us", text: either(LimitCPUs, Limits.quota, "-1")}}},
	{limit: LimitPIDs, events: "pids.events", count: "max", guards: []string{"cgroup.clone_children"},
		knobs: []knob{{file: "pids.max", text: either(LimitPIDs, pids, "max")}}},
}
