// Package config owns the settings of the program: their names, defaults, forms and bounds, and where each value came
// from. Defaults come first, then the file attune.yaml, then the environment (ATTUNE__SECTION__KEY), then flags.
//
// The commands load a Config once and hand its parts to the packages, which know nothing of files or variables. Every
// key is either effective or rejected: a key that a later version will have is an error that says so.
package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/host"
)

// Config is every setting. Its parts are named as the sections of attune.yaml.
type Config struct {
	File         string // attune.yaml, "" for none; not a key
	DataDir      string // what relative paths are relative to; not a key of the file
	Database     Database
	MessageQueue MessageQueue
	Server       Server
	Worker       Worker
	Artifacts    Artifacts
	Security     Security
	Log          Log

	origins map[string]string // key to what set it
}

// Database says where the state is.
type Database struct {
	URL            string // sqlite:PATH or postgres://…
	MaxConnections int
}

// MessageQueue says where the messages go.
type MessageQueue struct {
	URL      string // inproc: or amqp://…
	Exchange string
}

// Server says where the API listens, and how much it takes.
type Server struct {
	Listen      string
	URL         string // how others reach it; "" if that is not said
	TLSCertFile string // both or neither
	TLSKeyFile  string
	BehindProxy bool // which brings TLS, or is content without
	MaxWaiting  int  // executions, before submissions are refused; 0 for any number
	RateLimit   int  // requests a second with one token; 0 for any number

	Origins            []string // of pages elsewhere that may call the API
	AuditRetentionDays int      // 0 keeps the audit log
}

// Worker says what a worker calls itself and how it works.
type Worker struct {
	Name               string
	Type               string
	RuntimeID          string
	Host               string
	Port               string // of health and metrics: a port of this host alone, or an address; "" for none
	Labels             map[string]string
	Path               string // PATH of actions
	Isolation          attune.Isolation
	RunAs              string // users of executions
	SandboxNetwork     bool
	Resources          attune.Limits // of executions whose action names none
	MaxResources       attune.Limits // of all executions
	MinFree            host.Headroom // below it, nothing new is taken
	MaxConcurrentTasks int
	MaxOutputBytes     int64
	MaxResultBytes     int64
	HeartbeatInterval  time.Duration
	TaskTimeout        time.Duration
	ShutdownTimeout    time.Duration
	KillGrace          time.Duration
	Trace              bool
	SecretsDelivery    string // DeliverEnv or DeliverFile
}

// The ways in which keys reach an action: in its environment and as files, or as files alone.
const (
	DeliverEnv  = "env"
	DeliverFile = "file"
)

// Artifacts says where files are kept, and for how long.
type Artifacts struct {
	Dir           string
	Store         string // s3://… or file://…; "" for none
	RetentionDays int    // 0 keeps them
}

// Security says where the master keys are.
type Security struct{ EncryptionKeyFile string }

// Log says what is logged, and how.
type Log struct {
	Level  string // debug info warn error
	Format string // auto text json
}

// DefaultPath is the PATH of actions, the usual one of Debian's login.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Source says where Load reads from.
type Source struct {
	File       string   // attune.yaml; "" for none
	DataDir    string   // "" for the default
	Environ    []string // NAME=value, as os.Environ returns it
	HostName   string
	WorkerName string // of the flag --name; "" for none

	BehindProxy bool // of the flag --behind-proxy
}

// Load reads, merges and checks the settings. Errors name the place (file:line:column, or the variable) and what
// would be right; all of them are reported together.
func Load(src Source) (*Config, error) {
	c := &Config{DataDir: src.DataDir, origins: map[string]string{}}
	if c.DataDir == "" {
		dir, err := defaultDataDir()
		if err != nil {
			return nil, err
		}
		c.DataDir = dir
		if src.File != "" {
			if c.File, err = filepath.Abs(src.File); err != nil {
				return nil, fmt.Errorf("configuration file %s: %w", src.File, err)
			}
		}
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", c.DataDir, err)
	}
	c.DataDir = dir
	faults := &faults{}
	c.applyDefaults(src.HostName)
	if src.File != "" {
		if err := c.applyFile(src.File, faults); err != nil {
			return nil, err
		}
	}
	c.applyEnviron(src.Environ, faults)
	c.applyFlag("worker.name", src.WorkerName, "--name", faults)
	if src.BehindProxy {
		c.applyFlag("server.behind_proxy", "true", "--behind-proxy", faults)
	}
	c.derive()
	c.checkShape(faults)
	return c, faults.err()
}

