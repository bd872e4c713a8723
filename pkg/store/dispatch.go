package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// What tasks may be, as the partial indexes have it: waiting for their turn, rung for and not yet claimed, running.
const (
	waitsForTurn = "state = 'queued' and dispatched_at is null and not_before is null"
	isRung       = "state = 'queued' and dispatched_at is not null"
	isRunning    = "state = 'running'"
)

// maxParties bounds how many actors are considered in one round, each counted once per site and lane.
const maxParties = 5000

// promoteAtOnce bounds how many tasks whose time has come get into line in one round.
const promoteAtOnce = 5000

// A Lane is a priority at a site: what one queue holds.
type Lane struct {
	Site     string
	Priority fleet.Priority
}

// A Party is an actor with something in a lane.
type Party struct {
	Lane
	Actor string
}

// A Flight is what a collection has in flight for a party: rung for or running.
type Flight struct {
	Party
	CollectionID  uuid.UUID
	Rung, Running int
}

// A Line is who may be served, and with what.
type Line struct {
	Slots   map[string]int // of the live workers, by site
	Flights []Flight       // one for each party's collection that has something in flight
	Waiting []Party        // who has a task that waits for its turn
}

// AnyoneWaits reports whether any task waits for its turn or has waited long enough to stand in line again.
func (s *Store) AnyoneWaits(ctx context.Context) (bool, error) {
	var found bool
	err := s.db.QueryRow(ctx, anyoneWaits).Scan(&found)
	return found, fail(err, "looking into the outbox")
}

const anyoneWaits = `
	select exists (select from tasks where ` + waitsForTurn + ` order by site, priority limit 1)
		or exists (select from tasks where state = 'queued' and dispatched_at is null and not_before <= now())`

// LockLine makes the transaction the only one that hands out turns, and reports false without waiting if another one
// does. What is read afterwards is as the one before has left it. It also holds the plans of the rest of the transaction:
// the tables grow from nothing to many thousands of rows within a second, and each of its statements has one right plan,
// which is by index. Whoever is frozen or cut off in between holds up nobody for longer than five seconds.
func (s *Store) LockLine(ctx context.Context) (bool, error) {
	var locked bool
	err := s.db.QueryRow(ctx, `
		select pg_try_advisory_xact_lock(hashtextextended('rollcall.line', 0)), set_config('enable_seqscan', 'off', true),
			set_config('enable_bitmapscan', 'off', true), set_config('jit', 'off', true),
			set_config('idle_in_transaction_session_timeout', '5s', true)`).Scan(&locked, nil, nil, nil, nil)
	return locked, fail(err, "locking the line")
}

// PromoteDelayed lets the tasks stand in line whose time has come, the longest due first. It returns how many.
func (s *Store) PromoteDelayed(ctx context.Context) (int, error) {
	tag, err := s.db.Exec(ctx, promoteDelayed, promoteAtOnce)
	return int(tag.RowsAffected()), fail(err, "promoting delayed tasks")
}

const promoteDelayed = `
	with due as materialized (
		select id from tasks where state = 'queued' and dispatched_at is null and not_before <= now()
		order by not_before limit $1 for update skip locked
	)
	update tasks t set not_before = null from due where t.id = due.id`

// Line returns who waits, and what is in flight. Workers not seen for longer than silence have no slots.
func (s *Store) Line(ctx context.Context, silence time.Duration) (Line, error) {
	line := Line{Slots: map[string]int{}}
	batch := &pgx.Batch{}
	batch.Queue(slotsOfSites, silence).Query(func(rows pgx.Rows) error {
		var site string
		var slots int
		_, err := pgx.ForEachRow(rows, []any{&site, &slots}, func() error { line.Slots[site] = slots; return nil })
		return err
	})
	batch.Queue(inFlight).Query(func(rows pgx.Rows) (err error) {
		line.Flights, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Flight, error) {
			var f Flight
			err := row.Scan(&f.Site, &f.Priority, &f.Actor, &f.CollectionID, &f.Rung, &f.Running)
			return f, err
		})
		return err
	})
	batch.Queue(waitingParties, maxParties).Query(func(rows pgx.Rows) (err error) {
		line.Waiting, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Party, error) {
			var p Party
			err := row.Scan(&p.Site, &p.Priority, &p.Actor)
			return p, err
		})
		return err
	})
	return line, fail(s.db.SendBatch(ctx, batch).Close(), "looking who waits")
}

const slotsOfSites = `
	select site, sum(slots) from (select unnest(sites) as site, slots from workers where seen_at > now() - $1::interval) w
	group by site`

const inFlight = `
	select site, priority, requester, collection_id, count(*) filter (where state = 'queued'), count(*) filter (where state = 'running')
	from (
		select site, priority, requester, collection_id, state from tasks where ` + isRung + `
		union all
		select site, priority, requester, collection_id, state from tasks where ` + isRunning + `
	) t
	group by 1, 2, 3, 4 order by 1, 2, 3, 4`

// waitingParties jumps from each party to the next one, however many tasks lie between them.
const waitingParties = `
	with recursive parties as (
		(select site, priority, requester from tasks where ` + waitsForTurn + ` order by site, priority, requester limit 1)
		union all
		select n.site, n.priority, n.requester
		from parties p cross join lateral (
			select site, priority, requester from tasks
			where ` + waitsForTurn + ` and (site, priority, requester) > (p.site, p.priority, p.requester)
			order by site, priority, requester limit 1
		) n
	)
	select site, priority, requester from parties limit $1`

