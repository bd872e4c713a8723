package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// TestNobodySeesOrDoesMoreThanHeMay walks every operation of the served OpenAPI document and every page with every role,
// scope and kind of credential, and compares the answers with tables.
//
// The steps share one api and its data. Those that count come first, because those that write add to it.
func TestNobodySeesOrDoesMoreThanHeMay(t *testing.T) { //nolint:tparallel // its steps share one api, one after the other
	t.Parallel()
	w := newWalk(t)
	for _, step := range []struct { //nolint:paralleltest // as above
		name string
		walk func(*walk, *testing.T)
	}{
		{"what is counted is counted within the scope", (*walk).counts},
		{"further filters and formats tell nothing either", (*walk).reads},
		{"every page", (*walk).pageByPage},
		{"no page of another site writes", (*walk).foreign},
		{"every operation of the OpenAPI document", (*walk).operations},
		{"a scoped write lies inside the scope before and after", (*walk).writes},
		{"every write leaves its entry in the audit log", (*walk).audits},
	} {
		t.Run(step.name, func(t *testing.T) { step.walk(w, t) })
	}
}

// An answered request is what came of it.
type answered struct {
	status int
	body   string
	header http.Header
}

// detail returns what an answer says but for what no two answers have in common.
func (r answered) detail() string {
	var p struct{ Code, Detail string }
	_ = json.Unmarshal([]byte(r.body), &p)
	return fmt.Sprint(r.status, " ", p.Code, ": ", p.Detail)
}

// A firstPage ends a stream when its first events have been sent.
type firstPage struct {
	*httptest.ResponseRecorder
	end context.CancelFunc
}

// Flush is called when there is nothing more for the moment.
func (p firstPage) Flush() {
	p.ResponseRecorder.Flush()
	p.end()
}

// ask sends a request of a, from an address of its own, so that no limit of addresses is met.
func (w *walk) ask(t *testing.T, a walker, method, path, body, media string) answered {
	t.Helper()
	address := fleet.NewID()
	return w.askFrom(t, fmt.Sprintf("10.%d.%d.%d", address[13], address[14], address[15]), a, method, path, body, media)
}

func (w *walk) askFrom(t *testing.T, address string, a walker, method, path, body, media string) answered {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	r.RemoteAddr = address + ":1"
	if body != "" {
		if media == "" {
			media = "application/json"
		}
		r.Header.Set("Content-Type", media)
	}
	w.prove(t, a, r.Header)
	out := firstPage{httptest.NewRecorder(), cancel}
	w.handler.ServeHTTP(out, r)
	return answered{out.Code, out.Body.String(), out.Result().Header}
}

// looks fails the test if the answer tells of what a must not see.
func (w *walk) looks(t *testing.T, a walker, request string, r answered) {
	t.Helper()
	forbidden := map[view][]landscape{inside: {w.quartz}, outside: {w.amber}}[a.view]
	if a.role == "" {
		forbidden = []landscape{w.quartz, w.amber}
	}
	for _, l := range forbidden {
		body := r.body
		if r.status >= http.StatusBadRequest { // a refusal may name what it was asked
			for _, id := range uuids.FindAllString(request, -1) {
				body = strings.ReplaceAll(body, id, "")
			}
		}
		if told := l.says(body); told != "" {
			t.Errorf("%s is told of %s by %s (%d): …%s…", a, l.env, request, r.status, told)
		}
	}
}

var uuids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// want returns the statuses that the rule answers a with; 200 stands for success.
func (r rule) want(a walker) []int {
	has := fleet.Actor{Kind: fleet.ActorUser, Role: a.role}
	switch {
	case r.role == "":
		return []int{http.StatusOK}
	case a.role == "":
		return []int{http.StatusUnauthorized}
	case r.self != 0 && a.proof == byToken:
		return []int{r.self}
	case has.Require(r.role) != nil && a.view == outside && r.effect == hidden:
		return []int{http.StatusForbidden, http.StatusNotFound}
	case has.Require(r.role) != nil:
		return []int{http.StatusForbidden}
	case r.effect == unscopedOnly && a.view != everywhere, r.effect == refused && a.view == outside:
		return []int{http.StatusForbidden}
	case r.effect == hidden && a.view == outside:
		return []int{http.StatusNotFound}
	case r.effect == empty && a.view == outside:
		return []int{http.StatusUnprocessableEntity}
	}
	return []int{http.StatusOK}
}

