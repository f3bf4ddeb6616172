// Package e2e holds the tests of the whole system: the binary, built with the race detector, started, killed and
// started again as users and machines do it. It has no code of its own.
package e2e
