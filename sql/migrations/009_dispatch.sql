-- Who a task is worked for, and the bound of its collection: copies of collections.actor and collections.max_parallel, so
-- that whoever hands out turns reads one table. The default is for a former release that still runs. (A column named
-- actor would make its claims ambiguous.)
alter table tasks add column requester text not null default '';
alter table tasks add column max_parallel integer;
update tasks t set requester = c.actor, max_parallel = c.max_parallel from collections c where c.id = t.collection_id;

-- The outbox, by whose turn it may be. What waits for its time is kept apart: it would stand at the front and be
-- passed over in each round.
create index tasks_turn on tasks (site, priority, requester, collection_id, id)
    where state = 'queued' and dispatched_at is null and not_before is null;
create index tasks_delayed on tasks (not_before)
    where state = 'queued' and dispatched_at is null and not_before is not null;
drop index tasks_outbox;
