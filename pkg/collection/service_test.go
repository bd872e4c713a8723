package collection_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/store"
)

func actor(role fleet.Role, selector string) fleet.Actor {
	a := fleet.Actor{Kind: fleet.ActorUser, Name: "ann", ID: fleet.NewID(), Role: role}
	if selector != "" {
		if s, err := fleet.ParseSelector(selector); err == nil {
			a.Selector = &s
		}
	}
	return a
}

// empty checks that nothing of a collection is stored.
func (r *rig) empty(what string) {
	r.t.Helper()
	for _, table := range []string{"collections", "tasks", "collection_history", "audit_logs"} {
		if n := ask[int](r, "select count(*) from "+table); n != 0 {
			r.t.Errorf("%s left %d rows in %s", what, n, table)
		}
	}
}

func TestWhatIsNotTriggered(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	web := r.host("web-1")
	r.exec(`insert into hosts (id, name, address, site) select gen_random_uuid(), 'many-' || n, '192.0.2.1', 'many' from generate_series(1, 51) n`)
	r.exec(`insert into hosts (id, name, address, site, enabled) select gen_random_uuid(), 'off-' || n, '192.0.2.1', 'off', false from generate_series(1, 2) n`)
	retired := r.host("gone")
	if err := r.RetireHost(t.Context(), retired.ID); err != nil {
		t.Fatal(err)
	}
	operator := actor(fleet.Operator, "")
	many := make([]uuid.UUID, 10_001)
	for i := range many {
		many[i] = fleet.NewID()
	}
	tests := []struct {
		name  string
		actor fleet.Actor
		r     collection.Request
		kind  fleet.Kind
		code  string
		field string
	}{
		{"nobody asks", fleet.Actor{}, collection.Request{Selector: "*"}, fleet.Unauthenticated, "unauthenticated", ""},
		{"a viewer asks", actor(fleet.Viewer, ""), collection.Request{Selector: "*"}, fleet.Forbidden, "forbidden", ""},
		{"no hosts are named", operator, collection.Request{}, fleet.Invalid, "no_hosts", "selector"},
		{"the selector selects none", operator, collection.Request{Selector: "site=mars"}, fleet.Invalid, "no_hosts", "selector"},
		{"the selector selects disabled hosts only", operator, collection.Request{Selector: "site=off"}, fleet.Invalid, "no_hosts", "selector"},
		{"the selector cannot be read", operator, collection.Request{Selector: "site="}, fleet.Invalid, "", "selector"},
		{"hosts are named twice over", operator, collection.Request{Selector: "*", HostIDs: []uuid.UUID{web.ID}}, fleet.Invalid, "invalid", "host_ids"},
		{"a host does not exist", operator, collection.Request{HostIDs: []uuid.UUID{web.ID, fleet.NewID()}}, fleet.Invalid, "unknown_host", "host_ids"},
		{"a host was retired", operator, collection.Request{HostIDs: []uuid.UUID{retired.ID}}, fleet.Invalid, "unknown_host", "host_ids"},
		{"a host is outside of the scope", actor(fleet.Operator, "site=many"), collection.Request{HostIDs: []uuid.UUID{web.ID}}, fleet.Invalid, "unknown_host", "host_ids"},
		{"the scope has none of the selected", actor(fleet.Admin, "site=many"), collection.Request{Selector: "name=web-1"}, fleet.Invalid, "no_hosts", "selector"},
		{"too many hosts are named", operator, collection.Request{HostIDs: many}, fleet.Invalid, "invalid", "host_ids"},
		{"a report type does not exist", operator, collection.Request{Selector: "*", ReportTypes: []string{"os", "nonesuch"}}, fleet.Invalid, "unknown_report_type", "report_types"},
		{"a priority does not exist", operator, collection.Request{Selector: "*", Priority: "urgent"}, fleet.Invalid, "invalid", "priority"},
		{"too many are interactive", operator, collection.Request{Selector: "site=many", Priority: fleet.PriorityInteractive}, fleet.Invalid, "too_many_hosts", "priority"},
		{"the deadline is too short", operator, collection.Request{Selector: "*", Deadline: time.Second}, fleet.Invalid, "invalid", "deadline_seconds"},
		{"the deadline is too long", operator, collection.Request{Selector: "*", Deadline: time.Hour + time.Second}, fleet.Invalid, "invalid", "deadline_seconds"},
		{"the deadline is negative", operator, collection.Request{Selector: "*", Deadline: -time.Second}, fleet.Invalid, "invalid", "deadline_seconds"},
		{"the wait is too short", operator, collection.Request{Selector: "*", Expires: time.Millisecond}, fleet.Invalid, "invalid", "expires_seconds"},
		{"the wait is too long", operator, collection.Request{Selector: "*", Expires: 32 * 24 * time.Hour}, fleet.Invalid, "invalid", "expires_seconds"},
	}
	for _, tt := range tests {
		for what, do := range map[string]func() error{
			"Trigger": func() error { _, err := r.service.Trigger(t.Context(), tt.actor, tt.r); return err },
			"Preview": func() error { _, err := r.service.Preview(t.Context(), tt.actor, tt.r); return err },
		} {
			err := do()
			if fleet.KindOf(err) != tt.kind || tt.code != "" && fleet.CodeOf(err) != tt.code {
				t.Errorf("%s: %s = %v (%s), want %s", tt.name, what, err, fleet.CodeOf(err), tt.code)
			}
			if fields := fleet.FieldsOf(err); tt.field != "" && (len(fields) != 1 || fields[0].Field != tt.field) {
				t.Errorf("%s: %s names %+v, want %s", tt.name, what, fields, tt.field)
			}
		}
	}
	r.empty("what was refused")
}

