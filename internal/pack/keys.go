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

// given is which keys a mapping has, by the key's first name.
type given struct {
	mapping node
	fields  map[string]field
	meant   map[string]bool // by a misspelt key that was reported
}

// lacks tells whether a key is missing and nothing was said of that yet.
func (g given) lacks(name string) bool {
	_, ok := g.fields[name]
	return !ok && !g.meant[name] && g.mapping.isMapping()
}

// readKeys gives each key of the mapping to its reader and reports unknown ones.
func readKeys[T any](n node, target T, keys []key[T]) given {
	seen := given{n, map[string]field{}, map[string]bool{}}
	for _, f := range n.fields() {
		k, ok := find(keys, f.name())
		if !ok {
			f.key.fail("%s", unknown("key", f.name(), offered(keys)))
			near, _ := Nearest(f.name(), offered(keys))
			k, _ = find(keys, near)
			seen.meant[k.name] = true
			continue
		}
		if other, twice := seen.fields[k.name]; twice {
			f.key.fail("%q and %q are two names of one key: give one of them", other.name(), f.name())
			continue
		}
		seen.fields[k.name] = f
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
