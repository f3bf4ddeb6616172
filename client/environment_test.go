package client_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
)

func TestActionsFindTheirServerInTheEnvironment(t *testing.T) { // not parallel: the environment is the process's
	asked := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path + " " + r.Header.Get("Authorization")
		_, _ = w.Write([]byte(`{"name":"execution 7 (a.b)","role":"","packs":[],"execution":7}`))
	}))
	defer server.Close()
	t.Setenv(client.EnvURL, server.URL)
	t.Setenv(client.EnvToken, "")
	if _, err := client.FromEnvironment(); attune.ErrorCode(err) != attune.CodeUnavailable {
		t.Errorf("without a token: %v", err)
	}
	t.Setenv(client.EnvToken, "attune_x_7")
	c, err := client.FromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	caller, err := c.Caller(t.Context())
	if err != nil || asked != "/api/v1/caller Bearer attune_x_7" || caller.Execution == nil || *caller.Execution != 7 {
		t.Errorf("%s: %+v %v", asked, caller, err)
	}
}
