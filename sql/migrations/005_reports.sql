-- Facts change seldom and are large: each distinct value is stored once. The hash is
-- SHA-256(type NUL schema_version NUL RFC 8785(facts)).
create table report_contents (
    content_hash   bytea primary key check (length(content_hash) = 32),
    report_type    smallint not null references report_types,
    schema_version integer not null,
    facts          jsonb not null,
    last_used_at   timestamptz not null default now()
) with (fillfactor = 90);
create index on report_contents (last_used_at);

-- One row per period in which a host's facts of a type stayed the same; valid_to is null now.
create table fact_periods (
    host_id           uuid not null,
    report_type       smallint not null,
    content_hash      bytea not null,
    report_id         uuid not null,          -- the report that began the period
    valid_from        timestamptz not null,
    valid_to          timestamptz,
    last_confirmed_at timestamptz not null,
    primary key (host_id, report_type, valid_from)
) with (fillfactor = 80);
create unique index fact_periods_now on fact_periods (host_id, report_type) where valid_to is null;
create index fact_periods_content on fact_periods (content_hash);

-- One narrow row per report. created_at is the millisecond of id, so that a report is found by its ID in one
-- partition. The BRIN index costs nothing per row and serves questions by time alone (docs/adr/0004).
create table report_rows (
    id           uuid not null,
    created_at   timestamptz not null,
    host_id      uuid not null,
    report_type  smallint not null,
    status       text not null check (status in ('ok', 'partial')),
    content_hash bytea not null,
    unavailable  jsonb,                       -- null: nothing was unavailable
    task_id      uuid,
    collection_id uuid,
    primary key (id, created_at)
) partition by range (created_at);
create index on report_rows (host_id, report_type, created_at);
create index on report_rows using brin (created_at) with (pages_per_range = 32, autosummarize = on);

-- The newest report of each host and type, updated in place.
create table latest_reports (
    host_id     uuid not null,
    report_type smallint not null,
    report_id   uuid not null,
    created_at  timestamptz not null,
    status      text not null,
    primary key (host_id, report_type)
) with (fillfactor = 70);

-- Metrics change always, are small, and are kept shorter than the reports they came with.
create table report_metrics (
    report_id   uuid not null,
    created_at  timestamptz not null,
    host_id     uuid not null,
    report_type smallint not null,
    metrics     jsonb not null,
    primary key (report_id, created_at)
) partition by range (created_at);
create index on report_metrics (host_id, report_type, created_at);

-- What differs between two consecutive contents of a host. Read in the order of (tx, id) and only below
-- pg_snapshot_xmin(pg_current_snapshot()), so that a late commit is never missed.
create table changes (
    tx          xid8 not null default pg_current_xact_id(),
    id          uuid not null,
    seen_at     timestamptz not null,
    host_id     uuid not null,
    report_type smallint not null,
    path        text not null,
    before      jsonb,
    after       jsonb,
    report_id   uuid not null,
    primary key (id, seen_at)
) partition by range (seen_at);
create index on changes (tx, id);
create index on changes (host_id, seen_at);

-- What people query in psql. Facts and metrics are looked up for the rows that come out, one by one: joined, the planner
-- may read the metrics of all months for a question about one, because it does not see that r and m are of one month.
create view reports as
select r.id, h.name as hostname, t.name as report_type,
       jsonb_build_object(
           'facts', (select c.facts from report_contents c where c.content_hash = r.content_hash),
           'metrics', (select m.metrics from report_metrics m where m.report_id = r.id and m.created_at = r.created_at),
           'unavailable', coalesce(r.unavailable, '{}')) as data,
       r.created_at, r.host_id, r.status
from report_rows r
join hosts h on h.id = r.host_id
join report_types t on t.id = r.report_type;
