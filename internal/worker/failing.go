package worker

import (
	"log/slog"

	"github.com/attune-automation/attune/internal/outage"
)

// failing is what the log is told of what the worker does again and again, about once a second in an outage.
type failing struct {
	heartbeat *outage.Log
	refresh   *outage.Log // of what it can run
	rows      *outage.Log // that were placed here, read
	claim     *outage.Log
	finish    *outage.Log
	spool     *outage.Log // written to this host's disk
	deliver   *outage.Log // what is there
	abandon   *outage.Log // what the table has here and does not run
	host      *outage.Log // looked at for what is free
	short     *outage.Log // of what, stored
	token     *outage.Log // of an attempt, made
}

func nothingFails(log *slog.Logger) failing {
	return failing{
		heartbeat: outage.New(log), refresh: outage.New(log), rows: outage.New(log), claim: outage.New(log),
		finish: outage.New(log), spool: outage.New(log), deliver: outage.New(log), abandon: outage.New(log),
		host: outage.New(log), short: outage.New(log), token: outage.New(log),
	}
}
