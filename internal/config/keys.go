package config

import (
	"fmt"
	"math"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker/amqp"
	"github.com/attune-automation/attune/internal/host"
	"github.com/attune-automation/attune/internal/objects"
	"github.com/attune-automation/attune/internal/store"
)

// key is one setting: its name, its default, and how its text is read into a Config and shown again.
type key struct {
	name    string // section.key
	deflt   string
	set     func(c *Config, text string) error
	show    func(c *Config) any
	special func(c *Config, v value) error // for values that are no scalar
	listed  bool                           // special takes a list, and not a mapping
}

// keys are all settings, in the order of the contract.
func keys() []key {
	return []key{
		address("database.url", "sqlite:attune.db", func(c *Config) *string { return &c.Database.URL }, databaseURL),
		number("database.max_connections", "20", 1, 1000, func(c *Config) *int { return &c.Database.MaxConnections }),
		address("message_queue.url", "inproc:", func(c *Config) *string { return &c.MessageQueue.URL }, queueURL),
		text("message_queue.exchange", defaultExchange, func(c *Config) *string { return &c.MessageQueue.Exchange }, exchange),
		text("server.listen", "127.0.0.1:7080", func(c *Config) *string { return &c.Server.Listen }, listenAddress),
		text("server.url", "", func(c *Config) *string { return &c.Server.URL }, serverURL),
		text("server.tls_cert_file", "", func(c *Config) *string { return &c.Server.TLSCertFile }, nil),
		text("server.tls_key_file", "", func(c *Config) *string { return &c.Server.TLSKeyFile }, nil),
		flag("server.behind_proxy", "false", func(c *Config) *bool { return &c.Server.BehindProxy }),
		number("server.max_waiting", "10000", 0, 10_000_000, func(c *Config) *int { return &c.Server.MaxWaiting }),
		number("server.rate_limit", "2000", 0, 1_000_000, func(c *Config) *int { return &c.Server.RateLimit }),
		list("server.cors_origins", "https://dashboard.example", func(c *Config) *[]string { return &c.Server.Origins }, origin),
		number("server.audit_retention_days", "365", 0, 36500, func(c *Config) *int { return &c.Server.AuditRetentionDays }),
		text("worker.name", "", func(c *Config) *string { return &c.Worker.Name }, attune.CheckWorkerName),
		text("worker.worker_type", attune.WorkerTypeLocal, func(c *Config) *string { return &c.Worker.Type }, workerType),
		text("worker.runtime_id", "", func(c *Config) *string { return &c.Worker.RuntimeID }, oneOf(attune.RuntimePython, attune.RuntimeShell)),
		text("worker.host", "", func(c *Config) *string { return &c.Worker.Host }, nil),
		text("worker.port", "", func(c *Config) *string { return &c.Worker.Port }, workerPort),
		number("worker.max_concurrent_tasks", "10", 1, 10000, func(c *Config) *int { return &c.Worker.MaxConcurrentTasks }),
		duration("worker.heartbeat_interval", "30s", time.Second, time.Hour, func(c *Config) *time.Duration { return &c.Worker.HeartbeatInterval }),
		duration("worker.task_timeout", "300s", time.Millisecond, 365*24*time.Hour, func(c *Config) *time.Duration { return &c.Worker.TaskTimeout }),
		duration("worker.shutdown_timeout", "30s", 0, 24*time.Hour, func(c *Config) *time.Duration { return &c.Worker.ShutdownTimeout }),
		duration("worker.kill_grace", "10s", 0, time.Hour, func(c *Config) *time.Duration { return &c.Worker.KillGrace }),
		size("worker.max_output_bytes", "10MiB", 4<<10, func(c *Config) *int64 { return &c.Worker.MaxOutputBytes }),
		size("worker.max_result_bytes", "1MiB", 1<<10, func(c *Config) *int64 { return &c.Worker.MaxResultBytes }),
		labels("worker.labels", func(c *Config) *map[string]string { return &c.Worker.Labels }),
		text("worker.isolation", string(attune.IsolationProcess), func(c *Config) *string { return (*string)(&c.Worker.Isolation) }, oneOf("process", "user", "sandbox")),
		text("worker.run_as", "", func(c *Config) *string { return &c.Worker.RunAs }, users),
		flag("worker.sandbox_network", "true", func(c *Config) *bool { return &c.Worker.SandboxNetwork }),
		limits("worker.resources", func(c *Config) *attune.Limits { return &c.Worker.Resources }),
		limits("worker.max_resources", func(c *Config) *attune.Limits { return &c.Worker.MaxResources }),
		headroom("worker.min_free", func(c *Config) *host.Headroom { return &c.Worker.MinFree }),
		text("worker.path", DefaultPath, func(c *Config) *string { return &c.Worker.Path }, searchPath),
		text("worker.secrets_delivery", DeliverEnv, func(c *Config) *string { return &c.Worker.SecretsDelivery }, oneOf(DeliverEnv, DeliverFile)),
		flag("worker.trace", "false", func(c *Config) *bool { return &c.Worker.Trace }),
		text("artifacts.dir", "artifacts", func(c *Config) *string { return &c.Artifacts.Dir }, notEmpty),
		address("artifacts.store", "", func(c *Config) *string { return &c.Artifacts.Store }, artifactStore),
		number("artifacts.retention_days", "7", 0, 36500, func(c *Config) *int { return &c.Artifacts.RetentionDays }),
		text("security.encryption_key_file", "", func(c *Config) *string { return &c.Security.EncryptionKeyFile }, nil),
		text("log.level", "info", func(c *Config) *string { return &c.Log.Level }, oneOf("debug", "info", "warn", "error")),
		text("log.format", "auto", func(c *Config) *string { return &c.Log.Format }, oneOf("auto", "text", "json")),
	}
}

