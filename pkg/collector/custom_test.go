package collector_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestADefinitionIsRefusedWithTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, change, field, message string }{
		{"a name in capitals", `"name":"Sshd"`, "name", "a-z"},
		{"a name of one letter", `"name":"s"`, "name", "2 to 63"},
		{"the name of a built-in type", `"name":"memory"`, "name", "built-in"},
		{"the name of a type that is planned", `"name":"ports"`, "name", "built-in"},
		{"no script", `"os":{}`, "os", "scripts"},
		{"a script that is empty", `"os":{"linux":" \n"}`, "os.linux", "empty"},
		{"a script with a NUL", `"os":{"linux":"echo \u0000"}`, "os.linux", "not text"},
		{"a system that would leave its place in the script", `"os":{"*) reboot ;;":"x"}`, "os", "no system"},
		{"a script that is too long", `"os":{"linux":"` + strings.Repeat("x", 33<<10) + `"}`, "os.linux", "32768"},
		{"an unknown format", `"parser":{"format":"xml"}`, "parser.format", "one of"},
		{"a separator that means nothing", `"parser":{"format":"json","sep":"="}`, "parser.sep", "means nothing"},
		{"CSV without names of columns", `"parser":{"format":"csv"}`, "parser.columns", "header"},
		{"a table without columns", `"parser":{"format":"table"}`, "parser.columns", "names"},
		{"a column twice", `"parser":{"format":"table","columns":["a","a"]}`, "parser.columns[1]", "twice"},
		{"a pattern that does not end", `"parser":{"format":"regex","pattern":"ab(?P<x>c"}`, "parser.pattern", "missing closing )"},
		{"a pattern with a bad repetition", `"parser":{"format":"regex","pattern":"(?P<x>a)b**"}`, "parser.pattern", "at character"},
		{"a pattern without named groups", `"parser":{"format":"regex","pattern":"(a)"}`, "parser.pattern", "named groups"},
		{"keys of no list", `"parser":{"format":"kv"},"keys":["a"]`, "keys", "no list"},
		{"a key that is no path", `"parser":{"format":"json"},"keys":["a..b"]`, "keys[0]", "path"},
		{"everything volatile", `"volatile":["**"]`, "volatile[0]", "pattern"},
		{"a pattern that cannot be read", `"volatile":["ok","a.\"b"]`, "volatile[1]", "pattern"},
		{"a redaction that is no expression", `"redact":["ok","[z"]`, "redact[1]", "missing closing ]"},
		{"a redaction that matches everywhere", `"redact":["x*"]`, "redact[0]", "everywhere"},
		{"a timeout beyond the bound", `"timeout_seconds":301`, "timeout_seconds", "300"},
		{"a cap beyond the bound", `"caps":{"stdout":4194305}`, "caps.stdout", "4194304"},
		{"an exit code that is none", `"ok_exit_codes":[0,256]`, "ok_exit_codes[1]", "255"},
		{"a schema that is none", `"schema":{"type":"obj"}`, "schema", "type"},
		{"a schema that reads files", `"schema":{"$ref":"file:///etc/passwd"}`, "schema", "itself only"},
		{"a schema that reads the network", `"schema":{"$ref":"http://127.0.0.1/x"}`, "schema", "itself only"},
		{"a schema with a number that never ends", `"schema":{"minimum":1e999999999}`, "schema.minimum", "too large"},
		{"a schema with a bad pattern", `"schema":{"properties":{"a":{"pattern":"("}}}`, "schema", "/properties/a/pattern"},
		{"a fixture for a system without a script", `"fixtures":[{"name":"x","os":"darwin","stdout":"","expect":{}}]`, "fixtures[0].os", "darwin"},
		{"two fixtures of one name", `"fixtures":[{"name":"x","stdout":"","expect":{}},{"name":"x","stdout":"","expect":{}}]`, "fixtures[1].name", "twice"},
		{"an unknown field", `"tiemout":1`, "tiemout", "no such field"},
		{"a field of another kind", `"timeout_seconds":"1"`, "timeout_seconds", "string"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fields := map[string]json.RawMessage{}
			for _, text := range []string{`{"name":"sshd","os":{"linux":"true"},"parser":{"format":"text"}}`, "{" + tt.change + "}"} {
				if err := json.Unmarshal([]byte(text), &fields); err != nil {
					t.Fatal(err)
				}
			}
			text, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			_, err = collector.ParseDefinition(text)
			found := fleet.FieldsOf(err)
			if fleet.KindOf(err) != fleet.Invalid || len(found) != 1 || found[0].Field != tt.field || !strings.Contains(found[0].Message, tt.message) {
				t.Errorf("%v with fields %+v, want %q about %s", err, found, tt.message, tt.field)
			}
		})
	}
	for _, text := range []string{"", "[]", "{} {}", "null", `{"name":"sshd"}`} {
		if _, err := collector.ParseDefinition([]byte(text)); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// fixture reads stdout with a definition that is given as JSON beside name and script.
func fixture(t *testing.T, change, stdout string, rc int) collector.Trial {
	t.Helper()
	d, err := collector.ParseDefinition([]byte(`{"name":"sample","os":{"linux":"true"},` + change + `}`))
	if err != nil {
		t.Fatal(err, fleet.FieldsOf(err))
	}
	d.Fixtures = []collector.Fixture{{Name: "f", Stdout: stdout, RC: rc}}
	results, err := d.TestFixtures()
	if err != nil {
		t.Fatal(err)
	}
	return results[0].Trial
}

func TestOutputIsReadAsTheDefinitionSays(t *testing.T) {
	t.Parallel()
	const integers = `"schema":{"additionalProperties":{"type":["integer","boolean","null","string"]}}`
	tests := []struct {
		name, change, stdout string
		rc                   int
		facts, metrics       string // facts empty: it cannot be read
		reason               string // of the failure
	}{
		{"text", `"parser":{"format":"text"}`, "a\nb\n", 0, `{"text":"a\nb"}`, `{}`, ""},
		{"lines without blank ones", `"parser":{"format":"lines"}`, "a\r\n\n b\n", 0, `{"lines":["a"," b"]}`, `{}`, ""},
		{"settings, one of them twice", `"parser":{"format":"kv"}`, "# no\na = 1=2\nb=\na=3\n", 0, `{"a":["1=2","3"],"b":""}`, `{}`, ""},
		{"settings by white space", `"parser":{"format":"kv","sep":" "}`, "port  22\nquiet\n", 0, `{"port":"22","quiet":""}`, `{}`, ""},
		{"a line without a separator", `"parser":{"format":"kv"}`, "a=1\nnonsense\n", 0, "", "", "line 2: has no separator"},
		{
			"texts that stand for other things", `"parser":{"format":"kv"},` + integers, "n=42\nm=-7\nb=yes\ne=\ns=4 2\nl=007\nbig=12345678901234567890\n", 0,
			`{"b":true,"big":"12345678901234567890","e":null,"l":"007","m":-7,"n":42,"s":"4 2"}`, `{}`, "",
		},
		{"one value where there may be several", `"parser":{"format":"kv"},"schema":{"properties":{"k":{"type":"array","items":{"type":"integer"}}}}`, "k=1\n", 0, `{"k":[1]}`, `{}`, ""},
		{"an object", `"parser":{"format":"json"}`, `{"a":{"b":1.50,"c":12345678901234567890,"d":0.1,"e":1e2}}`, 0, `{"a":{"b":1.5,"c":"12345678901234567890","d":0.1,"e":100}}`, `{}`, ""},
		{
			"a list by two keys", `"parser":{"format":"json"},"keys":["name","at.port"]`, `[{"name":"b","at":{"port":1}},{"name":"a","at":{"port":2}}]`, 0,
			`{"items":{"a:2":{"at":{"port":2},"name":"a"},"b:1":{"at":{"port":1},"name":"b"}}}`, `{}`, "",
		},
		{
			"two elements with one key, in either order", `"parser":{"format":"json"},"keys":["n"]`, `[{"n":"x","v":2},{"n":"x","v":1}]`, 0,
			`{"items":{"x":{"n":"x","v":1},"x#2":{"n":"x","v":2}}}`, `{}`, "",
		},
		{"an element without its key", `"parser":{"format":"json"},"keys":["n"]`, `[{"n":"x"},{"v":1}]`, 0, "", "", "element 2 has no n that tells it apart"},
		{"JSON with something after it", `"parser":{"format":"json"}`, "{}\n{}\n", 0, "", "", "something follows the JSON"},
		{"JSON that is none", `"parser":{"format":"json"}`, "{\n\"a\": nope}\n", 0, "", "", "line 2: is no JSON"},
		{"JSON that is neither", `"parser":{"format":"json"}`, "42", 0, "", "", "neither an object nor a list"},
		{"a NUL that JSON has escaped", `"parser":{"format":"json"}`, `{"a":"x\u0000y"}`, 0, `{"a":"xy"}`, `{}`, ""},
		{"a line of JSON each", `"parser":{"format":"ndjson"},"keys":["id"]`, "{\"id\":1}\n\n{\"id\":2}\n", 0, `{"items":{"1":{"id":1},"2":{"id":2}}}`, `{}`, ""},
		{"a line of JSON that is none", `"parser":{"format":"ndjson"}`, "{}\n{\n", 0, "", "", "line 2"},
		{"CSV with a header", `"parser":{"format":"csv","header":true},"keys":["name"]`, "name,size\n\"a,b\",1\n", 0, `{"items":{"a,b":{"name":"a,b","size":"1"}}}`, `{}`, ""},
		{"CSV with another separator", `"parser":{"format":"csv","sep":";","columns":["a","b"]}`, "1;2\n", 0, `{"items":[{"a":"1","b":"2"}]}`, `{}`, ""},
		{"CSV with a column too many", `"parser":{"format":"csv","columns":["a"]}`, "1\n1,2\n", 0, "", "", "line 2: has another number of columns"},
		{
			"a table", `"parser":{"format":"table","header":true,"columns":["pid","args"]},"keys":["pid"]`, "PID COMMAND\n  1 /sbin/init  splash \n", 0,
			`{"items":{"1":{"args":"/sbin/init  splash","pid":"1"}}}`, `{}`, "",
		},
		{"a row that is too short", `"parser":{"format":"table","columns":["a","b"]}`, "1 2\n3\n", 0, "", "", "line 2: has too few columns"},
		{
			"named groups, one of which takes no part", `"parser":{"format":"regex","pattern":"(?m)^(?P<k>\\w+)(?:=(?P<v>\\w+))?$"},"keys":["k"]`, "a=1\nb\n", 0,
			`{"items":{"a":{"k":"a","v":"1"},"b":{"k":"b","v":null}}}`, `{}`, "",
		},
		{"no match", `"parser":{"format":"regex","pattern":"(?P<k>z)"},"keys":["k"]`, "a\n", 0, `{"items":{}}`, `{}`, ""},
		{"sections", `"parser":{"format":"ini"}`, "top=1\n[a b]\n; no\nx : y=z\nx=2\n[c]\n", 0, `{"a b":{"x":["y=z","2"]},"c":{},"global":{"top":"1"}}`, `{}`, ""},
		{"a section that does not end", `"parser":{"format":"ini"}`, "[a\n", 0, "", "", "line 1: is no section"},
		{"nothing but a digest", `"parser":{"format":"none"}`, "abc", 0, `{"exit_status":0,"stdout_bytes":3,"stdout_sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}`, `{}`, ""},
		{
			"what is volatile becomes metrics", `"parser":{"format":"json"},"keys":["n"],"volatile":["items.*.age","up"]`, `[{"n":"a","age":5,"s":1}]`, 0,
			`{"items":{"a":{"n":"a","s":1}}}`, `{"items":{"a":{"age":5}}}`, "",
		},
		{"a status that is accepted", `"parser":{"format":"text"},"ok_exit_codes":[1]`, "x", 1, `{"text":"x"}`, `{}`, ""},
		{"a status that is not", `"parser":{"format":"text"}`, "x", 1, "", "", "exit status"},
		{"a tool that is not there", `"parser":{"format":"json"},"schema":{"required":["a"]}`, "", 69, `{}`, `{}`, ""},
		{"facts that are not as the schema says", `"parser":{"format":"kv"},"schema":{"properties":{"a":{"type":"integer"}}}`, "a=secret\n", 0, "", "", "not as the schema says: type at /a"},
		{"facts that are deeper than can be compared", `"parser":{"format":"json"}`, strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40), 0, "", "", "deeper"},
		{"more than can be kept", `"parser":{"format":"json"},"caps":{"stdout":4194304}`, "[" + strings.Repeat("1,", 60_000) + "1]", 0, "", "", "50000 values"},
		{"a line that is too long", `"parser":{"format":"lines"}`, strings.Repeat("x", 70_000), 0, "", "", "line 1: has more than 65536 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			trial := fixture(t, tt.change, tt.stdout, tt.rc)
			if string(trial.Report.Facts) != tt.facts || string(trial.Report.Metrics) != tt.metrics {
				t.Errorf("facts %s, metrics %s, %v; want %s and %s", trial.Report.Facts, trial.Report.Metrics, trial.Report.Failure, tt.facts, tt.metrics)
			}
			if tt.reason == "" {
				return
			}
			failure := trial.Report.Failure
			if failure == nil || failure.Code != fleet.CodeCollectorFailed || !strings.Contains(failure.Details["reason"], tt.reason) {
				t.Fatalf("failure %v, want %q", failure, tt.reason)
			}
			if strings.Contains(failure.Error(), "secret") {
				t.Errorf("%v quotes the output", failure)
			}
		})
	}
}

