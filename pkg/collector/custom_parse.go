package collector

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of what a custom collector may tell.
const (
	maxElements   = 50_000   // values of a document, all levels together
	maxFactsDepth = 32       // what package facts compares name by name
	maxLine       = 64 << 10 // bytes
	maxFieldName  = 1 << 10  // bytes
)

// items is where a list stands in the facts.
const items = "items"

// A parseError says why an output cannot be read. It never quotes the output, so that it may be logged.
type parseError struct {
	line int // 1-based; 0 if it is about no line
	why  string
}

// Error returns the line and the reason.
func (e *parseError) Error() string {
	if e.line == 0 {
		return e.why
	}
	return "line " + strconv.Itoa(e.line) + ": " + e.why
}

// parse reads text as the definition says. The result is made of map[string]any, []any, string, json.Number, bool and nil.
func (c *custom) parse(text string) (map[string]any, error) {
	switch c.Parser.Format {
	case FormatText:
		return map[string]any{"text": strings.TrimRight(text, "\n")}, nil
	case FormatLines:
		return parseLines(text)
	case FormatKV:
		return parseKV(text, c.Parser.Sep)
	case FormatJSON:
		return parseJSON(text)
	case FormatNDJSON:
		return parseNDJSON(text)
	case FormatCSV:
		return parseCSV(text, c.Parser)
	case FormatTable:
		return parseTable(text, c.Parser)
	case FormatRegex:
		return c.parseRegex(text)
	case FormatINI:
		return parseINI(text)
	}
	return nil, &parseError{why: "there is no such format"}
}

// eachLine calls f with every line that is not blank, without its end, and its number.
func eachLine(text string, f func(n int, line string) error) error {
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if len(line) > maxLine {
			return &parseError{n, fmt.Sprintf("has more than %d bytes", maxLine)}
		}
		if n > maxElements {
			return &parseError{n, fmt.Sprintf("more than %d lines", maxElements)}
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		if err := f(n, line); err != nil {
			return err
		}
	}
	return nil
}

func parseLines(text string) (map[string]any, error) {
	lines := []any{}
	err := eachLine(text, func(_ int, line string) error { lines = append(lines, line); return nil })
	return map[string]any{"lines": lines}, err
}

// comment reports whether a line of kv or ini says nothing.
func comment(line string) bool { return strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") }

func parseKV(text, sep string) (map[string]any, error) {
	out := map[string]any{}
	err := eachLine(text, func(n int, line string) error {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			return nil
		}
		name, value, found := cutPair(line, sep)
		switch {
		case !found:
			return &parseError{n, "has no separator"}
		case name == "" || len(name) > maxFieldName:
			return &parseError{n, "has no name that can be kept"}
		}
		again(out, name, value)
		return nil
	})
	return out, err
}

// cutPair splits a line at its first separator. White space as the separator need not be there: then the value is empty.
func cutPair(line, sep string) (name, value string, found bool) {
	switch {
	case sep == "":
		sep = "="
	case strings.TrimSpace(sep) == "":
		at := strings.IndexAny(line, " \t")
		if at < 0 {
			return line, "", true
		}
		return line[:at], strings.TrimSpace(line[at:]), true
	}
	name, value, found = strings.Cut(line, sep)
	return strings.TrimSpace(name), strings.TrimSpace(value), found
}

// again sets a name, or makes its value a list if it has one already.
func again(out map[string]any, name, value string) {
	switch before := out[name].(type) {
	case nil:
		out[name] = value
	case []any:
		out[name] = append(before, value)
	default:
		out[name] = []any{before, value}
	}
}

func parseINI(text string) (map[string]any, error) {
	out := map[string]any{}
	section := "global"
	err := eachLine(text, func(n int, line string) error {
		line = strings.TrimSpace(line)
		if comment(line) {
			return nil
		}
		if name, ok := strings.CutPrefix(line, "["); ok {
			name, ok = strings.CutSuffix(name, "]")
			if name = strings.TrimSpace(name); !ok || name == "" || len(name) > maxFieldName {
				return &parseError{n, "is no section"}
			}
			section = name
			if out[section] == nil {
				out[section] = map[string]any{}
			}
			return nil
		}
		at := strings.IndexAny(line, "=:")
		if at <= 0 || at > maxFieldName {
			return &parseError{n, "is neither a section nor a setting"}
		}
		values, ok := out[section].(map[string]any)
		if !ok {
			values = map[string]any{}
			out[section] = values
		}
		again(values, strings.TrimSpace(line[:at]), strings.TrimSpace(line[at+1:]))
		return nil
	})
	return out, err
}

