package fleet

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The limits of selectors. They hold for the text as given and for its canonical form.
const (
	MaxSelectorLength  = 4096 // bytes
	MaxSelectorNesting = 32   // parentheses and nots around a term
	MaxSelectorTerms   = 256  // comparisons and stars
)

// ParseSelector reads a selector such as
//
//	env=prod and (role in (web,db) or name~"web-*") and not has(gpu)
//
// The text * picks every host. Comparisons are key=value (or ==), key!=value, key~"glob", key in (a,b),
// key notin (a,b) and has(key), where key is name, site or a label. They are combined with not, and, or, in the order
// of how tightly they bind, and parentheses; a comma is an and that binds loosest. Keywords may be in any case. As in
// Kubernetes, key alone is has(key) and !key is not has(key). A value that is not only letters, digits and . _ : / -
// stands in double quotes, in which \" and \\ are a quote and a backslash.
//
// A text that is empty, too large or not a selector is an error of kind Invalid and code invalid_selector about the
// field selector, whose message gives the position, in characters from 1, and what was expected there.
func ParseSelector(text string) (Selector, error) {
	if len(text) > MaxSelectorLength {
		return Selector{}, selectorError(text, 0, fmt.Sprintf("a selector has at most %d bytes", MaxSelectorLength))
	}
	for i, r := range text {
		if r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)) {
			return Selector{}, selectorError(text, i, "a selector is valid UTF-8")
		}
	}
	p := parser{text: text}
	expr, err := p.parse()
	if err != nil {
		return Selector{}, err
	}
	var canonical strings.Builder
	expr.write(&canonical)
	// Spelling out commas and the short forms of Kubernetes makes a text longer and can make it deeper.
	if canonical.Len() > MaxSelectorLength || expr.nesting() > MaxSelectorNesting {
		return Selector{}, selectorError(text, 0, fmt.Sprintf(
			"written out, the selector has more than %d bytes or %d levels", MaxSelectorLength, MaxSelectorNesting))
	}
	return Selector{expr: expr, text: canonical.String()}, nil
}

// A parser reads a selector by recursive descent, one token ahead.
type parser struct {
	text    string
	next    token // not consumed yet
	end     int   // offset behind next
	nesting int   // open parentheses and nots
	open    int   // open parentheses
	terms   int
}

func (p *parser) parse() (Expr, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.next.kind == tokenEnd {
		return nil, p.expected("a selector, such as * for all hosts")
	}
	expr, err := p.list()
	if err != nil {
		return nil, err
	}
	if p.next.kind != tokenEnd {
		return nil, p.expected("and, or, a comma or " + p.closing())
	}
	return expr, nil
}

// list = or { "," or }.
func (p *parser) list() (Expr, error) {
	return p.chain(p.or, func(t token) bool { return t.is(",") }, conjunction)
}

// or = and { "or" and }.
func (p *parser) or() (Expr, error) {
	return p.chain(p.and, func(t token) bool { return t.isKeyword("or") }, disjunction)
}

// and = unary { "and" unary }.
func (p *parser) and() (Expr, error) {
	return p.chain(p.unary, func(t token) bool { return t.isKeyword("and") }, conjunction)
}

// chain reads operands with separators between them and joins them if there are several.
func (p *parser) chain(operand func() (Expr, error), separates func(token) bool, join func([]Expr) Expr) (Expr, error) {
	first, err := operand()
	if err != nil {
		return nil, err
	}
	terms := []Expr{first}
	for separates(p.next) {
		if err := p.advance(); err != nil {
			return nil, err
		}
		term, err := operand()
		if err != nil {
			return nil, err
		}
		terms = append(terms, term)
	}
	if len(terms) == 1 {
		return first, nil
	}
	return join(terms), nil
}

// conjunction returns the And of the terms, into which it dissolves those that are an And themselves.
func conjunction(terms []Expr) Expr {
	var flat []Expr
	for _, term := range terms {
		if and, ok := term.(And); ok {
			flat = append(flat, and.Terms...)
		} else {
			flat = append(flat, term)
		}
	}
	return And{Terms: flat}
}

// disjunction returns the Or of the terms, into which it dissolves those that are an Or themselves.
func disjunction(terms []Expr) Expr {
	var flat []Expr
	for _, term := range terms {
		if or, ok := term.(Or); ok {
			flat = append(flat, or.Terms...)
		} else {
			flat = append(flat, term)
		}
	}
	return Or{Terms: flat}
}

// unary = "not" unary | "(" list ")" | term.
func (p *parser) unary() (Expr, error) {
	switch {
	case p.next.isKeyword("not"):
		if err := p.descend(); err != nil {
			return nil, err
		}
		term, err := p.unary()
		p.nesting--
		return Not{Term: term}, err
	case p.next.is("("):
		if err := p.descend(); err != nil {
			return nil, err
		}
		p.open++
		expr, err := p.list()
		if err != nil {
			return nil, err
		}
		if !p.next.is(")") {
			return nil, p.expected("and, or, a comma or " + p.closing())
		}
		p.nesting--
		p.open--
		return expr, p.advance()
	}
	p.terms++
	if p.terms > MaxSelectorTerms {
		return nil, p.fail(fmt.Sprintf("a selector has at most %d terms", MaxSelectorTerms))
	}
	return p.term()
}

// descend consumes the token that begins a deeper level.
func (p *parser) descend() error {
	p.nesting++
	if p.nesting > MaxSelectorNesting {
		return p.fail(fmt.Sprintf("parentheses and nots are at most %d deep", MaxSelectorNesting))
	}
	return p.advance()
}

// advance consumes a token.
func (p *parser) advance() (err error) {
	p.next, p.end, err = scan(p.text, p.end)
	return err
}

// fail returns the refusal of the selector for its next token.
func (p *parser) fail(problem string) error {
	return selectorError(p.text, p.next.start, problem)
}

// expected returns the refusal of the selector because its next token is not what it should be.
func (p *parser) expected(what string) error {
	return p.fail("expected " + what + ", found " + p.next.describe())
}
