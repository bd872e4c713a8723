package ui_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// noted writes an entry of the audit log.
func (s *site) noted(actor fleet.Actor, e fleet.AuditEntry) {
	s.t.Helper()
	if err := s.store.Audit(s.t.Context(), actor, e); err != nil {
		s.t.Fatal(err)
	}
}

// entries returns the entries that the audit log has of that filter, newest first.
func (s *site) entries(f store.AuditFilter) []fleet.AuditRecord {
	s.t.Helper()
	records, _, err := s.store.AuditRecords(s.t.Context(), fleet.Everything(), f, fleet.Page{})
	if err != nil {
		s.t.Fatal(err)
	}
	return records
}

func TestTheAuditLogIsAPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, accounts{})
	s.see("/audit", http.StatusOK, "Nothing has been done yet", "Nothing is sealed yet", "rollcall audit verify</code>", `<a href="/audit" aria-current="page">Audit</a>`)

	ann := fleet.Actor{Kind: fleet.ActorUser, Name: "ann", Role: fleet.Admin, Address: "192.0.2.9"}
	s.noted(ann, fleet.AuditEntry{Action: "host.update", ResourceType: "host", ResourceID: "h1", Details: map[string]any{"before": "web", "n": 7}})
	s.noted(ann, fleet.AuditEntry{Action: "host.delete", ResourceType: "host", ResourceID: "h2"})
	s.noted(fleet.System(), fleet.AuditEntry{Action: "access.denied", ResourceType: "user", Denied: true})
	body := s.see("/audit", http.StatusOK, "user:ann", "<code>host.update</code>", "host <code>h1</code>", "192.0.2.9", `<span class="state failed">denied</span>`,
		"<details", "&#34;before&#34;: &#34;web&#34;", `<time datetime="`, "not sealed yet", `href="/audit?resource=host%3Ah1"`)
	if denied := strings.Count(body, ">denied</span>"); denied != 1 {
		t.Errorf("%d entries are marked as denied, want 1", denied)
	}
	s.lacks(body, `role="alert"`)

	all := s.entries(store.AuditFilter{}) // of one moment in any order
	slices.SortFunc(all, func(a, b fleet.AuditRecord) int { return a.Compare(b.AuditPosition) })
	seal := fleet.AuditSeal{
		Seq: 1, Month: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), To: all[1].AuditPosition, Entries: 2, Root: [32]byte{0xab, 0xcd, 31: 0xef}, SealedAt: time.Now(),
	}
	if err := s.store.AddAuditSeals(t.Context(), []fleet.AuditSeal{seal}); err != nil {
		t.Fatal(err)
	}
	body = s.see("/audit", http.StatusOK, "Seal 1 was made", "2 entries", "<code>abcd000000000000…</code>", strings.Repeat("0", 20)+"ef</code>", "--expect-root ROOT")
	if unsealed := strings.Count(body, "not sealed yet"); unsealed != 1 {
		t.Errorf("%d entries are not sealed yet, want 1", unsealed)
	}
}

func TestTheAuditLogIsFiltered(t *testing.T) {
	t.Parallel()
	s := newSite(t, accounts{})
	ann := fleet.Actor{Kind: fleet.ActorUser, Name: "ann", Role: fleet.Admin, Address: "192.0.2.9"}
	s.noted(ann, fleet.AuditEntry{Action: "host.update", ResourceType: "host", ResourceID: "h1"})
	s.noted(ann, fleet.AuditEntry{Action: "user.create", ResourceType: "user", ResourceID: "u1", Denied: true})
	s.noted(fleet.System(), fleet.AuditEntry{Action: "host.delete", ResourceType: "host", ResourceID: "h2"})
	ask := func(values ...string) string {
		q := url.Values{}
		for i := 0; i < len(values); i += 2 {
			q.Set(values[i], values[i+1])
		}
		return "/audit?" + q.Encode()
	}
	for path, want := range map[string][]string{
		ask():                                {"h1", "u1", "h2"},
		ask("actor", "user:ann"):             {"h1", "u1"},
		ask("action", "host.*"):              {"h1", "h2"},
		ask("action", "host"):                nil,
		ask("resource", "host:h1"):           {"h1"},
		ask("resource", "user"):              {"u1"},
		ask("outcome", "denied"):             {"u1"},
		ask("address", "192.0.2.0/24"):       {"h1", "u1"},
		ask("since", "2020-01-01"):           {"h1", "u1", "h2"},
		ask("until", "2020-01-01T00:00"):     nil,
		ask("actor", "' or true --"):         nil,
		ask("actor", "system", "since", ""):  {"h2"},
		ask("action", "user.*", "actor", ""): {"u1"},
	} {
		body := s.see(path, http.StatusOK)
		for _, id := range []string{"h1", "u1", "h2"} {
			wanted := 0
			for _, w := range want {
				if w == id {
					wanted = 1
				}
			}
			if got := strings.Count(body, "<code>"+id+"</code>"); got != wanted {
				t.Errorf("GET %s has %d entries about %s, want %d", path, got, id, wanted)
			}
		}
	}
	s.see(ask("action", "x.y"), http.StatusOK, "No entry is chosen by these filters")
	s.see(ask("actor", "user:ann", "outcome", "denied", "since", "2026-01-02"), http.StatusOK,
		`value="user:ann"`, `<option value="denied" selected>`, `value="2026-01-02T00:00:00"`,
		`href="/api/v1/audit?actor=user%3Aann&amp;format=csv&amp;outcome=denied&amp;since=2026-01-02T00%3A00%3A00Z"`, "format=ndjson")
	for what, path := range map[string]string{
		"not a time": ask("since", "yesterday"), "an IP address or a network": ask("address", "nowhere"), "ok or denied": ask("outcome", "maybe"),
		"cursor": ask("cursor", "nonsense!"), "longer than 300": ask("actor", strings.Repeat("x", 301)),
	} {
		s.lacks(s.see(path, http.StatusUnprocessableEntity, what, `role="alert"`), "/api/v1/audit", "<code>h1</code>")
	}
}

func TestTheAuditLogHasPages(t *testing.T) {
	t.Parallel()
	s := newSite(t, accounts{})
	for i := range 160 {
		s.noted(admin(), fleet.AuditEntry{Action: "host.update", ResourceType: "host", ResourceID: fmt.Sprintf("h%03d", i)})
	}
	s.noted(admin(), fleet.AuditEntry{Action: "user.create", ResourceType: "user"})
	ids := regexp.MustCompile(`<code>(h\d{3})</code>`)
	older := regexp.MustCompile(`<a href="([^"]+)" rel="next">Older entries`)
	var seen []string
	pages := 0
	for path := "/audit?action=host.*"; path != "" && pages < 10; pages++ {
		body := s.see(path, http.StatusOK)
		s.lacks(body, "user.create")
		for _, found := range ids.FindAllStringSubmatch(body, -1) {
			seen = append(seen, found[1])
		}
		path = ""
		if next := older.FindStringSubmatch(body); next != nil {
			path = strings.ReplaceAll(next[1], "&amp;", "&")
		}
	}
	if pages != 3 || len(seen) != 160 {
		t.Fatalf("%d pages with %d entries, want 3 with 160", pages, len(seen))
	}
	for i, e := range s.entries(store.AuditFilter{Action: "host.*"}) {
		if i < len(seen) && seen[i] != e.ResourceID {
			t.Fatalf("entry %d is %s, want %s", i, seen[i], e.ResourceID)
		}
	}
	if sorted := slices.Sorted(slices.Values(seen)); len(slices.Compact(sorted)) != 160 {
		t.Error("an entry is shown twice")
	}
}

func TestHostileEntriesOfTheAuditLogAreText(t *testing.T) {
	t.Parallel()
	s := newSite(t, accounts{})
	const evil = `"><script>alert(1)</script>`
	s.noted(fleet.Actor{Kind: fleet.ActorUser, Name: evil, Role: fleet.Admin}, fleet.AuditEntry{
		Action: "x" + evil, ResourceType: "host" + evil, ResourceID: evil + strings.Repeat("y", 5000), Denied: true,
		Details: map[string]any{evil: evil, "deep": map[string]any{evil: []string{evil}}, "long": strings.Repeat("z", 100_000)},
	})
	body := s.see("/audit", http.StatusOK, "user:&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;", "&lt;script&gt;")
	if len(body) > 30_000 {
		t.Errorf("one long entry makes a page of %d bytes", len(body))
	}
	s.lacks(body, "resource=host")
	for _, name := range []string{"actor", "action", "resource", "address", "outcome", "since", "cursor"} {
		status := http.StatusOK
		if name != "actor" && name != "action" && name != "resource" {
			status = http.StatusUnprocessableEntity
		}
		s.see("/audit?"+url.Values{name: {evil}}.Encode(), status)
	}
}

func TestOnlyAdminsOfAllHostsSeeTheAuditLog(t *testing.T) {
	t.Parallel()
	s := newSite(t, accounts{})
	s.noted(admin(), fleet.AuditEntry{Action: "host.update", ResourceType: "host", ResourceID: "h1"})
	selector, err := fleet.ParseSelector("env=prod")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*fleet.Actor){
		"a viewer":                 func(a *fleet.Actor) { a.Role = fleet.Viewer },
		"an operator":              func(a *fleet.Actor) { a.Role = fleet.Operator },
		"who has no role":          func(a *fleet.Actor) { a.Role = "" },
		"an admin with a selector": func(a *fleet.Actor) { a.Selector = &selector },
	} {
		s.actor = admin()
		change(&s.actor)
		body := s.see("/audit", http.StatusForbidden, "You may not do that")
		s.lacks(body, "host.update", "h1</code>", `href="/audit"`)
		if t.Failed() {
			t.Fatalf("as %s", name)
		}
	}
	s.actor = fleet.Actor{}
	if code, _, header := s.get("/audit"); code != http.StatusSeeOther || !strings.HasPrefix(header.Get("Location"), "/login") {
		t.Errorf("nobody gets %d to %q", code, header.Get("Location"))
	}
}
