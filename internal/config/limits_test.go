package config_test

import (
	"strings"
	"testing"

	"github.com/attune-automation/attune"
)

func TestLimitsAreRead(t *testing.T) {
	t.Parallel()
	c, err := load(t, "worker: {resources: {memory: 256Mi, cpus: 0.5}, max_resources: {disk: 1GiB}}\n", "ATTUNE__WORKER__RESOURCES=memory=1MiB, pids=64")
	if err != nil {
		t.Fatal(err)
	}
	if want := (attune.Limits{Memory: 1 << 20, PIDs: 64}); c.Worker.Resources != want || c.Worker.MaxResources != (attune.Limits{Disk: 1 << 30}) {
		t.Errorf("%+v %+v", c.Worker.Resources, c.Worker.MaxResources)
	}
	var shown strings.Builder
	if err := c.Write(&shown); err != nil || !strings.Contains(shown.String(), `resources: {memory: 1MiB, pids: "64"}`) {
		t.Errorf("%v %s", err, shown.String())
	}
	for text, want := range map[string]string{
		"worker: {resources: {memory: lots}}\n": `"lots" is not a size`,
		"worker: {resources: {memory: 1}}\n":    "memory: want 1048576 to",
		"worker: {resources: {mem: 1}}\n":       "unknown limit",
		"worker: {max_resources: [1]}\n":        "must be a mapping",
	} {
		if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
