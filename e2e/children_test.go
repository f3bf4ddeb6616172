package e2e_test

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
)

// callingPack has an action that starts another one, waits for it and adds an artifact; with a key, what it adds is masked.
var callingPack = map[string]string{
	"pack.yaml":          "ref: calling\n",
	"actions/all.yaml":   "ref: calling.all\nentry_point: all.py\nmay_start: [calling.one]\n",
	"actions/keyed.yaml": "ref: calling.keyed\nentry_point: all.py\nmay_start: [calling.one]\nsecrets: [api_key]\n",
	"actions/one.yaml":   "ref: calling.one\nentry_point: one.sh\n",
	"actions/one.sh":     "echo started\n",
	"actions/all.py": `import json, os, urllib.request

def call(method, path, body=None, kind="application/json"):
    request = urllib.request.Request(os.environ["ATTUNE_API_URL"] + "/api/v1" + path, data=body, method=method)
    request.add_header("Authorization", "Bearer " + os.environ["ATTUNE_API_TOKEN"])
    request.add_header("Content-Type", kind)
    return json.load(urllib.request.urlopen(request))

def run():
    child = call("POST", "/executions", b'{"action": "calling.one"}')
    ended = call("GET", "/executions/%d?wait=30s" % child["id"])
    text = "key " + os.environ.get("SECRET_API_KEY", "none")
    call("PUT", "/executions/%s/artifacts/files/added" % os.environ["ATTUNE_EXECUTION_ID"], text.encode(), "application/octet-stream")
    return {"child": child["id"], "status": ended["status"], "parent": ended["parent"]}
`,
}

func TestActionsCallAttune(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, as shape) {
		h := newHost(t, as)
		if as == production {
			file := filepath.Join(h.root, "master.keys")
			h.attune(0, "key", "generate", file)
			h.env = append(h.env, "ATTUNE__SECURITY__ENCRYPTION_KEY_FILE="+file)
		}
		s := &system{}
		if as == embedded {
			s = h.up()
		} else { // its worker has to be told where the server is
			s.server = h.spawn("server")
			h.env = append(h.env, "ATTUNE__SERVER__URL="+s.server.log.url())
			s.worker, s.Client = h.spawn("worker", "--data-dir", h.workerDir("w"), "--name", "w"), h.client(s.server)
		}
		h.attune(0, "pack", "install", writePack(t, callingPack))
		id := attune.KeyID{Owner: attune.OwnerSystem, Name: "api_key"}
		if _, err := s.SetKey(t.Context(), id, []byte("hunter2-hunter2"), false); err != nil {
			t.Fatal(err)
		}
		for ref, want := range map[attune.Ref]string{"calling.all": "key none", "calling.keyed": "key ********"} {
			e, err := s.Submit(t.Context(), client.Submission{Action: ref})
			if err != nil {
				t.Fatal(err)
			}
			if e, err = s.WaitExecution(t.Context(), e.ID); err != nil || e.Status != attune.StatusCompleted {
				t.Fatalf("%s: %s %+v %v", ref, e.Status, e.Error, err)
			}
			children, err := s.Executions(t.Context(), client.Filter{Parent: e.ID})
			if err != nil || len(children.Items) != 1 || children.Items[0].Status != attune.StatusCompleted || !strings.Contains(string(e.Result), `"completed"`) {
				t.Errorf("%s: %+v %s %v", ref, children.Items, e.Result, err)
			}
			if got := h.attune(0, "execution", "artifacts", strconv.FormatInt(e.ID, 10), "files/added"); got != want {
				t.Errorf("%s added %q, want %q", ref, got, want)
			}
		}
	})
}
