package pack

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/attune-automation/attune"
)

// Pack is a pack that was read and found right. Its Digest and those of its actions are empty unless Load read it.
type Pack struct {
	attune.Pack
	Actions  []attune.Action // by ref
	Warnings []attune.Detail // what has no effect, by place
}

const (
	packFile   = "pack.yaml"
	actionsDir = "actions"
	notAPack   = "this is not a valid pack"
)

// foreignDirs are those of the original Attune that hold what this program doesn't have.
func foreignDirs() []string {
	return []string{
		"dashboards", "permission_sets", "policies", "queues", "rules", "runtimes", "sensors", "triggers", "workflows",
	}
}

// Read reads and validates the pack in fsys: a directory (see OpenDir) or an archive, they look the same. An error is
// an *attune.Error with the code CodeInvalid whose Details name every fault, in order, as file:line:column.
func Read(fsys fs.FS) (*Pack, error) {
	r := &reader{report: &report{}, pack: &Pack{}, refs: map[attune.Ref]place{}}
	files, err := list(fsys, r.report)
	if err != nil {
		return nil, err
	}
	if files.cut { // what is missing may be in the rest
		return nil, r.err(notAPack)
	}
	r.files = files
	r.readPack()
	for _, name := range r.actionFiles() {
		r.readAction(name)
	}
	r.checkTree()
	if err := r.err(notAPack); err != nil {
		return nil, err
	}
	slices.SortFunc(r.pack.Actions, func(a, b attune.Action) int { return strings.Compare(string(a.Ref), string(b.Ref)) })
	r.pack.Warnings = details(r.warnings)
	return r.pack, nil
}

// reader reads one pack.
type reader struct {
	*report
	files *tree
	pack  *Pack
	refs  map[attune.Ref]place // where each action's ref was first given
}

// document reads and parses one metadata file.
func (r *reader) document(name string) (node, bool) {
	content, err := r.files.read(name, maxMetadataBytes+1)
	if err != nil {
		r.fail(place{file: name}, "can't be read: %v", err)
		return node{}, false
	}
	return parse(r.report, name, content)
}

// actionFiles returns every YAML file directly in actions/: each is an action's metadata.
func (r *reader) actionFiles() []string {
	var found []string
	for _, name := range r.files.names() {
		ending := path.Ext(name)
		if path.Dir(name) == actionsDir && (ending == ".yaml" || ending == ".yml") {
			found = append(found, name)
		}
	}
	if len(found) == 0 {
		r.warn(place{file: packFile}, "the pack has no action: put NAME.yaml into %s/", actionsDir)
	}
	return found
}

// checkTree looks at the files beside pack.yaml that have a meaning.
func (r *reader) checkTree() {
	r.refuseDependencies("requirements.txt", "#")
	r.refuseDependencies("package.json", "")
	for _, name := range foreignDirs() {
		if r.files.hasDir(name) {
			r.warn(place{file: name}, "the directory has no effect here")
		}
	}
}

// refuseDependencies refuses a file of dependencies that names any; comments begin with this sign.
func (r *reader) refuseDependencies(name, comment string) {
	if !r.files.has(name) {
		return
	}
	content, err := r.files.read(name, maxMetadataBytes)
	if err != nil {
		r.fail(place{file: name}, "can't be read: %v", err)
		return
	}
	for i, line := range strings.Split(string(content), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || comment != "" && strings.HasPrefix(line, comment) {
			continue
		}
		r.fail(place{name, i + 1, 1}, "dependencies are not supported in this version: bring them in lib/")
		return
	}
}

// message returns what an error of the vocabulary tells a user.
func message(err error) string {
	if e := (*attune.Error)(nil); errors.As(err, &e) {
		return e.Message
	}
	return fmt.Sprint(err)
}
