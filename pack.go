package attune

import (
	"encoding/json"
	"slices"
	"time"
)

// Pack is a bundle of actions as installed: what pack.yaml says, and the digest of its archive.
type Pack struct {
	Ref         string    `json:"ref"`
	Label       string    `json:"label"`
	Description string    `json:"description,omitempty"`
	Version     string    `json:"version"`
	Author      string    `json:"author,omitempty"`
	Tags        []string  `json:"tags,omitempty"`
	Digest      string    `json:"digest"` // SHA-256 of the archive, hexadecimal
	InstalledAt time.Time `json:"installed_at"`
}

// Runtime names: the values of runner_type.
const (
	RuntimePython = "python"
	RuntimeShell  = "shell"
)

// Delivery is how parameters reach an action beside its runtime's own way.
type Delivery string

// The ways of delivery.
const (
	DeliverStdin Delivery = "stdin" // as a document on standard input
	DeliverFile  Delivery = "file"  // as a document in $ATTUNE_PARAMETER_FILE
	DeliverEnv   Delivery = "env"   // as PARAM_NAME in the environment
)

// Format is the form of a parameter document.
type Format string

// The forms of a parameter document.
const (
	FormatJSON   Format = "json"
	FormatYAML   Format = "yaml"
	FormatDotenv Format = "dotenv"
)

// OutputFormat says how a result is read from standard output.
type OutputFormat string

// The output formats. OutputAuto takes the last line if it is a JSON object or array.
const (
	OutputAuto  OutputFormat = "auto"
	OutputText  OutputFormat = "text"
	OutputJSON  OutputFormat = "json"
	OutputYAML  OutputFormat = "yaml"
	OutputJSONL OutputFormat = "jsonl"
)

// Action is a script with its metadata, normalised: defaults of the format are filled in and the parameter schema is
// one complete JSON Schema. An execution keeps the Action it was submitted with.
type Action struct {
	Ref         Ref    `json:"ref"`
	Label       string `json:"label,omitempty"`
	Description string `json:"description,omitempty"`
	Runtime     string `json:"runtime"`
	EntryPoint  string `json:"entry_point"`        // path in the pack, slash-separated: actions/greet.py
	Function    string `json:"function,omitempty"` // Python: the function's name; "" means run, if there is one
	Digest      string `json:"digest"`             // of the pack's archive that holds the entry point

	Parameters json.RawMessage `json:"parameters"`       // JSON Schema, type object
	Output     json.RawMessage `json:"output,omitempty"` // JSON Schema of the result, if promised

	TimeoutSeconds float64           `json:"timeout_seconds,omitempty"` // 0: the worker's default
	Delivery       Delivery          `json:"parameter_delivery"`
	Format         Format            `json:"parameter_format"`
	OutputFormat   OutputFormat      `json:"output_format"`
	Env            map[string]string `json:"env,omitempty"`
	Secrets        []string          `json:"secrets,omitempty"`   // names of the keys that it is given
	MayStart       []string          `json:"may_start,omitempty"` // what its executions may start: refs, and pack.* for all of a pack
	Retry          Retry             `json:"retry"`
	WorkerSelector map[string]string `json:"worker_selector,omitempty"`
	Limits         Limits            `json:"resources,omitzero"`
	Isolation      Isolation         `json:"isolation,omitempty"` // the least that it must have; "" is the worker's
}

// Starts tells whether executions of the action may start another one.
func (a Action) Starts(other Ref) bool {
	return slices.Contains(a.MayStart, string(other)) || slices.Contains(a.MayStart, other.Pack()+AllOfPack)
}

// AllOfPack follows a pack's ref where all of its actions are meant: web.*.
const AllOfPack = ".*"

// Isolation is how far an action is kept from its host, and from other actions.
type Isolation string

// The levels of isolation, each with all of the one before.
const (
	IsolationProcess Isolation = "process" // clean environment, private directories, limits; the worker's own user
	IsolationUser    Isolation = "user"    // another user for each execution at once
	IsolationSandbox Isolation = "sandbox" // namespaces of its own; of the host it sees what is no secret, and changes nothing
)

// Isolations are all levels, the least first.
func Isolations() []Isolation { return []Isolation{IsolationProcess, IsolationUser, IsolationSandbox} }

// AtLeast returns the higher one of two levels; "" is none.
func (i Isolation) AtLeast(least Isolation) Isolation {
	if slices.Index(Isolations(), least) > slices.Index(Isolations(), i) {
		return least
	}
	return i
}

// Limits bound what an attempt may use; 0 is no limit.
type Limits struct {
	Memory    int64   `json:"memory,omitempty"`     // bytes, of all its processes together
	CPUs      float64 `json:"cpus,omitempty"`       // processors, of all its processes together
	PIDs      int     `json:"pids,omitempty"`       // processes and threads, all together
	FileSize  int64   `json:"file_size,omitempty"`  // bytes of each file that it writes
	OpenFiles int     `json:"open_files,omitempty"` // of each process
	Disk      int64   `json:"disk,omitempty"`       // bytes that its directories take, all together
}

// Backoff says how the delay before a further attempt grows.
type Backoff string

// The kinds of backoff.
const (
	BackoffConstant    Backoff = "constant"
	BackoffLinear      Backoff = "linear"
	BackoffExponential Backoff = "exponential"
)

// Retry is an action's policy for ended attempts. The zero value means one attempt.
type Retry struct {
	MaxAttempts int           `json:"max_attempts,omitempty"` // in all, the first one counted; 0 is 1
	Delay       time.Duration `json:"delay,omitempty"`        // nanoseconds; before the second attempt
	Backoff     Backoff       `json:"backoff,omitempty"`      // "" is constant
	MaxDelay    time.Duration `json:"max_delay,omitempty"`    // nanoseconds; 0: no bound but an hour
	On          []Status      `json:"on,omitempty"`           // failed timeout abandoned; empty is failed and timeout
}

// maxRetryDelay bounds every backoff: a policy can't push an attempt out of sight.
const maxRetryDelay = time.Hour

// Attempts returns how many attempts the policy allows, at least 1.
func (r Retry) Attempts() int { return max(1, r.MaxAttempts) }

// After tells whether another attempt follows attempt (from 1) that ended as ended, and after which delay.
func (r Retry) After(attempt int, ended Status) (time.Duration, bool) {
	on := r.On
	if len(on) == 0 {
		on = []Status{StatusFailed, StatusTimeout}
	}
	if attempt >= r.Attempts() || !slices.Contains(on, ended) {
		return 0, false
	}
	limit := maxRetryDelay
	if r.MaxDelay > 0 {
		limit = min(limit, r.MaxDelay)
	}
	return min(r.grown(attempt, limit), limit), true
}

func (r Retry) grown(attempt int, limit time.Duration) time.Duration {
	switch r.Backoff {
	case BackoffLinear:
		if r.Delay > limit/time.Duration(attempt) {
			return limit
		}
		return r.Delay * time.Duration(attempt)
	case BackoffExponential:
		delay := r.Delay
		for n := 1; n < attempt && delay < limit; n++ {
			delay *= 2
		}
		return delay
	}
	return r.Delay
}