var runAs = regexp.MustCompile(`^([1-9][0-9]{0,8}-[1-9][0-9]{0,8}|[a-zA-Z0-9_.-]+(,[a-zA-Z0-9_.-]+)*)$`)

const defaultExchange = "attune.executions"

func text(name, deflt string, at func(*Config) *string, check func(string) error) key {
	return key{
		name: name, deflt: deflt, show: func(c *Config) any { return *at(c) },
		set: func(c *Config, text string) error {
			if check != nil && text != deflt {
				if err := check(text); err != nil {
					return err
				}
			}
			*at(c) = text
			return nil
		},
	}
}

// address is a URL, which is shown without its passwords.
func address(name, deflt string, at func(*Config) *string, check func(string) error) key {
	k := text(name, deflt, at, check)
	k.show = func(c *Config) any { return withoutPasswords(*at(c)) }
	return k
}

func number(name, deflt string, least, most int, at func(*Config) *int) key {
	return key{
		name: name, deflt: deflt, show: func(c *Config) any { return *at(c) },
		set: func(c *Config, text string) error {
			n, err := strconv.Atoi(text)
			if err != nil || n < least || n > most {
				return fmt.Errorf("%q is not a whole number from %d to %d", text, least, most)
			}
			*at(c) = n
			return nil
		},
	}
}

func flag(name, deflt string, at func(*Config) *bool) key {
	return key{
		name: name, deflt: deflt, show: func(c *Config) any { return *at(c) },
		set: func(c *Config, text string) error {
			switch text {
			case "true", "false":
				*at(c) = text == "true"
				return nil
			}
			return fmt.Errorf("%q is neither true nor false", text)
		},
	}
}

// duration reads seconds, or a Go duration: 30, 1.5, 30s, 5m.
func duration(name, deflt string, least, most time.Duration, at func(*Config) *time.Duration) key {
	return key{
		name: name, deflt: deflt, show: func(c *Config) any { return at(c).String() },
		set: func(c *Config, text string) error {
			d, err := ParseDuration(text)
			if err != nil {
				return err
			}
			if d < least || d > most {
				return fmt.Errorf("%q is out of bounds: write %s to %s", text, least, most)
			}
			*at(c) = d
			return nil
		},
	}
}

// ParseDuration reads seconds (30, 1.5) or a Go duration (30s, 5m, 1h30m).
func ParseDuration(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if math.IsNaN(seconds) || math.Abs(seconds) > math.MaxInt64/1e10 {
			return 0, fmt.Errorf("%q is not a duration: write seconds, or 30s, 5m, 1h", text)
		}
		return time.Duration(seconds * float64(time.Second)), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration: write seconds, or 30s, 5m, 1h", text)
	}
	return d, nil
}

var units = []struct {
	suffix string
	factor int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}

func size(name, deflt string, least int64, at func(*Config) *int64) key {
	return key{
		name: name, deflt: deflt, show: func(c *Config) any { return *at(c) },
		set: func(c *Config, text string) error {
			for _, unit := range units {
				digits, ok := strings.CutSuffix(text, unit.suffix)
				n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
				if !ok || err != nil {
					continue
				}
				if n < 0 || n > math.MaxInt64/unit.factor/2 || n*unit.factor < least {
					return fmt.Errorf("%q is out of bounds: write at least %d bytes", text, least)
				}
				*at(c) = n * unit.factor
				return nil
			}
			return fmt.Errorf("%q is not a size: write 10MiB, 512KiB or a number of bytes", text)
		},
	}
}

