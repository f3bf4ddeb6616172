package store

import "maps"

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