// defaultDataDir is $XDG_STATE_HOME/attune, by the XDG Base Directory Specification.
func defaultDataDir() (string, error) {
	if state := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "attune"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no home directory to keep data in (%w): set --data-dir or ATTUNE_DATA_DIR", err)
	}
	return filepath.Join(home, ".local", "state", "attune"), nil
}

// derive fills in what follows from other settings.
func (c *Config) derive() {
	if !filepath.IsAbs(c.Artifacts.Dir) {
		c.Artifacts.Dir = filepath.Join(c.DataDir, c.Artifacts.Dir)
	}
	if file := c.Security.EncryptionKeyFile; file != "" && !filepath.IsAbs(file) {
		c.Security.EncryptionKeyFile = filepath.Join(c.DataDir, file)
	}
	for _, file := range []*string{&c.Server.TLSCertFile, &c.Server.TLSKeyFile} {
		if *file != "" && !filepath.IsAbs(*file) {
			*file = filepath.Join(c.DataDir, *file)
		}
	}
	if c.Worker.Name == "" {
		c.Worker.Name = workerName(c.Worker.Host)
	}
}

// Production tells whether the state is in PostgreSQL and the messages are in RabbitMQ; else the shape is the embedded
// one.
func (c *Config) Production() bool { return strings.HasPrefix(c.Database.URL, "postgres") }

// checkShape refuses half of a shape: several processes on PostgreSQL reach each other through RabbitMQ alone, and
// those on a SQLite file are on one host.
func (c *Config) checkShape(faults *faults) {
	remote := strings.HasPrefix(c.MessageQueue.URL, "amqp")
	switch {
	case c.Production() && !remote:
		faults.add(c.Origin("database.url"), "database.url is PostgreSQL, so message_queue.url must be amqp://…: with both, "+
			"`attune server` and `attune worker` run on any number of hosts")
	case !c.Production() && remote:
		faults.add(c.Origin("message_queue.url"), "message_queue.url is RabbitMQ, so database.url must be postgres://…: "+
			"with SQLite, leave message_queue.url out")
	}
	if !c.Production() && c.Artifacts.Store != "" {
		faults.add(c.Origin("artifacts.store"), "artifacts.store has no effect with SQLite, where all is on one host: leave it out")
	}
	c.checkListener(faults)
	if c.Worker.Isolation == attune.IsolationUser && c.Worker.RunAs == "" {
		faults.add(c.Origin("worker.isolation"), "worker.isolation user needs users: set worker.run_as to a range of user ids, like 20000-20009")
	}
	if !remote && c.MessageQueue.Exchange != defaultExchange {
		faults.add(c.Origin("message_queue.exchange"), "message_queue.exchange has no effect without RabbitMQ: leave it out")
	}
}

// checkListener refuses to send tokens and secrets in clear over a network.
func (c *Config) checkListener(faults *faults) {
	s := c.Server
	if (s.TLSCertFile == "") != (s.TLSKeyFile == "") {
		faults.add(c.Origin("server.tls_cert_file"), "server.tls_cert_file and server.tls_key_file belong together: set both, or neither")
	}
	if s.TLSCertFile == "" && !s.BehindProxy && !loopback(s.Listen) {
		faults.add(c.Origin("server.listen"), "server.listen %s is reached from other hosts, and tokens and secrets would go there in clear: set "+
			"server.tls_cert_file and server.tls_key_file; or server.behind_proxy (--behind-proxy) if a proxy brings TLS", s.Listen)
	}
}

// Origin tells what set a key: default, the file's name with the line, or the variable.
func (c *Config) Origin(key string) string { return c.origins[key] }
