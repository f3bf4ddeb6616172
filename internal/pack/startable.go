package pack

import (
	"slices"
	"strings"

	"github.com/attune-automation/attune"
)

// maxStartable bounds what one action may start.
const maxStartable = 100

// startable reads the actions that an action may start. Packs are installed in any order: whether there are such is seen
// when one is started.
func (n node) startable() []string {
	var refs []string
	for _, item := range n.items() {
		text, ok := item.text()
		if !ok {
			continue
		}
		if err := checkStartable(text); err != nil {
			item.fail("%s", message(err))
			continue
		}
		if slices.Contains(refs, text) {
			item.fail("%s is given twice", text)
			continue
		}
		refs = append(refs, text)
	}
	if len(refs) > maxStartable {
		n.fail("got %d actions, want at most %d: write pack.* for all of a pack", len(refs), maxStartable)
	}
	return refs
}

func checkStartable(text string) error {
	if text == "*" {
		return attune.Errorf(attune.CodeInvalid, "* would be every action there ever is: write pack.action, or pack.* for all of a pack")
	}
	pack, all := strings.CutSuffix(text, attune.AllOfPack)
	if !all {
		ref, err := attune.ParseRef(text)
		if err != nil {
			return err
		}
		pack = ref.Pack()
	}
	if pack == attune.AdhocPack {
		return attune.Errorf(attune.CodeInvalid, "%s are scripts in no pack, which no action can start: put it into a pack", attune.AdhocPack+attune.AllOfPack)
	}
	return attune.CheckPackRef(pack)
}
