package execution

// Finishing returns how many calls of Finish wait for the next transaction.
func (s *Service) Finishing() int { return s.finishes.Waiting() }
