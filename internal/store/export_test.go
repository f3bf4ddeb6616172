package store

import (
	"database/sql"
	"maps"
)

// Prepared returns the texts of the statements that were prepared for reading and for writing.
func (s *Store) Prepared() []string {
	var texts []string
	for _, of := range []*statements{s.read, s.write} {
		of.mu.Lock()
		for text := range maps.Keys(of.prepared) {
			texts = append(texts, text)
		}
		of.mu.Unlock()
	}
	return texts
}

// Statement is one that a list runs.
type Statement struct {
	Text string
	Args []any
}

// ListStatements returns those that read executions for a list, with ids above one.
func (s *Store) ListStatements(f Filter, above int64) []Statement {
	by, others := f.lead()
	within := ids{above, 1 << 40}
	var all []Statement
	add := func(text string, args []any) { all = append(all, Statement{s.dialect.spell(text), args}) }
	add(selection(listedColumns, by, append(others, f.times()...), within, f.Limit+1, 0))
	if others != nil {
		add(selection("id", by, nil, within, 1, MaxLooked))
	}
	return all
}

// Reader returns the pool of those who only read, with the settings that its sessions have.
func (s *Store) Reader() *sql.DB { return s.read.pool }
