package attune

import (
	"fmt"
	"regexp"
	"strings"
)

// AdhocPack is the pack part of the ref of a script file that is in no pack: ./greet.py is adhoc.greet.
const AdhocPack = "adhoc"

var (
	packRef    = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
	actionName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,126}$`)
	workerName = regexp.MustCompile(`^[a-z0-9._-]{1,128}$`)
	paramName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
)

// Ref names an action: the pack's ref, a dot, the action's name, in lower case.
type Ref string

// ParseRef checks the form of s. The error says what a ref looks like.
func ParseRef(s string) (Ref, error) {
	pack, name, found := strings.Cut(s, ".")
	if !found || !packRef.MatchString(pack) || !actionName.MatchString(name) {
		return "", Errorf(CodeInvalid, "%q is not an action ref: write pack.action in lower case, like core.echo", s)
	}
	return Ref(s), nil
}

// Pack returns the part before the dot.
func (r Ref) Pack() string {
	pack, _, _ := strings.Cut(string(r), ".")
	return pack
}

// Name returns the part after the dot.
func (r Ref) Name() string {
	_, name, _ := strings.Cut(string(r), ".")
	return name
}

// CheckPackRef returns an error that says what a pack's ref looks like, if s is none.
func CheckPackRef(s string) error {
	if !packRef.MatchString(s) {
		return Errorf(CodeInvalid, "%q is not a pack ref: use a lower-case letter, then at most 62 of a-z 0-9 _ -", s)
	}
	return nil
}

// CheckWorkerName returns an error that says what a worker's name looks like, if s is none.
func CheckWorkerName(s string) error {
	if !workerName.MatchString(s) || s == "." || s == ".." {
		return Errorf(CodeInvalid, "%q is not a worker name: use 1 to 128 of a-z 0-9 . _ -", s)
	}
	return nil
}

// CheckParameterName returns an error if s can't name a parameter, which also becomes PARAM_NAME in an environment.
func CheckParameterName(s string) error {
	if !paramName.MatchString(s) {
		return Errorf(CodeInvalid, "%q is not a parameter name: use letters, digits and _, not a digit first", s)
	}
	return nil
}

// ScriptRef returns the ref under which the script file name runs outside of any pack.
func ScriptRef(name string) (Ref, error) {
	base := name
	if i := strings.LastIndexByte(base, '.'); i > 0 {
		base = base[:i]
	}
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '_'
	}, base)
	ref, err := ParseRef(AdhocPack + "." + strings.TrimLeft(clean, "_-"))
	if err != nil {
		return "", fmt.Errorf("script file %q: %w", name, err)
	}
	return ref, nil
}
