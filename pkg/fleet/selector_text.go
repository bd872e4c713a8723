package fleet

import (
	"slices"
	"strings"
)

func (All) write(b *strings.Builder) { b.WriteByte('*') }

func (e And) write(b *strings.Builder) {
	for i, term := range e.Terms {
		if i > 0 {
			b.WriteString(" and ")
		}
		writeTerm(b, term, isOr(term))
	}
}

func (e Or) write(b *strings.Builder) {
	for i, term := range e.Terms {
		if i > 0 {
			b.WriteString(" or ")
		}
		term.write(b)
	}
}

func (e Not) write(b *strings.Builder) {
	b.WriteString("not ")
	writeTerm(b, e.Term, isAnd(e.Term) || isOr(e.Term))
}

func (c Compare) write(b *strings.Builder) {
	subject := string(c.Field)
	if c.Field == FieldLabel {
		subject = c.Key
	}
	switch c.Op {
	case OpHas:
		b.WriteString("has(" + subject + ")")
	case OpEq, OpNe, OpGlob:
		b.WriteString(subject + string(c.Op))
		writeValue(b, c.Values[0])
	case OpIn, OpNotIn:
		b.WriteString(subject + " " + string(c.Op) + " (")
		for i, value := range c.Values {
			if i > 0 {
				b.WriteByte(',')
			}
			writeValue(b, value)
		}
		b.WriteByte(')')
	}
}

func writeTerm(b *strings.Builder, term Expr, parentheses bool) {
	if !parentheses {
		term.write(b)
		return
	}
	b.WriteByte('(')
	term.write(b)
	b.WriteByte(')')
}

// writeValue writes a value, in quotes unless it is a plain word. Keywords are legal values without quotes, but
// nobody should have to know that to read one.
func writeValue(b *strings.Builder, value string) {
	if value != "" && wordLength(value) == len(value) && !reserved(value) {
		b.WriteString(value)
		return
	}
	b.WriteByte('"')
	for i := range len(value) {
		if value[i] == '"' || value[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(value[i])
	}
	b.WriteByte('"')
}

func (All) nesting() int { return 0 }

func (e And) nesting() int {
	return deepest(e.Terms, isOr)
}

func (e Or) nesting() int {
	return deepest(e.Terms, func(Expr) bool { return false })
}

func (e Not) nesting() int {
	return 1 + deepest([]Expr{e.Term}, func(term Expr) bool { return isAnd(term) || isOr(term) })
}

func (Compare) nesting() int { return 0 }

// deepest returns the largest nesting of the terms, one more for those that need parentheses.
func deepest(terms []Expr, parentheses func(Expr) bool) int {
	most := 0
	for _, term := range terms {
		depth := term.nesting()
		if parentheses(term) {
			depth++
		}
		most = max(most, depth)
	}
	return most
}

func isAnd(e Expr) bool {
	_, ok := e.(And)
	return ok
}

func isOr(e Expr) bool {
	_, ok := e.(Or)
	return ok
}

// reserved reports whether word, in any case, means something in selectors and so cannot name a label.
func reserved(word string) bool {
	return slices.Contains([]string{"and", "or", "not", "in", "notin", "has", "name", "site"}, strings.ToLower(word))
}
