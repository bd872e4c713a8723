package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// collectorColumns is the one list of a collector's columns but its definition; v is the version, c the type.
const collectorColumns = `v.name, v.version, c.version, coalesce(v.definition->>'description', ''),
	array(select jsonb_object_keys(v.definition->'os') order by 1), v.created_by, v.created_at, c.removed_at`

func scanCollector(row pgx.CollectableRow) (fleet.Collector, error) {
	var c fleet.Collector
	err := row.Scan(&c.Name, &c.Version, &c.Newest, &c.Description, &c.Systems, &c.Actor, &c.CreatedAt, &c.RemovedAt, &c.Definition)
	return c, err
}

// firstCustomType is the smallest number of a custom report type.
const firstCustomType = 1000

// maxCollectors bounds how many custom collectors there are.
const maxCollectors = 1000

// AddCollector stores the first version of a custom collector and allots its report type, or the next version of one that
// was removed, and returns it. A name that is taken is a Conflict.
func (s *Store) AddCollector(ctx context.Context, c fleet.Collector) (fleet.Collector, error) {
	if _, err := s.db.Exec(ctx, "select pg_advisory_xact_lock(hashtext('rollcall.collectors'))"); err != nil {
		return c, fail(err, "adding a collector")
	}
	var taken bool
	var count int
	err := s.db.QueryRow(ctx, `
		select exists (select from report_types t left join custom_types c on c.report_type = t.id
			where t.name = $1 and (c.name is null or c.removed_at is null)), (select count(*) from custom_types where removed_at is null)`, c.Name).Scan(&taken, &count)
	switch {
	case err != nil:
		return c, fail(err, "adding a collector")
	case taken:
		return c, fleet.Errorf(fleet.Conflict, "there is a collector of that name already").WithCode("name_taken").
			WithFields(fleet.FieldError{Field: "name", Code: "name_taken", Message: "there is a collector of that name already"})
	case count >= maxCollectors:
		return c, fleet.Errorf(fleet.Conflict, "there are %d custom collectors; remove one first", count)
	}
	_, err = s.db.Exec(ctx, `
		with numbered as (
			insert into report_types (id, name)
			select greatest($2, (select max(id) + 1 from report_types))::smallint, $1
			where not exists (select from report_types where name = $1)
			returning id
		)
		insert into custom_types as c (name, report_type, version)
		values ($1, coalesce((select id from numbered), (select id from report_types where name = $1)), 1)
		on conflict (name) do update set version = c.version + 1, removed_at = null, updated_at = now()`, c.Name, firstCustomType)
	if err != nil {
		return c, fail(err, "adding a collector")
	}
	return s.addVersion(ctx, c)
}

// addVersion stores the definition as the version that its collector has come to.
func (s *Store) addVersion(ctx context.Context, c fleet.Collector) (fleet.Collector, error) {
	_, err := s.db.Exec(ctx, `
		insert into collectors (name, version, definition, created_by)
		select name, version, $2, $3 from custom_types where name = $1`, c.Name, c.Definition, c.Actor)
	if err != nil {
		return c, fail(err, "storing a collector's definition")
	}
	return s.Collector(ctx, c.Name, 0)
}

// UpdateCollector stores a new version over the one that c was read at, and returns it. Another version is a
// Precondition error.
func (s *Store) UpdateCollector(ctx context.Context, c fleet.Collector) (fleet.Collector, error) {
	tag, err := s.db.Exec(ctx, `
		update custom_types set version = version + 1, updated_at = now() where name = $1 and version = $2 and removed_at is null`, c.Name, c.Version)
	if err != nil {
		return c, fail(err, "changing a collector")
	}
	if tag.RowsAffected() == 0 {
		return c, fleet.Errorf(fleet.Precondition, "the collector was changed meanwhile; read it again")
	}
	return s.addVersion(ctx, c)
}

// RemoveCollector takes a collector away; its reports, and the versions that made them, stay.
func (s *Store) RemoveCollector(ctx context.Context, name string) error {
	tag, err := s.db.Exec(ctx, "update custom_types set removed_at = now(), updated_at = now() where name = $1 and removed_at is null", name)
	if err == nil && tag.RowsAffected() == 0 {
		return fleet.Errorf(fleet.NotFound, "there is no such collector")
	}
	return fail(err, "removing a collector")
}

// Collector returns a version of a custom collector with its definition, 0 for the newest, whether it was removed or not.
func (s *Store) Collector(ctx context.Context, name string, version int) (fleet.Collector, error) {
	rows, _ := s.db.Query(ctx, "select "+collectorColumns+`, v.definition from custom_types c
		join collectors v on v.name = c.name and v.version = case when $2 = 0 then c.version else $2 end where c.name = $1`, name, version)
	c, err := pgx.CollectExactlyOneRow(rows, scanCollector)
	return c, notFound(err, "collector")
}

