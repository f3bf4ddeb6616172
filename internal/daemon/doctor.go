package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/config"
	"github.com/attune-automation/attune/internal/objects"
	"github.com/attune-automation/attune/internal/process"
	"github.com/attune-automation/attune/internal/worker"
)

// Finding is what a look at this host has found.
type Finding struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"` // why not, or how
}

// Doctor looks what a worker with these settings could do on this host. It opens no database.
func Doctor(ctx context.Context, cfg *config.Config, log *slog.Logger) (found []Finding, err error) {
	dir, err := os.MkdirTemp("", "attune-doctor-")
	if err != nil {
		return nil, fmt.Errorf("a directory to try in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	processes, err := process.New(process.Config{Name: "doctor", RecordsDir: dir, Logger: log})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, processes.Close()) }()
	isolation, err := isolationOf(cfg)
	if err != nil {
		return nil, err
	}
	if err := shield(); err != nil {
		return nil, err
	}
	mechanism, err := processes.Mechanism()
	if err != nil {
		return nil, err
	}
	found = append(found, Finding{"processes", true, "told apart and ended by " + string(mechanism)})
	lacks, err := processes.Lacking(process.Limits{Memory: 1, CPUs: 1, PIDs: 1})
	if err != nil {
		return nil, err
	}
	for _, limit := range []process.Limit{process.LimitMemory, process.LimitCPUs, process.LimitPIDs} {
		found = append(found, finding("limit "+string(limit), lacks[limit]))
	}
	found = append(found, finding("room", room(cfg)))
	if cfg.Artifacts.Store != "" {
		found = append(found, finding("artifact store", probe(ctx, cfg.Artifacts.Store)))
	}
	return append(found, isolationFindings(ctx, cfg, worker.NewConfiner(isolation, processes))...), nil
}

// probeTime is how long an artifact store may take to be looked at.
const probeTime = 30 * time.Second

// probe tells why nothing can be put into the artifact store, read there, or removed.
func probe(ctx context.Context, url string) (err error) {
	objects, err := objects.New(url)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	return errors.Join(objects.Probe(ctx), objects.Close())
}

// room tells what a worker would take nothing for.
func room(cfg *config.Config) error {
	short, err := cfg.Worker.MinFree.Shortages([]string{cfg.DataDir, cfg.Artifacts.Dir}, nil)
	if err == nil && len(short) > 0 {
		err = fmt.Errorf("less is free than worker.min_free: it would take nothing for want of %s", attune.ShortOfText(short))
	}
	return err
}

func isolationFindings(ctx context.Context, cfg *config.Config, confiner *worker.Confiner) (found []Finding) {
	for _, level := range attune.Isolations() {
		one := finding("isolation "+string(level), confiner.Possible(level))
		if level == cfg.Worker.Isolation {
			one.Detail = strings.TrimPrefix(one.Detail+"; it is worker.isolation", "; ")
		}
		found = append(found, one)
		if !one.OK {
			continue
		}
		readable, err := confiner.Readable(ctx, level)
		if err == nil && len(readable) > 0 {
			err = errors.New("actions can read " + strings.Join(readable, ", "))
		}
		found = append(found, finding("secrets at "+string(level), err))
	}
	return found
}

func finding(check string, why error) Finding {
	if why != nil {
		return Finding{check, false, why.Error()}
	}
	return Finding{check, true, ""}
}
