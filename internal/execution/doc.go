// Package execution owns the life of an execution: each legal transition of package attune's table is one method of
// Service, and no other code changes a status.
//
// The API submits and cancels, the scheduler places and rescues, workers claim and finish. Each method writes the row
// in one transaction, fenced by what it believes the row to be, and publishes its message after the commit. A message
// that is lost changes nothing but the delay: the row is the truth, and the sweep publishes again.
//
// Calls that come together share one transaction. The package never waits for anybody but the database and the broker,
// starts no goroutine that outlives the calls it works for, and never touches a process or a file.
package execution
