package api_test

import (
	"bytes"
	"context"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/api"
	"github.com/attune-automation/attune/internal/pack"
)

func archiveOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	tree := fstest.MapFS{}
	for name, content := range files {
		tree[name] = &fstest.MapFile{Data: []byte(content), Mode: fs.FileMode(0o644)}
	}
	archive, _, err := pack.Archive(tree)
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

// install installs a pack that must be right.
func (s *server) install(ref string, files map[string]string) attune.Pack {
	s.t.Helper()
	p, err := s.InstallPack(context.Background(), bytes.NewReader(archiveOf(s.t, files)))
	if err != nil || p.Ref != ref {
		s.t.Fatalf("%+v %v", p, err)
	}
	return p
}

func demo(version, action string) map[string]string {
	return map[string]string{
		"pack.yaml":                   "ref: demo\nversion: " + version + "\nlabel: Demo\n",
		"actions/" + action + ".yaml": "ref: demo." + action + "\nrunner_type: shell\nentry_point: x.sh\n",
		"actions/x.sh":                "echo " + version + "\n",
	}
}

func TestANewVersionReplacesThePackAndDisturbsNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ctx := context.Background()
	first := s.install("demo", demo("1.0.0", "old"))
	waiting := s.submit(client.Submission{Action: "demo.old"})
	second := s.install("demo", demo("2.0.0", "new"))
	if first.Digest == second.Digest || second.Version != "2.0.0" {
		t.Errorf("%+v %+v", first, second)
	}
	if _, err := s.Action(ctx, "demo.old"); attune.ErrorCode(err) != attune.CodeNotFound {
		t.Errorf("an action that the new version does not have: %v", err)
	}
	if a, err := s.Action(ctx, "demo.new"); err != nil || a.Digest != second.Digest {
		t.Errorf("%+v %v", a, err)
	}
	row, err := s.store.Read().Execution(ctx, waiting.ID)
	if err != nil {
		t.Fatal(err)
	}
	version, err := s.store.Read().ActionVersion(ctx, row.ActionID)
	if err != nil || version.Digest != first.Digest {
		t.Errorf("what waits would run %+v %v", version, err)
	}
	if err := s.RemovePack(ctx, "demo"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Action(ctx, "demo.new"); attune.ErrorCode(err) != attune.CodeNotFound {
		t.Errorf("an action of a removed pack: %v", err)
	}
	if err := s.RemovePack(ctx, "demo"); attune.ErrorCode(err) != attune.CodeNotFound {
		t.Error(err)
	}
	if _, err := s.store.Read().Archive(ctx, first.Digest); err != nil {
		t.Errorf("the files of what waits: %v", err)
	}
}

func TestWrongPacksAreRefusedWhole(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	broken := demo("1.0.0", "x")
	broken["actions/x.yaml"] += "tiemout_seconds: 5\n"
	core := demo("1.0.0", "x")
	core["pack.yaml"] = "ref: core\nversion: 9.9.9\n"
	core["actions/x.yaml"] = "ref: core.x\nrunner_type: shell\nentry_point: x.sh\n"
	for name, test := range map[string]struct {
		archive []byte
		code    attune.Code
		word    string
	}{
		"no archive":  {[]byte("hello"), attune.CodeInvalid, "gzip"},
		"empty":       {nil, attune.CodeInvalid, ""},
		"unknown key": {archiveOf(t, broken), attune.CodeInvalid, "actions/x.yaml:4:1"},
		"core":        {archiveOf(t, core), attune.CodeConflict, "core"},
		"too large":   {make([]byte, 17<<20), attune.CodeInvalid, "large"},
	} {
		_, err := s.InstallPack(context.Background(), bytes.NewReader(test.archive))
		if attune.ErrorCode(err) != test.code || !strings.Contains(err.Error(), test.word) {
			t.Errorf("%s: %v", name, err)
		}
	}
	packs, err := s.Packs(context.Background())
	if err != nil || len(packs) != 1 || packs[0].Ref != "core" || packs[0].Version == "9.9.9" {
		t.Errorf("%+v %v", packs, err)
	}
	s.wantProblem(http.MethodDelete, "/api/v1/packs/core", "", 409, "core")
	s.wantProblem(http.MethodGet, "/api/v1/packs/none", "", 404, "attune pack list")
	s.wantProblem(http.MethodGet, "/api/v1/actions/none", "", 422, "core.echo")
}

func TestCorePackIsInstalledOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ctx := context.Background()
	before, err := s.Pack(ctx, "core")
	if err != nil {
		t.Fatal(err)
	}
	if err := api.EnsureCore(ctx, s.store); err != nil {
		t.Fatal(err)
	}
	after, err := s.Pack(ctx, "core")
	if err != nil || !after.InstalledAt.Equal(before.InstalledAt) {
		t.Errorf("%v then %v, %v", before.InstalledAt, after.InstalledAt, err)
	}
	actions, err := s.Actions(ctx, "core")
	if err != nil || len(actions) != 6 {
		t.Errorf("%d actions, %v", len(actions), err)
	}
}
