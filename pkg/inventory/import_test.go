package inventory_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/inventory"
)

// outcomes imports text and returns what became of its lines, in their order, as "line result code".
func (b bundle) outcomes(t *testing.T, actor fleet.Actor, dryRun bool, text string) []string {
	t.Helper()
	var got []inventory.Outcome
	summary, err := b.Import(t.Context(), actor, "ndjson", dryRun, strings.NewReader(text), func(o inventory.Outcome) { got = append(got, o) })
	if err != nil {
		t.Fatalf("Import = %v", err)
	}
	slices.SortFunc(got, func(a, b inventory.Outcome) int { return a.Line - b.Line })
	lines, counted := []string{}, inventory.Summary{}
	for _, o := range got {
		line := fmt.Sprint(o.Line, " ", o.Result)
		if o.Err != nil {
			line += " " + fleet.CodeOf(o.Err)
		}
		lines = append(lines, line)
		switch o.Result {
		case inventory.Created:
			counted.Created++
		case inventory.Updated:
			counted.Updated++
		case inventory.Unchanged:
			counted.Unchanged++
		case inventory.Refused:
			counted.Refused++
		}
	}
	if counted != summary {
		t.Errorf("the summary is %+v, its lines amount to %+v", summary, counted)
	}
	return lines
}

func withKey(name, key string) string {
	line, _ := json.Marshal(map[string]any{
		"name": name, "address": "192.0.2.1", "credential": map[string]string{"kind": "private_key", "username": "root", "private_key": key},
	})
	return string(line) + "\n"
}

func TestImportTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := newKey(t, "")
	file := withKey("web-1", key) + "\n" + withKey("web-2", key) +
		`{"name":"db-1","address":"192.0.2.2","site":"eu","labels":{"role":"db"},"credential":{"kind":"password","username":"root","password":"hunter2"}}`
	for i, tt := range []struct {
		dryRun bool
		want   []string
	}{
		{true, []string{"1 created", "3 created", "4 created"}},
		{false, []string{"1 created", "3 created", "4 created"}},
		{true, []string{"1 unchanged", "3 unchanged", "4 unchanged"}},
		{false, []string{"1 unchanged", "3 unchanged", "4 unchanged"}},
	} {
		if diff := cmp.Diff(tt.want, b.outcomes(t, admin, tt.dryRun, file)); diff != "" {
			t.Fatalf("import %d (-want +got)\n%s", i, diff)
		}
	}
	creds, _, err := b.db.Credentials(t.Context(), fleet.Page{})
	if err != nil || len(creds) != 2 {
		t.Fatalf("%d credentials, %v, want 2: equal ones are stored once", len(creds), err)
	}
	for _, c := range creds {
		if c.Version != 1 || !strings.HasPrefix(c.Name, "root@import-") {
			t.Errorf("credential %s has version %d, want root@import-… of version 1", c.Name, c.Version)
		}
	}
	h, err := b.db.HostByName(t.Context(), fleet.Everything(), "db-1")
	if err != nil || h.Labels["role"] != "db" || h.CredentialID == nil || !h.Enabled {
		t.Fatalf("db-1 = %+v, %v", h, err)
	}
	if got := b.opened(t, *h.CredentialID, "eu"); string(got.Password) != "hunter2" {
		t.Error("the workers of eu open something else than the file said")
	}
	if strings.Contains(b.everythingStored(t), "hunter2") {
		t.Error("the password is stored in the clear")
	}
	if n := b.audited(t, "host.create", "ok"); n != 3 {
		t.Errorf("%d hosts in the audit log, want 3", n)
	}
}

