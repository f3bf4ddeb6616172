// Package objects owns the artifact store: a bucket of S3, or of what speaks its protocol, or a directory that hosts
// share, in which artifacts lie under the names that they have in a worker's directory.
//
//	{worker}/execution_{id}/stdout.log  stderr.log  result.json  trace.json  files/…
//	{worker}/execution_{id}/attempt_{n}/…                                    attempts after the first
//
// Workers put what an attempt has left, servers read it, and who removes rows removes the objects before them. A Store
// is used by many goroutines and many processes at once, and every call may be repeated: what is there already is
// replaced, what is gone is no error to remove. It knows nothing of rows and repeats nothing by itself: an error tells
// whether an object is not there, can't be had now (ErrAway), or will never be taken (ErrRefused).
package objects
