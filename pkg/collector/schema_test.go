package collector_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/facts"
)

// compiled returns the schemas of the built-in types by name.
func compiled(tb testing.TB) map[string]*jsonschema.Schema {
	tb.Helper()
	schemas := map[string]*jsonschema.Schema{}
	for _, typ := range collector.Builtin() {
		raw, err := typ.Schema()
		if err != nil {
			tb.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			tb.Fatal(err)
		}
		compiler := jsonschema.NewCompiler()
		if err := compiler.AddResource(typ.Name, document); err != nil {
			tb.Fatal(err)
		}
		schema, err := compiler.Compile(typ.Name)
		if err != nil {
			tb.Fatalf("%s: %v", typ.Name, err)
		}
		schemas[typ.Name] = schema
	}
	return schemas
}

func TestEveryReportIsAsItsSchemaSays(t *testing.T) {
	t.Parallel()
	schemas := compiled(t)
	all := recordings(t)
	p := plan(t, collector.Options{Nonce: recordedNonce})
	all["this machine"] = output(t, p)
	held := map[string]int{}
	for name, stdout := range all {
		r, err := p.Read(stdout)
		if err != nil {
			t.Fatal(err)
		}
		for _, report := range p.Reports(r) {
			if report.Status == collector.StatusFailed {
				continue
			}
			whole, err := jsonschema.UnmarshalJSON(strings.NewReader(fmt.Sprintf(`{"facts":%s,"metrics":%s}`, report.Facts, report.Metrics)))
			if err != nil {
				t.Fatal(err)
			}
			held[report.Type]++
			if report.Type == "os" && r.Kernel() != "Linux" {
				continue // of another kernel nothing is known that moves
			}
			if err := schemas[report.Type].Validate(whole); err != nil {
				t.Errorf("%s of %s: %v", report.Type, name, err)
			}
			unavailableIsThere(t, name, report)
		}
	}
	for name := range schemas {
		if held[name] < 3 {
			t.Errorf("of type %s there are only %d reports to hold against the schema", name, held[name])
		}
	}
}

// unavailableIsThere holds that what a report says to be unavailable is something that the schema knows.
func unavailableIsThere(t *testing.T, name string, report collector.Report) {
	t.Helper()
	typ, _ := collector.Lookup(report.Type)
	fields, err := typ.Fields()
	if err != nil {
		t.Fatal(err)
	}
	for path := range report.Unavailable {
		pattern, err := facts.ParsePattern(path)
		if err != nil {
			t.Errorf("%s of %s: %s: %v", report.Type, name, path, err)
			continue
		}
		known := pattern.All()
		for _, f := range fields {
			known = known || pattern.Covers(strings.Split(f.Path, ".")) || sameShape(path, f.Path)
		}
		if !known {
			t.Errorf("%s of %s: %s is unavailable, which the schema does not know", report.Type, name, path)
		}
	}
}

// sameShape reports whether a path in canonical form is one of those that a field stands for.
func sameShape(path, field string) bool {
	p, err := facts.ParsePath(path)
	f := strings.Split(field, ".")
	if err != nil || len(p) != len(f) {
		return false
	}
	for i := range p {
		if f[i] != "*" && f[i] != p[i] {
			return false
		}
	}
	return true
}

func TestASchemaRefusesWhatNoReportHas(t *testing.T) {
	t.Parallel()
	schemas := compiled(t)
	p := plan(t, collector.Options{Nonce: recordedNonce})
	r, err := p.Read(recordings(t)["debian-12-vm"])
	if err != nil {
		t.Fatal(err)
	}
	for _, report := range p.Reports(r) {
		for name, spoil := range map[string]func(f document){
			"a field more":        func(f document) { f["planted"] = 1.0 },
			"a field less":        func(f document) { delete(f, firstKey(f)) },
			"a value of no kind":  func(f document) { f[firstKey(f)] = []any{[]any{}} },
			"a number for a text": func(f document) { f[firstKey(f)] = 1.5 },
		} {
			f := decode(t, report.Facts)
			spoil(f)
			if firstKeyIsNumber(f) {
				continue
			}
			if err := schemas[report.Type].Validate(document{"facts": f, "metrics": decode(t, report.Metrics)}); err == nil {
				t.Errorf("%s with %s passes", report.Type, name)
			}
		}
	}
}

