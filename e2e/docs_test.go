package e2e_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/api/serve"
	"github.com/rollcallhq/rollcall/pkg/settings"
	"github.com/rollcallhq/rollcall/scheduler/beat"
	"github.com/rollcallhq/rollcall/worker/work"
)

var update = flag.Bool("update", false, "write the generated parts of the documentation")

// Between these lines docs/operations.md is generated.
const (
	generatedBegin = "<!-- generated: variables -->"
	generatedEnd   = "<!-- end of generated -->"
)

func TestOperationsListsEveryVariable(t *testing.T) {
	t.Parallel()
	const path = "../docs/operations.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), generatedBegin)
	_, after, ok2 := strings.Cut(rest, generatedEnd)
	if !ok || !ok2 {
		t.Fatalf("%s lacks %s or %s", path, generatedBegin, generatedEnd)
	}
	want := before + generatedBegin + "\n" + variables() + generatedEnd + after
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatalf("%s differs from the program; go test ./e2e -run TestOperationsListsEveryVariable -update", path)
	}
	if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}

// variables returns a table of what each binary reads.
func variables() string {
	type entry struct {
		settings.Variable
		readers []string
	}
	var order []string
	entries := map[string]*entry{}
	for _, binary := range []struct {
		name      string
		variables []settings.Variable
	}{{"api", serve.Variables()}, {"worker", work.Variables()}, {"scheduler", beat.Variables()}} {
		for _, v := range binary.variables {
			if entries[v.Name] == nil {
				entries[v.Name] = &entry{Variable: v}
				order = append(order, v.Name)
			}
			e := entries[v.Name]
			if e.Default != v.Default && v.Default != "" {
				e.Default += ", " + binary.name + " " + v.Default
			}
			e.readers = append(e.readers, binary.name)
		}
	}
	out := &strings.Builder{}
	fmt.Fprintln(out, "| variable | read by | default | meaning |")
	fmt.Fprintln(out, "|---|---|---|---|")
	for _, name := range order {
		e := entries[name]
		def := "none"
		if e.Default != "" {
			def = "`" + e.Default + "`"
		}
		if e.Required {
			def = "required"
		}
		fmt.Fprintf(out, "| `%s` | %s | %s | %s |\n", name, strings.Join(e.readers, ", "), def, strings.ReplaceAll(e.Meaning, "|", "\\|"))
	}
	return out.String()
}
