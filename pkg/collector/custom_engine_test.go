package collector_test

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// definition returns a definition of the script, which is read as text, changed by the changes.
func definition(name, script string, changes ...func(*collector.Definition)) collector.Definition {
	d := collector.Definition{Name: name, Version: 1, OS: map[string]string{"linux": script}, Parser: collector.ParserSpec{Format: collector.FormatText}}
	for _, change := range changes {
		change(&d)
	}
	return d
}

func timeout(seconds int) func(*collector.Definition) {
	return func(d *collector.Definition) { d.TimeoutSeconds = seconds }
}

func customType(tb testing.TB, d collector.Definition) collector.Type {
	tb.Helper()
	custom, err := collector.Custom(d)
	if err != nil {
		tb.Fatalf("%s: %v", d.Name, err)
	}
	return custom
}

// customPlan plans the built-in memory and network, and the definitions between a first and a last one that are good.
func customPlan(tb testing.TB, o collector.Options, definitions ...collector.Definition) collector.Plan {
	tb.Helper()
	names := []string{"memory", "network"}
	definitions = append([]collector.Definition{definition("first_one", "echo first")}, definitions...)
	for _, d := range append(definitions, definition("last_one", "echo last")) {
		o.Custom = append(o.Custom, customType(tb, d))
		names = append(names, d.Name)
	}
	p, err := collector.NewPlan(names, o)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// A hostile script, and what it costs itself.
type hostile struct {
	name, script string
	change       []func(*collector.Definition)
	status       string // of its report
	code         fleet.Code
	stdout       string // what is kept, unless it is empty
}

func hostileScripts() []hostile {
	bounded := timeout(1)
	return []hostile{
		{"it exits", "echo said; exit 3", nil, "failed", fleet.CodeCollectorFailed, "said\n"},
		{"it replaces its shell", "exec echo replaced", nil, "ok", "", "replaced\n"},
		{"it says no end", "yes 0123456789", []func(*collector.Definition){bounded, func(d *collector.Definition) { d.Caps.Stdout = 1000 }}, "partial", "", ""},
		{"it says no end on standard error", "yes 0123456789 >&2", []func(*collector.Definition){bounded}, "partial", "", ""},
		{"it hangs", "echo before; sleep 1000", []func(*collector.Definition){bounded}, "partial", "", "before\n"},
		{"it hangs and ignores signals", "trap '' TERM INT HUP PIPE; echo before; while :; do sleep 1000; done", []func(*collector.Definition){bounded}, "partial", "", "before\n"},
		{"it kills its group", "echo before; kill 0; sleep 1000", []func(*collector.Definition){bounded}, "failed", fleet.CodeCollectorFailed, ""},
		{"it kills its group, and ignores that", "trap '' TERM; kill 0; sleep 1000", []func(*collector.Definition){bounded}, "partial", "", ""},
		{"it reads standard input", "cat; echo done", nil, "ok", "", "done\n"},
		{"it leaves a child behind", "sleep 1000 & echo done", nil, "ok", "", "done\n"},
		{"it leaves a daemon behind", "setsid sleep 1000 & sleep 0.1; echo done", nil, "ok", "", "done\n"},
		{"it takes PATH away", "unset PATH; PATH=/nowhere; export PATH; echo done", nil, "ok", "", "done\n"},
		{"it redefines what the others use", "sec() { :; }; xsec() { :; }; printf() { :; }; cap() { :; }; N=0; echo done", nil, "ok", "", "done\n"},
		{"it sets traps", "trap 'echo bye; sleep 1000' EXIT TERM; echo done", []func(*collector.Definition){bounded}, "partial", "", ""},
		{"it closes everything", "exec >&- 2>&- <&- 3>&- 4>&- 6>&- 7>&-; sleep 0.1", nil, "ok", "", ""},
		{"it is no shell", "if then ) ( ' \" `", nil, "failed", fleet.CodeCollectorFailed, ""},
		{"its quote does not end", "echo 'never", nil, "failed", fleet.CodeCollectorFailed, ""},
		{"it prints what looks like frames", `printf '\n@@%s S os\nx\n@@%s E os 0\n@@%s END 1\n' "$N" 0123456789abcdef0123456789abcdef "" `, nil, "ok", "", ""},
		{"it prints no text", `printf '\000\377\376 done\n'`, nil, "ok", "", "\uFFFD done\n"},
		{"it writes to the descriptors of the run", "echo x >&3; echo x >&4; echo x >&6; echo x >&7; echo done", nil, "ok", "", "done\n"},
		{"it is a here-document", "cat <<'E'\nit's $HOME\nE\n", nil, "ok", "", "it's $HOME\n"},
		{"it goes away", "cd /; umask 777; set -e; set -u; IFS=x; false", nil, "failed", fleet.CodeCollectorFailed, ""},
	}
}

func TestAHostileScriptCostsItselfAndNothingElse(t *testing.T) {
	t.Parallel()
	for shell, words := range shells(t) {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			var definitions []collector.Definition
			scripts := hostileScripts()
			for i, h := range scripts {
				definitions = append(definitions, definition("hostile_"+strconv.Itoa(i), h.script, h.change...))
			}
			p := customPlan(t, collector.Options{}, definitions...)
			c := start(t, p, words, os.Getenv("PATH"), true)
			r, err := p.Read(c.all(t))
			if err != nil {
				t.Fatal(err)
			}
			if !r.Complete {
				t.Fatalf("the run did not come to its end: %d sections", len(r.Sections))
			}
			for _, report := range p.Reports(r)[:2] {
				if report.Status != "ok" {
					t.Errorf("%s is %s: %v %v", report.Type, report.Status, report.Failure, report.Warnings)
				}
			}
			trials := p.Trials(r)
			for i, want := range map[int]string{0: "first\n", len(trials) - 1: "last\n"} {
				if trials[i].Stdout != want || trials[i].Report.Status != "ok" {
					t.Errorf("the good collector %d is %s and says %q", i, trials[i].Report.Status, trials[i].Stdout)
				}
			}
			for i, h := range scripts {
				h.check(t, shell, trials[i+1])
			}
			c.gone(t, 5*time.Second)
		})
	}
}

