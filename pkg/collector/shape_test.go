package collector_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/facts"
)

// checkShape fails for types whose JSON cannot be compared path by path.
func checkShape(t *testing.T, path string, typ reflect.Type) {
	t.Helper()
	switch typ.Kind() {
	case reflect.Pointer:
		checkShape(t, path, typ.Elem())
	case reflect.Struct:
		for field := range typ.Fields() {
			name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			switch {
			case !field.IsExported() && name == "":
				continue
			case name == "" || name == "-" || options != "":
				t.Errorf("%s.%s has the tag %q; a fact has a name and is always there", path, field.Name, field.Tag)
			}
			checkShape(t, path+"."+name, field.Type)
		}
	case reflect.Map:
		if typ.Key().Kind() != reflect.String {
			t.Errorf("%s has keys of type %s", path, typ.Key())
		}
		checkShape(t, path+".*", typ.Elem())
	case reflect.Slice:
		if kind := typ.Elem().Kind(); kind != reflect.String && kind != reflect.Int64 && kind != reflect.Float64 && kind != reflect.Bool {
			t.Errorf("%s is a list of %s: a list of more than scalars is an object, keyed by what identifies its elements", path, typ.Elem())
		}
	case reflect.String, reflect.Bool, reflect.Int64, reflect.Float64:
	default:
		t.Errorf("%s is of type %s", path, typ)
	}
}

func TestFactsCanBeComparedPathByPath(t *testing.T) {
	t.Parallel()
	p := plan(t, collector.Options{Nonce: recordedNonce})
	r, err := p.Read(recordings(t)["debian-12-vm"])
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range collector.Builtin() {
		f := collector.FactsOf(typ, r)
		if f == nil {
			t.Fatalf("%s tells nothing", typ.Name)
		}
		checkShape(t, typ.Name, reflect.TypeOf(f))
	}
}

// An array differs from the next one as a whole, so its order must mean something or be fixed.
func TestListsWithoutAnOrderOfTheirOwnAreSorted(t *testing.T) {
	t.Parallel()
	ordered := []string{"os.id_like", "network.dns.servers", "network.dns.search"}
	p := plan(t, collector.Options{Nonce: recordedNonce})
	for name, stdout := range recordings(t) {
		r, err := p.Read(stdout)
		if err != nil {
			t.Fatal(err)
		}
		for _, report := range p.Reports(r) {
			for path, value := range facts.Leaves(report.Facts) {
				if value[0] != '[' || slices.Contains(ordered, report.Type+"."+path.String()) {
					continue
				}
				var list []string
				if err := json.Unmarshal(value, &list); err != nil || !slices.IsSorted(list) {
					t.Errorf("%s: %s %s is %s, %v", name, report.Type, path, value, err)
				}
			}
		}
	}
}