// Collectors returns the newest versions of all custom collectors that were not removed, by name and without their
// definitions.
func (s *Store) Collectors(ctx context.Context) ([]fleet.Collector, error) {
	rows, _ := s.db.Query(ctx, "select "+collectorColumns+`, null::jsonb from custom_types c
		join collectors v on v.name = c.name and v.version = c.version where c.removed_at is null order by c.name`)
	found, err := pgx.CollectRows(rows, scanCollector)
	return found, fail(err, "listing collectors")
}

// CollectorVersions returns the newest versions of those of the names that are custom collectors and were not removed.
func (s *Store) CollectorVersions(ctx context.Context, names []string) (map[string]int, error) {
	rows, _ := s.db.Query(ctx, "select name, version from custom_types where name = any($1) and removed_at is null", names)
	versions := map[string]int{}
	var name string
	var version int
	_, err := pgx.ForEachRow(rows, []any{&name, &version}, func() error { versions[name] = version; return nil })
	return versions, fail(err, "looking for collectors")
}

// A CollectorUse says how many hosts have reports of a type, and when the last one was made.
type CollectorUse struct {
	Type  string
	Hosts int
	Last  time.Time
}

// CollectorUses returns by their types which reports the hosts of the scope have. A type that no host has is not there.
func (s *Store) CollectorUses(ctx context.Context, scope fleet.Scope) (map[string]CollectorUse, error) {
	w := newWhere()
	w.scope(scope)
	rows, _ := s.db.Query(ctx, `
		select t.name, count(*), max(l.created_at)
		from latest_reports l join hosts h on h.id = l.host_id join report_types t on t.id = l.report_type
		where `+w.String()+" group by t.name", w.args)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[CollectorUse])
	uses := make(map[string]CollectorUse, len(found))
	for _, use := range found {
		uses[use.Type] = use
	}
	return uses, fail(err, "counting the hosts of each type")
}

// SchedulesNaming returns the names of the schedules that ask for a report type, the first few.
func (s *Store) SchedulesNaming(ctx context.Context, reportType string) ([]string, error) {
	rows, _ := s.db.Query(ctx, "select name from schedules where $1 = any(report_types) order by name limit 10", reportType)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, fail(err, "looking for schedules")
}

// AsksLocalHosts reports whether a task of the collection is about a host that a worker collects as its own machine.
func (s *Store) AsksLocalHosts(ctx context.Context, collection uuid.UUID) (bool, error) {
	var asks bool
	err := s.db.QueryRow(ctx, `
		select exists (select from tasks t join hosts h on h.id = t.host_id where t.collection_id = $1 and h.connection = 'local')`, collection).Scan(&asks)
	return asks, fail(err, "looking for local hosts")
}

// AddTrial stores what a collection of kind try runs, and forgets the trials that have expired.
func (s *Store) AddTrial(ctx context.Context, t fleet.Trial) error {
	batch := &pgx.Batch{}
	batch.Queue("delete from trials where expires_at < now()")
	batch.Queue("insert into trials (collection_id, name, version, definition, expires_at) values ($1, $2, $3, $4, $5)",
		t.CollectionID, t.Name, t.Version, t.Definition, t.ExpiresAt)
	return fail(s.db.SendBatch(ctx, batch).Close(), "storing a trial")
}

// KeepTrial stores what came of a trial while the task's lease holds.
func (s *Store) KeepTrial(ctx context.Context, l Lease, result []byte) error {
	_, err := s.db.Exec(ctx, `
		update trials set result = $4 where collection_id = $1
			and exists (select from tasks where id = $2 and epoch = $3 and worker_id = $5 and state = 'running')`,
		l.CollectionID, l.TaskID, l.Epoch, result, l.WorkerID)
	return fail(err, "storing the result of a trial")
}

// Trial returns the trial of a collection whose host the scope sees. One that has expired is not there any more.
func (s *Store) Trial(ctx context.Context, scope fleet.Scope, collection uuid.UUID) (fleet.Trial, error) {
	w := newWhere()
	w.scope(scope)
	w.args["collection"], w.args["created_at"] = collection, fleet.TimeOf(collection)
	var t fleet.Trial
	err := s.db.QueryRow(ctx, `
		select r.collection_id, r.name, r.version, r.definition, r.result, r.expires_at
		from trials r join (
			select host_id from tasks where collection_id = @collection
			union select host_id from task_history where collection_id = @collection and created_at = @created_at
		) x on true join hosts h on h.id = x.host_id
		where r.collection_id = @collection and r.expires_at > now() and `+w.String(), w.args).
		Scan(&t.CollectionID, &t.Name, &t.Version, &t.Definition, &t.Result, &t.ExpiresAt)
	return t, notFound(err, "trial")
}
