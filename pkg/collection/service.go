// Package collection is the life of a task: triggered in a transaction together with its collection, rung by the
// relay, claimed and worked by a worker, ended with its reports in one transaction, and swept up when anything in
// between was lost.
package collection

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

// Config is what a Service needs.
type Config struct {
	Store *store.Store
	Queue *queue.Queue
	Log   *slog.Logger

	QueueLimit int                   // with so many tasks waiting, bulk work is refused, with twice as many normal work, too; 0: never
	Metrics    prometheus.Registerer // where refused work is counted; nil: nowhere
	Traces     *telemetry.Traces     // nil: none
}

// A Service triggers, cancels and retries collections.
type Service struct {
	Config
	patience time.Duration // ringTimeout; tests that are not about it have more
	gate     *gate
	looking  sync.Mutex // held while it is looked who waits
}

// New returns a Service.
func New(c Config) *Service {
	return &Service{Config: c, patience: ringTimeout, gate: newGate(c.QueueLimit, c.Log, c.Metrics)}
}

// A Request asks for a collection. Either Selector or HostIDs says from which hosts; the zero value of everything
// else takes the defaults.
type Request struct {
	Selector    string
	HostIDs     []uuid.UUID
	ReportTypes []string // none means all built-in types
	Priority    fleet.Priority
	Deadline    time.Duration // per host, from the first claim; default 2m
	Expires     time.Duration // how long a task may wait; default 24h
	MaxParallel int           // at most so many of its tasks are worked at once; 0: as many as there are slots for
	Schedule    *fleet.Due    // the schedule that asks, if one does
	Jitter      time.Duration // of the schedule's moment: the tasks are spread over it; whole seconds, at most a day

	again bool // HostIDs are those of an earlier collection: any number of them, and who is gone is left out
}

// A Triggered collection is stored: it will be worked, at once or, if Delayed, when the queue is back.
type Triggered struct {
	Collection fleet.Collection
	Delayed    bool
}

// ringLimit is how many tasks the process that accepted them rings for itself; the relay does the rest.
const ringLimit = 200

// ringTimeout bounds how long an accepted request waits for the queue before it is answered as delayed.
const ringTimeout = time.Second

// Trigger stores a collection on behalf of actor and rings for it. Nothing selected is an Invalid error of code
// no_hosts; more than 50 hosts as interactive is refused; unknown hosts and report types are named. With too many tasks
// waiting, what is not interactive is an Exhausted error of code queue_full.
func (s *Service) Trigger(ctx context.Context, actor fleet.Actor, r Request) (Triggered, error) {
	if err := actor.Require(fleet.Operator); err != nil {
		return Triggered{}, err
	}
	r, _, err := r.checked()
	if err != nil {
		return Triggered{}, err
	}
	if r.ReportTypes, err = s.CheckTypes(ctx, r.ReportTypes); err != nil {
		return Triggered{}, err
	}
	if err := s.gate.pass(ctx, s.Store, r.Priority); err != nil { // before anything is begun
		return Triggered{}, err
	}
	var c fleet.Collection
	err = s.Store.InTx(ctx, func(tx *store.Store) error {
		var err error
		c, err = s.TriggerIn(ctx, tx, actor, r)
		return err
	})
	if err != nil {
		return Triggered{}, err
	}
	s.gate.add(ctx, c.Counts.Total)
	return Triggered{Collection: c, Delayed: !s.ring(ctx, c)}, nil
}

