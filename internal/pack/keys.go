package pack

import "slices"

// key is one key that a mapping may have. A key that later versions give an effect is refused, one of the original
// Attune that has none here is warned of: nobody is left to believe that it does something.
type key[T any] struct {
	name   string
	also   string // another name of the same key
	read   func(target T, f field)
	hidden bool // not offered to somebody who looks for a key
}

// readKeys gives each key of the mapping to its reader and reports unknown ones. It returns the fields by the key's
// first name.
func readKeys[T any](n node, target T, keys []key[T]) map[string]field {
	seen := map[string]field{}
	for _, f := range n.fields() {
		k, ok := find(keys, f.name())
		if !ok {
			f.key.fail("%s", unknown("key", f.name(), offered(keys)))
			continue
		}
		if other, twice := seen[k.name]; twice {
			f.key.fail("%q and %q are two names of one key: give one of them", other.name(), f.name())
			continue
		}
		seen[k.name] = f
		k.read(target, f)
	}
	return seen
}

func find[T any](keys []key[T], name string) (key[T], bool) {
	i := slices.IndexFunc(keys, func(k key[T]) bool { return name != "" && (k.name == name || k.also == name) })
	if i < 0 {
		return key[T]{}, false
	}
	return keys[i], true
}

func offered[T any](keys []key[T]) []string {
	var found []string
	for _, k := range keys {
		if k.hidden {
			continue
		}
		found = append(found, k.name)
		if k.also != "" {
			found = append(found, k.also)
		}
	}
	return found
}

// later refuses a key that has no effect yet.
func later[T any](_ T, f field) {
	f.key.fail("%s is not supported in this version: remove it", f.name())
}

// foreign warns of a key of the original Attune that has no effect here.
func foreign[T any](_ T, f field) { f.key.warn("%s has no effect here", f.name()) }

// foreignKeys returns the keys of the original Attune by these names.
func foreignKeys[T any](names ...string) []key[T] {
	var keys []key[T]
	for _, name := range names {
		keys = append(keys, key[T]{name: name, read: foreign[T], hidden: true})
	}
	return keys
}
