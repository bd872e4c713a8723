package facts

import (
	"slices"
	"strings"
)

// The parts of a regular expression for canonical paths.
const (
	wordChars   = `[A-Za-z0-9_]`
	quotedChars = `(?:[^"\\]|\\[^u]|\\u00[01][0-9a-f])*` // an escape is never taken apart
	anyName     = `(?:` + wordChars + `+|"` + quotedChars + `")`
)

// Regexp returns a regular expression that matches the canonical string of a path exactly when the pattern covers the
// path. Go's regexp and PostgreSQL's operator ~ agree about it.
func (p Pattern) Regexp() string {
	var b strings.Builder
	b.WriteByte('^')
	for i, seg := range p.segments {
		last := i == len(p.segments)-1
		switch {
		case seg.deep:
			b.WriteString(`(?:` + anyName + `\.)*`)
		case last:
			seg.writeRegexp(&b)
			b.WriteString(`(?:\.|$)`)
		default:
			seg.writeRegexp(&b)
			b.WriteString(`\.`)
		}
	}
	return b.String()
}

// writeRegexp writes what matches the canonical forms of the names that a segment matches, which is not deep.
func (s segment) writeRegexp(b *strings.Builder) {
	if name, ok := s.exact(); ok {
		var canonical strings.Builder
		writeName(&canonical, name)
		writeQuotedMeta(b, canonical.String())
		return
	}
	words := !slices.ContainsFunc(s.literals, func(literal string) bool { return !isWord(literal) })
	if words {
		b.WriteString(`(?:`)
		if strings.Join(s.literals, "") == "" {
			b.WriteString(wordChars + `+`)
		} else {
			b.WriteString(strings.Join(s.literals, wordChars+`*`))
		}
		b.WriteByte('|')
	}
	b.WriteByte('"')
	for i, literal := range s.literals {
		if i > 0 {
			b.WriteString(quotedChars)
		}
		var escaped strings.Builder
		writeEscaped(&escaped, literal)
		writeQuotedMeta(b, escaped.String())
	}
	b.WriteByte('"')
	if words {
		b.WriteByte(')')
	}
}

// writeQuotedMeta writes s so that it matches itself: in both dialects a backslash takes the meaning of any ASCII
// punctuation that has one.
func writeQuotedMeta(b *strings.Builder, s string) {
	for _, r := range s {
		if strings.ContainsRune(`\.+*?()|[]{}^$`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
}
