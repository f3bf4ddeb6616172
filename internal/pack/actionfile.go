package pack

import (
	"slices"
	"strings"

	"github.com/attune-automation/attune"
)

// Bounds of a timeout, an action's own and an execution's: a millisecond and 365 days.
const (
	MinTimeoutSeconds = 0.001
	MaxTimeoutSeconds = 365 * 24 * 60 * 60
)

// actionFile is an action while its file is read.
type actionFile struct {
	*reader
	action attune.Action
}

// actionKeys are the keys of an action's file. The last ones are those of the original Attune's action files.
func actionKeys() []key[*actionFile] {
	keys := []key[*actionFile]{
		{name: "ref", read: (*actionFile).readRef},
		{name: "label", read: func(a *actionFile, f field) { f.value.line(&a.action.Label) }},
		{name: "description", read: func(a *actionFile, f field) { f.value.prose(&a.action.Description) }},
		{name: "runner_type", also: "runtime", read: (*actionFile).readRuntime},
		{name: "entry_point", also: "entrypoint", read: (*actionFile).readEntryPoint},
		{name: "parameters", read: func(a *actionFile, f field) { a.action.Parameters = readParameters(f.value) }},
		{name: "output", also: "output_schema", read: func(a *actionFile, f field) { a.action.Output = readOutput(f.value) }},
		{name: "timeout_seconds", read: (*actionFile).readTimeout},
		{name: "parameter_delivery", read: (*actionFile).readDelivery},
		{name: "parameter_format", read: (*actionFile).readFormat},
		{name: "output_format", read: (*actionFile).readOutputFormat},
		{name: "env", read: func(a *actionFile, f field) { a.action.Env = f.value.environment() }},
		{name: "retry", read: func(a *actionFile, f field) { a.action.Retry = f.value.retry() }},
		{name: "worker_selector", read: func(a *actionFile, f field) { a.action.WorkerSelector = f.value.selector() }},
		{name: "secrets", read: func(a *actionFile, f field) { a.action.Secrets = f.value.secrets() }},
		{name: "may_start", read: func(a *actionFile, f field) { a.action.MayStart = f.value.startable() }},
		{name: "resources", read: func(a *actionFile, f field) { a.action.Limits = f.value.limits() }},
		{name: "isolation", read: func(a *actionFile, f field) {
			f.value.oneOf((*string)(&a.action.Isolation), string(attune.IsolationProcess), string(attune.IsolationUser), string(attune.IsolationSandbox))
		}},
		{name: "image", read: later[*actionFile], hidden: true},
		{name: "workflow_file", read: later[*actionFile], hidden: true},
	}
	return append(keys, foreignKeys[*actionFile]("name", "enabled", "tags", "runtime_version",
		"required_worker_runtimes", "default_execution_permission_set_refs", "pack", "pack_ref", "is_workflow",
		"workflow_def", "metadata", "notify", "examples")...)
}

// readAction reads one action's file.
func (r *reader) readAction(name string) {
	root, ok := r.document(name)
	if !ok {
		return
	}
	a := &actionFile{reader: r, action: attune.Action{
		Delivery: attune.DeliverStdin, Format: attune.FormatJSON, OutputFormat: attune.OutputAuto,
		Parameters: noParameters(),
	}}
	seen := readKeys(root, a, actionKeys())
	if !root.isMapping() {
		return
	}
	a.checkMissing(root, seen)
	a.checkTogether(seen)
	r.pack.Actions = append(r.pack.Actions, a.action)
}

func (a *actionFile) checkMissing(root node, seen given) {
	if seen.lacks("ref") {
		root.fail("the key ref is missing: it names the action, like ref: %s.greet", a.packRef())
	}
	if seen.lacks("entry_point") {
		root.fail("the key entry_point is missing: it names the script in %s/, like entry_point: greet.py", actionsDir)
	}
	if seen.lacks("runner_type") && a.action.EntryPoint != "" {
		var known bool
		if a.action.Runtime, known = runtimeByEnding(a.action.EntryPoint); !known {
			seen.fields["entry_point"].value.fail("no runtime is known by this file ending: add runner_type: python or runner_type: shell")
		}
	}
}