func TestAnExitStatusMaySayWhyThereIsNothing(t *testing.T) {
	t.Parallel()
	for rc, want := range map[int][2]string{69: {"ok", "tool_missing"}, 77: {"partial", "no_permission"}, 78: {"ok", "not_applicable"}} {
		trial := fixture(t, `"parser":{"format":"kv"}`, "", rc)
		if trial.Report.Status != want[0] || trial.Report.Unavailable["*"] != want[1] {
			t.Errorf("exit %d: %s with %v, want %v", rc, trial.Report.Status, trial.Report.Unavailable, want)
		}
	}
	if trial := fixture(t, `"parser":{"format":"kv"},"ok_exit_codes":[0,77]`, "a=1\n", 77); trial.Report.Status != "ok" || len(trial.Report.Unavailable) > 0 {
		t.Errorf("a status that the definition accepts: %s with %v", trial.Report.Status, trial.Report.Unavailable)
	}
}

func TestASecretThatIsRedactedIsNowhere(t *testing.T) {
	t.Parallel()
	const secret = "hunter2secret"
	tests := []struct{ name, parser, stdout string }{
		{"in text", `"parser":{"format":"text"}`, "the password=hunter2secret\n"},
		{"in a setting", `"parser":{"format":"kv"}`, "password=hunter2secret\nx=1\n"},
		{"written with escapes", `"parser":{"format":"json"}`, `{"a":"password=hunter2\u0073ecret"}`},
		{"as a name", `"parser":{"format":"json"}`, `{"password=hunter2\u0073ecret":1}`},
		{"in a digest only", `"parser":{"format":"none"}`, "password=hunter2secret"},
		{"where the schema is not met", `"parser":{"format":"kv"},"schema":{"properties":{"user":{"maxLength":1}}}`, "user=password=hunter2secret\n"},
		{"in an output that is cut in the middle of it", `"parser":{"format":"text"},"caps":{"stdout":20}`, "padding\npassword=hunter2secret"},
		{"where it cannot be read", `"parser":{"format":"kv"}`, "a=1\npassword hunter2secret\npassword=hunter2secret"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			trial := fixture(t, tt.parser+`,"redact":["password[ =](\\S+)"]`, tt.stdout, 0)
			all, err := json.Marshal(trial)
			if err != nil {
				t.Fatal(err)
			}
			said := string(all) + string(trial.Report.Facts) + string(trial.Report.Metrics)
			if trial.Report.Failure != nil {
				said += trial.Report.Failure.Error()
			}
			for n := len(secret); n >= 7; n-- {
				if strings.Contains(said, secret[:n]) {
					t.Fatalf("%q is in %s", secret[:n], said)
				}
			}
		})
	}
	if trial := fixture(t, `"parser":{"format":"text"},"redact":["password[ =](\\S+)"]`, "password=hunter2secret ok", 0); trial.Stdout != "password=[redacted] ok" {
		t.Errorf("the rest became %q", trial.Stdout)
	}
}

