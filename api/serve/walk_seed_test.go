package serve

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/inventory"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/token"
)

// A landscape is some of everything that belongs to the hosts of one environment. Its word stands in every name,
// label, site and fact of it and nowhere else.
type landscape struct {
	word, env string
	hosts     []fleet.Host
	ids       map[string]string // what there is, by the name that the table of the walk has for it
}

// says reports what of the landscape a text tells: a word or an ID; empty if nothing.
func (l landscape) says(text string) string {
	if i := strings.Index(text, l.word); i >= 0 {
		return text[max(0, i-80):min(len(text), i+80)]
	}
	for name, id := range l.ids {
		if strings.Contains(text, id) {
			return "the ID of the " + name
		}
	}
	return ""
}

// seed makes the two landscapes, which have different numbers of everything, and what they share.
func (w *walk) seed(t *testing.T) {
	t.Helper()
	worker := fleet.Worker{ID: fleet.NewID(), Host: "both", Sites: []string{"amber", "quartz"}, Slots: 1}
	if _, _, err := w.Store.Heartbeat(t.Context(), worker); err != nil {
		t.Fatal(err)
	}
	admin := w.actor(fleet.Admin, everywhere)
	w.amber = w.plant(t, admin, "amber", "staging", 2, worker.ID)
	w.quartz = w.plant(t, admin, "quartz", "prod", 3, worker.ID)
	const both = "env in (prod,staging) and not name in (amber-9,quartz-9)" // whose text names hosts of each
	for _, selector := range []string{"*", both} {
		triggered, err := w.collections.Trigger(t.Context(), admin, collection.Request{Selector: selector, ReportTypes: []string{"os"}})
		if err != nil {
			t.Fatal(err)
		}
		w.shared["both_open"] = triggered.Collection.ID.String()
		if selector == "*" {
			w.shared["both"] = triggered.Collection.ID.String()
			w.work(t, triggered.Collection.ID, worker.ID, "again")
		}
	}
	everything, err := w.schedules.Add(t.Context(), admin, fleet.Schedule{
		Name: "everything", Cron: "@daily", Selector: both, ReportTypes: []string{"os"}, Enabled: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.shared["everything"], w.shared["quartz_host"] = everything.ID.String(), w.quartz.ids["host"]
	w.shared["collector"], w.shared["trial"] = w.newCollector(t), w.newTrial(t)
	if _, err := w.housekeeping.SetType(t.Context(), admin, "os", 30); err != nil {
		t.Fatal(err)
	}
}

func (w *walk) actor(role fleet.Role, v view) fleet.Actor {
	u := w.users[role][v]
	return fleet.Actor{Kind: fleet.ActorUser, ID: u.ID, UserID: &u.ID, Name: u.Username, Role: role}
}

// plant makes a landscape of n hosts, of which the last fails.
func (w *walk) plant(t *testing.T, admin fleet.Actor, word, env string, n int, worker uuid.UUID) landscape {
	t.Helper()
	l := landscape{word: word, env: env, ids: map[string]string{}}
	credential := w.newCredential(t, word)
	for i := range n {
		h := w.newHost(t, l, fmt.Sprintf("%s-%d", word, i+1), &credential)
		l.hosts = append(l.hosts, h)
		l.ids[fmt.Sprintf("host%d", i+1)] = h.ID.String()
	}
	l.ids["host"], l.ids["credential"] = l.ids["host1"], credential.String()
	l.ids["key"] = w.newKey(t, l.hosts[0]).ID.String()
	for round, what := range []string{"first", "second"} {
		triggered, err := w.collections.Trigger(t.Context(), admin, collection.Request{Selector: "env=" + env, ReportTypes: []string{"os"}})
		if err != nil {
			t.Fatal(err)
		}
		id := triggered.Collection.ID
		w.work(t, id, worker, what)
		reports, err := w.Store.LatestReports(t.Context(), fleet.Everything(), l.hosts[0].ID, "os")
		if err != nil || len(reports) != 1 {
			t.Fatalf("reports of %s = %v, %v", word, reports, err)
		}
		l.ids[[]string{"earlier", "collection"}[round]], l.ids[[]string{"earlier_report", "report"}[round]] = id.String(), reports[0].ID.String()
	}
	open, err := w.collections.Trigger(t.Context(), admin, collection.Request{Selector: "env=" + env, ReportTypes: []string{"os"}})
	if err != nil {
		t.Fatal(err)
	}
	l.ids["open"] = open.Collection.ID.String()
	l.ids["schedule"] = w.newSchedule(t, l, word+" nightly").ID.String()
	firing := fleet.Firing{ScheduleID: uuid.MustParse(l.ids["schedule"]), DueAt: time.Now().Add(-time.Hour), Outcome: fleet.OutcomeCollected}
	firing.CollectionID = new(uuid.MustParse(l.ids["collection"]))
	if _, err := w.Store.RecordFirings(t.Context(), []fleet.Firing{firing}); err != nil {
		t.Fatal(err)
	}
	return l
}

func (w *walk) newHost(t *testing.T, l landscape, name string, credential *uuid.UUID) fleet.Host {
	t.Helper()
	h, err := w.Store.AddHost(background(t), fleet.Host{
		ID: fleet.NewID(), Name: name, Address: name + ".example.net", Port: 22, Site: l.word, Connection: fleet.ConnectionSSH, Enabled: true,
		CredentialID: credential, Labels: map[string]string{"env": l.env, "team": l.word + "team"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (w *walk) newKey(t *testing.T, h fleet.Host) fleet.HostKey {
	t.Helper()
	key, err := w.Store.RecordHostKey(background(t), fleet.HostKey{
		ID: fleet.NewID(), HostID: h.ID, Algorithm: "ssh-ed25519", Key: []byte(h.Name + fleet.NewID().String()), Fingerprint: "SHA256:" + h.Name + fleet.NewID().String(), State: fleet.HostKeyPending,
	})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (w *walk) newCredential(t *testing.T, word string) uuid.UUID {
	t.Helper()
	c, err := w.inventory.AddCredential(background(t), w.actor(fleet.Admin, everywhere), inventory.NewCredential{
		Name: word + " " + fleet.NewID().String(), Kind: fleet.CredentialPassword, Username: word, Secret: secret.Credential{Password: []byte("hunter2")},
		Sites: []string{strings.SplitN(word, "-", 2)[0]},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c.ID
}

func (w *walk) newSchedule(t *testing.T, l landscape, name string) fleet.Schedule {
	t.Helper()
	s, err := w.schedules.Add(background(t), w.actor(fleet.Admin, everywhere), fleet.Schedule{
		Name: name, Cron: "@daily", Selector: "env=" + l.env, ReportTypes: []string{"os"}, Enabled: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// work ends the collection's tasks as a worker would: the last host of each landscape fails.
func (w *walk) work(t *testing.T, id, worker uuid.UUID, what string) {
	t.Helper()
	ctx := background(t)
	tasks, _, err := w.Store.Tasks(ctx, fleet.Everything(), id, store.TaskFilter{}, fleet.Page{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		claim, err := w.Store.ClaimTask(ctx, fleet.Message{TaskID: task.ID, Epoch: task.Epoch}, worker)
		if err != nil || claim == nil {
			t.Fatalf("claiming: %v, %v", claim, err)
		}
		e := store.Ending{Lease: store.LeaseOf(claim.Task), Host: claim.Host.ID, At: time.Now(), State: fleet.TaskSucceeded}
		if name := claim.Host.Name; name == "amber-2" || name == "quartz-3" {
			e.State, e.Failure = fleet.TaskFailed, fleet.Fail(fleet.CodeInternal, nil)
		} else {
			e.Findings = []fleet.Finding{w.finding(t, claim.Host, what)}
		}
		if held, err := w.Store.EndTask(ctx, e); err != nil || !held {
			t.Fatalf("ending: %v, %v", held, err)
		}
	}
	if _, err := w.Store.FinishCollections(ctx, &id, 1); err != nil {
		t.Fatal(err)
	}
}

// finding returns what is found of a host, as a change of what was found before.
func (w *walk) finding(t *testing.T, h fleet.Host, what string) fleet.Finding {
	t.Helper()
	f := fleet.Finding{
		Type: "os", SchemaVersion: 1, Status: fleet.ReportOK,
		Facts: fmt.Appendf(nil, `{"of":"%s","what":"%s of %s"}`, h.Name, what, h.Name), Metrics: []byte(`{"uptime_seconds":5}`),
	}
	f.ContentHash = sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", f.Type, f.SchemaVersion, f.Facts))
	formers, err := w.Store.Formers(background(t), fleet.Everything(), h.ID, map[string][]byte{f.Type: nil})
	if err != nil {
		t.Fatal(err)
	}
	former := formers[f.Type]
	if former.ContentHash == nil {
		return f
	}
	comparison, err := facts.Compare(former.Facts, f.Facts, facts.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f.Follows = &fleet.Succession{ContentHash: former.ContentHash, ReportID: former.ReportID}
	for _, d := range comparison.Changes {
		f.Follows.Changes = append(f.Follows.Changes, fleet.FactChange{Path: d.Path.String(), Before: d.Before, After: d.After, Since: &former.CreatedAt})
	}
	return f
}

// variable is what the table writes for something that is there, such as $host, or that is made for the request,
// such as $new_host.
var variable = regexp.MustCompile(`\$[a-z_0-9]+`)

// fill returns the text with what its variables stand for. What is made for a request that will be refused is used
// again by the next such request.
func (w *walk) fill(t *testing.T, text string, a walker, spare bool) string {
	t.Helper()
	last := ""
	return variable.ReplaceAllStringFunc(text, func(name string) (filled string) {
		name = name[1:]
		if id, ok := w.amber.ids[name]; ok {
			return id
		}
		if id, ok := w.shared[name]; ok {
			return id
		}
		if name == "same" { // as the one before
			return last
		}
		defer func() { last = filled }()
		if id, ok := w.spares[name]; spare && ok && !strings.HasPrefix(name, "own") {
			return id
		}
		made := w.newThing(t, name, a)
		if spare {
			w.spares[name] = made
		}
		return made
	})
}

// newThing makes what a variable stands for, in the landscape that the requests are about.
func (w *walk) newThing(t *testing.T, name string, a walker) string {
	t.Helper()
	unique := "amber-" + fleet.NewID().String()[24:]
	switch name {
	case "unique":
		return unique
	case "new_host":
		return w.newHost(t, w.amber, unique, nil).ID.String()
	case "new_key":
		return w.newKey(t, w.amber.hosts[0]).ID.String()
	case "new_open":
		c, err := w.collections.Trigger(background(t), w.actor(fleet.Admin, everywhere), collection.Request{HostIDs: []uuid.UUID{w.amber.hosts[0].ID}, ReportTypes: []string{"os"}})
		if err != nil {
			t.Fatal(err)
		}
		return c.Collection.ID.String()
	case "new_schedule":
		return w.newSchedule(t, w.amber, unique).ID.String()
	case "new_credential":
		return w.newCredential(t, unique).String()
	case "used_credential":
		id := w.newCredential(t, unique)
		w.newHost(t, w.amber, unique, &id)
		return id.String()
	case "new_reseal":
		c, err := w.inventory.Reseal(background(t), w.actor(fleet.Admin, everywhere), nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.ID.String()
	case "new_collector":
		return w.newCollector(t)
	case "new_name":
		return "c" + strings.ReplaceAll(fleet.NewID().String(), "-", "")
	case "new_refresh":
		return w.newRefresh(t)
	case "new_user":
		return w.newUser(t, unique).ID.String()
	case "session_user", "token_user":
		u := w.newUser(t, unique)
		session := fleet.NewID()
		w.addSession(t, session, u, make([]byte, sha256.Size))
		w.spares["session_of"], w.spares["token_of"] = session.String(), w.newToken(t, u).ID.String()
		return u.ID.String()
	case "session_of", "token_of": // of the user before
		return w.spares[name]
	case "new_reset":
		plain, hash := token.NewResetToken()
		err := w.Store.SetPasswordReset(background(t), store.PasswordReset{
			UserID: w.newUser(t, unique).ID, Hash: hash, ExpiresAt: time.Now().Add(time.Hour), CreatedBy: "user:admin0",
		})
		if err != nil {
			t.Fatal(err)
		}
		return plain
	case "own_session":
		if a.user.ID == uuid.Nil {
			return fleet.NewID().String()
		}
		id := fleet.NewID()
		w.addSession(t, id, a.user, make([]byte, sha256.Size))
		return id.String()
	case "own_token":
		return w.newToken(t, a.user).ID.String()
	case "new_retention":
		if _, err := w.housekeeping.SetType(background(t), w.actor(fleet.Admin, everywhere), "cpu", 30); err != nil {
			t.Fatal(err)
		}
		return "cpu"
	}
	t.Fatalf("the table has the placeholder $%s, which nobody knows", name)
	return ""
}

func (w *walk) newUser(t *testing.T, name string) fleet.User {
	t.Helper()
	u := fleet.User{ID: fleet.NewID(), Username: name, PasswordHash: "none", Role: fleet.Viewer}
	if err := w.Store.AddUser(background(t), u); err != nil {
		t.Fatal(err)
	}
	return u
}

// read returns the user as it is now.
func (w *walk) read(t *testing.T, u fleet.User) fleet.User {
	t.Helper()
	now, err := w.Store.User(background(t), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	return now
}

func (w *walk) newCollector(t *testing.T) string {
	t.Helper()
	name := "c" + strings.ReplaceAll(fleet.NewID().String(), "-", "")
	d, err := collector.ParseDefinition([]byte(fmt.Sprintf(aCollector, name)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.collections.AddCollector(background(t), w.actor(fleet.Admin, everywhere), d); err != nil {
		t.Fatal(err)
	}
	return name
}

func (w *walk) newTrial(t *testing.T) string {
	t.Helper()
	triggered, err := w.collections.Try(background(t), w.actor(fleet.Admin, everywhere), collection.TryRequest{
		Name: w.newCollector(t), HostID: w.amber.hosts[0].ID,
	})
	if err != nil {
		t.Fatal(err)
	}
	return triggered.Collection.ID.String()
}

func (w *walk) newRefresh(t *testing.T) string {
	t.Helper()
	id := fleet.NewID()
	plain, hash := token.NewRefreshToken(id)
	w.addSession(t, id, w.users[fleet.Viewer][everywhere], hash)
	return plain
}

func (w *walk) newToken(t *testing.T, u fleet.User) store.APIToken {
	t.Helper()
	_, hash := token.NewAPIToken()
	if u.ID == uuid.Nil {
		u = w.users[fleet.Viewer][everywhere]
	}
	made := store.APIToken{ID: fleet.NewID(), UserID: u.ID, Name: "own", Hash: hash, CreatedAt: time.Now()}
	if err := w.Store.AddAPIToken(background(t), made); err != nil {
		t.Fatal(err)
	}
	return made
}

const aCollector = `{"name":"%s","description":"one","os":{"linux":"echo a=1"},"parser":{"format":"kv"},"schema":{"properties":{"a":{"type":"integer","maximum":1000}}}}`