func (h hostile) check(t *testing.T, shell string, trial collector.Trial) {
	t.Helper()
	var code fleet.Code
	if trial.Report.Failure != nil {
		code = trial.Report.Failure.Code
	}
	if trial.Report.Status != h.status || code != h.code || h.stdout != "" && trial.Stdout != h.stdout {
		t.Errorf("%s: %s: %s with %q, exit %d after %v, timed out %v, says %q and %q; want %s with %q, %q", shell, h.name, trial.Report.Status, code,
			trial.Status, trial.Took, trial.TimedOut, trial.Stdout[:min(len(trial.Stdout), 100)], trial.Stderr[:min(len(trial.Stderr), 100)], h.status, h.code, h.stdout)
	}
	if trial.Took > 8*time.Second {
		t.Errorf("%s: %s: it took %v", shell, h.name, trial.Took)
	}
}

// all reads everything that a script says until it ends.
func (c *client) all(t *testing.T) []byte {
	t.Helper()
	var out strings.Builder
	c.lines.Buffer(nil, 8<<20)
	for c.lines.Scan() {
		fmt.Fprintln(&out, c.lines.Text())
	}
	if err := c.lines.Err(); err != nil {
		t.Fatal(err)
	}
	return []byte(out.String())
}

func TestWhatACustomScriptStartsEndsWithTheRun(t *testing.T) {
	t.Parallel()
	p := customPlan(t, collector.Options{Deadline: 2 * time.Second}, definition("waits", "sleep 1000 & (setsid sleep 1000 >/dev/null 2>&1 </dev/null; :) & sleep 1000", timeout(100)))
	c := start(t, p, "/bin/sh", os.Getenv("PATH"), true)
	c.until(t, "S x.waits")
	c.close()
	c.gone(t, 10*time.Second)
}

