// Package worker owns the life of one worker: its registration and lease, its slots, and the flow of one execution
// through it.
//
//	message or poll ─▶ reserve a slot ─▶ Claim ─▶ prepare ─▶ runtime.Execute ─▶ collect ─▶ Finish ─▶ free the slot
//
// A daemon, or the command `attune run`, creates one Worker and calls Run. The worker never places executions and
// never judges other workers; every change of a status goes through package execution, fenced by the worker's
// incarnation. What it holds is in its own directory: the lock that proves it alive, the records of its processes,
// the private directories of what runs, and the packs that it has unpacked.
package worker
