package pack

import (
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/attune-automation/attune"
)

// MaxScriptBytes is the most that a script file in no pack may have: 1 MiB.
const MaxScriptBytes = 1 << 20

// Script returns the action that a script file in no pack is, with an archive that holds the script alone; the action
// has its digest. name is the file's name, of which directories are ignored. The runtime is known by the ending (.py,
// .sh, .bash), else by the script's first line (#!/usr/bin/env python3, #!/bin/bash, #!/bin/sh).
func Script(name string, content []byte) (attune.Action, []byte, error) {
	base := path.Base(filepath.ToSlash(name))
	if err := checkPath(base); err != nil {
		return attune.Action{}, nil, attune.Errorf(attune.CodeInvalid, "the script file %q: %v", base, err)
	}
	if len(content) > MaxScriptBytes {
		return attune.Action{}, nil, attune.Errorf(attune.CodeInvalid,
			"the script file %s has %d bytes: at most %d are possible outside of a pack", base, len(content), MaxScriptBytes)
	}
	ref, err := attune.ScriptRef(base)
	if err != nil {
		return attune.Action{}, nil, err
	}
	runtime, err := scriptRuntime(base, content)
	if err != nil {
		return attune.Action{}, nil, err
	}
	archive, digest, err := scriptArchive(base, content)
	if err != nil {
		return attune.Action{}, nil, err
	}
	return attune.Action{
		Ref: ref, Label: base, Runtime: runtime, EntryPoint: path.Join(actionsDir, base), Digest: digest,
		Parameters: ScriptSchema(),
		Delivery:   attune.DeliverStdin, Format: attune.FormatJSON, OutputFormat: attune.OutputAuto,
	}, archive, nil
}

func scriptArchive(base string, content []byte) (archive []byte, digest string, err error) {
	files := newMemory()
	if err := files.addFile(path.Join(actionsDir, base), content, 0o755); err != nil {
		return nil, "", err
	}
	return Archive(files)
}

func scriptRuntime(base string, content []byte) (string, error) {
	if runtime, ok := runtimeByEnding(base); ok {
		return runtime, nil
	}
	if runtime, ok := runtimeByFirstLine(content); ok && path.Ext(base) == "" {
		return runtime, nil
	}
	return "", attune.Errorf(attune.CodeInvalid,
		"no runtime is known for %s: a script's name ends in .py, .sh or .bash, or has no ending and a first line like #!/bin/bash",
		base)
}

func runtimeByFirstLine(content []byte) (string, bool) {
	first, _, _ := strings.Cut(string(content[:min(len(content), 256)]), "\n")
	words := strings.Fields(strings.TrimPrefix(first, "#!"))
	if !strings.HasPrefix(first, "#!") || len(words) == 0 {
		return "", false
	}
	interpreter := path.Base(words[0])
	if words = slices.DeleteFunc(words, func(w string) bool { return w == "-S" }); interpreter == "env" && len(words) > 1 {
		interpreter = path.Base(words[1])
	}
	switch {
	case strings.HasPrefix(interpreter, "python"):
		return attune.RuntimePython, true
	case interpreter == "sh" || interpreter == "bash":
		return attune.RuntimeShell, true
	}
	return "", false
}