func TestAHostWithoutSetsidRunsCustomCollectors(t *testing.T) {
	t.Parallel()
	p := customPlan(t, collector.Options{}, definition("hangs", "sleep 1000", timeout(1)), definition("exits", "exit 3"), definition("leaves", "sleep 1000 & echo done"))
	c := start(t, p, "/bin/sh", pathWithout(t, "setsid"), true)
	r, err := p.Read(c.all(t))
	if err != nil || !r.Complete {
		t.Fatalf("complete %v, %v", r.Complete, err)
	}
	var told strings.Builder
	for _, trial := range p.Trials(r) {
		told.WriteString(trial.Report.Status + " " + strconv.FormatBool(trial.TimedOut) + "\n")
	}
	if want := "ok false\npartial true\nfailed false\nok false\nok false\n"; told.String() != want {
		t.Errorf("got\n%s, want\n%s", told.String(), want)
	}
	c.gone(t, 5*time.Second)
}

func TestTheMostSpecificScriptRuns(t *testing.T) {
	t.Parallel()
	id := tool(t, "sh", "-c", ". /etc/os-release; echo $ID")
	for name, tt := range map[string]struct {
		os   map[string]string
		want string
		code fleet.Code
	}{
		"the distribution comes before the kernel": {map[string]string{"linux": "echo linux", id: "echo " + id}, id, ""},
		"the kernel where there is nothing else":   {map[string]string{"linux": "echo linux", "darwin": "echo darwin"}, "linux", ""},
		"another distribution is not meant":        {map[string]string{"linux": "echo linux", "plan9ish": "echo no"}, "linux", ""},
		"nothing for this system":                  {map[string]string{"darwin": "echo darwin"}, "", fleet.CodeOSUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := customPlan(t, collector.Options{}, definition("systems", "", func(d *collector.Definition) { d.OS = tt.os }))
			trial := p.Trials(run(t, p))[1]
			if trial.System != tt.want || strings.TrimSpace(trial.Stdout) != tt.want {
				t.Errorf("system %q said %q, want %q", trial.System, trial.Stdout, tt.want)
			}
			if tt.code != "" && (trial.Report.Failure == nil || trial.Report.Failure.Code != tt.code) {
				t.Errorf("failure %v, want %s", trial.Report.Failure, tt.code)
			}
		})
	}
}

func TestStandardErrorIsKeptApart(t *testing.T) {
	t.Parallel()
	p := customPlan(t, collector.Options{},
		definition("both", "echo out; echo err >&2; nosuchcommand_; echo out2"),
		definition("much", "head -c 100000 /dev/zero | tr '\\000' e >&2; echo done", func(d *collector.Definition) { d.Caps.Stderr = 1000 }))
	trials := p.Trials(run(t, p))
	if both := trials[1]; both.Stdout != "out\nout2\n" || !strings.HasPrefix(both.Stderr, "err\n") || !strings.Contains(both.Stderr, "nosuchcommand_") {
		t.Errorf("out %q, err %q", both.Stdout, both.Stderr)
	}
	if much := trials[2]; much.Stdout != "done\n" || !much.StderrTruncated || len(much.Stderr) > 1000 || much.Report.Status != "ok" {
		t.Errorf("out %q, %d bytes of err, truncated %v, %s", much.Stdout, len(much.Stderr), much.StderrTruncated, much.Report.Status)
	}
}

// TestTheLongestScriptThatIsAcceptedRuns asks for everything at once, with ever longer scripts: what a host would not take
// as an argument is refused before anybody is asked.
func TestTheLongestScriptThatIsAcceptedRuns(t *testing.T) {
	t.Parallel()
	names := []string{"first_one", "second_one", "third_one"}
	for _, typ := range collector.Builtin() {
		names = append(names, typ.Name)
	}
	try := func(size int) (collector.Plan, error) {
		var o collector.Options
		for _, name := range names[:3] {
			o.Custom = append(o.Custom, customType(t, definition(name, "echo "+strings.Repeat("x", size))))
		}
		return collector.NewPlan(names, o)
	}
	refused := sort.Search(32<<10-len("echo "), func(size int) bool { _, err := try(size); return err != nil })
	if _, err := try(refused); fleet.KindOf(err) != fleet.Invalid {
		t.Fatalf("scripts of %d bytes each: %v, want an Invalid error", refused, err)
	}
	p, err := try(refused - 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("three scripts of %d bytes each, and %d in all", refused-1, len(p.Script()))
	r := run(t, p)
	if trials := p.Trials(r); !r.Complete || len(trials) != 3 || trials[2].Report.Status != collector.StatusOK {
		t.Errorf("complete %v, trials %+v", r.Complete, trials)
	}
}
