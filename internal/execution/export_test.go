package execution

// Finishing returns how many calls of Finish wait for the next transaction.
func (s *Service) Finishing() int {
	s.finishes.mu.Lock()
	defer s.finishes.mu.Unlock()
	return len(s.finishes.waiting)
}
