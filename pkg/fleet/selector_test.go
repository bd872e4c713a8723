package fleet_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// label returns a comparison with a label.
func label(key string, op fleet.Op, values ...string) fleet.Compare {
	return fleet.Compare{Field: fleet.FieldLabel, Key: key, Op: op, Values: values}
}

func mustParse(tb testing.TB, text string) fleet.Selector {
	tb.Helper()
	s, err := fleet.ParseSelector(text)
	if err != nil {
		tb.Fatalf("ParseSelector(%q): %v", text, err)
	}
	return s
}

func TestParseSelector(t *testing.T) {
	t.Parallel()
	env, web, gpu := label("env", fleet.OpEq, "prod"), label("role", fleet.OpIn, "web", "db"), label("gpu", fleet.OpHas)
	tests := []struct {
		name, text, canonical string
		want                  fleet.Expr
	}{
		{"a star is every host", "*", "*", fleet.All{}},
		{"a name", "name=web-1", "name=web-1", fleet.Compare{Field: fleet.FieldName, Op: fleet.OpEq, Values: []string{"web-1"}}},
		{"a pattern", `name~"web-*"`, `name~"web-*"`, fleet.Compare{Field: fleet.FieldName, Op: fleet.OpGlob, Values: []string{"web-*"}}},
		{"a site", "site=eu", "site=eu", fleet.Compare{Field: fleet.FieldSite, Op: fleet.OpEq, Values: []string{"eu"}}},
		{"a site among several", "SITE IN (eu, us)", "site in (eu,us)", fleet.Compare{Field: fleet.FieldSite, Op: fleet.OpIn, Values: []string{"eu", "us"}}},
		{"a label", "env=prod", "env=prod", env},
		{"a label that is not", "env!=prod", "env!=prod", label("env", fleet.OpNe, "prod")},
		{"a list", "role in (web,db)", "role in (web,db)", web},
		{"a list of one", "role in(web)", "role in (web)", label("role", fleet.OpIn, "web")},
		{
			"not in as one word and as two", "role notin (a), role not in (b)", "role notin (a) and role notin (b)",
			fleet.And{Terms: []fleet.Expr{label("role", fleet.OpNotIn, "a"), label("role", fleet.OpNotIn, "b")}},
		},
		{"a label that is there", "has(gpu)", "has(gpu)", gpu},
		{"Kubernetes: a key alone", "gpu", "has(gpu)", gpu},
		{"Kubernetes: an exclamation mark", "!gpu", "not has(gpu)", fleet.Not{Term: gpu}},
		{"Kubernetes: two equals signs and a prefixed key", "app.kubernetes.io/name == nginx", "app.kubernetes.io/name=nginx", label("app.kubernetes.io/name", fleet.OpEq, "nginx")},
		{
			"Kubernetes: a list of requirements", "env=prod,role in (web,db),!gpu", "env=prod and role in (web,db) and not has(gpu)",
			fleet.And{Terms: []fleet.Expr{env, web, fleet.Not{Term: gpu}}},
		},
		{
			"and binds tighter than or", "env=prod or gpu and role in (web,db)", "env=prod or has(gpu) and role in (web,db)",
			fleet.Or{Terms: []fleet.Expr{env, fleet.And{Terms: []fleet.Expr{gpu, web}}}},
		},
		{
			"a comma binds looser than or", "env=prod or gpu, role in (web,db)", "(env=prod or has(gpu)) and role in (web,db)",
			fleet.And{Terms: []fleet.Expr{fleet.Or{Terms: []fleet.Expr{env, gpu}}, web}},
		},
		{
			"not binds tightest", "not env=prod and gpu", "not env=prod and has(gpu)",
			fleet.And{Terms: []fleet.Expr{fleet.Not{Term: env}, gpu}},
		},
		{
			"not of a group", "NOT (env=prod AND gpu)", "not (env=prod and has(gpu))",
			fleet.Not{Term: fleet.And{Terms: []fleet.Expr{env, gpu}}},
		},
		{
			"needless parentheses go", "((env=prod)) and (gpu and (role in (web,db)))", "env=prod and has(gpu) and role in (web,db)",
			fleet.And{Terms: []fleet.Expr{env, gpu, web}},
		},
		{"white space of all sorts", "\tenv\n= prod\r\n", "env=prod", env},
		{"quotes and escapes", `env="a \"b\" \\c"`, `env="a \"b\" \\c"`, label("env", fleet.OpEq, `a "b" \c`)},
		{"needless quotes go", `env="prod"`, "env=prod", env},
		{"the empty value", `env=""`, `env=""`, label("env", fleet.OpEq, "")},
		{"a keyword as a value", "env=and", `env="and"`, label("env", fleet.OpEq, "and")},
		{"every character that needs no quotes", "env=aZ09._:/-", "env=aZ09._:/-", label("env", fleet.OpEq, "aZ09._:/-")},
		{
			"a label whose key begins like a keyword", "index=1 and android=2", "index=1 and android=2",
			fleet.And{Terms: []fleet.Expr{label("index", fleet.OpEq, "1"), label("android", fleet.OpEq, "2")}},
		},
		{"other scripts in quotes", `env="Köln"`, `env="Köln"`, label("env", fleet.OpEq, "Köln")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := mustParse(t, tt.text)
			if diff := cmp.Diff(tt.want, s.Expr(), equateEmpty); diff != "" {
				t.Errorf("expression (-want +got):\n%s", diff)
			}
			if got := s.String(); got != tt.canonical {
				t.Errorf("String() = %q, want %q", got, tt.canonical)
			}
		})
	}
}

