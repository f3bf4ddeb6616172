// Package process owns what the operating system runs for us: how a command is born, bounded, watched and ended,
// together with everything that it starts.
//
//	record ─▶ born in its family ─▶ stdin written, output read ─▶ leader ends │ timeout │ cancel
//	                                                                   └─▶ TERM ─▶ grace ─▶ KILL until none is left
//
// A family is all processes of one command, found by what they can't shed: a control group of version 2, the freezer
// of version 1, or else being descendants and adopted orphans of this process. Its record and its group, together a
// berth, are kept for the next command if this one leaves them as they were made. The local runtimes run commands, the
// worker ends leftovers. The package knows nothing of actions, and it never waits for a child that it did not start.
package process