func TestWhatIsTriggered(t *testing.T) {
	t.Parallel()
	r := newRig(t, startRedis(t))
	eu := r.host("eu-1", func(h *fleet.Host) { h.Site = "eu" })
	off := r.host("eu-2", func(h *fleet.Host) { h.Site, h.Enabled = "eu", false })
	r.host("us-1", func(h *fleet.Host) { h.Site = "us" })
	user := fleet.NewID()
	scoped := actor(fleet.Operator, "site=eu")
	scoped.UserID = &user

	got, err := r.service.Trigger(t.Context(), scoped, collection.Request{Selector: "*"})
	if err != nil || got.Delayed {
		t.Fatalf("Trigger = %+v, %v", got, err)
	}
	c := got.Collection
	if c.Counts.Total != 1 || len(c.Skipped) != 1 || c.Skipped[0].HostID != off.ID || c.Skipped[0].Reason != fleet.CodeHostDisabled ||
		c.Priority != fleet.PriorityNormal || c.Deadline != fleet.DefaultDeadline || c.Actor != "user:ann" || *c.RequestedBy != user ||
		len(c.ReportTypes) != len(collector.Builtin()) || c.State != fleet.CollectionPending {
		t.Errorf("collection = %+v", c)
	}
	read := r.collection(c.ID)
	if read.Deadline != c.Deadline || !read.ExpiresAt.Equal(c.ExpiresAt) || read.Counts != c.Counts || read.Selector != "*" {
		t.Errorf("read back: %+v", read)
	}
	task := r.tasks(c.ID)[0]
	m := fleet.Message{TaskID: task.ID, Epoch: 1, Site: "eu", Priority: fleet.PriorityNormal}
	if states, err := r.queue.States(t.Context(), []fleet.Message{m}); err != nil || states[0] != queue.StatePending || task.HostID != eu.ID {
		t.Errorf("the message is %v, %v; want it rung at once", states, err)
	}
	if n := ask[int](r, `select count(*) from audit_logs where action = 'collection.trigger' and resource_id = $1 and user_id = $2`, c.ID.String(), user); n != 1 {
		t.Errorf("%d audit entries, want one", n)
	}

	by, err := r.service.Trigger(t.Context(), actor(fleet.Admin, ""), collection.Request{
		HostIDs: []uuid.UUID{off.ID, eu.ID, eu.ID}, ReportTypes: []string{"cpu", "os", "cpu"}, Priority: fleet.PriorityInteractive,
	})
	if err != nil || by.Collection.Counts.Total != 1 || len(by.Collection.Skipped) != 1 || fmt.Sprint(by.Collection.ReportTypes) != "[cpu os]" {
		t.Errorf("by IDs = %+v, %v", by, err)
	}

	r.exec(`insert into hosts (id, name, address, site) select gen_random_uuid(), 'many-' || n, '192.0.2.1', 'many' from generate_series(1, $1::int) n`, collection.RingLimit+1)
	large, err := r.service.Trigger(t.Context(), actor(fleet.Operator, ""), collection.Request{Selector: "site=many"})
	if err != nil || large.Delayed {
		t.Errorf("a large one = %+v, %v", large, err)
	}
	if left := r.outbox(large.Collection.ID); len(left) != collection.RingLimit+1 {
		t.Errorf("%d of its tasks are left to the relay, want all", len(left))
	}
}

func TestWhatIsTriggeredWhileRedisIsDownIsDelayedAndNotLost(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for i := range 3 {
		r.host(fmt.Sprintf("web-%d", i))
	}
	began := time.Now()
	got, err := r.service.Trigger(t.Context(), actor(fleet.Operator, ""), collection.Request{Selector: "*"})
	if err != nil || !got.Delayed || got.Collection.Counts.Total != 3 {
		t.Fatalf("Trigger = %+v, %v; want it delayed", got, err)
	}
	if took := time.Since(began); took > 2500*time.Millisecond {
		t.Errorf("it took %s", took)
	}
	messages := r.outbox(got.Collection.ID)
	if len(messages) != 3 {
		t.Fatalf("%d tasks in the outbox, want 3", len(messages))
	}
	back := queue.New(startRedis(t))
	ctx, cancel := context.WithCancel(t.Context())
	var relaying sync.WaitGroup
	for range 2 { // any number of them
		relaying.Go(func() { _ = collection.NewSweeper(r.Store, back, r.log, nil).Relay(ctx) })
	}
	await.Until(t, "the ringing", func() bool {
		states, err := back.States(t.Context(), messages)
		if err != nil {
			t.Fatal(err)
		}
		return states[0] == queue.StatePending && states[1] == queue.StatePending && states[2] == queue.StatePending
	})
	await.Until(t, "the outbox empty", func() bool { return len(r.outbox(got.Collection.ID)) == 0 })
	cancel()
	relaying.Wait()
}

func TestPreviewStoresNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.host("web-2")
	r.host("web-1")
	r.host("web-3", func(h *fleet.Host) { h.Enabled = false })
	p, err := r.service.Preview(t.Context(), actor(fleet.Operator, "name!=web-2"), collection.Request{Selector: "*", ReportTypes: []string{"os"}, Deadline: 7 * time.Second})
	if err != nil || p.Total != 1 || len(p.Hosts) != 1 || p.Hosts[0].Name != "web-1" || len(p.Skipped) != 1 || p.Skipped[0].Host != "web-3" || fmt.Sprint(p.ReportTypes) != "[os]" {
		t.Errorf("Preview = %+v, %v", p, err)
	}
	contains(t, p.Script, "sleep 7 ", "s_os() {")
	r.empty("the preview")
}

func TestCancel(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.host("eu-1", func(h *fleet.Host) { h.Site = "eu" })
	r.host("us-1", func(h *fleet.Host) { h.Site = "us" })
	operator := actor(fleet.Operator, "")
	trigger := func(selector string) uuid.UUID {
		t.Helper()
		got, err := r.service.Trigger(t.Context(), operator, collection.Request{Selector: selector})
		if err != nil {
			t.Fatal(err)
		}
		return got.Collection.ID
	}
	both, eu := trigger("*"), trigger("site=eu")
	for what, tt := range map[string]struct {
		actor fleet.Actor
		id    uuid.UUID
		kind  fleet.Kind
	}{
		"by a viewer":                       {actor(fleet.Viewer, ""), both, fleet.Forbidden},
		"one that is not":                   {operator, fleet.NewID(), fleet.NotFound},
		"one that the actor does not see":   {actor(fleet.Operator, "site=us"), eu, fleet.NotFound},
		"one that the actor sees a part of": {actor(fleet.Operator, "site=eu"), both, fleet.Forbidden},
	} {
		if _, err := r.service.Cancel(t.Context(), tt.actor, tt.id); fleet.KindOf(err) != tt.kind {
			t.Errorf("cancelling %s = %v", what, err)
		}
	}
	c, err := r.service.Cancel(t.Context(), actor(fleet.Operator, "site=eu"), eu)
	if err != nil || c.State != fleet.CollectionCancelled || c.Counts.Cancelled != 1 || c.FinishedAt == nil {
		t.Errorf("Cancel = %+v, %v", c, err)
	}
	if _, err := r.service.Cancel(t.Context(), operator, eu); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("cancelling it again = %v, want Conflict", err)
	}
	if left := r.collection(both); left.Counts.Queued != 2 || left.CancelledAt != nil {
		t.Errorf("the other one: %+v", left)
	}
	if n := ask[int](r, "select count(*) from audit_logs where action = 'collection.cancel'"); n != 1 {
		t.Errorf("%d audit entries about cancelling, want one", n)
	}
}

// failAll ends the open tasks of a collection as failed with the codes, in turn.
func (r *rig) failAll(id uuid.UUID, codes ...fleet.Code) {
	r.t.Helper()
	w := fleet.Worker{ID: fleet.NewID(), Host: "w", Sites: []string{fleet.DefaultSite}}
	if _, _, err := r.Heartbeat(r.t.Context(), w); err != nil {
		r.t.Fatal(err)
	}
	for i, m := range r.outbox(id) {
		claim, err := r.ClaimTask(r.t.Context(), m, w.ID)
		if err != nil || claim == nil {
			r.t.Fatalf("claiming: %v, %v", claim, err)
		}
		e := store.Ending{Lease: store.LeaseOf(claim.Task), Host: claim.Host.ID, State: fleet.TaskFailed, At: time.Now(), Failure: fleet.Fail(codes[i%len(codes)], nil)}
		if held, err := r.EndTask(r.t.Context(), e); err != nil || !held {
			r.t.Fatalf("ending: %v, %v", held, err)
		}
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	var hosts []fleet.Host
	for i := range 4 {
		hosts = append(hosts, r.host(fmt.Sprintf("web-%d", i)))
	}
	id, _ := r.request(30*time.Second, []string{"cpu"}, hosts...)
	operator := actor(fleet.Operator, "")
	if _, err := r.service.Retry(t.Context(), operator, id, nil, nil); fleet.KindOf(err) != fleet.Invalid || fleet.CodeOf(err) != "no_hosts" {
		t.Errorf("before anything failed: %v", err)
	}
	r.failAll(id, fleet.CodeTCPRefused, fleet.CodeAuthFailed)
	if err := r.RetireHost(t.Context(), r.tasks(id)[0].HostID); err != nil {
		t.Fatal(err)
	}
	codes := map[fleet.Code]int{}
	for _, task := range r.tasks(id)[1:] {
		codes[task.Code]++
	}
	for what, tt := range map[string]struct {
		states []fleet.TaskState
		codes  []fleet.Code
		want   int
	}{
		"all but who was retired": {nil, nil, 3},
		"by state":                {[]fleet.TaskState{fleet.TaskFailed, fleet.TaskCancelled}, nil, 3},
		"by code":                 {nil, []fleet.Code{fleet.CodeAuthFailed}, codes[fleet.CodeAuthFailed]},
		"by codes":                {nil, []fleet.Code{fleet.CodeAuthFailed, fleet.CodeTCPRefused}, 3},
	} {
		got, err := r.service.Retry(t.Context(), operator, id, tt.states, tt.codes)
		if err != nil || got.Collection.Counts.Total != tt.want || got.Collection.Deadline != 30*time.Second || fmt.Sprint(got.Collection.ReportTypes) != "[cpu]" {
			t.Errorf("%s: %+v, %v; want %d", what, got.Collection, err, tt.want)
		}
	}
	if _, err := r.service.Retry(t.Context(), operator, id, []fleet.TaskState{fleet.TaskPartial}, nil); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("by a state that none has: %v", err)
	}
	if _, err := r.service.Retry(t.Context(), actor(fleet.Viewer, ""), id, nil, nil); fleet.KindOf(err) != fleet.Forbidden {
		t.Errorf("by a viewer: %v", err)
	}
	if _, err := r.service.Retry(t.Context(), actor(fleet.Operator, "site=mars"), id, nil, nil); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("by somebody who does not see it: %v", err)
	}
}

