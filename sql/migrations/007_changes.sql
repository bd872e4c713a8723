-- What a change needs beyond its two values: the report that still had the former one, and since when it held.
alter table changes add column before_report_id uuid;
alter table changes add column before_since timestamptz;

-- The last changes of a path of a host. Paths hold names that hosts make up, which an index entry has no room for.
create index on changes (host_id, report_type, (left(path, 200)) collate "C", seen_at);

-- Since when what lies under a pattern of paths is known of a host without having changed: it could not be told
-- before, or the collector's schema gave it another meaning. What no row covers is known since the first period.
create table fact_baselines (
    host_id     uuid not null,
    report_type smallint not null,
    pattern     text not null,
    known_since timestamptz not null,
    primary key (host_id, report_type, pattern)
);

-- Which life of the cluster this is, as cursors carry it: a restored backup, a copy and a promoted standby count
-- transactions of their own, so that a position in the feed of another life means nothing in this one.
-- In plpgsql, which keeps the plans of a session.
create function cluster_life() returns text
    language plpgsql stable security definer set search_path = public, pg_temp as $$
begin
    return left(md5((select epoch::text from cluster) || (select s.system_identifier from pg_control_system() s)
        || left(pg_walfile_name(pg_current_wal_lsn()), 8)), 12);
end $$;

-- The transaction before which the feed is complete: whatever is older has been committed, or never will be. A snapshot
-- tells it for all databases of the server; a transaction known to belong to another one cannot write changes here, and
-- would only hold the feed up. One whose lock is not seen yet counts as ours. Changes have to be read by a statement
-- after the one that asks: it sees what has been committed meanwhile.
create function feed_horizon() returns xid8
    language plpgsql stable as $$
declare
    now pg_snapshot := pg_current_snapshot();
begin
    if pg_snapshot_xmin(now) = pg_snapshot_xmax(now) then
        return pg_snapshot_xmax(now);
    end if;
    return coalesce((
        select min(x::text::bigint)::text::xid8
        from pg_snapshot_xip(now) x
        where pg_xact_status(x) = 'in progress' and not exists (
            select from pg_locks l join pg_stat_activity a on a.pid = l.pid
            where l.locktype = 'transactionid' and l.mode = 'ExclusiveLock' and l.granted
              and l.transactionid::text::bigint = x::text::bigint & 4294967295
              and a.datid <> (select oid from pg_database where datname = current_database()))),
        pg_snapshot_xmax(now));
end $$;

-- A dump that is restored on another server brings transaction numbers that this one has not reached: the feed would
-- not show those changes for a long time, and new ones before them. They become the oldest, in their order.
alter table cluster add column system_identifier bigint;

create function adopt_cluster() returns void
    language plpgsql as $$
declare
    here bigint := (select s.system_identifier from pg_control_system() s);
begin
    if exists (select from cluster c where c.system_identifier is distinct from here) then
        update changes set tx = '3' where tx >= pg_snapshot_xmin(pg_current_snapshot());
        update cluster set system_identifier = here;
    end if;
end $$;
revoke execute on function adopt_cluster() from public;
