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
	for _, doc := range [][]byte{facts, former} {
		if err := validate(doc); err != nil {
			return nil, err
		}
	}
	root := &node{raw: bytes.TrimSpace(facts)}
	carry(root, bytes.TrimSpace(former), nil, paths)
	return root.write(nil), nil
}

// carry fills in what n, at path, has not and the former value has.
func carry(n *node, former []byte, path Path, patterns []Pattern) {
	if !isObject(former) || len(path) == maxDepth || !touched(patterns, path) || !n.open() {
		return
	}
	for _, m := range members(former, nil) {
		inner := slices.Concat(path, Path{string(m.name)})
		child, there := n.values[string(m.name)]
		if (!there || child.nothing()) && covered(patterns, inner) {
			n.set(string(m.name), m.value)
			continue
		}
		if there {
			carry(child, m.value, inner, patterns)
		}
	}
}

// nothing reports whether a value that is not open says nothing.
func (n *node) nothing() bool { return n.values == nil && isNothing(n.raw) }

func covered(patterns []Pattern, path Path) bool {
	for _, p := range patterns {
		if p.Covers(path) {
			return true
		}
	}
	return false
}

// touched reports whether a pattern covers the path or may match something below it.
func touched(patterns []Pattern, path Path) bool {
	for _, p := range patterns {
		if covers, below := p.follow(path); covers || below {
			return true
		}
	}
	return false
}
