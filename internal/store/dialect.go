package store

import (
	"strings"
	"sync"
	"time"
)

// dialect is all that SQLite and PostgreSQL spell differently in the shared statements, and how their errors are told
// apart.
type dialect struct {
	name           string
	words          *strings.Replacer
	spelled        sync.Map               // statements as they are written, with their text for the database
	oneWriter      bool                   // the database lets one transaction write at a time
	remote         bool                   // a server, which may fail to answer at all
	driverPrepares bool                   // the driver prepares each statement once by itself, on each connection
	away           func(error) bool       // it could not be had in time, or its disk is full or failing; later it may succeed
	locked         func(error) bool       // of that: a row could not be had in time, all else can
	dropped        func(error) bool       // of that: the connection has ended, and another one may do
	misconfigured  func(error) bool       // nobody of that name, password, database or protocol may come in there
	again          func(error) bool       // the transaction lost against another one: done again at once, it may succeed
	waitBriefly    string                 // has the rest of a transaction wait for locks but briefly; "" where none can be awaited
	tryLock        func(key int64) string // tells whether the transaction gets an advisory lock; nil: it always does
}

// spell returns a statement's text for the database. Each is looked through once: they are few, because every one is
// written in this package.
func (d *dialect) spell(query string) string {
	if text, ok := d.spelled.Load(query); ok {
		return text.(string) //nolint:errcheck,forcetypeassert // it is of what is stored below
	}
	text := d.words.Replace(query)
	d.spelled.Store(query, text)
	return text
}

// deadline is when something has taken too long that begins now; zero if it ends by itself.
func (d *dialect) deadline(patience time.Duration) time.Time {
	if !d.remote {
		return time.Time{}
	}
	return time.Now().Add(patience)
}
