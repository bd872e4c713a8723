package rest

import (
	"bytes"
	"testing"
	"unicode/utf8"
)

// FuzzBodies decodes bodies as the door does before anything is validated. What passes is UTF-8 and holds nothing that
// PostgreSQL cannot keep.
func FuzzBodies(f *testing.F) {
	f.Add([]byte(`{"name":"web-1"}`))
	f.Add([]byte(`{"a\u0000":["\u0000"]}`))
	f.Add([]byte("{\"a\":\"\xff\"}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		if err := decodeJSON(data, &v); err == nil && (!utf8.Valid(data) || bytes.Contains(data, []byte{0}) || holdsNUL(v)) {
			t.Errorf("%q passes as %v", data, v)
		}
	})
}
