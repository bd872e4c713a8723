package collector_test

import (
	"context"
	"iter"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/needs"
)

// otherFacts are the tools that we compare with.
type otherFacts struct{ facterPath, ansiblePath string }

// otherTools finds them.
func otherTools(t *testing.T) otherFacts {
	t.Helper()
	const packages = "facter ansible-core python3-apt"
	return otherFacts{needs.Program(t, "facter", packages), needs.Program(t, "ansible-playbook", packages)}
}

// facter returns what facter says.
func (o otherFacts) facter(t *testing.T) document {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, o.facterPath, "--json")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil && len(out) == 0 { // it fails where it may not read all of /proc, and says what it knows
		t.Fatalf("facter: %v", err)
	}
	return decode(t, out)
}

// playbook gathers everything that Ansible itself can tell of a machine.
const playbook = `- hosts: localhost
  connection: local
  gather_facts: true
  tasks:
    - service_facts:
    - package_facts: {manager: apt} # auto may find another manager, which has installed nothing
      ignore_errors: true
    - getent: {database: passwd}
    - getent: {database: group}
    - copy: {content: "{{ ansible_facts | to_json }}", dest: "{{ dest }}", mode: "0600"}
`

// ansible returns what Ansible says: the facts of setup, service_facts, package_facts and getent.
func (o otherFacts) ansible(t *testing.T) document {
	t.Helper()
	dir := t.TempDir()
	play, dest := filepath.Join(dir, "play.yml"), filepath.Join(dir, "facts.json")
	if err := os.WriteFile(play, []byte(playbook), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	// Debian's own Python, which knows its packages.
	cmd := exec.CommandContext(ctx, o.ansiblePath, "-i", "localhost,", "-e", "ansible_python_interpreter=/usr/bin/python3", "-e", "dest="+dest, play)
	cmd.Env = append(os.Environ(), "ANSIBLE_LOCAL_TEMP="+dir, "ANSIBLE_REMOTE_TEMP="+dir, "ANSIBLE_HOME="+dir, "ANSIBLE_NOCOLOR=1", "LC_ALL=C.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ansible-playbook: %v\n%s", err, out)
	}
	return decode(t, []byte(readFile(t, dest)))
}

// told returns v, or nil where it is one of the words by which the tools say that they do not know.
func told(v any) any {
	if s, ok := v.(string); ok && (s == "" || s == "NA" || s == "N/A" || s == "unknown") {
		return nil
	}
	return v
}

// object returns v as an object; one without anything if it is none.
func object(v any) document {
	d, _ := v.(document)
	return d
}

// list returns v as a list; an empty one if it is none.
func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// word returns v as text; "" if it is none.
func word(v any) string {
	s, _ := v.(string)
	return s
}

// numberIn returns the number that v is, or that its text says, times factor; nil if there is none.
func numberIn(v any, factor float64) any {
	switch v := v.(type) {
	case float64:
		return v * factor
	case string:
		if n, err := strconv.ParseFloat(v, 64); err == nil {
			return n * factor
		}
	}
	return nil
}

// lower returns v in lower case; nil if it is not known.
func lower(v any) any {
	if s := word(told(v)); s != "" {
		return strings.ToLower(s)
	}
	return nil
}

// mapKeys returns the names of m.
func mapKeys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }
