// Package daemon is the composition root: it builds the packages of a process from the settings and runs them
// together. `attune up` is Up; the commands that work without a server use Open, and `run` and `bench` a Session.
//
// It decides nothing but who is connected to whom, who starts before whom, and which files say where a server is.
package daemon
