package worker

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/process"
	"github.com/attune-automation/attune/internal/runtime"
)

// limitsOf are the action's own limits, else the worker's, and never none where the worker has a most.
func (w *Worker) limitsOf(a attune.Action) (attune.Limits, error) {
	asked, deflt, most := a.Limits, w.cfg.Resources, w.cfg.MaxResources
	var faults []string
	l := attune.Limits{
		Memory:    bounded("memory", asked.Memory, deflt.Memory, most.Memory, &faults),
		CPUs:      bounded("cpus", asked.CPUs, deflt.CPUs, most.CPUs, &faults),
		PIDs:      bounded("pids", asked.PIDs, deflt.PIDs, most.PIDs, &faults),
		FileSize:  bounded("file_size", asked.FileSize, deflt.FileSize, most.FileSize, &faults),
		OpenFiles: bounded("open_files", asked.OpenFiles, deflt.OpenFiles, most.OpenFiles, &faults),
		Disk:      bounded("disk", asked.Disk, deflt.Disk, most.Disk, &faults),
	}
	if len(faults) > 0 {
		return l, runtime.Setupf("%s asks for more than worker.max_resources of worker %s: %s: ask for less, or run it elsewhere",
			a.Ref, w.cfg.Name, strings.Join(faults, ", "))
	}
	return l, nil
}

func bounded[T cmp.Ordered](name string, asked, deflt, most T, faults *[]string) T {
	var none T
	if most == none {
		return cmp.Or(asked, deflt)
	}
	if asked > most {
		*faults = append(*faults, fmt.Sprintf("resources.%s %v, at most %v", name, asked, most))
	}
	return min(cmp.Or(asked, deflt, most), most)
}

// tellLacking says once which limits of the settings this host does not keep. Each execution that is to have one says it
// again, for who runs it.
func (w *Worker) tellLacking() error {
	all, err := w.limitsOf(attune.Action{})
	if err != nil {
		return err
	}
	lacks, err := w.deps.Processes.Lacking(process.Limits(all))
	if err != nil {
		return err
	}
	for _, limit := range slices.Sorted(maps.Keys(lacks)) {
		w.log.Warn("a limit is not kept on this host: `attune doctor` says what would be needed", "limit", limit, "why", lacks[limit])
	}
	return nil
}
