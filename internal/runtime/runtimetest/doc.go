// Package runtimetest is what every runtime must do: the tests that runtime/local passes for each of its languages and
// that a new runtime calls from a test of its own.
//
// A runtime brings one small program per behaviour, in its own language; the suite runs them as actions, with real
// processes and real directories, and looks at what came of it. It never looks at how a runtime does it.
package runtimetest
