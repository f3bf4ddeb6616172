package store

import "strings"

// dialect is all that SQLite and PostgreSQL spell differently in the shared statements, and how their errors are told
// apart.
type dialect struct {
	name           string
	words          *strings.Replacer
	oneWriter      bool                   // the database lets one transaction write at a time
	driverPrepares bool                   // the driver prepares each statement once by itself, on each connection
	away           func(error) bool       // it could not be had in time, or its disk is full or failing; later it may succeed
	again          func(error) bool       // the transaction lost against another one: done again at once, it may succeed
	tryLock        func(key int64) string // tells whether the transaction gets an advisory lock; nil: it always does
}
