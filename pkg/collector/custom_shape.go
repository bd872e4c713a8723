package collector

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/facts"
)

// shape makes out of what was parsed what is stored: texts without secrets, exact numbers, lists as objects, and what is
// volatile apart. violations are where the whole is not as the schema says.
func (c *custom) shape(root map[string]any) (stable, volatile map[string]any, violations []violation, err error) {
	n := normaliser{custom: c}
	root, ok := n.value(root, 0).(map[string]any)
	switch {
	case n.err != nil:
		return nil, nil, nil, n.err
	case !ok:
		return nil, nil, nil, &parseError{why: "is no object"}
	}
	if c.typed() {
		root, _ = typedBy(c.schema.raw, c.schema.raw, root, 0).(map[string]any)
	}
	if err := c.keyed(root); err != nil {
		return nil, nil, nil, err
	}
	violations = c.schema.validate(root)
	stable, volatile = c.split(root)
	return stable, volatile, violations, nil
}

// typed reports whether the format knows nothing but texts, so that the schema says what they stand for.
func (c *custom) typed() bool {
	return c.schema != nil && c.Parser.Format != FormatJSON && c.Parser.Format != FormatNDJSON && c.Parser.Format != FormatNone
}

// A normaliser brings a document into the bounds and the forms that can be stored.
type normaliser struct {
	*custom
	count int
	err   error
}

func (n *normaliser) fail(why string, args ...any) any {
	if n.err == nil {
		n.err = &parseError{why: fmt.Sprintf(why, args...)}
	}
	return nil
}

func (n *normaliser) value(v any, depth int) any {
	if n.count++; n.count > maxElements {
		return n.fail("holds more than %d values", maxElements)
	}
	if depth > maxFactsDepth {
		return n.fail("is deeper than %d levels", maxFactsDepth)
	}
	switch v := v.(type) {
	case string:
		return n.text(v)
	case json.Number:
		return exact(v)
	case []any:
		for i, item := range v {
			v[i] = n.value(item, depth+1)
		}
		return v
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, name := range sortedKeys(v) {
			value := n.value(v[name], depth+1)
			name = n.text(name)
			if len(name) > maxFieldName {
				return n.fail("holds a name of more than %d bytes", maxFieldName)
			}
			if _, there := out[name]; there {
				return n.fail("holds two names that cannot be told apart")
			}
			out[name] = value
		}
		return out
	}
	return v
}

// text returns s without secrets and without what a database refuses: JSON may have written either with escapes.
func (n *normaliser) text(s string) string { return n.redacted(clean([]byte(s))) }

// Redacted stands for what was taken out.
const Redacted = "[redacted]"

// redacted returns s with what the patterns match, or what their first groups do, replaced.
func (c *custom) redacted(s string) string {
	for _, re := range c.redact {
		matches := re.FindAllStringSubmatchIndex(s, -1)
		if matches == nil {
			continue
		}
		var b strings.Builder
		end := 0
		for _, m := range matches {
			from, to := m[0], m[1]
			if len(m) > 2 && m[2] >= 0 {
				from, to = m[2], m[3]
			}
			b.WriteString(s[end:from])
			b.WriteString(Redacted)
			end = to
		}
		b.WriteString(s[end:])
		s = b.String()
	}
	return s
}

// exact returns a number as it is written if a double can hold it, and as text otherwise: facts are canonical JSON, whose
// numbers are doubles, and a serial number must not lose its last digits.
func exact(n json.Number) any {
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil || math.IsInf(f, 0) || !sameDecimal(string(n), strconv.FormatFloat(f, 'e', -1, 64)) {
		return string(n)
	}
	return n
}

// sameDecimal reports whether two decimal literals are the same number.
func sameDecimal(a, b string) bool {
	digitsA, exponentA, okA := decimalOf(a)
	digitsB, exponentB, okB := decimalOf(b)
	return okA && okB && digitsA == digitsB && exponentA == exponentB
}

// decimalOf returns the significant digits of a literal with its sign, and the exponent of the first one.
func decimalOf(s string) (digits string, exponent int, ok bool) {
	mantissa, exp, found := strings.Cut(strings.ToLower(s), "e")
	if found {
		var err error
		if exponent, err = strconv.Atoi(exp); err != nil || exponent > 10_000 || exponent < -10_000 {
			return "", 0, false
		}
	}
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	exponent += len(whole)
	digits = whole + fraction
	trimmed := strings.TrimLeft(digits, "0")
	exponent -= len(digits) - len(trimmed)
	if digits = strings.TrimRight(trimmed, "0"); digits == "" {
		return "0", 0, true
	}
	if negative {
		digits = "-" + digits
	}
	return digits, exponent, true
}

