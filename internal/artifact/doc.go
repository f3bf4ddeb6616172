// Package artifact owns the files that a worker keeps of its executions: the two logs, the result, what the action
// left in $ATTUNE_ARTIFACTS_DIR, and the trace.
//
//	{dir}/{worker}/execution_{id}/stdout.log  stderr.log  result.json  trace.json  files/…
//	{dir}/{worker}/execution_{id}/attempt_{n}/…                                    attempts after the first
//	{dir}/{worker}/.held/{id}-{n}/…                        what was added and is not masked yet
//
// The worker creates, fills, collects and deletes them; the API lists, opens and follows them, and adds files. Directories are 0700
// and files 0600. Names that come from outside are opened through os.Root, so that neither "../"
// nor a symbolic link that an action left leads out of its directory.
//
// It never decides how an execution ends: every failure is an *Error for the caller to report, and a log that can no
// longer be written swallows and counts what it is given, so that a full disk never blocks or fails the process that
// writes into it. It knows nothing of rows; who calls Sweep says what may go.
package artifact
