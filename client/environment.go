package client

import (
	"os"

	"github.com/attune-automation/attune"
)

// What an action finds in its environment: where the API is, and the token of its own execution.
const (
	EnvURL   = "ATTUNE_API_URL"
	EnvToken = "ATTUNE_API_TOKEN" //nolint:gosec // the variable's name
)

// FromEnvironment returns the client of an action: it may read its own execution, add artifacts to it, and start what the
// action lists in may_start. It ends with the attempt.
func FromEnvironment() (*Client, error) {
	address, token := os.Getenv(EnvURL), os.Getenv(EnvToken)
	if address == "" || token == "" {
		return nil, attune.Errorf(attune.CodeUnavailable, "%s and %s are not set: this is no action, or its worker does not know where "+
			"the API is (server.url)", EnvURL, EnvToken)
	}
	return New(Config{BaseURL: address, Token: token}), nil
}
