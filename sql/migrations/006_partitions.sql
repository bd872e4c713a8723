-- Partitions by month. There is no DEFAULT partition: it would forbid DETACH CONCURRENTLY. The functions run
-- with their owner's rights, so that the application's role needs no right to create or drop tables.

create function make_partition(parent text, month date) returns boolean
    language plpgsql security definer set search_path = public, pg_temp as $$
declare
    first_day date := date_trunc('month', month);
    child     text := format('%s_%s', parent, to_char(first_day, 'YYYY_MM'));
begin
    if parent not in ('report_rows', 'report_metrics', 'changes', 'audit_logs', 'firings', 'task_history', 'collection_history') then
        raise exception 'table % is not partitioned by month', parent;
    end if;
    -- The lock comes before the look: a partition is seen a moment before every session hears that its table has it,
    -- and the lock is released only after that.
    perform pg_advisory_xact_lock(hashtext('rollcall.partition.' || parent));
    if to_regclass(child) is not null then
        return false;
    end if;
    execute format('create table %I (like %I including all)', child, parent);
    execute format('alter table %I attach partition %I for values from (%L) to (%L)', parent, child,
        first_day::timestamp at time zone 'UTC', (first_day + interval '1 month') at time zone 'UTC');
    return true;
end $$;

-- Drops a partition that has been detached already; dropping an attached one would block readers.
create function drop_partition(child text) returns boolean
    language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if child !~ '^(report_rows|report_metrics|changes|audit_logs|firings|task_history|collection_history)_[0-9]{4}_[0-9]{2}$' then
        raise exception 'table % is not a partition by month', child;
    end if;
    if to_regclass(child) is null then
        return false;
    end if;
    if exists (select from pg_inherits where inhrelid = to_regclass(child)) then
        raise exception 'partition % is still attached', child;
    end if;
    execute format('drop table %I', child);
    return true;
end $$;

-- They act with their owner's rights, so nobody gets them for nothing; the application's role is granted them.
revoke execute on function make_partition(text, date), drop_partition(text) from public;
