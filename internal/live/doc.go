// Package live owns the way of output from a worker to the servers on other machines where somebody reads it.
//
//	action → log file ── Source, at the worker ── broker ── Mirror, at a server → copy of the file → any number of readers
//
// A server asks for a log as long as it has readers of it, and gets it once for all of them: the copy grows as the log
// does, and each reader reads the copy in its own time, from where it likes. Every part carries its offset, so that
// nothing is missing or doubled, whatever the broker loses or repeats, and where a reader goes on elsewhere: at another
// server, or in the stored artifact. A server never asks for more than it could hold if nobody took it.
//
// A Source reads files and asks nobody for rows; a Mirror keeps nothing once its readers have gone. Neither says whether an
// execution has ended, or who may read.
package live