// equateEmpty makes the absent values of has equal, whether nil or empty.
var equateEmpty = cmp.Transformer("values", func(values []string) string { return strings.Join(values, "\x00") })

func TestParseSelectorRefusesAndSaysWhere(t *testing.T) {
	t.Parallel()
	const condition = `expected a condition such as env=prod, has(gpu) or *, found `
	tests := []struct{ name, text, want string }{
		{"nothing", "", "position 1: expected a selector, such as * for all hosts, found the end"},
		{"only white space", "  ", "position 3: expected a selector, such as * for all hosts, found the end"},
		{"no value", "env=", `position 5: expected a value after =, or "" for the empty one, found the end`},
		{"no value before and", "env= , gpu", `position 6: expected a value after =, or "" for the empty one, found ","`},
		{"no operator", "env prod", "position 5: expected =, !=, ~, in, notin, and, or, a comma or the end, found a word"},
		{"no operator in parentheses", "(env prod)", "position 6: expected =, !=, ~, in, notin, and, or, a comma or ), found a word"},
		{"a name without operator", "name", "position 5: expected =, !=, ~, in or notin, found the end"},
		{"has of the name", "has(name)", "position 5: and, or, not, in, notin, has, name and site mean something else in selectors and cannot be label keys"},
		{"has as a label", "has=1", `position 4: expected ( after has, which is a keyword and names no label, found "="`},
		{"has without key", "has()", `position 5: expected a label key, found ")"`},
		{"has without end", "has(gpu", "position 8: expected ), found the end"},
		{"a keyword as a label", "in=1", "position 1: " + condition + `"in"`},
		{"a quoted key", `"env"=prod`, "position 1: " + condition + "a quoted value"},
		{"nothing after and", "env=prod AND", "position 13: " + condition + "the end"},
		{"nothing after a comma", "env=prod,", "position 10: " + condition + "the end"},
		{"two ands", "env=prod and and gpu", "position 14: " + condition + `"and"`},
		{"nothing between", "env=prod gpu", "position 10: expected and, or, a comma or the end, found a word"},
		{"parenthesis not closed", "(env=prod", "position 10: expected and, or, a comma or ), found the end"},
		{"parenthesis not opened", "env=prod)", `position 9: expected and, or, a comma or the end, found ")"`},
		{"empty parentheses", "()", "position 2: " + condition + `")"`},
		{"an empty list", "role in ()", `position 10: expected a value after in, or "" for the empty one, found ")"`},
		{"a list without parentheses", "role in web", "position 9: expected ( before a list of values, found a word"},
		{"a list without end", "role in (web", "position 13: expected a comma or ) in a list of values, found the end"},
		{"a list without commas", "role in (web db)", "position 14: expected a comma or ) in a list of values, found a word"},
		{"a list that ends with a comma", "role in (web,)", `position 14: expected a value after in, or "" for the empty one, found ")"`},
		{"not without in", "role not web", "position 10: expected in after not, found a word"},
		{"an exclamation mark before a comparison", "!env=prod", "position 5: ! stands before a label key only; write not before a comparison"},
		{"an exclamation mark before parentheses", "!(gpu)", `position 2: expected a label key, found "("`},
		{"a pattern after an equals sign", "name=web-*", `position 10: a pattern stands in double quotes and after ~, as in name~"web-*"`},
		{"a pattern without quotes", "name~*-1", `position 6: a pattern stands in double quotes and after ~, as in name~"web-*"`},
		{"an operator that does not exist", "cores>4", "position 6: unexpected character; a value with anything but letters, digits and . _ : / - needs double quotes"},
		{"single quotes", "env='prod'", "position 5: unexpected character; a value with anything but letters, digits and . _ : / - needs double quotes"},
		{"a quote that is not closed", `env="prod`, "position 10: expected a closing quote"},
		{"a quote that ends in a backslash", `env="prod\`, "position 11: expected a closing quote"},
		{"an unknown escape", `env="a\n"`, `position 7: expected \" or \\: a backslash escapes nothing else`},
		{"a control character", "env=\"a\x00\"", "position 5: a value consists of printable characters"},
		{"invalid UTF-8", "env=\"\xff\"", "position 6: a selector is valid UTF-8"},
		{"positions count characters, not bytes", `env="Köln" x`, "position 12: expected and, or, a comma or the end, found a word"},
		{"a key that ends in a dot", "env.=1", "position 1: a label key consists of letters, digits and . _ / - and begins and ends with a letter or digit"},
		{"a key with a colon", "a:b=1", "position 1: a label key consists of letters, digits and . _ / - and begins and ends with a letter or digit"},
		{"a key that is too long", "gpu, " + strings.Repeat("k", 64), "position 6: a label key has 1 to 63 characters"},
		{"a value that is too long", "env=" + strings.Repeat("v", 256), "position 5: a value has at most 255 bytes"},
		{"too long", strings.Repeat(" ", 4096) + "*", "position 1: a selector has at most 4096 bytes"},
		{"too many parentheses", strings.Repeat("(", 33) + "*" + strings.Repeat(")", 33), "position 33: parentheses and nots are at most 32 deep"},
		{"too many nots", strings.Repeat("not ", 33) + "*", "position 129: parentheses and nots are at most 32 deep"},
		{"too many terms", "*" + strings.Repeat(",*", 256), "position 513: a selector has at most 256 terms"},
		{"too long when written out", strings.Repeat("!abcdefghi,", 180) + `env in (` + strings.Repeat("in,", 600) + "in)", "position 1: written out, the selector has more than 4096 bytes or 32 levels"},
		{"too deep when written out", strings.Repeat("not ", 31) + "(a or b, c)", "position 1: written out, the selector has more than 4096 bytes or 32 levels"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := fleet.ParseSelector(tt.text)
			if !s.IsZero() {
				t.Errorf("got the selector %q with the error", s)
			}
			if kind, code := fleet.KindOf(err), fleet.CodeOf(err); kind != fleet.Invalid || code != "invalid_selector" {
				t.Fatalf("kind %d and code %q, want Invalid and invalid_selector; error: %v", kind, code, err)
			}
			want := []fleet.FieldError{{Field: "selector", Code: "invalid_selector", Message: tt.want}}
			if diff := cmp.Diff(want, fleet.FieldsOf(err)); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
			if got := fleet.MessageOf(err); got != "selector: "+tt.want {
				t.Errorf("message %q", got)
			}
		})
	}
}

