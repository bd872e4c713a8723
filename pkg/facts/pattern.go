package facts

import (
	"slices"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// Bounds of a pattern that comes from outside.
const (
	maxPatternBytes    = 512
	maxPatternSegments = 32
)

// A Pattern matches paths. Its zero value matches the empty path, and so covers everything. Patterns are values: they
// may be copied, and used by many goroutines.
type Pattern struct {
	segments []segment // never ends with a deep one, nor holds two in a row
}

// A segment matches one name, or any number of them.
type segment struct {
	literals []string // what the name holds, with any characters between each two; one alone is the name
	deep     bool     // written **: any number of any names
}

// ParsePattern reads segments joined by dots, as ParsePath does, in which an asterisk outside quotes stands for any
// characters of that name, and a segment of two for any number of names. Quoted and other parts may stand side by
// side in a segment, so that "10.0."* is every name that begins with 10.0 and a dot. The empty string is the zero
// pattern. What cannot be read, has more than 512 bytes or more than 32 segments is an error of kind Invalid about
// the field path, which says where and what was expected.
func ParsePattern(s string) (Pattern, error) {
	if len(s) > maxPatternBytes {
		return Pattern{}, fleet.InvalidField(field, "has more than %d bytes", maxPatternBytes)
	}
	var p Pattern
	sc := scanner{text: s}
	for n, more := 0, s != ""; more; n++ {
		if n == maxPatternSegments {
			return Pattern{}, sc.errorf("expected no more than %d segments", maxPatternSegments)
		}
		seg, err := sc.segment()
		if err != nil {
			return Pattern{}, err
		}
		if !seg.deep || len(p.segments) == 0 || !p.segments[len(p.segments)-1].deep {
			p.segments = append(p.segments, seg)
		}
		if more, err = sc.dot(); err != nil {
			return Pattern{}, err
		}
	}
	// What matches a path covers all that lies below it, so that ** at the end says nothing.
	if n := len(p.segments); n > 0 && p.segments[n-1].deep {
		p.segments = p.segments[:n-1]
	}
	return p, nil
}

// All reports whether p is the zero pattern, which covers everything, the root included.
func (p Pattern) All() bool { return len(p.segments) == 0 }

// String returns the pattern in the form that ParsePattern reads; that of the zero pattern is empty. The string of a
// pattern without asterisks is that of the path it matches.
func (p Pattern) String() string {
	var b strings.Builder
	for i, seg := range p.segments {
		if i > 0 {
			b.WriteByte('.')
		}
		seg.write(&b)
	}
	return b.String()
}

// exact returns the one name that the segment matches, if there is but one.
func (s segment) exact() (string, bool) {
	if s.deep || len(s.literals) != 1 {
		return "", false
	}
	return s.literals[0], true
}

// write writes the segment as ParsePattern reads it.
func (s segment) write(b *strings.Builder) {
	if s.deep {
		b.WriteString("**")
		return
	}
	if name, ok := s.exact(); ok {
		writeName(b, name)
		return
	}
	for i, literal := range s.literals {
		if i > 0 {
			b.WriteByte('*')
		}
		if strings.ContainsFunc(literal, func(r rune) bool { return r < ' ' || strings.ContainsRune(`."*`, r) }) {
			writeName(b, literal)
		} else {
			b.WriteString(literal)
		}
	}
}

// match reports whether a segment that is not deep matches the name.
func (s segment) match(name string) bool {
	first, rest := s.literals[0], s.literals[1:]
	name, ok := strings.CutPrefix(name, first)
	if !ok || len(rest) == 0 {
		return ok && name == ""
	}
	last := rest[len(rest)-1]
	for _, literal := range rest[:len(rest)-1] {
		if _, name, ok = strings.Cut(name, literal); !ok {
			return false
		}
	}
	return strings.HasSuffix(name, last)
}

// Covers reports whether the pattern matches the path or one of its ancestors.
func (p Pattern) Covers(path Path) bool {
	covers, _ := p.follow(path)
	return covers
}

// below reports whether the pattern can match something below the path. It may do so and cover the path as well.
func (p Pattern) below(path Path) bool {
	_, below := p.follow(path)
	return below
}

// follow walks down the path.
func (p Pattern) follow(path Path) (covers, below bool) {
	if !slices.ContainsFunc(p.segments, func(s segment) bool { return s.deep }) {
		for i, name := range path[:min(len(path), len(p.segments))] {
			if !p.segments[i].match(name) {
				return false, false
			}
		}
		return len(path) >= len(p.segments), len(path) < len(p.segments)
	}
	return p.followDeep(path)
}

// followDeep is follow where a state, which is the number of segments that have been matched, may lead to several.
func (p Pattern) followDeep(path Path) (covers, below bool) {
	states := p.enter(nil, 0)
	for _, name := range path {
		if slices.Contains(states, len(p.segments)) {
			covers = true
		}
		var next []int
		for _, state := range states {
			switch {
			case state == len(p.segments):
			case p.segments[state].deep:
				next = p.enter(next, state)
			case p.segments[state].match(name):
				next = p.enter(next, state+1)
			}
		}
		states = next
	}
	for _, state := range states {
		if state == len(p.segments) {
			covers = true
		} else {
			below = true
		}
	}
	return covers, below
}

// enter adds the state, and the next as well where a deep segment may match no name at all.
func (p Pattern) enter(states []int, state int) []int {
	if slices.Contains(states, state) {
		return states
	}
	states = append(states, state)
	if state < len(p.segments) && p.segments[state].deep {
		return p.enter(states, state+1)
	}
	return states
}