func TestFixturesTellWhatDiffers(t *testing.T) {
	t.Parallel()
	d, err := collector.ParseDefinition([]byte(`{"name":"sample","os":{"linux":"true"},"parser":{"format":"json"},"volatile":["up"],"fixtures":[
		{"name":"right","stdout":"{\"a\":1,\"up\":2}","expect":{"facts":{"a":1.0},"metrics":{"up":2},"unavailable":{}}},
		{"name":"wrong","stdout":"{\"a\":1,\"c\":3,\"up\":2}","expect":{"facts":{"a":2,"b":1},"metrics":{}}},
		{"name":"broken","stdout":"{","expect":{"facts":{}}},
		{"name":"fails","stdout":"{","expect":{"fails":true}},
		{"name":"should fail","stdout":"{}","expect":{"fails":true}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	results, err := d.TestFixtures()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		nil,
		{"- facts.a = 2", "+ facts.a = 1", "- facts.b = 1", "+ facts.c = 3", "+ metrics.up = 2"},
		{"it cannot be read: collector_failed: the JSON ends too soon"},
		nil,
		{"it is read, and should not be"},
	}
	for i, r := range results {
		if !slices.Equal(r.Differences, want[i]) {
			t.Errorf("%s: %q, want %q", r.Name, r.Differences, want[i])
		}
	}
}

func TestScriptsThatAreTooLongTogetherAreRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("#", 30<<10)
	o := collector.Options{}
	var names []string
	for _, name := range []string{"one_", "two_", "three_", "four_", "five_"} {
		o.Custom = append(o.Custom, customType(t, definition(name, long)))
		names = append(names, name)
	}
	if _, err := collector.NewPlan(names[:4], o); err != nil {
		t.Errorf("four of 30 KiB: %v", err)
	}
	if _, err := collector.NewPlan(names, o); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("five of 30 KiB: %v", err)
	}
}

// FuzzCustom holds that no output makes a parser panic, and that what is accepted can be stored and means the same again.
func FuzzCustom(f *testing.F) {
	parsers := []string{
		`{"format":"text"}`, `{"format":"lines"}`, `{"format":"kv"}`, `{"format":"kv","sep":" "}`, `{"format":"json"}`, `{"format":"ndjson"}`,
		`{"format":"csv","header":true}`, `{"format":"csv","columns":["a","b"],"sep":";"}`, `{"format":"table","columns":["a","b"]}`,
		`{"format":"regex","pattern":"(?m)^(?P<a>\\S+)\\s*(?P<b>.*)$"}`, `{"format":"ini"}`, `{"format":"none"}`,
	}
	var definitions []collector.Definition
	for _, parser := range parsers {
		keys := ""
		if strings.Contains(parser, `["a"`) || strings.Contains(parser, "?P<a>") {
			keys = `"keys":["a"],`
		}
		d, err := collector.ParseDefinition([]byte(`{"name":"sample","os":{"linux":"true"},` + keys + `"parser":` + parser +
			`,"volatile":["*.*.b","v*"],"redact":["secret=(\\w+)"],"schema":{"additionalProperties":{"type":["integer","object","array","string","null","number","boolean"]}}}`))
		if err != nil {
			f.Fatal(err)
		}
		definitions = append(definitions, d)
	}
	for i, seed := range []string{"a=1\nb 2\n", `{"a":[1,{"b":null}],"v":1e400}`, "a;b\n1;2\n", "[s]\nx: y\n", "\x00\xff\n", "secret=abc", `{"a":1}` + "\n" + `{"a":2}`} {
		f.Add(uint8(i), seed, 0)
		f.Add(uint8(i+6), seed, 77)
	}
	f.Fuzz(func(t *testing.T, which uint8, stdout string, rc int) {
		d := definitions[int(which)%len(definitions)]
		d.Fixtures = []collector.Fixture{{Name: "f", Stdout: stdout, RC: rc & 0xff}}
		results, err := d.TestFixtures()
		if err != nil {
			if utf8.ValidString(stdout) && !strings.Contains(stdout, "\x00") {
				t.Fatal(err)
			}
			return
		}
		trial := results[0].Trial
		if trial.Report.Status == collector.StatusFailed {
			return
		}
		for _, doc := range [][]byte{trial.Report.Facts, trial.Report.Metrics} {
			var object map[string]any
			if err := json.Unmarshal(doc, &object); err != nil || object == nil || !utf8.Valid(doc) || strings.Contains(string(doc), `\u0000`) {
				t.Fatalf("%q became %s: %v", stdout, doc, err)
			}
		}
	})
}
