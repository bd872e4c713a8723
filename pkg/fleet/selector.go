package fleet

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// A Selector is a boolean expression over labels, names and sites that picks hosts. It is made by ParseSelector
// and never changes. The zero value picks no host at all, so that a forgotten selector does nothing.
type Selector struct {
	_    [0]func() // == would panic on two equal trees; compare their texts
	expr Expr
	text string // canonical
}

// IsZero reports whether s is the zero value, which picks no host.
func (s Selector) IsZero() bool { return s.expr == nil }

// Expr returns the expression of s, or nil if s is zero. The caller must not change it.
func (s Selector) Expr() Expr { return s.expr }

// Match reports whether s picks the host of that name and site with those labels, which may be nil.
func (s Selector) Match(name, site string, labels map[string]string) bool {
	return s.expr != nil && s.expr.match(selected{name: name, site: site, labels: labels})
}

// String returns the canonical text of s: words for operators, parentheses and quotes only where they are needed.
// ParseSelector reads it as the same expression. The text of the zero value is empty, and is not a selector.
func (s Selector) String() string { return s.text }

// An Expr is a node of a selector's expression: an All, And, Or, Not or Compare, as values, and nothing else.
// Its logic has two values: a comparison with a label that a host does not have is false or, for OpNe and OpNotIn,
// true, and never unknown as in SQL.
type Expr interface {
	match(h selected) bool
	write(b *strings.Builder)
	nesting() int // open parentheses and nots in the canonical text
}

// All picks every host.
type All struct{}

// And picks the hosts that each of its terms picks. It has at least two terms, none of which is an And.
type And struct{ Terms []Expr }

// Or picks the hosts that at least one of its terms picks. It has at least two terms, none of which is an Or.
type Or struct{ Terms []Expr }

// Not picks the hosts that its term does not pick.
type Not struct{ Term Expr }

// Compare picks hosts by their name, their site or one of their labels.
type Compare struct {
	Field  Field
	Key    string // of the label; empty for the name and the site
	Op     Op
	Values []string // one for OpEq, OpNe and OpGlob, one or more for OpIn and OpNotIn, none for OpHas
}

// A Field is what a Compare looks at.
type Field string

// The fields.
const (
	FieldName  Field = "name"
	FieldSite  Field = "site"
	FieldLabel Field = "label" // the one that Compare.Key names
)

// An Op is how a Compare compares. All of them mind case.
type Op string

// The operators, as selectors spell them.
const (
	OpEq    Op = "="     // the value is there and equal
	OpNe    Op = "!="    // the value is missing or different
	OpGlob  Op = "~"     // the value is there and matches: * stands for any characters or none, ? for one, nothing else is special
	OpIn    Op = "in"    // the value is there and one of several
	OpNotIn Op = "notin" // the value is missing or none of several
	OpHas   Op = "has"   // the label is there, whatever its value; for labels only
)

// selected is what a selector can see of a host.
type selected struct {
	name, site string
	labels     map[string]string
}

// value returns what c looks at, and whether the host has it.
func (c Compare) value(h selected) (string, bool) {
	switch c.Field {
	case FieldName:
		return h.name, true
	case FieldSite:
		return h.site, true
	case FieldLabel:
		value, ok := h.labels[c.Key]
		return value, ok
	}
	return "", false
}

func (All) match(selected) bool { return true }

func (e And) match(h selected) bool {
	return !slices.ContainsFunc(e.Terms, func(term Expr) bool { return !term.match(h) })
}

func (e Or) match(h selected) bool {
	return slices.ContainsFunc(e.Terms, func(term Expr) bool { return term.match(h) })
}

func (e Not) match(h selected) bool { return !e.Term.match(h) }

func (c Compare) match(h selected) bool {
	value, ok := c.value(h)
	switch c.Op {
	case OpEq, OpIn:
		return ok && slices.Contains(c.Values, value)
	case OpNe, OpNotIn:
		return !ok || !slices.Contains(c.Values, value)
	case OpGlob:
		return ok && globMatch(c.Values[0], value)
	case OpHas:
		return ok
	}
	return false
}

// globMatch reports whether pattern matches the whole of s. On a mismatch it goes back to the last star only, so it
// takes at most len(pattern)*len(s) steps.
func globMatch(pattern, s string) bool {
	star, mark := -1, 0 // the last star seen, and where in s its match ends
	p, i := 0, 0
	for i < len(s) {
		_, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && pattern[p] == '?':
			p++
			i += size
		case p < len(pattern) && strings.HasPrefix(pattern[p:], s[i:i+size]):
			p += size
			i += size
		case star >= 0:
			_, skipped := utf8.DecodeRuneInString(s[mark:])
			mark += skipped
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