// TriggerIn stores a collection within the caller's transaction, without ringing for it: the relay does. It does not
// ask how much waits: Admit does.
func (s *Service) TriggerIn(ctx context.Context, tx *store.Store, actor fleet.Actor, r Request) (fleet.Collection, error) {
	if err := actor.Require(fleet.Operator); err != nil {
		return fleet.Collection{}, err
	}
	r, selector, err := r.checked()
	if err != nil {
		return fleet.Collection{}, err
	}
	if r.ReportTypes, err = checkTypes(ctx, tx, r.ReportTypes); err != nil {
		return fleet.Collection{}, err
	}
	c, err := tx.AddCollection(ctx, actor.Scope(), r.collection(ctx, actor), selector)
	if err != nil {
		return fleet.Collection{}, err
	}
	if err := s.checkHosts(ctx, tx, actor, r, c); err != nil {
		return fleet.Collection{}, err
	}
	if err := checkCustom(ctx, tx, actor, c); err != nil {
		return fleet.Collection{}, err
	}
	return c, tx.Audit(ctx, actor, fleet.AuditEntry{
		Action: "collection.trigger", ResourceType: "collection", ResourceID: c.ID.String(),
		Details: map[string]any{"selector": c.Selector, "host_ids": len(r.HostIDs), "report_types": c.ReportTypes, "total": c.Counts.Total},
	})
}

func (r Request) collection(ctx context.Context, actor fleet.Actor) fleet.Collection {
	id := fleet.NewID()
	return fleet.Collection{
		ID: id, Kind: fleet.KindCollect, Actor: actor.String(), RequestedBy: actor.UserID, Selector: r.Selector, HostIDs: r.HostIDs,
		ReportTypes: r.ReportTypes, Priority: r.Priority, Deadline: r.Deadline, ExpiresAt: fleet.TimeOf(id).Add(r.Expires + r.Jitter),
		MaxParallel: r.MaxParallel, Schedule: r.Schedule, Jitter: r.Jitter, Trace: telemetry.TraceParent(ctx),
	}
}

// checked returns r with its defaults filled in and its selector read, or what is wrong with it.
func (r Request) checked() (Request, *fleet.Selector, error) {
	if r.Priority == "" {
		r.Priority = fleet.PriorityNormal
	}
	if !slices.Contains(fleet.Priorities(), r.Priority) {
		return r, nil, fleet.InvalidField("priority", "must be interactive, normal or bulk")
	}
	if r.Deadline == 0 {
		r.Deadline = fleet.DefaultDeadline
	}
	if r.Deadline < fleet.MinDeadline || r.Deadline > fleet.MaxDeadline {
		return r, nil, fleet.InvalidField("deadline_seconds", "must be between %d and %d", fleet.MinDeadline/time.Second, fleet.MaxDeadline/time.Second)
	}
	if r.Expires == 0 {
		r.Expires = fleet.DefaultExpiry
	}
	if r.Expires < time.Second || r.Expires > fleet.MaxExpiry {
		return r, nil, fleet.InvalidField("expires_seconds", "must be between 1 and %d", fleet.MaxExpiry/time.Second)
	}
	if r.MaxParallel < 0 || r.MaxParallel > maxParallel {
		return r, nil, fleet.InvalidField("max_parallel", "must be between 1 and %d; 0 is no bound", maxParallel)
	}
	if r.Jitter < 0 || r.Jitter > fleet.MaxJitter || r.Jitter > 0 && r.Schedule == nil {
		return r, nil, fleet.InvalidField("jitter_seconds", "it is a schedule's, and must be between 0 and %d", fleet.MaxJitter/time.Second)
	}
	selector, err := r.hosts()
	return r, selector, err
}

// maxParallel bounds what a request may ask for as a bound.
const maxParallel = 100_000

// maxHostIDs bounds a request that names its hosts one by one.
const maxHostIDs = 10_000

