package ui

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of what a page shows of one value; the rest is in the JSON.
const (
	maxLine = 90   // runes of a value that stands in a line
	maxFull = 4000 // bytes of a value that is unfolded
	maxName = 200  // bytes of a name or path that is shown
	maxLink = 600  // bytes of a path that is linked to

	maxUnfolded = 80_000 // bytes of all values of a page that can be unfolded
)

// cutName returns a name or path that is not too long for a line.
func cutName(name string) string {
	if s, cut := head(name, maxName); cut {
		return s + "…"
	}
	return name
}

// spare takes from v what can be unfolded if nothing is left for it.
func (v *value) spare(left *int) {
	if *left -= len(v.Full); *left < 0 {
		v.Full, v.Cut = "", false
	}
}

// A value is a JSON value as the pages show it.
type value struct {
	Kind  string // nothing, null, bool, number, string, list or object; the class of its style
	Text  string // in one line
	Exact string // what Text stands for, where that was made readable; else empty
	Full  string // all of it, where Text is cut; else empty
	Cut   bool   // whether Full is not all of it either
}

// showValue returns raw for people; nil is nothing.
func showValue(raw []byte, u unit) value {
	if raw == nil {
		return value{Kind: "nothing", Text: "nothing"}
	}
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return value{Kind: "null", Text: "unknown"}
	}
	switch raw[0] {
	case 'n':
		return value{Kind: "null", Text: "unknown"}
	case 't':
		return value{Kind: "bool", Text: "yes"}
	case 'f':
		return value{Kind: "bool", Text: "no"}
	case '"':
		return showString(raw)
	case '[':
		return showList(raw)
	case '{':
		return showObject(raw)
	default:
		return showAmount(raw, u)
	}
}

func showAmount(raw []byte, u unit) value {
	v := value{Kind: "number", Text: string(raw)}
	n, err := strconv.ParseFloat(v.Text, 64)
	if err != nil || u == plain {
		return v
	}
	if shown := u.show(n); shown != v.Text {
		v.Text, v.Exact = shown, v.Text
	}
	return v
}

func showString(raw []byte) value {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		s = string(raw)
	}
	if s == "" {
		return value{Kind: "null", Text: "empty"}
	}
	return folded("string", s)
}

func showList(raw []byte) value {
	items, ok := scalars(raw)
	if !ok {
		return folded("list", string(raw))
	}
	if len(items) == 0 {
		return value{Kind: "null", Text: "none"}
	}
	return folded("list", strings.Join(items, ", "))
}

func showObject(raw []byte) value {
	fields := members(raw)
	if len(fields) == 0 {
		return value{Kind: "null", Text: "none"}
	}
	var line strings.Builder
	for _, f := range fields {
		if line.Len() > 4*maxLine {
			break
		}
		if kindOfJSON(f.Raw) == 'n' { // what is not known is in the unfolded value
			continue
		}
		if line.Len() > 0 {
			line.WriteString(", ")
		}
		line.WriteString(f.Name + ": " + oneLine(f.Raw))
	}
	if line.Len() == 0 {
		return value{Kind: "null", Text: "nothing known"}
	}
	v := folded("object", line.String())
	var indented bytes.Buffer
	if json.Indent(&indented, raw[:min(len(raw), 1<<20)], "", "  ") != nil {
		indented.Reset()
		indented.Write(raw)
	}
	v.Full, v.Cut = head(indented.String(), maxFull)
	return v
}

// oneLine returns a value inside of another one.
func oneLine(raw json.RawMessage) string {
	if raw = bytes.TrimSpace(raw); len(raw) > 0 && raw[0] == '{' {
		s, cut := head(string(raw), maxLine)
		if cut {
			s += "…"
		}
		return s
	}
	return showValue(raw, plain).Text
}

// isDigest reports whether the text is a hash or the like, of which the beginning tells enough.
func isDigest(text string) bool {
	return len(text) >= 40 && strings.Trim(text, "0123456789abcdef") == ""
}

// folded returns text as a value that is cut where it is long.
func folded(kind, text string) value {
	v := value{Kind: kind, Text: text}
	if isDigest(text) {
		v.Text = text[:12] + "…"
		v.Full, v.Cut = head(text, maxFull)
		return v
	}
	if utf8.RuneCountInString(text) <= maxLine && !strings.ContainsAny(text, "\r\n") {
		return v
	}
	line, _, _ := strings.Cut(text, "\n")
	if runes := []rune(line[:min(len(line), 8*maxLine)]); len(runes) > maxLine {
		line = string(runes[:maxLine])
	}
	v.Text = strings.ToValidUTF8(line, "") + "…"
	v.Full, v.Cut = head(text, maxFull)
	return v
}

// head returns the first bytes of s, and whether there is more.
func head(s string, n int) (string, bool) {
	if len(s) <= n {
		return s, false
	}
	return strings.ToValidUTF8(s[:n], ""), true
}

// A member is a field of an object.
type member struct {
	Name string
	Raw  json.RawMessage
}

// members returns the fields of the object by name; none if raw is no object. The database keeps them in an order of
// its own.
func members(raw []byte) []member {
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil {
		return nil
	}
	fields := make([]member, 0, len(object))
	for name, raw := range object {
		fields = append(fields, member{name, raw})
	}
	slices.SortFunc(fields, func(a, b member) int { return natural(a.Name, b.Name) })
	return fields
}

// natural compares names so that numbers in them count as such: eth2 before eth10.
func natural(a, b string) int {
	for a != "" && b != "" {
		da, db := digits(a), digits(b)
		if da > 0 && db > 0 {
			na, nb := strings.TrimLeft(a[:da], "0"), strings.TrimLeft(b[:db], "0")
			if len(na) != len(nb) {
				return len(na) - len(nb)
			}
			if c := strings.Compare(na, nb); c != 0 {
				return c
			}
			if da != db {
				return da - db
			}
			a, b = a[da:], b[db:]
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// scalars returns the items of a list as texts; ok is false if it holds anything else.
func scalars(raw []byte) (items []string, ok bool) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return nil, false
	}
	for _, item := range list {
		item = bytes.TrimSpace(item)
		if len(item) == 0 || item[0] == '{' || item[0] == '[' {
			return nil, false
		}
		var s string
		if json.Unmarshal(item, &s) != nil {
			s = string(item)
		}
		items = append(items, s)
	}
	return items, true
}
