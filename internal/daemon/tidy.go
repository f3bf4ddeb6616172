package daemon

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/attune-automation/attune/internal/worker"
)

// Tidying a data directory.
const (
	tidyInterval = time.Hour
	tidyTime     = 2 * time.Second // how long a command may last on for it
	tidyFile     = "tidied"        // its modification time says when the data directory was last tidied
)

// tidyDue tells whether this process is to tidy the data directory, and notes that it does. Where no server runs,
// commands take turns: one an hour.
func tidyDue(dataDir string) (bool, error) {
	path := filepath.Join(dataDir, tidyFile)
	info, err := os.Stat(path)
	if err == nil && time.Since(info.ModTime()) < tidyInterval {
		return false, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return true, writeFile(path, "", 0o600)
}

func (p *Parts) tidy(ctx context.Context) error {
	host := worker.Host{
		Store: p.store, Objects: p.objects, Logger: p.log, DataDir: p.cfg.DataDir, ArtifactsDir: p.cfg.Artifacts.Dir, Retention: p.retention(),
	}
	return host.Tidy(ctx)
}

// tidyHourly tidies at once and then every hour, until ctx ends. It is no reason to end.
func (p *Parts) tidyHourly(ctx context.Context) error {
	ticker := time.NewTicker(tidyInterval)
	defer ticker.Stop()
	for {
		if err := p.tidy(ctx); err != nil && ctx.Err() == nil {
			p.log.Error("tidying the data directory failed, it is repeated", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// tidyOnce tidies the data directory within tidyTime, even if ctx ends: a command may be all that ever runs here.
func (p *Parts) tidyOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
	defer cancel()
	if err := p.tidy(ctx); err != nil && ctx.Err() == nil {
		p.log.Error("tidying the data directory failed, it is repeated", "error", err)
	}
	return nil
}
