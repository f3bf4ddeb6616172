package pack

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/attune-automation/attune"
)

// The limits of an environment. Linux refuses a string over 128 KiB; 96 KiB leaves room for the name, and is where
// parameters stop to be in the environment too.
const (
	maxEnvironment      = 256
	maxEnvironmentValue = 96 << 10
)

var (
	environmentName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	labelName       = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$`)
)

// CheckEnvironment returns an error that names every variable of env that an action or an execution may not set.
// Places read env.NAME.
func CheckEnvironment(env map[string]string) error {
	var found []attune.Detail
	if len(env) > maxEnvironment {
		found = append(found, attune.Detail{Place: "env", Message: tooManyVariables(len(env))})
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if err := checkVariable(name, env[name]); err != nil {
			found = append(found, attune.Detail{Place: "env." + name, Message: err.Error()})
		}
	}
	if found == nil {
		return nil
	}
	return &attune.Error{Code: attune.CodeInvalid, Message: "the environment is not valid", Details: found}
}

func tooManyVariables(count int) string {
	return fmt.Sprintf("%d variables: at most %d are possible", count, maxEnvironment)
}

// checkVariable refuses names that the environment of every action has a meaning for.
func checkVariable(name, value string) error {
	switch {
	case !environmentName.MatchString(name):
		return fmt.Errorf("%q can't name a variable: use letters, digits and _, not a digit first", name)
	case slices.Contains([]string{"PATH", "HOME", "TMPDIR", "TRACEPARENT"}, name):
		return fmt.Errorf("%s is set by Attune: choose another name", name)
	case strings.HasPrefix(name, "ATTUNE_"), strings.HasPrefix(name, "PARAM_"), strings.HasPrefix(name, "SECRET_"):
		return fmt.Errorf("%s is set by Attune: names with this beginning are its own", name)
	case strings.ContainsRune(value, 0):
		return fmt.Errorf("the value of %s has a NUL, which no environment can hold", name)
	case len(value) > maxEnvironmentValue:
		return fmt.Errorf("the value of %s has %d bytes: at most %d are possible", name, len(value), maxEnvironmentValue)
	}
	return nil
}

func (n node) environment() map[string]string {
	env := map[string]string{}
	for _, f := range n.fields() {
		value, ok := f.value.scalar()
		if !ok {
			continue
		}
		if err := checkVariable(f.name(), value); err != nil {
			f.key.fail("%v", err)
		}
		env[f.name()] = value
	}
	if len(env) > maxEnvironment {
		n.fail("%s", tooManyVariables(len(env)))
	}
	return env
}

// selector reads labels that a worker must have.
func (n node) selector() map[string]string {
	labels := map[string]string{}
	for _, f := range n.fields() {
		value, ok := f.value.scalar()
		if !ok {
			continue
		}
		if !labelName.MatchString(f.name()) {
			f.key.fail("%q can't name a label: use 1 to 63 of A-Z a-z 0-9 . _ / -, a letter or digit first and last", f.name())
		}
		if len(value) > maxLine {
			f.value.fail("want at most %d characters", maxLine)
		}
		labels[f.name()] = value
	}
	return labels
}
