-- The rare jobs: who does which, on the database's clock. A lease that has run out is anybody's; fence is one more with
-- each taking, so that who was paused and comes back finds that the job is another's now.
create table housekeeping_jobs (
    job        text primary key,
    holder     text,                          -- null: nobody does it now
    fence      bigint not null default 0,
    until      timestamptz,                   -- when the lease runs out
    began_at   timestamptz,
    ended_at   timestamptz,                   -- of the last run, however it ended
    done_at    timestamptz,                   -- of the last run that succeeded
    error      text,                          -- of the last run; null: it succeeded
    failures   integer not null default 0,    -- failed runs in a row
    details    jsonb not null default '{}'    -- what the last run did, for people
) with (fillfactor = 50);

-- Since when something is kept: what is older has been removed. No row: nothing ever was. Type 0 stands for all types.
create table retention_floors (
    part        text not null check (part in ('reports', 'metrics', 'changes', 'facts', 'firings', 'tasks', 'collections', 'audit')),
    report_type smallint not null default 0,
    kept_since  timestamptz not null,
    primary key (part, report_type)
);

-- Types of report that are kept shorter than the others.
create table type_retention (
    report_type smallint primary key references report_types,
    days        integer not null check (days between 1 and 36500),
    set_by      text not null,
    set_at      timestamptz not null default now()
);

-- How large each table and partition was, every hour for some days: growth is the difference.
create table storage_samples (
    at       timestamptz not null,
    relation text not null,
    rows     bigint not null,                 -- as the statistics estimate them
    bytes    bigint not null,
    primary key (at, relation)
);

-- Detaches a month for the application's role, which does not own the tables. It cannot be done CONCURRENTLY in a function,
-- so nobody may wait behind it for long: the partition is locked first, so that only one wait holds its table up, and
-- that wait ends with an error (55P03) after lock_timeout; whoever calls tries again. The current month and later ones
-- are refused, and audit entries of the last 13 months: this role may not make them disappear.
create function detach_partition(child text) returns boolean
    language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '20ms' as $$
declare
    month   date;
    parent  text;
    pending boolean;
begin
    if child !~ '^(report_rows|report_metrics|changes|audit_logs|firings|task_history|collection_history)_[0-9]{4}_[0-9]{2}$' then
        raise exception 'table % is not a partition by month', child;
    end if;
    month := to_date(right(child, 7), 'YYYY_MM');
    if month + interval '1 month' > now() at time zone 'UTC'
        or child like 'audit\_logs\_%' and month + interval '14 months' > now() at time zone 'UTC' then
        raise exception 'partition % is not old enough to be detached', child;
    end if;
    select i.inhparent::regclass::text, i.inhdetachpending into parent, pending
    from pg_inherits i where i.inhrelid = to_regclass(child);
    if parent is null then
        return false;
    end if;
    execute format('lock table only %I in access exclusive mode', child);
    execute format('alter table %s detach partition %I %s', parent, child, case when pending then 'finalize' else '' end);
    return true;
end $$;
revoke execute on function detach_partition(text) from public;

-- What is removed by time in batches, and not by dropping months, is found by host. Periods that are over, by when.
create index fact_periods_over on fact_periods (valid_to) where valid_to is not null;