func (r *Request) hosts() (*fleet.Selector, error) {
	switch {
	case len(r.HostIDs) > 0 && r.Selector != "":
		return nil, fleet.InvalidField("host_ids", "name hosts by selector or by host_ids, not by both")
	case len(r.HostIDs) > maxHostIDs && !r.again:
		return nil, fleet.InvalidField("host_ids", "at most %d hosts; use a selector for more", maxHostIDs)
	case len(r.HostIDs) > 0:
		slices.SortFunc(r.HostIDs, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
		r.HostIDs = slices.Compact(r.HostIDs)
		return nil, nil //nolint:nilnil // hosts are named one by one
	case r.Selector == "":
		return nil, fleet.InvalidField("selector", "say which hosts: a selector such as * or env=prod, or host_ids").WithCode("no_hosts")
	}
	selector, err := fleet.ParseSelector(r.Selector)
	if err != nil {
		return nil, err
	}
	return &selector, nil
}

// CheckReportTypes returns the built-in types without repetitions, all of them for none, or an Invalid error of code
// unknown_report_type if one does not exist.
func CheckReportTypes(types []string) ([]string, error) { return checkAgainst(builtinNames(), types) }

// checkAgainst is CheckReportTypes for the types that are known.
func checkAgainst(known, types []string) ([]string, error) {
	if len(types) == 0 {
		return known, nil
	}
	var checked []string
	for _, t := range types {
		if !slices.Contains(known, t) {
			return nil, fleet.InvalidField("report_types", "one of them is not a report type; there are %v", known).WithCode("unknown_report_type")
		}
		if !slices.Contains(checked, t) {
			checked = append(checked, t)
		}
	}
	return checked, nil
}

// checkHosts applies the rules about how many hosts a collection may and must have.
func (s *Service) checkHosts(ctx context.Context, tx *store.Store, actor fleet.Actor, r Request, c fleet.Collection) error {
	if missing := len(r.HostIDs) - c.Counts.Total - len(c.Skipped); missing > 0 && !r.again {
		if err := s.unknownHosts(ctx, tx, actor, r.HostIDs); err != nil {
			return err
		}
	}
	if c.Counts.Total == 0 {
		return fleet.Errorf(fleet.Invalid, "no enabled host is selected").WithCode("no_hosts").
			WithFields(fleet.FieldError{Field: "selector", Code: "no_hosts", Message: "it selects no enabled host"})
	}
	if r.Priority == fleet.PriorityInteractive && c.Counts.Total > fleet.MaxInteractiveHosts {
		return fleet.InvalidField("priority", "interactive is for at most %d hosts, and %d are selected; use normal or bulk",
			fleet.MaxInteractiveHosts, c.Counts.Total).WithCode("too_many_hosts")
	}
	return nil
}

// unknownHosts names the first of the hosts that does not exist for the actor.
func (s *Service) unknownHosts(ctx context.Context, tx *store.Store, actor fleet.Actor, ids []uuid.UUID) error {
	for _, id := range ids {
		if _, err := tx.Host(ctx, actor.Scope(), id); fleet.KindOf(err) == fleet.NotFound {
			return fleet.InvalidField("host_ids", "there is no host %s", id).WithCode("unknown_host")
		} else if err != nil {
			return err
		}
	}
	return nil // so many are disabled that not all of them are listed as skipped
}

// ring tells the workers of a small collection at once and only makes sure of the queue for a large one, for one with a
// MaxParallel, and for one that is not interactive and would take the turn of others. It reports whether the queue could be
// rung; if not, the relay rings when it is back, and nothing is lost.
func (s *Service) ring(ctx context.Context, c fleet.Collection) bool {
	ctx, cancel := context.WithTimeout(telemetry.WithCollectionID(context.WithoutCancel(ctx), c.ID.String()), s.patience)
	defer cancel()
	if err := s.Queue.Ping(ctx); err != nil {
		s.Log.WarnContext(ctx, "collection left to the relay", "error", err)
		return false
	}
	if c.Counts.Total > ringLimit || c.MaxParallel > 0 {
		return true
	}
	if c.Priority != fleet.PriorityInteractive { // looking who waits costs something: one at a time, and the relay is not far
		if !s.looking.TryLock() {
			return true
		}
		defer s.looking.Unlock()
	}
	if err := relayOwn(ctx, bell{s.Store, s.Queue, s.Traces}, c); err != nil {
		s.Log.WarnContext(ctx, "collection left to the relay", "error", err)
		return false
	}
	return true
}
