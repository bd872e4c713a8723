package collector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/gowebpki/jcs"
)

// canonical returns JSON in the form of RFC 8785. What jcs takes for an object grows with the square of its names, so
// objects that are not small are taken apart and their names sorted here.
func canonical(raw []byte) ([]byte, error) {
	const small = 2 << 10
	trimmed := bytes.TrimSpace(raw)
	if len(trimmed) <= small || trimmed[0] != '{' {
		out, err := jcs.Transform(trimmed)
		if err != nil {
			return nil, fmt.Errorf("canonicalising JSON: %w", err)
		}
		return out, nil
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(trimmed, &members); err != nil {
		return nil, fmt.Errorf("taking an object apart: %w", err)
	}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.SortFunc(names, compareUTF16)
	out := append(make([]byte, 0, len(trimmed)), '{')
	for i, name := range names {
		if i > 0 {
			out = append(out, ',')
		}
		quoted, err := json.Marshal([]string{name})
		if err != nil {
			return nil, fmt.Errorf("encoding a name: %w", err)
		}
		if quoted, err = jcs.Transform(quoted); err != nil {
			return nil, fmt.Errorf("canonicalising a name: %w", err)
		}
		out = append(append(out, quoted[1:len(quoted)-1]...), ':')
		value := []byte(members[name])
		if value[0] == '{' || value[0] == '[' {
			if value, err = canonical(value); err != nil {
				return nil, err
			}
		} else if value, err = canonicalScalar(value); err != nil {
			return nil, err
		}
		out = append(out, value...)
	}
	return append(out, '}'), nil
}

// canonicalScalar is canonical for what is neither an object nor an array, which jcs takes only as part of one.
func canonicalScalar(value []byte) ([]byte, error) {
	list, err := jcs.Transform(slices.Concat([]byte("["), value, []byte("]")))
	if err != nil {
		return nil, fmt.Errorf("canonicalising a value: %w", err)
	}
	return list[1 : len(list)-1], nil
}

// compareUTF16 compares names by their UTF-16 code units, as RFC 8785 sorts them.
func compareUTF16(a, b string) int {
	ascii := func(s string) bool { return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0 }
	if ascii(a) && ascii(b) {
		return strings.Compare(a, b)
	}
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}
