package attune_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/attune-automation/attune"
)

func TestParseRef(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"core.echo": true, "my_pack.do-it": true, "a.1": true,
		"": false, "core": false, "core.": false, ".echo": false, "Core.echo": false, "core.Echo": false,
		"core.a.b": false, "core/echo": false, "core.e cho": false, "core.écho": false, "1.a": false,
	} {
		ref, err := attune.ParseRef(text)
		if (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
		if ok && ref.Pack()+"."+ref.Name() != text {
			t.Errorf("%q: pack %q, name %q", text, ref.Pack(), ref.Name())
		}
		if !ok && attune.ErrorCode(err) != attune.CodeInvalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestScriptRef(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]attune.Ref{
		"greet.py": "adhoc.greet", "My Script.v2.sh": "adhoc.my_script_v2", "_ünï.py": "adhoc.n_", "x": "adhoc.x",
	} {
		if got, err := attune.ScriptRef(name); err != nil || got != want {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	if got, err := attune.ScriptRef("__.py"); err == nil {
		t.Errorf("a name without a letter became %q", got)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		retry   attune.Retry
		attempt int
		ended   attune.Status
		delay   time.Duration
		again   bool
	}{
		"no policy":       {attune.Retry{}, 1, attune.StatusFailed, 0, false},
		"first of two":    {attune.Retry{MaxAttempts: 2, Delay: time.Second}, 1, attune.StatusFailed, time.Second, true},
		"last":            {attune.Retry{MaxAttempts: 2}, 2, attune.StatusFailed, 0, false},
		"not listed":      {attune.Retry{MaxAttempts: 2}, 1, attune.StatusAbandoned, 0, false},
		"listed":          {attune.Retry{MaxAttempts: 2, On: []attune.Status{attune.StatusAbandoned}}, 1, attune.StatusAbandoned, 0, true},
		"completed":       {attune.Retry{MaxAttempts: 9}, 1, attune.StatusCompleted, 0, false},
		"cancelled":       {attune.Retry{MaxAttempts: 9}, 1, attune.StatusCancelled, 0, false},
		"linear":          {attune.Retry{MaxAttempts: 9, Delay: time.Second, Backoff: attune.BackoffLinear}, 3, attune.StatusFailed, 3 * time.Second, true},
		"exponential":     {attune.Retry{MaxAttempts: 9, Delay: time.Second, Backoff: attune.BackoffExponential}, 4, attune.StatusTimeout, 8 * time.Second, true},
		"bounded":         {attune.Retry{MaxAttempts: 9, Delay: time.Second, Backoff: attune.BackoffExponential, MaxDelay: 5 * time.Second}, 4, attune.StatusTimeout, 5 * time.Second, true},
		"never past hour": {attune.Retry{MaxAttempts: 2000, Delay: time.Minute, Backoff: attune.BackoffExponential}, 1999, attune.StatusTimeout, time.Hour, true},
		"no overflow":     {attune.Retry{MaxAttempts: 1 << 40, Delay: 1 << 62, Backoff: attune.BackoffLinear}, 1 << 39, attune.StatusFailed, time.Hour, true},
	} {
		delay, again := test.retry.After(test.attempt, test.ended)
		if delay != test.delay || again != test.again {
			t.Errorf("%s: %v %v, want %v %v", name, delay, again, test.delay, test.again)
		}
	}
}

func TestErrorsCarryTheirCode(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("outer: %w", &attune.Error{
		Code: attune.CodeNotFound, Message: "no such thing", Details: []attune.Detail{{Place: "f:1:2", Message: "here"}},
	})
	if attune.ErrorCode(err) != attune.CodeNotFound || err.Error() != "outer: no such thing\n  f:1:2: here" {
		t.Errorf("%v %v", attune.ErrorCode(err), err)
	}
	if attune.ErrorCode(nil) != "" || attune.ErrorCode(errors.New("x")) != attune.CodeInternal {
		t.Error("codes of nil and of other errors")
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"worker": attune.CheckWorkerName("web-1.eu_x"), "pack": attune.CheckPackRef("my-pack_2"), "param": attune.CheckParameterName("_A9"),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"worker": attune.CheckWorkerName("../x"), "dots": attune.CheckWorkerName(".."), "pack": attune.CheckPackRef("My"),
		"param": attune.CheckParameterName("a-b"),
	} {
		if attune.ErrorCode(err) != attune.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStarts(t *testing.T) {
	t.Parallel()
	a := attune.Action{Ref: "deploy.all", MayStart: []string{"web.deploy", "db.*"}}
	for ref, want := range map[attune.Ref]bool{
		"web.deploy": true, "db.migrate": true, "db.x": true, "web.deploy2": false, "web.other": false, "deploy.all": false, "dbx.y": false,
	} {
		if a.Starts(ref) != want {
			t.Errorf("%s: %v", ref, !want)
		}
	}
}
