-- In which life of the database an entry was written: a dump that is restored on another server counts transactions anew,
-- and entries that are sealed must not change. A constant, so that writing an entry asks nothing more.
alter table audit_logs add column life integer not null default 0;
alter table cluster add column audit_life integer not null default 0;

create index on audit_logs (life, tx, id);          -- the order of sealing
create index on audit_logs (created_at, id);        -- the order of reading

-- The chain of roots that entries are sealed with: one row for the entries of a month that come after (from_life, from_tx,
-- from_id) and up to (to_life, to_tx, to_id). Rows that share their bounds differ in their months.
create table audit_seals (
    seq          bigint primary key check (seq > 0),
    month        date not null,
    from_life    integer not null,
    from_tx      xid8 not null,
    from_id      uuid not null,
    to_life      integer not null,
    to_tx        xid8 not null,
    to_id        uuid not null,
    entries      integer not null check (entries > 0),
    entries_root bytea not null check (length(entries_root) = 32),
    prev_root    bytea not null unique check (length(prev_root) = 32),   -- no two follow on one
    root         bytea not null check (length(root) = 32),
    sealed_at    timestamptz not null
);

create or replace function adopt_cluster() returns void
    language plpgsql as $$
declare
    here   bigint := (select s.system_identifier from pg_control_system() s);
    before bigint;
    life   integer;
begin
    select system_identifier into before from cluster for update;
    if before is distinct from here then
        update changes set tx = '3' where tx >= pg_snapshot_xmin(pg_current_snapshot());
        update freshness_changes set tx = '3' where tx >= pg_snapshot_xmin(pg_current_snapshot());
        update cluster set system_identifier = here, audit_life = audit_life + (before is not null)::int returning audit_life into life;
        if before is not null then
            execute format('alter table audit_logs alter column life set default %s', life);
        end if;
    end if;
end $$;
