package facts

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// Bounds of a path that comes from outside. They are far above what any fact needs: a mount point has up to 4,096
// bytes.
const (
	maxPathBytes = 64 << 10
	maxPathNames = 256
)

// A Path names one value in a document by the names that lead to it from the root. The empty path names the whole
// document.
type Path []string

// ParsePath reads names joined by dots. A name that holds a dot, a quote or an asterisk, or is empty, is written as a
// JSON string; any other may be. The empty string is the empty path. What cannot be read is an error of kind Invalid
// about the field path, which says where and what was expected. ParsePath undoes Path.String for all names without a
// NUL, in valid UTF-8.
func ParsePath(s string) (Path, error) {
	if len(s) > maxPathBytes {
		return nil, fleet.InvalidField(field, "has more than %d bytes", maxPathBytes)
	}
	p := Path{}
	sc := scanner{text: s}
	for more := s != ""; more; {
		if len(p) == maxPathNames {
			return nil, sc.errorf("expected no more than %d names", maxPathNames)
		}
		start := sc.at
		seg, err := sc.segment()
		if err != nil {
			return nil, err
		}
		name, ok := seg.exact()
		if !ok {
			sc.at = start
			return nil, sc.errorf("expected the name of one thing; a name with * in it stands in quotes")
		}
		p = append(p, name)
		if more, err = sc.dot(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// String returns the canonical form of the path: names of letters, digits and underscores that begin with no digit
// as they are, others as JSON strings in which only what has to be is escaped, as RFC 8785 has it; joined by dots.
// Two paths are equal if and only if their strings are.
func (p Path) String() string {
	var b strings.Builder
	for i, name := range p {
		if i > 0 {
			b.WriteByte('.')
		}
		writeName(&b, name)
	}
	return b.String()
}

// Pattern returns the pattern that matches this path alone, and so covers it and all that lies below it.
func (p Path) Pattern() Pattern {
	segments := make([]segment, len(p))
	for i, name := range p {
		segments[i] = segment{literals: []string{name}}
	}
	return Pattern{segments: segments}
}

// writeName writes the canonical form of one name.
func writeName(b *strings.Builder, name string) {
	if isBare(name) {
		b.WriteString(name)
		return
	}
	b.WriteByte('"')
	writeEscaped(b, name)
	b.WriteByte('"')
}

// isBare reports whether the name stands without quotes in a canonical path.
func isBare(name string) bool {
	return name != "" && (name[0] < '0' || name[0] > '9') && isWord(name)
}

// isWord reports whether s consists of nothing but ASCII letters, digits and underscores.
func isWord(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_':
		default:
			return false
		}
	}
	return true
}

// writeEscaped writes s as it stands between the quotes of a JSON string of RFC 8785; PostgreSQL's to_json writes
// the same. Bytes that are not UTF-8 become U+FFFD, as in encoding/json.
func writeEscaped(b *strings.Builder, s string) {
	const hex = "0123456789abcdef"
	for _, r := range s {
		switch r {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '\b':
			b.WriteString(`\b`)
		case '\f':
			b.WriteString(`\f`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		default:
			if r < ' ' {
				b.WriteString(`\u00`)
				b.WriteByte(hex[r>>4])
				b.WriteByte(hex[r&15])
				continue
			}
			b.WriteRune(r)
		}
	}
}

// field is what the errors of this package call what they are about.
const field = "path"

// A scanner reads the text of a path or a pattern.
type scanner struct {
	text string
	at   int // of the next byte
}

// errorf returns an error that says at which character it happened, counted from 1.
func (s *scanner) errorf(format string, args ...any) error {
	args = append([]any{utf8.RuneCountInString(s.text[:s.at]) + 1}, args...)
	return fleet.InvalidField(field, "at character %d: "+format, args...)
}

// dot steps over the dot between two segments and reports whether there was one.
func (s *scanner) dot() (bool, error) {
	if s.at == len(s.text) {
		return false, nil
	}
	if s.text[s.at] != '.' {
		return false, s.errorf("expected a dot or the end")
	}
	s.at++
	return true, nil
}

// segment reads one segment: quoted and unquoted parts up to a dot or the end.
func (s *scanner) segment() (segment, error) {
	seg, start, quoted, stars := segment{literals: []string{""}}, s.at, false, 0
	last := &seg.literals[0]
	for s.at < len(s.text) && s.text[s.at] != '.' {
		switch s.text[s.at] {
		case '"':
			part, err := s.quoted()
			if err != nil {
				return segment{}, err
			}
			*last += part
			quoted = true
		case '*':
			s.at++
			stars++
			if len(seg.literals) == 1 || *last != "" {
				seg.literals = append(seg.literals, "")
				last = &seg.literals[len(seg.literals)-1]
			}
		default:
			part, err := s.unquoted()
			if err != nil {
				return segment{}, err
			}
			*last += part
		}
	}
	if s.at == start {
		return segment{}, s.errorf(`expected a name; the empty name is written ""`)
	}
	seg.deep = stars > 1 && !quoted && s.at-start == stars
	return seg, nil
}

// unquoted reads a part of a segment that stands for itself.
func (s *scanner) unquoted() (string, error) {
	start := s.at
	for s.at < len(s.text) {
		r, size := utf8.DecodeRuneInString(s.text[s.at:])
		switch {
		case r == '.' || r == '"' || r == '*':
			return s.text[start:s.at], nil
		case r == utf8.RuneError && size == 1:
			return "", s.errorf("expected UTF-8")
		case r < ' ':
			return "", s.errorf("expected a printable character; others stand escaped in quotes")
		}
		s.at += size
	}
	return s.text[start:], nil
}

// quoted reads a JSON string.
func (s *scanner) quoted() (string, error) {
	start := s.at
	for s.at++; s.at < len(s.text) && s.text[s.at] != '"'; s.at++ {
		if s.text[s.at] == '\\' {
			s.at++
		}
	}
	if s.at >= len(s.text) {
		s.at = start
		return "", s.errorf("expected a closing quote")
	}
	s.at++
	literal := s.text[start:s.at]
	var name string
	if err := json.Unmarshal([]byte(literal), &name); err != nil || !utf8.ValidString(literal) {
		s.at = start
		return "", s.errorf("expected a JSON string")
	}
	if strings.IndexByte(name, 0) >= 0 {
		s.at = start
		return "", s.errorf("expected a name without NUL")
	}
	return name, nil
}

// appendString appends s as a JSON string, as RFC 8785 has it.
func appendString(out []byte, s string) []byte {
	var b strings.Builder
	b.WriteByte('"')
	writeEscaped(&b, s)
	b.WriteByte('"')
	return append(out, b.String()...)
}