// firstKey returns the first key that is no number's.
func firstKey(d document) string {
	best := ""
	for key, value := range d {
		if _, isNumber := value.(float64); !isNumber && (best == "" || key < best) {
			best = key
		}
	}
	return best
}

func firstKeyIsNumber(d document) bool { return firstKey(d) == "" }

func TestEveryNumberHasAUnit(t *testing.T) {
	t.Parallel()
	identities := 0
	for _, typ := range collector.Builtin() {
		fields, err := typ.Fields()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fields {
			if number := f.Type == "integer" || f.Type == "number"; number && f.Unit == "" {
				t.Errorf("%s %s %s is a number of what?", typ.Name, f.Part, f.Path)
			}
			if f.Class == collector.ClassIdentity {
				identities++
			}
		}
	}
	if identities == 0 {
		t.Error("nothing tells a machine from others")
	}
}

const factsPage = "../../docs/facts.md"

// TestFactsPage holds docs/facts.md against the schemas; -update writes it anew.
func TestFactsPage(t *testing.T) {
	t.Parallel()
	page := renderFacts(t)
	if *update {
		if err := os.WriteFile(factsPage, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(factsPage)
	if err != nil || !bytes.Equal(written, page) {
		t.Errorf("docs/facts.md is out of date (%v); run go test ./pkg/collector -run TestFactsPage -update", err)
	}
}

func renderFacts(t *testing.T) []byte {
	t.Helper()
	var page bytes.Buffer
	page.WriteString(factsHead)
	for _, typ := range collector.Builtin() {
		fields, err := typ.Fields()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := typ.Schema()
		if err != nil {
			t.Fatal(err)
		}
		var schema struct {
			Properties map[string]struct{ Description string }
		}
		if err := json.Unmarshal(raw, &schema); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&page, "\n## %s\n\nSchema version %d.\n", typ.Name, typ.SchemaVersion)
		part := ""
		for _, f := range fields {
			if f.Part != part {
				part = f.Part
				fmt.Fprintf(&page, "\n### %s: %s\n\n%s\n\n| path | value | class | unit | meaning |\n|---|---|---|---|---|\n", typ.Name, part, schema.Properties[part].Description)
			}
			value := f.Type
			if f.Nullable {
				value += " or null"
			}
			unit := f.Unit
			if f.Type == "object" && unit != "" {
				value, unit = value+", "+unit, ""
			}
			fmt.Fprintf(&page, "| `%s` | %s | %s | %s | %s |\n", f.Path, value, f.Class, unit, f.Description)
		}
	}
	return page.Bytes()
}

const factsHead = `# Facts and metrics

This page is written by a test from the schemas that ` + "`GET /api/v1/collectors/{name}`" + ` serves: ` + "`go test ./pkg/collector -run TestFactsPage -update`" + `.

Each field is of one class. What is **identity** tells a machine, or a part of it, from all others; what is **stable** changes when
somebody changes something. Both are facts: they are compared, and each difference is a change. What is **volatile** changes by itself;
it is a metric, kept as a time series and never compared. In a path, ` + "`*`" + ` stands for the key of one of many. Times are in Unix seconds, UTC.

An empty list is known to be empty. null is of two kinds, and a report's ` + "`unavailable`" + ` tells them apart. A null under one of its patterns
could not be told, for the reason that stands there. Any other null was asked for and answered: the machine has no such thing, or does not
say what it is, as a disk without a label or a processor that is no virtual machine's.

| reason | what it says |
|---|---|
| ` + "`no_permission`" + ` | only root is told |
| ` + "`denied`" + ` | the machine refused, although it was asked as root or has what it refused |
| ` + "`tool_missing`" + ` | the machine does not have the program that would tell |
| ` + "`not_applicable`" + ` | the machine has nothing of the kind |
| ` + "`no_answer`" + ` | the machine asked another one, such as its resolver, in vain |
| ` + "`not_asked`" + ` | it lies on another machine's disks, where asking may never end |
| ` + "`unsettled`" + ` | the value was on its way to another one |
| ` + "`timed_out`" + `, ` + "`truncated`" + `, ` + "`parse_failed`" + ` | the answer did not come in time, was too long, or made no sense; the report is partial |
| ` + "`os_unsupported`" + ` | of a system that is not Linux only the identity is told |

What could not be told is no change: but for ` + "`not_applicable`" + ` and ` + "`os_unsupported`" + `, the value that an earlier report knew stands until
one is told again.
`