func labels(name string, at func(*Config) *map[string]string) key {
	return mapping(name, "", "zone=eu,disk=ssd",
		func(c *Config, all map[string]string) error {
			if _, unnamed := all[""]; unnamed {
				return fmt.Errorf("a label without a name: write {zone: eu, disk: ssd}")
			}
			*at(c) = all
			return nil
		},
		func(c *Config) map[string]string { return *at(c) })
}

func databaseURL(text string) error {
	if path, ok := strings.CutPrefix(text, "sqlite:"); ok && path != "" {
		if path == ":memory:" || strings.Contains(path, "?") || strings.HasPrefix(path, "file:") {
			return fmt.Errorf("SQLite's own URLs and options are not possible here: write sqlite:PATH, a file's path")
		}
		return nil
	}
	if strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://") {
		return store.Validate(text)
	}
	return fmt.Errorf("not a database URL: write sqlite:PATH or postgres://user@host/database")
}

func queueURL(text string) error {
	if strings.HasPrefix(text, "amqp://") || strings.HasPrefix(text, "amqps://") {
		return amqp.Validate(text)
	}
	return fmt.Errorf("not a message queue URL: write inproc: or amqp://user:password@host/vhost")
}

func artifactStore(text string) error {
	if err := objects.Check(text); err != nil {
		return fmt.Errorf("not the URL of an artifact store: %w", err)
	}
	return nil
}

func exchange(text string) error {
	if text == "" || len(text) > 127 || strings.HasPrefix(text, "amq.") {
		return fmt.Errorf("%q is not an exchange's name: write up to 127 characters, and not those of RabbitMQ's own, amq.*", text)
	}
	return nil
}

func workerType(text string) error {
	if text == "remote" || text == "container" {
		return fmt.Errorf("%q is not supported in this version: write local", text)
	}
	return fmt.Errorf("%q is not a worker type: write local", text)
}

func listenAddress(text string) error {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return fmt.Errorf("%q is not an address: write 127.0.0.1:7080, or :7080 for all of this host's", text)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q has no port from 0 to 65535", text)
	}
	return nil
}

// serverURL is an address that every action is told: no password may be in it.
func serverURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("not the address of a server: write https://attune.example:7080")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("leave out users, passwords, and what follows ? or #: write %s", (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String())
	}
	return nil
}

// origin is exactly what a browser sends of a page's: anything else would never fit.
func origin(text string) error {
	if strings.Contains(text, "*") {
		return fmt.Errorf("%q would let every page that anybody opens use the API with a token that it gets hold of: write each origin, like https://dashboard.example", text)
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || text != strings.ToLower(u.Scheme+"://"+u.Host) {
		return fmt.Errorf("%q is not an origin: write https://dashboard.example, in lower case, with a port if it has one, and nothing after it", text)
	}
	if port := u.Port(); port == "443" && u.Scheme == "https" || port == "80" && u.Scheme == "http" {
		return fmt.Errorf("%q: leave out the port, as browsers do: write %s://%s", text, u.Scheme, u.Hostname())
	}
	return nil
}

// workerPort is a port of the loopback address, or an address.
func workerPort(text string) error {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 && n <= 65535 {
		return nil
	}
	if listenAddress(text) != nil {
		return fmt.Errorf("%q is neither a port nor an address: write 9100 for this host alone, or 0.0.0.0:9100 for who may reach it", text)
	}
	return nil
}

// loopback tells whether an address is reached from this host alone.
func loopback(address string) bool {
	host, _, _ := net.SplitHostPort(address) // it was checked
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// users are those of run_as: names and ids with commas, or a range of ids.
func users(text string) error {
	if !runAs.MatchString(text) {
		return fmt.Errorf("%q names no users: write a range of user ids, like 20000-20009, or names with commas between them", text)
	}
	return nil
}

func searchPath(text string) error {
	for dir := range strings.SplitSeq(text, ":") {
		if !strings.HasPrefix(dir, "/") {
			return fmt.Errorf("%q is not an absolute directory of a PATH", dir)
		}
	}
	return nil
}

func notEmpty(text string) error {
	if text == "" {
		return fmt.Errorf("must not be empty")
	}
	return nil
}

func oneOf(allowed ...string) func(string) error {
	return func(text string) error {
		if slices.Contains(allowed, text) {
			return nil
		}
		return fmt.Errorf("%q is not one of %s", text, strings.Join(allowed, ", "))
	}
}

// workerName makes a worker's name of a host's: lower case, with a dash for what a name can't have.
func workerName(host string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '-'
	}, host)
}
