package collector

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/gowebpki/jcs"
)

// canonical returns JSON in the form of RFC 8785. Objects are sorted here, and what is as plain as it looks is copied: jcs
// takes time that grows with the square of an object's names, and does what is left, which are numbers that are no small
// integers and texts that need a closer look.
func canonical(raw []byte) ([]byte, error) {
	if !json.Valid(raw) {
		return nil, errors.New("canonicalising JSON: it is none")
	}
	r := canonicalReader{in: raw}
	return r.value(make([]byte, 0, len(raw)))
}

// A canonicalReader reads JSON that is known to be valid, once.
type canonicalReader struct {
	in []byte
	at int
}

// next returns the byte that follows the white space.
func (r *canonicalReader) next() byte {
	for strings.IndexByte(" \t\r\n", r.in[r.at]) >= 0 {
		r.at++
	}
	return r.in[r.at]
}

// value appends the value that follows.
func (r *canonicalReader) value(out []byte) ([]byte, error) {
	switch r.next() {
	case '{':
		return r.object(out)
	case '[':
		return r.array(out)
	case '"':
		text, plain := r.text()
		if plain {
			return append(out, text...), nil
		}
		return appendScalar(out, text)
	}
	start := r.at
	for r.at < len(r.in) && strings.IndexByte(" \t\r\n,]}", r.in[r.at]) < 0 {
		r.at++
	}
	const exactDigits = 15
	word := r.in[start:r.at]
	if c := word[0]; c == 't' || c == 'f' || c == 'n' || len(word) <= exactDigits && isDigits(word) {
		return append(out, word...), nil
	}
	return appendScalar(out, word)
}

// isDigits reports whether there are digits alone.
func isDigits(word []byte) bool {
	for _, c := range word {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// text returns the text that follows with its quotes, and whether it stands for itself.
func (r *canonicalReader) text() (quoted []byte, plain bool) {
	start := r.at
	plain = true
	for r.at++; r.in[r.at] != '"'; r.at++ {
		c := r.in[r.at]
		plain = plain && c != '\\' && c <= '~'
		if c == '\\' {
			r.at++
		}
	}
	r.at++
	return r.in[start:r.at], plain
}

// array appends the array that follows.
func (r *canonicalReader) array(out []byte) ([]byte, error) {
	r.at++
	out = append(out, '[')
	var err error
	for first := true; r.next() != ']'; first = false {
		if !first { // there is a comma
			r.at++
			out = append(out, ',')
		}
		if out, err = r.value(out); err != nil {
			return nil, err
		}
	}
	r.at++
	return append(out, ']'), nil
}

// object appends the object that follows, sorted by its names.
func (r *canonicalReader) object(out []byte) ([]byte, error) {
	type member struct {
		name       string
		start, end int // of its value in values
	}
	var members []member
	var values []byte
	r.at++
	for r.next() != '}' {
		if len(members) > 0 { // there is a comma
			r.at++
			r.next()
		}
		quoted, plain := r.text()
		name := string(quoted[1 : len(quoted)-1])
		if !plain {
			if err := json.Unmarshal(quoted, &name); err != nil {
				return nil, fmt.Errorf("decoding a name: %w", err)
			}
		}
		r.next()
		r.at++ // the colon
		start := len(values)
		var err error
		if values, err = r.value(values); err != nil {
			return nil, err
		}
		members = append(members, member{name, start, len(values)})
	}
	r.at++
	slices.SortFunc(members, func(a, b member) int { return compareUTF16(a.name, b.name) })
	out = append(out, '{')
	for i, m := range members {
		if i > 0 {
			out = append(out, ',')
			if m.name == members[i-1].name {
				return nil, fmt.Errorf("canonicalising JSON: an object has the name %q twice", m.name)
			}
		}
		var err error
		if out, err = appendName(out, m.name); err != nil {
			return nil, err
		}
		out = append(append(out, ':'), values[m.start:m.end]...)
	}
	return append(out, '}'), nil
}

// appendName appends a name in quotes. Nearly all are as plain as they look.
func appendName(out []byte, name string) ([]byte, error) {
	if !strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) {
		return append(append(append(out, '"'), name...), '"'), nil
	}
	quoted, err := json.Marshal([]string{name})
	if err != nil {
		return nil, fmt.Errorf("encoding a name: %w", err)
	}
	if quoted, err = jcs.Transform(quoted); err != nil {
		return nil, fmt.Errorf("canonicalising a name: %w", err)
	}
	return append(out, quoted[1:len(quoted)-1]...), nil
}

// appendScalar appends what is neither an object nor an array, which jcs takes only as part of one.
func appendScalar(out, value []byte) ([]byte, error) {
	list, err := jcs.Transform(slices.Concat([]byte("["), value, []byte("]")))
	if err != nil {
		return nil, fmt.Errorf("canonicalising a value: %w", err)
	}
	return append(out, list[1:len(list)-1]...), nil
}

// compareUTF16 compares names by their UTF-16 code units, as RFC 8785 sorts them.
func compareUTF16(a, b string) int {
	ascii := func(s string) bool { return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0 }
	if ascii(a) && ascii(b) {
		return strings.Compare(a, b)
	}
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}
