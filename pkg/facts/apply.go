package facts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"slices"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A node is a value that is taken apart as far as it was asked for.
type node struct {
	raw    []byte // of a value that is not open
	names  []string
	values map[string]*node // of an object that is open; nil for a name that was taken out
}

// open takes an object apart, and reports whether it is one.
func (n *node) open() bool {
	if n.values != nil {
		return true
	}
	if !isObject(n.raw) {
		return false
	}
	n.values = map[string]*node{}
	for _, m := range members(n.raw, nil) {
		n.set(string(m.name), m.value)
	}
	return true
}

// set gives an open object a value under a name.
func (n *node) set(name string, value []byte) {
	if _, there := n.values[name]; !there {
		n.names = append(n.names, name)
	}
	n.values[name] = &node{raw: value}
}

// remove takes a name out of an open object.
func (n *node) remove(name string) {
	if _, there := n.values[name]; there {
		n.values[name] = nil
	}
}

// write appends the JSON of the value to out.
func (n *node) write(out []byte) []byte {
	if n.values == nil {
		return append(out, n.raw...)
	}
	start := len(out)
	for _, name := range n.names {
		if value := n.values[name]; value != nil {
			out = appendString(append(out, ','), name)
			out = value.write(append(out, ':'))
		}
	}
	if len(out) == start {
		return append(out, "{}"...)
	}
	out[start] = '{' // in place of the first comma
	return append(out, '}')
}

// Apply returns doc with what the differences say: one after the other, each gives its path its later value, or takes
// the path away if it has none. The differences of a comparison may be applied in any order. The path above a
// difference has to be an object, else it is an error of kind Conflict. Neither doc nor the differences are changed;
// the result is valid JSON, but not canonical.
func Apply(doc []byte, differences []Difference) ([]byte, error) {
	if err := validate(doc); err != nil {
		return nil, err
	}
	root := &node{raw: bytes.TrimSpace(doc)}
	for _, d := range differences {
		if d.After != nil && !json.Valid(d.After) {
			return nil, fmt.Errorf("applying the difference at %s: not a JSON value", d.Path)
		}
		if len(d.Path) == 0 {
			root = &node{raw: bytes.TrimSpace(d.After)}
			continue
		}
		parent := root
		for i, name := range d.Path {
			if parent == nil || !parent.open() {
				return nil, fleet.Errorf(fleet.Conflict, "there is no object at %q to change %q in", d.Path[:i], d.Path)
			}
			if i < len(d.Path)-1 {
				parent = parent.values[name]
			}
		}
		last := d.Path[len(d.Path)-1]
		if d.After == nil {
			parent.remove(last)
		} else {
			parent.set(last, bytes.TrimSpace(d.After))
		}
	}
	return root.write(nil), nil
}

// At returns the value at the path, and false if there is none or doc is no JSON. It aliases doc.
func At(doc []byte, p Path) (json.RawMessage, bool) {
	if validate(doc) != nil {
		return nil, false
	}
	value := bytes.TrimSpace(doc)
	for _, name := range p {
		if !isObject(value) {
			return nil, false
		}
		var ok bool
		if value, ok = find(value, name); !ok {
			return nil, false
		}
	}
	return value, true
}

// Leaves returns the scalars, the arrays and the empty objects of doc with their paths, in the order of the paths,
// name by name; an object 32 names deep is a leaf, whatever it holds. The paths are the caller's, the values alias doc.
// A doc that is no JSON has none.
func Leaves(doc []byte) iter.Seq2[Path, json.RawMessage] {
	return func(yield func(Path, json.RawMessage) bool) {
		if validate(doc) == nil {
			leaves(nil, bytes.TrimSpace(doc), yield)
		}
	}
}

// leaves yields the leaves of the value at path, and reports whether to go on.
func leaves(path Path, value []byte, yield func(Path, json.RawMessage) bool) bool {
	if !isObject(value) || isNothing(value) || len(path) == maxDepth {
		return yield(slices.Clone(path), value)
	}
	for _, m := range members(value, nil) {
		if !leaves(append(path, string(m.name)), m.value, yield) {
			return false
		}
	}
	return true
}