func TestBadLinesDoNotStopTheOthers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	unknown := uuid.NewString()
	file := strings.Join([]string{
		"\ufeff" + `{"name":"good-1","address":"192.0.2.1"}`, // with a byte order mark
		`{"name":"good-1","address":"192.0.2.9"}`,
		`not JSON`,
		`{"name":"x","address":"192.0.2.1","colour":"red"}`,
		`{"name":"x","address":"192.0.2.1","port":"22"}`,
		`{"name":"x"}`,
		`{"name":"x","address":"192.0.2.1"} {"name":"y"}`,
		`{"name":"x","address":"192.0.2.1","jump_host_id":"` + unknown + `"}`,
		`{"name":"x","address":"192.0.2.1","credential_id":"` + unknown + `"}`,
		`{"name":"x","address":"192.0.2.1","credential_id":"nonsense"}`,
		`{"name":"x2","address":"192.0.2.1","credential":{"kind":"private_key","username":"root","private_key":"nonsense"}}`,
		`{"name":"x3","address":"192.0.2.1","site":"mars","credential":{"kind":"password","username":"root","password":"p"}}`,
		`{"name":"` + strings.Repeat("x", inventory.MaxImportLine) + `"}`,
		`[]`,
		`null`,
		`{"name":"good-2","address":"192.0.2.2"}`,
		`{"name":"x4","address":"192.0.2.1","credential":{"kind":"password","username":"root","password":"` + "\xe4" + `"}}`,
	}, "\r\n")
	want := []string{
		"1 created", "2 refused duplicate", "3 refused malformed_json", "4 refused unknown_field", "5 refused invalid", "6 refused invalid",
		"7 refused malformed_json", "8 refused not_supported_yet", "9 refused unknown_credential", "10 refused invalid",
		"11 refused invalid", "12 refused no_seal_key", "13 refused invalid", "14 refused malformed_json", "15 refused invalid", "16 created",
		"17 refused malformed_json",
	}
	if diff := cmp.Diff(want, b.outcomes(t, admin, false, file)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if n, err := b.db.CountHosts(t.Context(), fleet.Everything(), fleet.HostFilter{}); err != nil || n != 2 {
		t.Errorf("%d hosts, %v, want the 2 good ones", n, err)
	}
}

func TestRefusalsQuoteNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	file := strings.Join([]string{
		`{"name":"a","address":"x","credential":{"kind":"password","username":"root","password":12345.678}}`,
		`{"name":"a","address":"x","credential":{"kind":"hunter2","username":"root","password":"hunter2"}}`,
		`{"name":"a","address":"hunter2 hunter2"}`,
		`{"name":"a","password":hunter2}`,
		`{"name":"a","address":"x","credential":{"kind":"private_key","username":"root","private_key":"hunter2","passphrase":"hunter2"}}`,
	}, "\n")
	n := 0
	_, err := b.Import(t.Context(), admin, "", false, strings.NewReader(file), func(o inventory.Outcome) {
		n++
		for _, f := range fleet.FieldsOf(o.Err) {
			o.Err = errors.Join(o.Err, errors.New(f.Field+f.Message))
		}
		if text := fmt.Sprint(o.Err); strings.Contains(text, "hunter2") || strings.Contains(text, "12345") {
			t.Errorf("line %d is refused with its value: %s", o.Line, text)
		}
	})
	if err != nil || n != 5 {
		t.Errorf("%d outcomes, %v, want 5", n, err)
	}
}

func TestImportUpdatesWhatTheLineSays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.addHost(t, fleet.Host{Name: "web-1", Address: "192.0.2.1", Port: 2200, Labels: map[string]string{"env": "prod"}})
	b.record(t, h.ID, "a", fleet.HostKeyTrusted)
	got := b.outcomes(t, admin, false, `{"name":"web-1","address":"192.0.2.5"}`)
	if diff := cmp.Diff([]string{"1 updated"}, got); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	after, err := b.db.Host(t.Context(), fleet.Everything(), h.ID)
	if err != nil || after.Address != "192.0.2.5" || after.Port != 2200 || after.Labels["env"] != "prod" {
		t.Errorf("web-1 = %+v, %v, want the new address and the rest as before", after, err)
	}
	b.wantStates(t, h.ID, map[string]fleet.HostKeyState{"a": "pending"})
}

