-- What a collection of kind reseal is made of: a row for each seal that was not sealed to its site's current key when it
-- was asked for. Workers of the site take queued rows and replace the seals in one transaction; there is no message, no lease
-- and no running state, because a worker that dies takes its transaction with it. No foreign key: what came of a
-- credential that was deleted since is still told.
create table reseals (
    collection_id uuid not null,
    credential_id uuid not null,
    site          text not null,
    from_key      text not null,              -- what it was sealed to when this was asked for
    key_id        text not null,              -- what the api seals to; a worker whose own first key is another leaves the row alone
    state         text not null default 'queued' check (state in ('queued', 'succeeded', 'failed', 'cancelled')),
    error_code    text,
    worker_id     uuid,
    finished_at   timestamptz,
    primary key (collection_id, credential_id, site)
);
create index reseals_queued on reseals (site, collection_id, credential_id) where state = 'queued';
create index reseals_ended on reseals (finished_at) where finished_at is not null;

-- The IDs of the keys that a worker holds, site/id each: all of them, and of each site the one that it seals anew to. Null of
-- a worker of an earlier release, which reseals nothing.
alter table workers add column open_keys text[], add column current_keys text[];