func TestParseSelectorAcceptsItsLimits(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"the longest text":     strings.Repeat(" ", 4095) + "*",
		"the deepest brackets": strings.Repeat("(", 32) + "*" + strings.Repeat(")", 32),
		"the deepest nots":     strings.Repeat("not ", 32) + "*",
		"the most terms":       "*" + strings.Repeat(",*", 255),
		"the longest key":      strings.Repeat("k", 63) + "=v",
		"the longest value":    "k=" + strings.Repeat("v", 255),
		"many short brackets":  strings.TrimSuffix(strings.Repeat("(*),", 200), ","),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := mustParse(t, text)
			if again := mustParse(t, s.String()); again.String() != s.String() {
				t.Errorf("%q became %q", s, again)
			}
		})
	}
}

func TestSelectorMatch(t *testing.T) {
	t.Parallel()
	labels := map[string]string{"env": "prod", "role": "web", "gpu": ""}
	tests := []struct {
		name, text string
		want       bool
	}{
		{"a star picks it", "*", true},
		{"its name", "name=web-1", true},
		{"its name in capitals", "name=WEB-1", false},
		{"a pattern of its name", `name~"w*-?"`, true},
		{"a pattern of part of its name", `name~"web"`, false},
		{"a pattern with dots takes them as they are", `name~"web.1"`, false},
		{"its site", "site=eu", true},
		{"another site", "site!=eu", false},
		{"a label", "env=prod", true},
		{"a label in capitals is another", "ENV=prod", false},
		{"a label that is there and empty", `has(gpu) and gpu=""`, true},
		{"a missing label is not empty", `zone=""`, false},
		{"a missing label is unequal to every value", "zone!=a and zone notin (a,b)", true},
		{"a missing label is in no list", "zone in (a,b)", false},
		{"a missing label matches no pattern", `zone~"*"`, false},
		{"the opposite of a comparison with a missing label", "not zone=a", true},
		{"a list with its value", "role in (db,web)", true},
		{"a list without its value", "role notin (db,web)", false},
		{"and with a false side", "env=prod and site=us", false},
		{"or with a false side", "env=prod or site=us", true},
		{"a comma is looser than or", "site=us or env=prod, role=db", false},
		{"Kubernetes syntax", "env=prod,role in (web,db),!zone", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := mustParse(t, tt.text).Match("web-1", "eu", labels); got != tt.want {
				t.Errorf("%s: %t, want %t", tt.text, got, tt.want)
			}
		})
	}
}