func TestAHundredCallersCauseOneCollection(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	host := r.host("web-1")
	operator := actor(fleet.Operator, "")
	want := collection.Wanted{Host: host.ID, Type: "os", MaxAge: time.Minute}
	const callers = 100
	ids, errs := make([]uuid.UUID, callers), make([]error, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() { _, ids[i], errs[i] = r.service.Freshen(t.Context(), operator, want) })
	}
	all.Wait()
	for i := range callers {
		if errs[i] != nil || ids[i] != ids[0] || ids[i] == uuid.Nil {
			t.Fatalf("caller %d: %s, %v; want %s", i, ids[i], errs[i], ids[0])
		}
	}
	if n := ask[int](r, "select count(*) from collections"); n != 1 {
		t.Errorf("%d collections, want one", n)
	}
}

func TestFreshen(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	host := r.host("web-1")
	operator := actor(fleet.Operator, "")
	want := collection.Wanted{Host: host.ID, Type: "os", MaxAge: time.Minute}
	for what, tt := range map[string]struct {
		actor fleet.Actor
		want  collection.Wanted
		kind  fleet.Kind
		code  string
	}{
		"nobody":              {fleet.Actor{}, want, fleet.Unauthenticated, "unauthenticated"},
		"a viewer, old facts": {actor(fleet.Viewer, ""), want, fleet.Forbidden, "forbidden"},
		"an unknown type":     {operator, collection.Wanted{Host: host.ID, Type: "nonesuch"}, fleet.Invalid, "unknown_report_type"},
		"an unknown host":     {operator, collection.Wanted{Host: fleet.NewID(), Type: "os"}, fleet.Invalid, "unknown_host"},
		"a host out of scope": {actor(fleet.Operator, "site=mars"), want, fleet.Invalid, "unknown_host"},
	} {
		if report, id, err := r.service.Freshen(t.Context(), tt.actor, tt.want); fleet.KindOf(err) != tt.kind || fleet.CodeOf(err) != tt.code || report != nil || id != uuid.Nil {
			t.Errorf("%s: %v, %s, %v; want %s", what, report, id, err, tt.code)
		}
	}
	_, first, err := r.service.Freshen(t.Context(), operator, want)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.collection(first); got.Priority != fleet.PriorityInteractive || got.Counts.Total != 1 {
		t.Errorf("collection = %+v", got)
	}
	other := want
	other.Type = "cpu"
	if _, second, err := r.service.Freshen(t.Context(), operator, other); err != nil || second == first {
		t.Errorf("another type joined %s, %v", second, err)
	}
	w, _ := r.worker(func(c *collection.WorkerConfig, _ *collection.Worker) { c.Local = true })
	r.exec("update hosts set connection = 'local'")
	r.workOut(w, first)
	report, id, err := r.service.Freshen(t.Context(), actor(fleet.Viewer, ""), want)
	if err != nil || report == nil || report.Type != "os" || id != uuid.Nil {
		t.Errorf("with a fresh report: %v, %s, %v", report, id, err)
	}
	want.MaxAge = 0
	if report, id, err := r.service.Freshen(t.Context(), operator, want); err != nil || report != nil || id == uuid.Nil || id == first {
		t.Errorf("with no age young enough: %v, %s, %v", report, id, err)
	}
}
