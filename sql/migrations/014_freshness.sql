-- How far what is known of each host may be relied on. A row for each host that is not retired: whatever writes a host or
-- ends a task of one keeps it in the same transaction, and the scheduler's pass ages it and counts anew which schedule
-- covers the host. It is apart from host_status, which has a row only for hosts that a task of has ended.
create table host_freshness (
    host_id         uuid primary key references hosts,
    name            text not null,            -- the host's: a status is paged through in its order, by the index alone
    status          text not null check (status in ('fresh', 'stale', 'failing', 'never', 'disabled')),
    code            text,                     -- of a failing host: why its last task failed
    since           timestamptz not null default now(),
    allowed_seconds integer not null default 86400 check (allowed_seconds > 0),
    schedule_id     uuid                      -- that allowed_seconds follows from; null: no schedule covers the host
) with (fillfactor = 80);
create index host_freshness_status on host_freshness (status, name);

-- The rule, as SQL has it; fleet.FreshnessOf is the same.
create function freshness_of(enabled boolean, state text, succeeded_at timestamptz, allowed_seconds integer, at timestamptz) returns text
    language sql stable parallel safe as $$
    select case
        when not enabled then 'disabled'
        when state = 'failed' then 'failing'
        when succeeded_at is null then 'never'
        when succeeded_at + allowed_seconds * interval '1 second' < at then 'stale'
        else 'fresh' end
$$;

insert into host_freshness (host_id, name, status, code)
select h.id, h.name, f.status, case f.status when 'failing' then st.error_code end
from hosts h left join host_status st on st.host_id = h.id
cross join lateral (select freshness_of(h.enabled, st.state, st.succeeded_at, 86400, now()) as status) f
where h.retired_at is null;

-- What became of hosts, in the order of transactions, as changes have it. Removed after 90 days.
create table freshness_changes (
    tx      xid8 not null default pg_current_xact_id(),
    id      uuid primary key default uuid_v7(clock_timestamp()),
    seen_at timestamptz not null default now(),
    host_id uuid not null,
    before  text not null,
    after   text not null,
    code    text
);
create index freshness_changes_feed on freshness_changes (tx, id);
create index freshness_changes_host on freshness_changes (host_id, tx, id);
create index freshness_changes_age on freshness_changes (seen_at);

-- When a scheduler last made a pass, which is whose turn it is as well, and of which schedules and hosts it has counted
-- who covers whom.
create table freshness_pass (
    only_row   boolean primary key default true check (only_row),
    passed_at  timestamptz,
    coverage   text not null default '',
    counted_at timestamptz,
    took       interval                       -- of that count: a dear one is not made again soon
);
insert into freshness_pass default values;

-- The sites that have hosts to collect from, found by jumping from one to the next.
create index hosts_enabled_site on hosts (site) where retired_at is null and enabled;

-- A dump restored on another server brings transaction numbers that this one has not reached, in this feed as well.
create or replace function adopt_cluster() returns void
    language plpgsql as $$
declare
    here bigint := (select s.system_identifier from pg_control_system() s);
begin
    if exists (select from cluster c where c.system_identifier is distinct from here) then
        update changes set tx = '3' where tx >= pg_snapshot_xmin(pg_current_snapshot());
        update freshness_changes set tx = '3' where tx >= pg_snapshot_xmin(pg_current_snapshot());
        update cluster set system_identifier = here;
    end if;
end $$;
