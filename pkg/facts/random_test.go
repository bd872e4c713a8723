package facts_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/facts"
)

// randomNames are names that trip over quoting, dots, escapes and the spelling of numbers.
var randomNames = []string{
	"a", "b", "version", "packages", "_x9", "9x", "", ".", "..", "/mnt/a.b", "/", `"`, `\`, `\\`, `\"`, "a b", "dpkg:openssl:amd64",
	"*", "**", "a*b", "{", "}", "{2}", "[a-z]", "(", ")", "|", "^", "$", "+", "?", "\n", "\t", "\x01", "\x1f", "\x7f", "ü", "日本語", "\u2028", "😀",
	"u001f", `\u001f`, "n", "A", "aa", "ab", "ba", "-", "~", "'", "%", "a.b",
}

func randomName(r *rand.Rand) string {
	parts := []string{randomNames[r.IntN(len(randomNames))]}
	for r.IntN(4) == 0 {
		parts = append(parts, randomNames[r.IntN(len(randomNames))])
	}
	return strings.Join(parts, "")
}

func randomPath(r *rand.Rand) facts.Path {
	p := facts.Path{}
	for range r.IntN(5) {
		p = append(p, randomName(r))
	}
	return p
}

// randomValue returns a value of a document: objects of objects, scalars, and arrays of scalars.
func randomValue(r *rand.Rand, depth int) any {
	if depth > 0 && r.IntN(3) > 0 {
		object := map[string]any{}
		for range r.IntN(5) {
			object[randomName(r)] = randomValue(r, depth-1)
		}
		return object
	}
	if r.IntN(5) == 0 {
		array := []any{}
		for range r.IntN(3) {
			array = append(array, randomScalar(r))
		}
		return array
	}
	return randomScalar(r)
}

func randomScalar(r *rand.Rand) any {
	switch r.IntN(6) {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return float64(r.IntN(5))
	case 3:
		return r.NormFloat64() * 1e20
	case 4:
		return ""
	}
	return randomName(r)
}

// drift returns a value that differs from v here and there.
func drift(r *rand.Rand, v any, depth int) any {
	object, ok := v.(map[string]any)
	if !ok {
		if r.IntN(4) == 0 {
			return randomValue(r, depth)
		}
		return v
	}
	out := map[string]any{}
	for name, value := range object {
		switch r.IntN(8) {
		case 0:
		case 1:
			out[name] = randomValue(r, depth-1)
		default:
			out[name] = drift(r, value, depth-1)
		}
	}
	if r.IntN(4) == 0 {
		out[randomName(r)] = randomValue(r, depth-1)
	}
	return out
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// respelled writes a value as jsonb does, with spaces and names in another order; with r also numbers and strings are
// spelled otherwise.
func respelled(r *rand.Rand, v any) string {
	switch v := v.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.SortFunc(names, func(a, b string) int {
			if len(a) != len(b) {
				return len(a) - len(b)
			}
			return strings.Compare(a, b)
		})
		parts := make([]string, len(names))
		for i, name := range names {
			parts[i] = respelled(r, name) + ": " + respelled(r, v[name])
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = respelled(r, v[i])
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case float64:
		if r == nil {
			return string(encode(v))
		}
		return fmt.Sprintf([]string{"%.40f", "%.20e", "%v"}[r.IntN(3)], v)
	case string:
		if r == nil || r.IntN(3) > 0 {
			return string(encode(v))
		}
		var b strings.Builder
		for _, c := range v {
			if c < 0x10000 {
				fmt.Fprintf(&b, `\u%04X`, c)
			} else {
				b.WriteRune(c)
			}
		}
		return `"` + b.String() + `"`
	}
	return string(encode(v))
}
