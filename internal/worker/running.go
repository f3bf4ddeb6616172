package worker

// Running returns how many executions have a slot now, also before and after their processes run.
func (w *Worker) Running() int { return w.slots.used() }