func TestZeroSelectorPicksNothing(t *testing.T) {
	t.Parallel()
	var s fleet.Selector
	if !s.IsZero() || s.Expr() != nil || s.String() != "" || s.Match("web-1", "eu", map[string]string{"env": "prod"}) {
		t.Errorf("the zero selector: IsZero %t, Expr %v, String %q", s.IsZero(), s.Expr(), s)
	}
	if mustParse(t, "*").IsZero() {
		t.Error("* is zero")
	}
}

func TestCheckLabel(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		check func(string) error
		text  string
		want  bool
	}{
		{"a plain key", fleet.CheckLabelKey, "env", true},
		{"a key of one character", fleet.CheckLabelKey, "1", true},
		{"a key with everything inside", fleet.CheckLabelKey, "app.kubernetes.io/a_b-c", true},
		{"the longest key", fleet.CheckLabelKey, strings.Repeat("k", fleet.MaxLabelKey), true},
		{"a key that is too long", fleet.CheckLabelKey, strings.Repeat("k", fleet.MaxLabelKey+1), false},
		{"no key", fleet.CheckLabelKey, "", false},
		{"a key that begins with a dash", fleet.CheckLabelKey, "-a", false},
		{"a key that ends with a slash", fleet.CheckLabelKey, "a/", false},
		{"a key with a space", fleet.CheckLabelKey, "a b", false},
		{"a key of another script", fleet.CheckLabelKey, "größe", false},
		{"a keyword in capitals", fleet.CheckLabelKey, "AND", false},
		{"notin", fleet.CheckLabelKey, "notin", false},
		{"name", fleet.CheckLabelKey, "name", false},
		{"Site", fleet.CheckLabelKey, "Site", false},
		{"a key that begins like a keyword", fleet.CheckLabelKey, "names", true},
		{"a value with spaces and other scripts", fleet.CheckLabelValue, `Köln "Süd" 東京`, true},
		{"the empty value", fleet.CheckLabelValue, "", true},
		{"the longest value", fleet.CheckLabelValue, strings.Repeat("v", fleet.MaxLabelValue), true},
		{"a value that is too long", fleet.CheckLabelValue, strings.Repeat("v", fleet.MaxLabelValue+1), false},
		{"a value with a line feed", fleet.CheckLabelValue, "a\nb", false},
		{"a value with a NUL", fleet.CheckLabelValue, "a\x00b", false},
		{"a value that is not UTF-8", fleet.CheckLabelValue, "\xff", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := tt.check(tt.text)
			if tt.want && err != nil {
				t.Errorf("refused: %v", err)
			}
			if !tt.want && (fleet.KindOf(err) != fleet.Invalid || len(fleet.FieldsOf(err)) != 1 || fleet.FieldsOf(err)[0].Field != "labels") {
				t.Errorf("got %v, want an Invalid error about labels", err)
			}
		})
	}
}
