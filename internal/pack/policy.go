package pack

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/attune-automation/attune"
)

// The limits of a retry policy.
const (
	maxAttempts   = 100
	maxRetryDelay = time.Hour
)

func retryKeys() []key[*attune.Retry] {
	return []key[*attune.Retry]{
		{name: "max_attempts", read: func(r *attune.Retry, f field) {
			attempts, ok := f.value.integer()
			if ok && (attempts < 1 || attempts > maxAttempts) {
				f.value.fail("want 1 to %d attempts, the first one counted", maxAttempts)
			}
			r.MaxAttempts = attempts
		}},
		{name: "delay", read: func(r *attune.Retry, f field) { r.Delay = f.value.duration() }},
		{name: "max_delay", read: func(r *attune.Retry, f field) { r.MaxDelay = f.value.duration() }},
		{name: "backoff", read: func(r *attune.Retry, f field) {
			f.value.oneOf((*string)(&r.Backoff),
				string(attune.BackoffConstant), string(attune.BackoffLinear), string(attune.BackoffExponential))
		}},
		{name: "on", read: func(r *attune.Retry, f field) { r.On = f.value.endings() }},
	}
}

func (n node) retry() attune.Retry {
	var retry attune.Retry
	seen := readKeys(n, &retry, retryKeys())
	if seen.lacks("max_attempts") {
		n.fail("the key max_attempts is missing: without it nothing is tried again")
	}
	if f, ok := seen.fields["max_delay"]; ok && retry.MaxDelay < retry.Delay {
		f.value.fail("max_delay is less than delay")
	}
	return retry
}

// duration reads 2s, 1m30s or a number of seconds.
func (n node) duration() time.Duration {
	var delay time.Duration
	if _, isNumber := n.tag(), n.tag() == "!!int" || n.tag() == "!!float"; isNumber {
		seconds, _ := n.number64()
		delay = time.Duration(min(seconds, 2*maxRetryDelay.Seconds()) * float64(time.Second))
	} else if text, ok := n.text(); !ok {
		return 0
	} else if parsed, err := time.ParseDuration(text); err == nil {
		delay = parsed
	} else {
		n.fail("%q is not a duration: write 500ms, 2s or 1m", text)
		return 0
	}
	if delay <= 0 || delay > maxRetryDelay {
		n.fail("want more than 0 and at most an hour")
		return 0
	}
	return delay
}

// endings reads the statuses that a policy retries on.
func (n node) endings() []attune.Status {
	var on []attune.Status
	for _, item := range n.items() {
		var status attune.Status
		item.oneOf((*string)(&status),
			string(attune.StatusFailed), string(attune.StatusTimeout), string(attune.StatusAbandoned))
		if slices.Contains(on, status) {
			item.fail("%s is given twice", status)
		}
		if status != "" {
			on = append(on, status)
		}
	}
	if n.isList() && len(n.items()) == 0 {
		n.fail("an empty list: leave the key out for failed and timeout")
	}
	return on
}

func (n node) number64() (float64, bool) {
	number, ok := n.json().(json.Number)
	if !ok {
		n.want("a number")
		return 0, false
	}
	value, err := strconv.ParseFloat(number.String(), 64)
	if err != nil {
		n.fail("%s is out of range", number)
	}
	return value, err == nil
}