func TestImportsOfScopedAdminsStayInside(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.addHost(t, fleet.Host{Name: "theirs", Address: "192.0.2.1", Labels: map[string]string{"env": "prod"}})
	b.addHost(t, fleet.Host{Name: "ours", Address: "192.0.2.1", Labels: map[string]string{"env": "test"}})
	got := b.outcomes(t, scoped(t, "env=test"), false, strings.Join([]string{
		`{"name":"theirs","address":"192.0.2.1","labels":{"env":"test"}}`,
		`{"name":"ours","address":"192.0.2.1","labels":{"env":"prod"}}`,
		`{"name":"new","address":"192.0.2.1"}`,
		`{"name":"newer","address":"192.0.2.1","labels":{"env":"test"}}`,
	}, "\n"))
	want := []string{"1 refused outside_scope", "2 refused outside_scope", "3 refused outside_scope", "4 created"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestNamedCredentialsFollowTheFile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	line := func(host, site, name, kind, secretField, value string) string {
		return fmt.Sprintf(`{"name":%q,"address":"192.0.2.1","site":%q,"credential":{"name":%q,"kind":%q,"username":"root",%q:%q}}`+"\n",
			host, site, name, kind, secretField, value)
	}
	first := b.outcomes(t, admin, false, line("a", "default", "shared", "password", "password", "one"))
	second := b.outcomes(t, admin, false, line("a", "default", "shared", "password", "password", "two")+line("b", "eu", "shared", "password", "password", "two"))
	twice := b.outcomes(t, admin, false, line("c", "default", "shared", "password", "password", "two")+line("d", "default", "shared", "password", "password", "three"))
	other := b.outcomes(t, admin, false, line("e", "default", "shared", "private_key", "private_key", newKey(t, "")))
	want := [][]string{{"1 created"}, {"1 unchanged", "2 created"}, {"1 created", "2 refused duplicate"}, {"1 refused name_taken"}}
	if diff := cmp.Diff(want, [][]string{first, second, twice, other}); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	h, err := b.db.HostByName(t.Context(), fleet.Everything(), "b")
	if err != nil {
		t.Fatal(err)
	}
	for _, site := range []string{"default", "eu"} {
		if got := b.opened(t, *h.CredentialID, site); string(got.Password) != "two" {
			t.Errorf("workers of %s do not open the file's newest password", site)
		}
	}
}

func TestImportsThatCannotBeReadLeaveNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	host := func(i int) string { return fmt.Sprintf(`{"name":"h%d","address":"192.0.2.1"}`+"\n", i) }
	var tooMany strings.Builder
	for i := range inventory.MaxImportHosts + 1 {
		tooMany.WriteString(host(i))
	}
	broken := io.MultiReader(strings.NewReader(host(1)), iotest.ErrReader(errors.New("connection reset")))
	large := io.MultiReader(strings.NewReader(host(1)), &zeros{left: inventory.MaxImportBytes})
	for _, tt := range []struct {
		name   string
		format string
		body   io.Reader
		kind   fleet.Kind
		code   string
	}{
		{"too many hosts", "ndjson", strings.NewReader(tooMany.String()), fleet.TooLarge, "too_many_hosts"},
		{"too many bytes", "ndjson", large, fleet.TooLarge, "too_large"},
		{"a connection that breaks off", "ndjson", broken, fleet.Invalid, "broken_off"},
		{"a format to come", "csv", strings.NewReader(host(1)), fleet.Invalid, "not_supported_yet"},
		{"an unknown format", "xml", strings.NewReader(host(1)), fleet.Invalid, "invalid"},
	} {
		_, err := b.Import(t.Context(), admin, tt.format, false, tt.body, nil)
		if fleet.KindOf(err) != tt.kind || fleet.CodeOf(err) != tt.code {
			t.Errorf("%s = %v, want kind %d and code %s", tt.name, err, tt.kind, tt.code)
		}
	}
	if n, err := b.db.CountHosts(t.Context(), fleet.Everything(), fleet.HostFilter{}); err != nil || n != 0 {
		t.Errorf("%d hosts are stored, %v, want none", n, err)
	}
}

// zeros is a line of many bytes.
type zeros struct{ left int }

func (z *zeros) Read(p []byte) (int, error) {
	n := min(len(p), z.left)
	if n == 0 {
		return 0, io.EOF
	}
	clear(p[:n])
	z.left -= n
	return n, nil
}

func TestTenThousandHostsTakeSeconds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := newKey(t, "")
	var file bytes.Buffer
	for i := range inventory.MaxImportHosts {
		file.WriteString(withKey(fmt.Sprintf("h%05d", i), key))
	}
	began := time.Now()
	summary, err := b.Import(t.Context(), admin, "ndjson", false, &file, nil)
	if err != nil || summary.Created != inventory.MaxImportHosts {
		t.Fatalf("Import = %+v, %v, want %d created", summary, err, inventory.MaxImportHosts)
	}
	t.Logf("imported %d hosts in %v", summary.Created, time.Since(began))
}
