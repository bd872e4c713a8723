package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// living is the sites that a worker serves which was seen within the interval.
const living = "select unnest(w.sites) from workers w where w.seen_at > now() - @silence::interval"

// Sites returns the sites by name: those that have a host, a task or a worker. Whoever does not see all hosts sees the
// sites that have one of theirs, and only their hosts and tasks are counted. Workers not seen for longer than silence
// are not alive.
func (s *Store) Sites(ctx context.Context, scope fleet.Scope, silence time.Duration) ([]fleet.Site, error) {
	w := newWhere()
	w.and("h.retired_at is null")
	w.scope(scope)
	w.args["silence"] = silence
	ofWorkers, tasks := "", "tasks t"
	if scope.Selector() == nil && !scope.SeesNothing() {
		ofWorkers = "union select site from serving"
	} else {
		tasks = "tasks t join hosts h on h.id = t.host_id and " + w.scoped(scope)
	}
	rows, _ := s.db.Query(ctx, `
		with hosts_of as materialized (
			select h.site, count(*) as hosts, count(*) filter (where h.enabled) as enabled from hosts h where `+w.String()+` group by 1
		), serving as materialized (
			select u.site, count(*) as workers, sum(w.slots) as slots from workers w cross join lateral unnest(w.sites) as u(site)
			where w.seen_at > now() - @silence::interval group by 1
		), tasks_of as materialized (
			select t.site, count(*) filter (where t.state = 'queued') as queued, count(*) filter (where t.state = 'running') as running,
				min(t.created_at) filter (where t.state = 'queued' and (t.not_before is null or t.not_before <= now())) as oldest
			from `+tasks+` group by 1
		), busy as materialized (
			select u.site, count(*) as busy from `+tasks+` join workers w on w.id = t.worker_id cross join lateral unnest(w.sites) as u(site)
			where t.state = 'running' and w.seen_at > now() - @silence::interval group by 1
		)
		select n.site, coalesce(h.hosts, 0), coalesce(h.enabled, 0), coalesce(s.workers, 0), coalesce(s.slots, 0), coalesce(b.busy, 0),
			coalesce(t.queued, 0), coalesce(t.running, 0), coalesce(greatest(extract(epoch from now() - t.oldest), 0), 0)::float8
		from (select site from hosts_of union select site from tasks_of `+ofWorkers+`) n
		left join hosts_of h using (site) left join serving s using (site) left join busy b using (site) left join tasks_of t using (site)
		order by n.site`, w.args)
	sites, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (fleet.Site, error) {
		var site fleet.Site
		var oldest float64
		err := row.Scan(&site.Name, &site.Hosts, &site.Enabled, &site.Workers, &site.Slots, &site.Busy, &site.Queued, &site.Running, &oldest)
		site.Oldest = seconds(oldest)
		return site, err
	})
	return sites, fail(err, "reading the sites")
}

// WorkersFor returns the workers seen within age, the newest first, with those of their sites that have a host within the
// scope; a worker without one is absent, except for whoever sees everything.
func (s *Store) WorkersFor(ctx context.Context, scope fleet.Scope, age time.Duration) ([]fleet.Worker, error) {
	workers, err := s.Workers(ctx, age)
	if err != nil || scope.Selector() == nil && !scope.SeesNothing() {
		return workers, err
	}
	w := newWhere()
	w.and("h.retired_at is null")
	w.scope(scope)
	rows, _ := s.db.Query(ctx, "select distinct h.site from hosts h where "+w.String(), w.args)
	sites, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fail(err, "reading whose workers may be seen")
	}
	seen := make(map[string]bool, len(sites))
	for _, site := range sites {
		seen[site] = true
	}
	visible := workers[:0]
	for _, worker := range workers {
		var of []string
		for _, site := range worker.Sites {
			if seen[site] {
				of = append(of, site)
			}
		}
		if worker.Sites = of; len(of) > 0 {
			visible = append(visible, worker)
		}
	}
	return visible, nil
}

// UnservedSites returns the sites, by name, that have a host to collect from and no worker seen within silence. It costs
// little however many hosts there are.
func (s *Store) UnservedSites(ctx context.Context, silence time.Duration) ([]string, error) {
	rows, _ := s.db.Query(ctx, unservedSites, pgx.NamedArgs{"silence": silence})
	sites, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return sites, fail(err, "looking for sites without workers")
}

const unservedSites = `
	with recursive found as (
		(select site from hosts where retired_at is null and enabled order by site limit 1)
		union all
		select n.site from found f cross join lateral (
			select site from hosts where retired_at is null and enabled and site > f.site order by site limit 1
		) n
	)
	select site from found where site not in (` + living + `) order by site`

// UnservedTasks returns how many of the collection's tasks wait for which site that no worker serves, by site. Workers not
// seen for longer than silence do not count.
func (s *Store) UnservedTasks(ctx context.Context, scope fleet.Scope, collection uuid.UUID, silence time.Duration) ([]fleet.SiteWait, error) {
	w := newWhere()
	w.add("t.collection_id = @collection", "collection", collection)
	w.scope(scope)
	w.args["silence"] = silence
	rows, _ := s.db.Query(ctx, `
		select t.site, count(*) from tasks t join hosts h on h.id = t.host_id
		where `+w.String()+" and t.state = 'queued' and t.site not in ("+living+") group by 1 order by 1", w.args)
	waits, err := pgx.CollectRows(rows, pgx.RowToStructByPos[fleet.SiteWait])
	return waits, fail(err, "looking which tasks wait for sites without workers")
}

// follows is what becomes of a task that waits at another site than its host's: it is rung for anew there, under a new
// epoch, so that the message at the former site names it no more.
const follows = "update tasks t set site = h.site, epoch = t.epoch + 1, dispatched_at = null from hosts h where h.id = t.host_id and h.site <> t.site and t.state = 'queued'"

// moveTasks lets the host's tasks that wait follow it to another site.
func (s *Store) moveTasks(ctx context.Context, host uuid.UUID) error {
	_, err := s.db.Exec(ctx, follows+" and t.host_id = $1", host)
	return fail(err, "moving tasks to another site")
}

// MoveStrandedTasks lets tasks follow their hosts that wait at a site which no worker serves: they were made while the
// host was moved. At other sites whoever is about to claim one lets it go. It returns how many.
func (s *Store) MoveStrandedTasks(ctx context.Context, silence time.Duration) (int, error) {
	tag, err := s.db.Exec(ctx, follows+" and t.site not in ("+living+")", pgx.NamedArgs{"silence": silence})
	return int(tag.RowsAffected()), fail(err, "moving stranded tasks to another site")
}

// RecallUnserved takes back the turns of tasks that wait at a site which no worker serves, and whose collection has a
// MaxParallel: there they would keep others of it from being worked. It returns how many.
func (s *Store) RecallUnserved(ctx context.Context, silence time.Duration) (int, error) {
	tag, err := s.db.Exec(ctx, `
		with idle as materialized (
			select id from tasks t where `+isRung+` and max_parallel is not null and site not in (`+living+`) for update skip locked
		)
		update tasks t set dispatched_at = null, epoch = t.epoch + 1 from idle where t.id = idle.id`, pgx.NamedArgs{"silence": silence})
	return int(tag.RowsAffected()), fail(err, "taking turns back at sites without workers")
}
