package facts

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

// A member is one name of an object and its value. Both alias the document.
type member struct {
	name  []byte // decoded
	value []byte // without spaces around it
}

// validate reports whether doc is one JSON value. Everything else in this file relies on it.
func validate(doc []byte) error {
	if !json.Valid(doc) {
		return errors.New("reading facts: not a JSON document")
	}
	return nil
}

// members appends the members of an object to out, sorted by name, each name once: the last of a name holds.
func members(object []byte, out []member) []member {
	at := skipSpace(object, 1)
	for object[at] != '}' {
		end := skipString(object, at)
		m := member{name: nameOf(object[at:end])}
		at = skipSpace(object, skipSpace(object, end)+1) // the colon
		end = skipValue(object, at)
		m.value = object[at:end]
		out = append(out, m)
		if at = skipSpace(object, end); object[at] == ',' {
			at = skipSpace(object, at+1)
		}
	}
	if !slices.IsSortedFunc(out, byName) || hasTwins(out) {
		slices.SortStableFunc(out, byName)
		out = lastOfEach(out)
	}
	return out
}

func byName(a, b member) int { return bytes.Compare(a.name, b.name) }

// hasTwins reports whether two neighbours have the same name.
func hasTwins(sorted []member) bool {
	for i := 1; i < len(sorted); i++ {
		if bytes.Equal(sorted[i-1].name, sorted[i].name) {
			return true
		}
	}
	return false
}

// lastOfEach keeps the last of each run of members of the same name.
func lastOfEach(sorted []member) []member {
	out := sorted[:0]
	for i, m := range sorted {
		if i+1 == len(sorted) || !bytes.Equal(m.name, sorted[i+1].name) {
			out = append(out, m)
		}
	}
	return out
}

// elements appends the elements of an array to out.
func elements(array []byte, out [][]byte) [][]byte {
	at := skipSpace(array, 1)
	for array[at] != ']' {
		end := skipValue(array, at)
		out = append(out, array[at:end])
		if at = skipSpace(array, end); array[at] == ',' {
			at = skipSpace(array, at+1)
		}
	}
	return out
}

// find returns the value of a name in an object.
func find(object []byte, name string) ([]byte, bool) {
	var value []byte
	for at := skipSpace(object, 1); object[at] != '}'; {
		end := skipString(object, at)
		found := string(nameOf(object[at:end])) == name
		at = skipSpace(object, skipSpace(object, end)+1)
		end = skipValue(object, at)
		if found {
			value = object[at:end]
		}
		if at = skipSpace(object, end); object[at] == ',' {
			at = skipSpace(object, at+1)
		}
	}
	return value, value != nil
}

// nameOf decodes a JSON string, without copying where it says itself.
func nameOf(literal []byte) []byte {
	inner := literal[1 : len(literal)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return inner
	}
	var s string
	if json.Unmarshal(literal, &s) != nil {
		return inner // unreachable: the document is valid
	}
	return []byte(s)
}

// skipSpace returns where the next byte after spaces is.
func skipSpace(doc []byte, at int) int {
	for doc[at] == ' ' || doc[at] == '\n' || doc[at] == '\t' || doc[at] == '\r' {
		at++
	}
	return at
}

// skipString returns where the string that starts at at has ended.
func skipString(doc []byte, at int) int {
	for at++; doc[at] != '"'; at++ {
		if doc[at] == '\\' {
			at++
		}
	}
	return at + 1
}

// skipValue returns where the value that starts at at has ended.
func skipValue(doc []byte, at int) int {
	switch doc[at] {
	case '"':
		return skipString(doc, at)
	case '{', '[':
		depth := 1
		for at++; depth > 0; {
			switch doc[at] {
			case '"':
				at = skipString(doc, at)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			at++
		}
		return at
	}
	for at < len(doc) && doc[at] != ',' && doc[at] != '}' && doc[at] != ']' && doc[at] > ' ' {
		at++
	}
	return at
}

// isObject reports whether a value is an object.
func isObject(value []byte) bool { return len(value) > 0 && value[0] == '{' }

// isNothing reports whether a value says nothing: it is absent, null, or empty.
func isNothing(value []byte) bool {
	if len(value) == 0 {
		return true
	}
	switch value[0] {
	case 'n':
		return true
	case '"':
		return len(value) == 2
	case '{', '[':
		end := value[skipSpace(value, 1)]
		return end == '}' || end == ']'
	}
	return false
}

// equal reports whether two values mean the same, however they are spelled. Numbers are doubles.
func equal(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	switch {
	case a[0] == '"' && b[0] == '"':
		return bytes.Equal(nameOf(a), nameOf(b))
	case a[0] == '[' && b[0] == '[' && isFlat(a) && isFlat(b):
		return slices.EqualFunc(elements(a, nil), elements(b, nil), equal)
	case a[0] == b[0] && (a[0] == '[' || a[0] == '{'):
		return same(decode(a), decode(b))
	case isNumber(a) && isNumber(b):
		return sameNumber(string(a), string(b))
	}
	return false
}

// sameNumber compares numbers as doubles. One that no double can hold is the infinity of its sign.
func sameNumber(a, b string) bool {
	x, _ := strconv.ParseFloat(a, 64)
	y, _ := strconv.ParseFloat(b, 64)
	return cmp.Compare(x, y) == 0 || x == 0 && y == 0
}

// isFlat reports whether an array surely holds nothing but scalars.
func isFlat(array []byte) bool { return !bytes.ContainsAny(array[1:], "[{") }

// decode decodes a value at once: taking it apart level by level, as is done with what is seldom deep, would take a time
// that grows with its depth.
func decode(value []byte) any {
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	var v any
	_ = d.Decode(&v) // the document is valid
	return v
}

// same is equal for what decode returns.
func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, same)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(a.String(), b.String())
	}
	return a == b
}

// isNumber reports whether a value is a number.
func isNumber(value []byte) bool { return value[0] == '-' || value[0] >= '0' && value[0] <= '9' }
