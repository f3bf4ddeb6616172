package daemon

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/config"
	"github.com/attune-automation/attune/internal/objects"
	"github.com/attune-automation/attune/internal/process"
	"github.com/attune-automation/attune/internal/runtime"
	"github.com/attune-automation/attune/internal/worker"
)

// secretVariables begin the names of those that may hold a password or a token.
var secretVariables = []string{"ATTUNE", "AWS", "PG"}

// shield keeps from actions what this process knows. It is done once, and for good.
var shield = sync.OnceValue(func() error {
	return process.Shield(func(name string) bool {
		for _, beginning := range secretVariables {
			if strings.HasPrefix(name, beginning) {
				return true
			}
		}
		return false
	})
})

// isolationOf is that of a worker with these settings.
func isolationOf(cfg *config.Config) (worker.Isolation, error) {
	settings := cfg.Worker
	users, err := usersOf(settings.RunAs)
	if err != nil {
		return worker.Isolation{}, err
	}
	if len(users) > 0 && len(users) < settings.MaxConcurrentTasks {
		return worker.Isolation{}, attune.Errorf(attune.CodeInvalid, "worker.run_as names %d users, and worker.max_concurrent_tasks is %d: "+
			"executions at once need a user each, or they could read each other's files", len(users), settings.MaxConcurrentTasks)
	}
	i := worker.Isolation{
		Level: settings.Isolation, Users: users, Network: settings.SandboxNetwork,
		Hidden:  []string{cfg.DataDir, cfg.Artifacts.Dir},
		Secrets: []string{filepath.Join(cfg.DataDir, tokenFile)},
	}
	if path, ok := strings.CutPrefix(cfg.Database.URL, "sqlite:"); ok {
		if !filepath.IsAbs(path) {
			path = filepath.Join(cfg.DataDir, path)
		}
		i.Secrets = append(i.Secrets, path)
	}
	if cfg.File != "" {
		i.Secrets = append(i.Secrets, cfg.File)
	}
	i.Secrets = append(i.Secrets, filepath.Join(cfg.DataDir, masterKeys))
	if cfg.Security.EncryptionKeyFile != "" {
		i.Secrets = append(i.Secrets, cfg.Security.EncryptionKeyFile)
	}
	if store := cfg.Artifacts.Store; store != "" {
		i.Hidden = append(i.Hidden, objects.Directories(store)...)
		i.Secrets = append(i.Secrets, objects.CredentialFiles(store, os.Getenv)...)
	}
	i.Hidden = append(i.Hidden, i.Secrets...)
	return i, nil
}

// usersOf reads worker.run_as, of which config has checked the form.
func usersOf(text string) (users []runtime.User, err error) {
	if text == "" {
		return nil, nil
	}
	if first, last, ok := strings.Cut(text, "-"); ok {
		from, err1 := strconv.ParseUint(first, 10, 32)
		to, err2 := strconv.ParseUint(last, 10, 32)
		if err1 == nil && err2 == nil {
			if to < from || to-from > 10000 {
				return nil, attune.Errorf(attune.CodeInvalid, "worker.run_as: %s is not a range of up to 10000 user ids", text)
			}
			for id := from; id <= to; id++ {
				users = append(users, runtime.User{UID: uint32(id), GID: uint32(id)})
			}
			return users, nil
		}
	}
	for name := range strings.SplitSeq(text, ",") {
		one, err := lookUp(name)
		if err != nil {
			return nil, attune.Errorf(attune.CodeInvalid, "worker.run_as: %v", err)
		}
		users = append(users, one)
	}
	return users, nil
}

// lookUp finds a user by name, or takes an id that may have no name.
func lookUp(name string) (runtime.User, error) {
	if id, err := strconv.ParseUint(name, 10, 32); err == nil && id > 0 {
		return runtime.User{UID: uint32(id), GID: uint32(id)}, nil
	}
	found, err := user.Lookup(name)
	if err != nil {
		return runtime.User{}, err
	}
	uid, err1 := strconv.ParseUint(found.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(found.Gid, 10, 32)
	if err1 != nil || err2 != nil || uid == 0 {
		return runtime.User{}, fmt.Errorf("%s is root: name another user", name)
	}
	return runtime.User{UID: uint32(uid), GID: uint32(gid)}, nil
}
