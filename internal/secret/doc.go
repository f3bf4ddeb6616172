// Package secret owns what must not be read by others: the values of keys at rest, and those that an execution was
// given when they turn up in what it writes.
//
//	master keys, in a file ──HKDF, salt of the value──▶ wrapping key ──▶ data key of the value ──▶ value
//
// The API and the command line seal values, the scheduler or a worker opens them for an execution, and a Masker stands
// before its logs and its result. The package knows no database and no network, it never writes a value anywhere, and
// the only file that it touches is that of the keyring.
package secret