// checkTogether finds keys that have no effect beside others.
func (a *actionFile) checkTogether(seen given) {
	if f, ok := seen.fields["parameter_format"]; ok && a.action.Delivery == attune.DeliverEnv {
		f.key.warn("parameter_format has no effect with parameter_delivery: env")
	}
	if f, ok := seen.fields["runner_type"]; ok {
		if ending, known := runtimeByEnding(a.action.EntryPoint); known && a.action.Runtime != "" && ending != a.action.Runtime {
			f.value.warn("the ending of %s says %s: %s is what runs it", a.action.EntryPoint, ending, a.action.Runtime)
		}
	}
	if a.action.Function != "" && a.action.Runtime == attune.RuntimeShell {
		seen.fields["entry_point"].value.fail("only a Python action can name a function after the colon")
	}
}

func (a *actionFile) packRef() string {
	if a.pack.Ref == "" {
		return "mypack"
	}
	return a.pack.Ref
}

func (a *actionFile) readRef(f field) {
	text, ok := f.value.text()
	if !ok {
		return
	}
	ref, err := attune.ParseRef(text)
	if err != nil {
		f.value.fail("%s", message(err))
		return
	}
	if a.pack.Ref != "" && ref.Pack() != a.pack.Ref {
		f.value.fail("the ref %s is not of this pack: want %s.%s", ref, a.pack.Ref, ref.Name())
		return
	}
	if first, twice := a.refs[ref]; twice {
		f.value.fail("the ref %s is taken: first in %s", ref, first)
		return
	}
	a.refs[ref] = f.value.place()
	a.action.Ref = ref
}

// readRuntime takes the contract's names and those that the original Attune knows the same runtimes by.
func (a *actionFile) readRuntime(f field) {
	text, ok := f.value.text()
	if !ok {
		return
	}
	switch strings.TrimPrefix(text, "core.") {
	case "python", "python3":
		a.action.Runtime = attune.RuntimePython
	case "shell", "bash", "sh":
		a.action.Runtime = attune.RuntimeShell
	case "node", "nodejs", "node.js", "native", "container":
		f.value.fail("the runtime %s is not supported in this version: use python or shell", text)
	default:
		f.value.fail("%s", unknown("runtime", text, []string{attune.RuntimePython, attune.RuntimeShell}))
	}
}

func (a *actionFile) readTimeout(f field) {
	if seconds, ok := f.value.number64(); ok {
		if seconds < MinTimeoutSeconds || seconds > MaxTimeoutSeconds {
			f.value.fail("want %v to %d seconds: a millisecond to 365 days", MinTimeoutSeconds, MaxTimeoutSeconds)
			return
		}
		a.action.TimeoutSeconds = seconds
	}
}

func (a *actionFile) readDelivery(f field) {
	f.value.oneOf((*string)(&a.action.Delivery), string(attune.DeliverStdin), string(attune.DeliverFile), string(attune.DeliverEnv))
}

func (a *actionFile) readFormat(f field) {
	f.value.oneOf((*string)(&a.action.Format), string(attune.FormatJSON), string(attune.FormatYAML), string(attune.FormatDotenv))
}

func (a *actionFile) readOutputFormat(f field) {
	f.value.oneOf((*string)(&a.action.OutputFormat), string(attune.OutputAuto), string(attune.OutputText),
		string(attune.OutputJSON), string(attune.OutputYAML), string(attune.OutputJSONL))
}

// oneOf reads one of a few words.
func (n node) oneOf(to *string, words ...string) {
	text, ok := n.text()
	if !ok {
		return
	}
	if !slices.Contains(words, text) {
		n.fail("got %q, want one of %s", text, strings.Join(words, ", "))
		return
	}
	*to = text
}
