package pack

import (
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/attune-automation/attune"
)

// functionName is Python's own grammar of names, without those beyond ASCII.
var functionName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// readEntryPoint finds the script: in actions/, else from the pack's root.
func (a *actionFile) readEntryPoint(f field) {
	text, ok := f.value.text()
	if !ok {
		return
	}
	name, function, named := strings.Cut(text, ":")
	if named && !functionName.MatchString(function) {
		f.value.fail("%q can't name a function: write FILE:FUNCTION, like greet.py:main", function)
		return
	}
	if path.IsAbs(name) || !fs.ValidPath(name) || name == "." || strings.Contains(name, `\`) {
		f.value.fail("%q is not a file inside the pack: want a path below %s/, like greet.py", name, actionsDir)
		return
	}
	for _, candidate := range []string{path.Join(actionsDir, name), name} {
		if a.files.has(candidate) {
			a.action.EntryPoint, a.action.Function = candidate, function
			return
		}
	}
	if a.files.hasDir(path.Join(actionsDir, name)) || a.files.hasDir(name) {
		f.value.fail("%s is a directory: want the script's file", name)
		return
	}
	f.value.fail("there is no file %s/%s%s", actionsDir, name, a.suggestScript(name))
}

// suggestScript offers the nearest file of actions/.
func (a *actionFile) suggestScript(name string) string {
	var scripts []string
	for _, file := range a.files.names() {
		if script, ok := strings.CutPrefix(file, actionsDir+"/"); ok && path.Ext(file) != ".yaml" {
			scripts = append(scripts, script)
		}
	}
	if near, ok := Nearest(name, scripts); ok {
		return ": did you mean " + near + "?"
	}
	return ": add it, or correct the name"
}

// runtimeByEnding returns the runtime that runs files of this ending.
func runtimeByEnding(name string) (string, bool) {
	switch strings.ToLower(path.Ext(name)) {
	case ".py":
		return attune.RuntimePython, true
	case ".sh", ".bash":
		return attune.RuntimeShell, true
	}
	return "", false
}
