package facts

import (
	"bytes"
	"slices"
)

// Carry returns facts with what former knows of that which they could not tell: where a pattern covers a path at which
// facts have nothing (absent, null or empty), they have the value of former. The object in which a path lies has to be
// in facts, so that nothing comes back with an element that is gone, unless the element itself is covered. The result
// is valid JSON, but not canonical.
func Carry(facts, former []byte, paths []Pattern) ([]byte, error) {
	return merge(facts, former, paths, func(told, _ []byte) bool { return isNothing(told) })
}

// Keep returns facts with the values of former where a pattern matches the path, whatever facts tell there: a list that
// was cut, or what was worked out from it, is not to be trusted. Nothing is kept where former has nothing, and, as with
// Carry, nothing comes back with an element that is gone. The result is valid JSON, but not canonical.
func Keep(facts, former []byte, paths []Pattern) ([]byte, error) {
	return merge(facts, former, paths, func(_, known []byte) bool { return !isNothing(known) })
}

// merge walks down both documents and takes the value of former where a pattern covers the path and take says so.
func merge(facts, former []byte, patterns []Pattern, take func(told, known []byte) bool) ([]byte, error) {
	for _, doc := range [][]byte{facts, former} {
		if err := validate(doc); err != nil {
			return nil, err
		}
	}
	root := &node{raw: bytes.TrimSpace(facts)}
	m := merger{patterns: patterns, take: take}
	m.merge(root, bytes.TrimSpace(former), nil)
	return root.write(nil), nil
}

// A merger carries values from one document into another.
type merger struct {
	patterns []Pattern
	take     func(told, known []byte) bool
}

// merge fills in n, which is the value at path, from the former value there.
func (m merger) merge(n *node, former []byte, path Path) {
	if !isObject(former) || len(path) == maxDepth || !m.touches(path) || !n.open() {
		return
	}
	for _, known := range members(former, nil) {
		name := string(known.name)
		inner := append(slices.Clip(path), name)
		child := n.values[name]
		if m.covers(inner) && m.take(child.bytes(), known.value) {
			n.set(name, known.value)
		} else if child != nil {
			m.merge(child, known.value, inner)
		}
	}
}

// bytes returns the value of a node that is not open; that of nil is nil.
func (n *node) bytes() []byte {
	if n == nil {
		return nil
	}
	return n.raw
}

// covers reports whether one of the patterns covers the path.
func (m merger) covers(path Path) bool {
	return slices.ContainsFunc(m.patterns, func(p Pattern) bool { return p.Covers(path) })
}

// touches reports whether one of the patterns covers the path or can match something below it.
func (m merger) touches(path Path) bool {
	return slices.ContainsFunc(m.patterns, func(p Pattern) bool {
		covers, below := p.follow(path)
		return covers || below
	})
}
