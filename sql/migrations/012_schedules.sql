-- A schedule is looked at when its next moment is due or, after a firing that failed or met a full queue, when that moment
-- is tried again. The moment stays what it was: next_at says what is due, retry_at only holds it back.
alter table schedules add column retry_at timestamptz;
alter table schedules add column failures integer not null default 0; -- of the moment that is tried again
drop index schedules_due;
create index schedules_due on schedules ((greatest(next_at, retry_at))) where enabled and next_at is not null;

-- Overlap queue: the one moment that waits until the open collection has ended, and how many earlier ones it stands for.
alter table schedules add column waiting_at timestamptz;
alter table schedules add column waiting_missed integer not null default 0;
create index schedules_waiting on schedules (waiting_at) where waiting_at is not null;

-- What came of a moment, as one word; null in rows of a former release, whose reason begins with it. missed is how many
-- earlier moments passed unfired that the row stands for as well.
alter table firings add column outcome text;
alter table firings add column missed integer not null default 0;

-- How far the tasks of a collection are spread: each waits for its host's own part of it.
alter table collections add column jitter_seconds integer not null default 0;
alter table collection_history add column jitter_seconds integer not null default 0;
