// Package daemon is the composition root: it builds the packages of a process from the settings and runs them
// together. `attune up` is Up, `attune server` Server, `attune worker` Worker; the commands that work without a server
// use a Link, and `run` and `bench`, on the embedded shape, a Session.
//
// It decides nothing but who is connected to whom, who starts before whom, and which files say where a server is.
package daemon
