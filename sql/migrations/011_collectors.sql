-- The custom collectors that there are. Every version of a definition is kept in collectors, because reports of the past
-- were made by it; here is which version is the newest. The report type keeps its number when the collector is removed:
-- numbers from 1000 on, never used twice.
create table custom_types (
    name        text primary key,
    report_type smallint not null unique references report_types,
    version     integer not null,             -- the newest
    removed_at  timestamptz,                  -- its past reports stay
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now()
);

-- What a collection of kind try runs, and what came of it: for who writes a collector, and only for a while.
create table trials (
    collection_id uuid primary key,
    name          text not null,
    version       integer not null,           -- 0: the definition was never stored
    definition    jsonb not null,
    result        jsonb,                      -- null until the host has answered
    expires_at    timestamptz not null
);
create index on trials (expires_at);
