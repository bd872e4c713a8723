package collector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gowebpki/jcs"
)

func TestCanonicalIsWhatTheLibraryMakes(t *testing.T) {
	t.Parallel()
	padding := strings.Repeat(`" padding "`[1:10], 300)
	wide := map[string]any{}
	for i := range 300 {
		wide[fmt.Sprintf("name-%d", i*7919%300)] = map[string]any{"z": i, "a": []int{3, 1}, "m": nil}
	}
	objects, err := json.Marshal(map[string]any{"wide": wide, "scalars": []any{1, "x"}, "true": true, "n": 1e21, "null": nil})
	if err != nil {
		t.Fatal(err)
	}
	documents := map[string]string{
		"an object of objects":                       string(objects),
		"names that sort by UTF-16 and not by UTF-8": `{"\ud83d\ude00":1,"\ufb33":2,"\u20ac":3,"1":4,"\u0080":5,"\r":6,"p":"` + padding + `"}`,
		"numbers, spaces and escapes":                `{ "b" : 1.50, "a" : "<\u0041&\u2028\u001f\/>" , "e":0.000001,"E":1E+2, "p":"` + padding + `" }`,
		"names that need escapes":                    `{"\"\\\n<>":{"deep":{"deeper":{"p":"` + padding + `"}}},"p":"` + padding + `"}`,
		"nothing in it":                              `{}`,
		"a list":                                     `[3,{"b":1,"a":2},"` + padding + `"]`,
	}
	goldens, err := filepath.Glob("testdata/*/*.json")
	if err != nil || len(goldens) == 0 {
		t.Fatalf("goldens: %v, %v", goldens, err)
	}
	for _, path := range goldens {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		documents[path] = string(text)
	}
	for name, doc := range documents {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, err := jcs.Transform([]byte(doc))
			if err != nil {
				t.Fatal(err)
			}
			got, err := canonical([]byte(doc))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("got %s, %v\nwant %s", got, err, want)
			}
		})
	}
	for _, broken := range []string{``, `{`, `{"a":1}}`, `{"p":"` + padding + `"`, `{"p":"` + padding + `",}`} {
		if got, err := canonical([]byte(broken)); err == nil {
			t.Errorf("of %.20q it made %s", broken, got)
		}
	}
}

// FuzzCanonical holds what is made here against what the library makes of the same.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{`{"b":[1,-0,1.5e3,"\u00e9\n"],"a":{"\ud83d\ude00":null}}`, ` [ true , {} , [] ] `, `{"a":1,"a":2}`, `{"\ud800":1}`, `{"<":"&"}`, `{"a":123456789012345678}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		start := bytes.TrimSpace(raw)
		if !json.Valid(raw) || !utf8.Valid(raw) || start[0] != '{' && start[0] != '[' {
			return // the library is not asked for anything else
		}
		got, err := canonical(raw)
		want, wantErr := jcs.Transform(start)
		if wantErr == nil && err != nil || err == nil && wantErr == nil && !bytes.Equal(got, want) {
			t.Fatalf("%q became %q, %v; want %q, %v", raw, got, err, want, wantErr)
		}
		if err == nil && !json.Valid(got) {
			t.Fatalf("%q became %q", raw, got)
		}
	})
}