// decodeJSON reads one JSON value; numbers stay as they are written.
func decodeJSON(text string) (any, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		if e, ok := errors.AsType[*json.SyntaxError](err); ok {
			at := max(0, min(int(e.Offset), len(text)))
			return nil, &parseError{1 + strings.Count(text[:at], "\n"), "is no JSON"}
		}
		return nil, &parseError{why: "the JSON ends too soon"}
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, &parseError{why: "something follows the JSON"}
	}
	return v, nil
}

func parseJSON(text string) (map[string]any, error) {
	v, err := decodeJSON(text)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case map[string]any:
		return v, nil
	case []any:
		return map[string]any{items: v}, nil
	}
	return nil, &parseError{why: "the JSON is neither an object nor a list"}
}

func parseNDJSON(text string) (map[string]any, error) {
	list := []any{}
	err := eachLine(text, func(n int, line string) error {
		v, err := decodeJSON(line)
		if e, ok := errors.AsType[*parseError](err); ok {
			return &parseError{n, e.why}
		}
		list = append(list, v)
		return err
	})
	return map[string]any{items: list}, err
}

func parseCSV(text string, p ParserSpec) (map[string]any, error) {
	r := csv.NewReader(bytes.NewReader([]byte(text)))
	r.ReuseRecord, r.FieldsPerRecord = true, -1
	if p.Sep != "" {
		r.Comma, _ = utf8.DecodeRuneInString(p.Sep)
	}
	columns, list := p.Columns, []any{}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return map[string]any{items: list}, nil
		}
		line, _ := 0, 0
		if err == nil {
			line, _ = r.FieldPos(0)
		}
		if e, ok := errors.AsType[*csv.ParseError](err); ok {
			return nil, &parseError{e.Line, "is no CSV"}
		}
		switch {
		case err != nil:
			return nil, &parseError{why: "is no CSV"}
		case columns == nil:
			if columns = append([]string(nil), record...); checkNames("", columns) != nil {
				return nil, &parseError{line, "does not name the columns"}
			}
			continue
		case len(record) != len(columns):
			return nil, &parseError{line, "has another number of columns"}
		case len(list) >= maxElements:
			return nil, &parseError{line, fmt.Sprintf("more than %d lines", maxElements)}
		}
		element := map[string]any{}
		for i, name := range columns {
			element[name] = record[i]
		}
		list = append(list, element)
	}
}

func parseTable(text string, p ParserSpec) (map[string]any, error) {
	list, header := []any{}, p.Header
	err := eachLine(text, func(n int, line string) error {
		if header {
			header = false
			return nil
		}
		element := map[string]any{}
		for i, name := range p.Columns {
			line = strings.TrimLeft(line, " \t")
			if line == "" {
				return &parseError{n, "has too few columns"}
			}
			if i == len(p.Columns)-1 {
				element[name] = strings.TrimRight(line, " \t")
				break
			}
			end := strings.IndexAny(line, " \t")
			if end < 0 {
				end = len(line)
			}
			element[name], line = line[:end], line[end:]
		}
		list = append(list, element)
		return nil
	})
	return map[string]any{items: list}, err
}

func (c *custom) parseRegex(text string) (map[string]any, error) {
	list := []any{}
	names := c.pattern.SubexpNames()
	matches := c.pattern.FindAllStringSubmatchIndex(text, maxElements+1)
	if len(matches) > maxElements {
		return nil, &parseError{why: fmt.Sprintf("matches more than %d times", maxElements)}
	}
	for _, m := range matches {
		element := map[string]any{}
		for i, name := range names {
			switch {
			case name == "":
			case m[2*i] < 0:
				element[name] = nil // the group took no part
			case m[2*i+1]-m[2*i] > maxLine:
				return nil, &parseError{1 + strings.Count(text[:m[2*i]], "\n"), fmt.Sprintf("a group matches more than %d bytes", maxLine)}
			default:
				element[name] = text[m[2*i]:m[2*i+1]]
			}
		}
		list = append(list, element)
	}
	return map[string]any{items: list}, nil
}