// A Search asks for a party's waiting collections behind the one named After, at most Limit of them.
type Search struct {
	Party
	After uuid.UUID
	Limit int
}

// A Candidate is a collection of which tasks wait for their turn.
type Candidate struct {
	CollectionID uuid.UUID
	MaxParallel  int // 0: unbounded
}

// WaitingCollections returns the collections that the searches ask for, the oldest first, in the order of the searches.
func (s *Store) WaitingCollections(ctx context.Context, searches []Search) ([][]Candidate, error) {
	sites, priorities, actors := partyColumns(searches, func(q Search) Party { return q.Party })
	after, limits := make([]uuid.UUID, len(searches)), make([]int, len(searches))
	for i, q := range searches {
		after[i], limits[i] = q.After, q.Limit
	}
	found := make([][]Candidate, len(searches))
	rows, _ := s.db.Query(ctx, waitingCollections, sites, priorities, actors, after, limits)
	var place int
	var c Candidate
	_, err := pgx.ForEachRow(rows, []any{&place, &c.CollectionID, &c.MaxParallel}, func() error {
		found[place-1] = append(found[place-1], c)
		return nil
	})
	return found, fail(err, "looking for waiting collections")
}

const waitingCollections = `
	select q.place, c.collection_id, coalesce(c.max_parallel, 0)
	from unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::int[]) with ordinality as q(site, priority, requester, after, most, place)
	cross join lateral (
		with recursive line as (
			(select collection_id, max_parallel from tasks
			where ` + waitsForTurn + ` and site = q.site and priority = q.priority and requester = q.requester and collection_id > q.after
			order by site, priority, requester, collection_id limit 1)
			union all
			select n.collection_id, n.max_parallel
			from line l cross join lateral (
				select collection_id, max_parallel from tasks
				where ` + waitsForTurn + ` and site = q.site and priority = q.priority and requester = q.requester and collection_id > l.collection_id
				order by site, priority, requester, collection_id limit 1
			) n
		)
		select collection_id, max_parallel from line limit q.most
	) c
	order by q.place, c.collection_id`

// A Turn is what a party's collection may have rung for: at most Limit of its tasks.
type Turn struct {
	Party
	CollectionID uuid.UUID
	Limit        int
}

// A Rung task has got its turn: its message belongs on the queue.
type Rung struct {
	fleet.Message
	CollectionID uuid.UUID
	Turn         int  // the index of the turn that it has taken
	Bounded      bool // its collection has a MaxParallel
}

// TakeTurns marks the tasks whose turn it is as rung for and returns them, in each collection the one with the lowest ID
// first. It leaves out tasks of hosts that are busy: with a running task, with one that is rung for in a lane as urgent
// or more so, and, for what is not interactive, with one that is rung for at all. Of several tasks of a host only one is
// taken, the most urgent.
func (s *Store) TakeTurns(ctx context.Context, turns []Turn) ([]Rung, error) {
	if len(turns) == 0 {
		return nil, nil
	}
	sites, priorities, actors := partyColumns(turns, func(t Turn) Party { return t.Party })
	collections, limits := make([]uuid.UUID, len(turns)), make([]int, len(turns))
	for i, t := range turns {
		collections[i], limits[i] = t.CollectionID, t.Limit
	}
	rows, _ := s.db.Query(ctx, takeTurns, sites, priorities, actors, collections, limits)
	taken, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Rung, error) {
		var r Rung
		err := row.Scan(&r.TaskID, &r.Epoch, &r.Site, &r.Priority, &r.Turn, &r.Bounded)
		r.Turn--
		r.CollectionID = collections[r.Turn]
		return r, err
	})
	return taken, fail(err, "handing out turns")
}

const takeTurns = `
	with free as materialized (
		select q.place, t.id, t.host_id, ` + urgency + ` as urgency
		from unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::int[]) with ordinality as q(site, priority, requester, collection_id, most, place)
		cross join lateral (
			select t.id, t.host_id from tasks t
			where ` + waitsForTurn + ` and t.site = q.site and t.priority = q.priority and t.requester = q.requester
				and t.collection_id = q.collection_id and ` + hostIsFree + `
			order by t.id limit q.most for update of t skip locked
		) t
	), chosen as materialized (
		select distinct on (host_id) id, place from free order by host_id, urgency, place, id
	)
	update tasks t set dispatched_at = now() from chosen c where t.id = c.id
	returning t.id, t.epoch, t.site, t.priority, c.place, t.max_parallel is not null`

// urgency orders priorities.
const urgency = "case priority when 'interactive' then 0 when 'normal' then 1 else 2 end"

// hostIsFree says that the host of the task t is not busy, as TakeTurns has it. Each of the sets is read once.
const hostIsFree = `t.host_id not in (select host_id from tasks where ` + isRunning + `)
				and t.host_id not in (select host_id from tasks where ` + isRung + ` and priority = 'interactive')
				and (t.priority = 'interactive' or t.host_id not in (select host_id from tasks where ` + isRung + `))`

func partyColumns[T any](of []T, party func(T) Party) (sites, priorities, actors []string) {
	for _, v := range of {
		p := party(v)
		sites, priorities, actors = append(sites, p.Site), append(priorities, string(p.Priority)), append(actors, p.Actor)
	}
	return sites, priorities, actors
}
