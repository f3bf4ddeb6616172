package inproc

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// message is one queue's own copy of what was published; they share the body.
type message struct {
	sequence   uint64 // place in the queue, kept when it is given back
	key        string
	body       []byte
	headers    map[string]string
	deliveries int
}

// queue is guarded by its broker's lock.
type queue struct {
	name      string
	limit     int
	exclusive bool
	keys      [][]string // patterns, by words
	sequence  uint64
	waiting   []*message // by sequence
	consumers []*consumer
	expires   time.Duration
	idleSince time.Time // when the last consumer went; means nothing while there is one
}

func (q *queue) bind(keys []string) {
	for _, key := range keys {
		words := strings.Split(key, ".")
		if !slices.ContainsFunc(q.keys, func(known []string) bool { return slices.Equal(known, words) }) {
			q.keys = append(q.keys, words)
		}
	}
}

func (q *queue) binds(words []string) bool {
	return slices.ContainsFunc(q.keys, func(pattern []string) bool { return matches(pattern, words) })
}

// push appends m and reports whether there was room.
func (q *queue) push(m *message) bool {
	if len(q.waiting) >= q.limit {
		return false
	}
	q.sequence++
	m.sequence = q.sequence
	q.waiting = append(q.waiting, m)
	q.signal()
	return true
}

// pop takes the oldest message, nil if there is none.
func (q *queue) pop() *message {
	if len(q.waiting) == 0 {
		return nil
	}
	m := q.waiting[0]
	q.waiting[0] = nil // else the array keeps it alive
	q.waiting = q.waiting[1:]
	return m
}

// putBack returns m to its old place. It may exceed the limit by what consumers held.
func (q *queue) putBack(m *message) {
	place, _ := slices.BinarySearchFunc(q.waiting, m, func(a, b *message) int { return cmp.Compare(a.sequence, b.sequence) })
	q.waiting = slices.Insert(q.waiting, place, m)
	q.signal()
}

func (q *queue) drop(c *consumer) {
	q.consumers = slices.DeleteFunc(q.consumers, func(other *consumer) bool { return other == c })
	q.idleSince = time.Now()
}

func (q *queue) expired(now time.Time) bool {
	return q.expires > 0 && len(q.consumers) == 0 && now.Sub(q.idleSince) >= q.expires
}

// signal wakes every consumer; those that find nothing wait again.
func (q *queue) signal() {
	for _, c := range q.consumers {
		c.signal()
	}
}

// matches tells whether a pattern takes a routing key, both by words.
func matches(pattern, words []string) bool {
	if len(pattern) == 0 {
		return len(words) == 0
	}
	if pattern[0] == "#" {
		return matches(pattern[1:], words) || len(words) > 0 && matches(pattern, words[1:])
	}
	return len(words) > 0 && (pattern[0] == "*" || pattern[0] == words[0]) && matches(pattern[1:], words[1:])
}
