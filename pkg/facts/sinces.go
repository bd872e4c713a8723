package facts

import (
	"slices"
	"time"
)

// Sinces tells since when the values of one report type of one host hold. Its zero value knows nothing and answers
// with the zero time. It may be used by many goroutines.
type Sinces struct {
	root      *sinceNode
	baselines []baseline // newest first
}

// A sinceNode is one path that changed, or that leads to one that did.
type sinceNode struct {
	at       time.Time // newest change at the path itself
	newest   time.Time // of it and of all below it
	children map[string]*sinceNode
}

type baseline struct {
	pattern Pattern
	at      time.Time
}

// NewSinces returns what is known since first, the time of the first report, from the newest change of each canonical
// path and the newest baseline of each pattern. A path or pattern that cannot be read counts for the whole document:
// it may make a value look younger than it is, and never older. The maps stay the caller's.
func NewSinces(first time.Time, last, baselines map[string]time.Time) Sinces {
	s := Sinces{root: &sinceNode{at: first, newest: first}}
	for text, at := range last {
		path, err := ParsePath(text)
		if err != nil {
			path = nil
		}
		s.root.add(path, at)
	}
	for text, at := range baselines {
		pattern, err := ParsePattern(text)
		if err != nil {
			pattern = Pattern{}
		}
		s.baselines = append(s.baselines, baseline{pattern, at})
	}
	slices.SortFunc(s.baselines, func(a, b baseline) int { return b.at.Compare(a.at) })
	return s
}

// add notes a change.
func (n *sinceNode) add(path Path, at time.Time) {
	for _, name := range path {
		n.newest = later(n.newest, at)
		child := n.children[name]
		if child == nil {
			if n.children == nil {
				n.children = map[string]*sinceNode{}
			}
			child = &sinceNode{}
			n.children[name] = child
		}
		n = child
	}
	n.at, n.newest = later(n.at, at), later(n.newest, at)
}

// Of returns since when the value at the path holds: the newest of the first report, of the changes at the path, at
// its ancestors and below it, and of the baselines that cover it or lie below it.
func (s Sinces) Of(p Path) time.Time {
	var since time.Time
	node := s.root
	for i := 0; node != nil; i++ {
		if i == len(p) {
			since = later(since, node.newest)
			break
		}
		since = later(since, node.at)
		node = node.children[p[i]]
	}
	for _, b := range s.baselines {
		if !b.at.After(since) {
			break
		}
		if covers, below := b.pattern.follow(p); covers || below {
			since = b.at
		}
	}
	return since
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
