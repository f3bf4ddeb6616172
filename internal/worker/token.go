package worker

import (
	"errors"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/secret"
)

// What an action finds the API by.
const (
	apiURL   = "ATTUNE_API_URL"
	apiToken = "ATTUNE_API_TOKEN"
)

// findKeys finds out at the start whether actions can have tokens, and says it if they can't. It may make the master keys
// of the embedded shape.
func (w *Worker) findKeys() {
	if w.cfg.APIURL == "" {
		if !w.cfg.Exclusive { // a command that is its own worker has no API that others could reach
			w.log.Info("actions get no " + apiURL + " and no " + apiToken + ": server.url is not set")
		}
		return
	}
	_, err := w.deps.Keys.Keyring()
	if errors.Is(err, secret.ErrNoSource) {
		w.log.Info("actions get no "+apiURL+" and no "+apiToken, "error", err)
		w.cfg.APIURL = ""
	}
}

// tokenOf makes the token of an attempt; "" if it gets none, and then it runs without.
func (w *Worker) tokenOf(f attune.Fence) string {
	if w.cfg.APIURL == "" {
		return ""
	}
	token, err := w.deps.Keys.TokenOf(f)
	if err != nil {
		w.failing.token.Warn("actions run without "+apiURL+" and "+apiToken, err)
		return ""
	}
	w.failing.token.Over("actions have " + apiURL + " and " + apiToken + " again")
	return token
}