// keyed turns the list of the document into an object by the keys of its elements. Elements with the same key are told
// apart by numbers, in an order that does not depend on that of the list.
func (c *custom) keyed(root map[string]any) error {
	list, ok := root[items].([]any)
	if len(c.keys) == 0 || !ok {
		return nil
	}
	byKey := map[string][]any{}
	for i, element := range list {
		key, err := c.keyOf(element)
		if err != nil {
			return &parseError{why: fmt.Sprintf("element %d %s", i+1, err)}
		}
		byKey[key] = append(byKey[key], element)
	}
	out := make(map[string]any, len(list))
	for _, key := range sortedKeys(byKey) {
		same := byKey[key]
		slices.SortFunc(same, func(a, b any) int { return strings.Compare(encoded(a), encoded(b)) })
		for i, element := range same {
			name := key
			if i > 0 {
				name += "#" + strconv.Itoa(i+1)
			}
			if _, there := out[name]; there {
				return &parseError{why: "has keys that cannot be told apart"}
			}
			out[name] = element
		}
	}
	root[items] = out
	return nil
}

func encoded(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

// keyOf returns what tells an element from the others.
func (c *custom) keyOf(element any) (string, error) {
	parts := make([]string, len(c.keys))
	for i, path := range c.keys {
		v := element
		for _, name := range path {
			m, _ := v.(map[string]any)
			v = m[name]
		}
		switch v := v.(type) {
		case string:
			parts[i] = v
		case json.Number:
			parts[i] = string(v)
		case bool:
			parts[i] = strconv.FormatBool(v)
		default:
			return "", fmt.Errorf("has no %s that tells it apart", path)
		}
	}
	key := strings.Join(parts, ":")
	if key == "" || len(key) > maxFieldName {
		return "", fmt.Errorf("has a key of %d bytes", len(key))
	}
	return key, nil
}

// split takes what is volatile out of a document.
func (c *custom) split(root map[string]any) (stable, volatile map[string]any) {
	if len(c.volatile) == 0 {
		return root, map[string]any{}
	}
	stable, volatile = c.splitAt(root, nil)
	return stable, volatile
}

func (c *custom) splitAt(object map[string]any, path facts.Path) (stable, volatile map[string]any) {
	stable, volatile = map[string]any{}, map[string]any{}
	for name, value := range object {
		inner := append(slices.Clip(path), name)
		if slices.ContainsFunc(c.volatile, func(p facts.Pattern) bool { return p.Covers(inner) }) {
			volatile[name] = value
			continue
		}
		below, ok := value.(map[string]any)
		if !ok {
			stable[name] = value
			continue
		}
		kept, moved := c.splitAt(below, inner)
		stable[name] = kept
		if len(moved) > 0 {
			volatile[name] = moved
		}
	}
	return stable, volatile
}

// typedBy returns a value whose texts are what the schema says they stand for, where that can be told exactly: an
// integer, a number, a boolean, null for the empty text, or a list of one.
func typedBy(root, schema, value any, depth int) any {
	s := dereferenced(root, schema)
	if s == nil || depth > maxFactsDepth {
		return value
	}
	switch v := value.(type) {
	case map[string]any:
		properties, _ := s["properties"].(map[string]any)
		for name, inner := range v {
			under, ok := properties[name]
			if !ok {
				under = s["additionalProperties"]
			}
			v[name] = typedBy(root, under, inner, depth+1)
		}
	case []any:
		// A list that will be an object is described as one.
		under := s["items"]
		if under == nil {
			under = s["additionalProperties"]
		}
		for i, inner := range v {
			v[i] = typedBy(root, under, inner, depth+1)
		}
	case string:
		return typedText(root, s, v, depth)
	}
	return value
}

// dereferenced returns the schema that a value is under, following references within the schema itself.
func dereferenced(root, schema any) map[string]any {
	for range 8 {
		s, ok := schema.(map[string]any)
		if !ok {
			return nil
		}
		ref, ok := s["$ref"].(string)
		if !ok {
			return s
		}
		names, ok := strings.CutPrefix(ref, "#/")
		if !ok {
			return nil
		}
		schema = root
		for name := range strings.SplitSeq(names, "/") {
			m, _ := schema.(map[string]any)
			schema = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
		}
	}
	return nil
}

func typedText(root any, schema map[string]any, text string, depth int) any {
	types, _ := schema["type"].([]any)
	if one, ok := schema["type"].(string); ok {
		types = []any{one}
	}
	is := func(name string) bool { return slices.Contains(types, any(name)) }
	if is("null") && text == "" {
		return nil
	}
	if is("integer") || is("number") {
		if n, ok := numberOf(text, is("number")); ok {
			return n
		}
	}
	if is("boolean") {
		if b := truth(text); b != nil {
			return *b
		}
	}
	if is("array") && !is("string") {
		return []any{typedBy(root, schema["items"], text, depth+1)}
	}
	return text
}

// numberOf returns the number that a text is the decimal form of, if a double holds it exactly.
func numberOf(text string, fraction bool) (json.Number, bool) {
	digits := strings.TrimPrefix(text, "-")
	allowed := "0123456789"
	if fraction {
		allowed += ".eE+-"
	}
	if digits == "" || len(digits) > 32 || strings.Trim(digits, allowed) != "" || !json.Valid([]byte(text)) {
		return "", false
	}
	n, ok := exact(json.Number(text)).(json.Number)
	return n, ok
}

// truth is flag without its tolerance for any case: what programs print for yes and no.
func truth(text string) *bool {
	switch text {
	case "true", "yes", "on", "1", "True":
		return new(true)
	case "false", "no", "off", "0", "False":
		return new(false)
	}
	return nil
}
