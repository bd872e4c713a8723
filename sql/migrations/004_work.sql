-- One heartbeat row per worker process.
create table workers (
    id         uuid primary key,
    host       text not null,
    version    text not null,
    sites      text[] not null,
    slots      integer not null,
    started_at timestamptz not null default now(),
    seen_at    timestamptz not null default now()
) with (fillfactor = 50);

create table collections (
    id                  uuid primary key,
    created_at          timestamptz not null, -- the millisecond of id, so that history is found by ID
    kind                text not null check (kind in ('collect', 'check', 'try', 'reseal')),
    requested_by        uuid,
    actor               text not null,
    selector            text,
    host_ids            uuid[],
    report_types        text[] not null,
    priority            text not null check (priority in ('interactive', 'normal', 'bulk')),
    state               text not null check (state in ('pending', 'running', 'succeeded', 'partial', 'failed', 'cancelled')),
    total               integer not null,
    skipped             jsonb not null default '[]',   -- [{host, host_id, reason}]: matched but not asked
    deadline_seconds    integer not null,
    max_parallel        integer,
    expires_at          timestamptz not null,
    schedule_id         uuid,
    due_at              timestamptz,
    started_at          timestamptz,
    finished_at         timestamptz,
    cancel_requested_at timestamptz,
    counts              jsonb,                -- frozen when the collection ends; derived from the tasks before
    errors              jsonb
) with (fillfactor = 70);
create index on collections (schedule_id) where schedule_id is not null;

-- Ended collections.
create table collection_history (like collections, primary key (id, created_at)) partition by range (created_at);

-- Open tasks only. No foreign keys: ten thousand are made by one statement, and the two checks a row would
-- double its cost; collections and hosts are never deleted under them.
create table tasks (
    id            uuid primary key,
    collection_id uuid not null,
    created_at    timestamptz not null,       -- the collection's, so that its history is one partition's
    host_id       uuid not null,
    site          text not null,
    priority      text not null,
    state         text not null default 'queued' check (state in ('queued', 'running')),
    epoch         integer not null default 1, -- fencing: one more whenever the task is queued again
    dispatched_at timestamptz,                -- when its message was put on the queue
    not_before    timestamptz,
    worker_id     uuid,
    attempts      integer not null default 0,
    claimed_at    timestamptz,
    started_at    timestamptz,                -- first claim
    deadline_at   timestamptz,                -- first claim + deadline_seconds
    expires_at    timestamptz not null,
    error_code    text,                       -- of the last attempt
    error_details jsonb,
    unique (collection_id, host_id)
) with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
        autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
create index tasks_outbox on tasks (priority, created_at, id) where state = 'queued' and dispatched_at is null;
create index tasks_waiting on tasks (dispatched_at) where state = 'queued' and dispatched_at is not null;
create index tasks_expiring on tasks (expires_at) where state = 'queued';
create index tasks_running on tasks (worker_id) where state = 'running';
create unique index tasks_one_running_per_host on tasks (host_id) where state = 'running';
create index tasks_host on tasks (host_id);

-- The statement that ends a task moves it here.
create table task_history (
    id            uuid not null,
    collection_id uuid not null,
    created_at    timestamptz not null,
    host_id       uuid not null,
    site          text not null,
    state         text not null check (state in ('succeeded', 'partial', 'failed', 'cancelled')),
    epoch         integer not null,
    attempts      integer not null,
    worker_id     uuid,
    started_at    timestamptz,
    finished_at   timestamptz not null,
    error_code    text,
    error_details jsonb,
    report_errors jsonb,                      -- {type: code} of the types that failed
    primary key (id, created_at)
) partition by range (created_at);
create index on task_history (collection_id, host_id);
create index on task_history (host_id, created_at);

create table schedules (
    id             uuid primary key,
    name           text not null unique,
    cron           text not null,
    timezone       text not null default 'UTC',
    selector       text not null,
    report_types   text[] not null,
    priority       text not null default 'bulk' check (priority in ('interactive', 'normal', 'bulk')),
    jitter_seconds integer not null default 0 check (jitter_seconds >= 0),
    overlap        text not null default 'skip' check (overlap in ('skip', 'queue', 'allow')),
    misfire        text not null default 'once' check (misfire in ('skip', 'once')),
    blackouts      jsonb not null default '[]',
    enabled        boolean not null default true,
    owner_id       uuid references users,     -- a schedule acts with its owner's current scope
    next_at        timestamptz,               -- null: never again
    ends_at        timestamptz,
    version        bigint not null default 1,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now()
) with (fillfactor = 70);
create index schedules_due on schedules (next_at) where enabled and next_at is not null;

create table firings (
    schedule_id   uuid not null,
    due_at        timestamptz not null,
    fired_at      timestamptz not null,
    collection_id uuid,
    reason        text,                       -- why there is no collection
    primary key (schedule_id, due_at)
) partition by range (due_at);
