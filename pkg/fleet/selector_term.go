package fleet

import "strings"

// term = "*" | "has" "(" key ")" | "!" key | key | key operator.
func (p *parser) term() (Expr, error) {
	switch {
	case p.next.is("*"):
		return All{}, p.advance()
	case p.next.is("!"):
		return p.lacks()
	case p.next.isKeyword("has"):
		return p.has()
	case p.next.isKeyword("name"), p.next.isKeyword("site"):
		c := Compare{Field: Field(strings.ToLower(p.next.text))}
		if err := p.advance(); err != nil {
			return nil, err
		}
		return p.comparison(c)
	case p.next.kind == tokenWord && !reserved(p.next.text):
		key, err := p.key()
		if err != nil {
			return nil, err
		}
		return p.comparison(Compare{Field: FieldLabel, Key: key})
	}
	return nil, p.expected("a condition such as env=prod, has(gpu) or *")
}

// lacks reads the Kubernetes form of not has(key). What follows is a key and nothing else, for !env=prod would read
// as either of two things.
func (p *parser) lacks() (Expr, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	key, err := p.key()
	if err != nil {
		return nil, err
	}
	if p.atOperator() {
		return nil, p.fail("! stands before a label key only; write not before a comparison")
	}
	return Not{Term: Compare{Field: FieldLabel, Key: key, Op: OpHas}}, nil
}

func (p *parser) has() (Expr, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	if !p.next.is("(") {
		return nil, p.expected("( after has, which is a keyword and names no label")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	key, err := p.key()
	if err != nil {
		return nil, err
	}
	if !p.next.is(")") {
		return nil, p.expected(")")
	}
	return Compare{Field: FieldLabel, Key: key, Op: OpHas}, p.advance()
}

// key reads the key of a label.
func (p *parser) key() (string, error) {
	if p.next.kind != tokenWord {
		return "", p.expected("a label key")
	}
	key := p.next.text
	if problem := labelKeyProblem(key); problem != "" {
		return "", p.fail(problem)
	}
	return key, p.advance()
}

// atOperator reports whether the next token compares what stands before it.
func (p *parser) atOperator() bool {
	return p.next.is("=") || p.next.is("!=") || p.next.is("~") ||
		p.next.isKeyword("in") || p.next.isKeyword("notin") || p.next.isKeyword("not")
}

// comparison reads the operator and the values of c. A label without an operator is one that the host must have.
func (p *parser) comparison(c Compare) (Expr, error) {
	if !p.atOperator() {
		return p.bare(c)
	}
	c.Op = Op(strings.ToLower(p.next.text))
	negated := p.next.isKeyword("not") // not in
	if err := p.advance(); err != nil {
		return nil, err
	}
	if negated {
		if !p.next.isKeyword("in") {
			return nil, p.expected("in after not")
		}
		c.Op = OpNotIn
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	var err error
	if c.Op == OpIn || c.Op == OpNotIn {
		c.Values, err = p.values()
	} else {
		c.Values = make([]string, 1)
		c.Values[0], err = p.value(c.Op)
	}
	return c, err
}

// bare ends a comparison that has no operator.
func (p *parser) bare(c Compare) (Expr, error) {
	if c.Field != FieldLabel {
		return nil, p.expected("=, !=, ~, in or notin")
	}
	if p.next.kind == tokenEnd || p.next.is(",") || p.next.is(")") || p.next.isKeyword("and") || p.next.isKeyword("or") {
		c.Op = OpHas
		return c, nil
	}
	return nil, p.expected("=, !=, ~, in, notin, and, or, a comma or " + p.closing())
}

// closing names what may end the expression here.
func (p *parser) closing() string {
	if p.open > 0 {
		return ")"
	}
	return "the end"
}

// value reads a value for op.
func (p *parser) value(op Op) (string, error) {
	const pattern = `a pattern stands in double quotes and after ~, as in name~"web-*"`
	if p.next.is("*") {
		return "", p.fail(pattern)
	}
	if p.next.kind != tokenWord && p.next.kind != tokenQuoted {
		return "", p.expected(`a value after ` + string(op) + `, or "" for the empty one`)
	}
	value := p.next.text
	if problem := labelValueProblem(value); problem != "" {
		return "", p.fail(problem)
	}
	if err := p.advance(); err != nil {
		return "", err
	}
	if p.next.is("*") {
		return "", p.fail(pattern)
	}
	return value, nil
}

// values reads a list in parentheses.
func (p *parser) values() ([]string, error) {
	if !p.next.is("(") {
		return nil, p.expected("( before a list of values")
	}
	var values []string
	for !p.next.is(")") {
		if err := p.advance(); err != nil {
			return nil, err
		}
		value, err := p.value(OpIn)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
		if !p.next.is(",") && !p.next.is(")") {
			return nil, p.expected("a comma or ) in a list of values")
		}
	}
	return values, p.advance()
}