// fits reports whether the status is one of those that are wanted.
func fits(status int, want []int) bool {
	return slices.Contains(want, status) || status/100 == 2 && slices.Contains(want, http.StatusOK)
}

// An operation is one of the OpenAPI document.
type operation struct{ id, method, path string }

// documented returns the operations of the document as it is served.
func (w *walk) documented(t *testing.T) []operation {
	t.Helper()
	var document struct {
		Paths map[string]map[string]struct{ OperationID string }
	}
	r := w.ask(t, walker{}, http.MethodGet, "/openapi.json", "", "")
	if err := json.Unmarshal([]byte(r.body), &document); err != nil {
		t.Fatalf("/openapi.json = %d: %v", r.status, err)
	}
	var all []operation
	for _, path := range slices.Sorted(maps.Keys(document.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(document.Paths[path])) {
			if id := document.Paths[path][method].OperationID; strings.HasPrefix(path, "/api/") {
				all = append(all, operation{id, strings.ToUpper(method), path})
			}
		}
	}
	return all
}

func (w *walk) operations(t *testing.T) {
	t.Helper()
	table, pending := rules(), notYet()
	all := w.documented(t)
	for _, op := range all {
		rule, ok := table[op.id]
		switch {
		case slices.Contains(pending, op.id):
			w.refusesEverybody(t, op)
		case !ok:
			t.Errorf("%s %s (%s) has no rule: who may call it, and what is the effect of a scope?", op.method, op.path, op.id)
		default:
			t.Run(op.id, func(t *testing.T) { w.walkOperation(t, op, rule) })
		}
		delete(table, op.id)
		pending = slices.DeleteFunc(pending, func(id string) bool { return id == op.id })
	}
	for _, id := range slices.Concat(slices.Sorted(maps.Keys(table)), pending) {
		t.Errorf("there is a rule for %s, and no such operation", id)
	}
}

// refusesEverybody holds that an operation that is not supported yet does nothing for anybody.
func (w *walk) refusesEverybody(t *testing.T, op operation) {
	t.Helper()
	path := regexp.MustCompile(`{[^}]+}`).ReplaceAllString(op.path, uuid.Nil.String())
	for _, a := range w.walkers(byToken) {
		want := http.StatusUnprocessableEntity
		if a.role == "" {
			want = http.StatusUnauthorized
		}
		if r := w.ask(t, a, op.method, path, "", ""); r.status != want {
			t.Errorf("%s as %s = %d %s, want %d", op.id, a, r.status, r.body, want)
		}
	}
}

func (w *walk) walkOperation(t *testing.T, op operation, r rule) {
	t.Helper()
	if pattern := regexp.MustCompile("^" + regexp.MustCompile(`{[^}]+}`).ReplaceAllString(op.path, "[^/]+") + `(\?.*)?$`); !pattern.MatchString(r.path) {
		t.Fatalf("the rule of %s %s asks for %s", op.method, op.path, r.path)
	}
	walkers := w.walkers(byToken, byAccess, byCookie)
	if r.once {
		walkers = []walker{{}, {fleet.Admin, everywhere, byAccess, w.users[fleet.Admin][everywhere]}, {fleet.Admin, inside, byToken, w.users[fleet.Admin][inside]}}
	}
	for _, a := range walkers {
		if t.Failed() {
			return // the others tell the same
		}
		want := r.want(a)
		refusal := !slices.Contains(want, http.StatusOK)
		text := w.fill(t, r.path+"\n"+r.body, a, refusal)
		path, body, _ := strings.Cut(text, "\n")
		got := w.ask(t, a, op.method, path, body, r.media)
		if !fits(got.status, want) {
			t.Errorf("%s %s as %s = %d, want %v: %.300s", op.method, path, a, got.status, want, got.body)
		}
		if op.method == http.MethodGet || refusal {
			w.looks(t, a, op.method+" "+text, got)
		}
		if r.effect == hidden && got.status == http.StatusNotFound {
			nothing := w.ask(t, a, op.method, uuids.ReplaceAllString(path, fleet.NewID().String()), uuids.ReplaceAllString(body, fleet.NewID().String()), r.media)
			if nothing.detail() != got.detail() {
				t.Errorf("%s as %s tells what is hidden (%s) from what there is not (%s)", op.id, a, got.detail(), nothing.detail())
			}
		}
		if ending := []string{"logout", "revokeSessions", "changePassword"}; slices.Contains(ending, op.id) && a.role != "" {
			w.renew(t, a.user)
		}
	}
}
