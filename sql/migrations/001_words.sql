-- Words that rows below refer to, and the functions the schema itself needs.

-- Numbers keep report_rows narrow: 100 and up are custom report types.
create table report_types (
    id   smallint primary key,
    name text not null unique check (name ~ '^[a-z][a-z0-9_]{0,62}$')
);

insert into report_types (id, name) values
    (1, 'os'), (2, 'cpu'), (3, 'memory'), (4, 'disks'), (5, 'network'),
    (6, 'packages'), (7, 'services'), (8, 'users'), (9, 'ports');

-- One row: which life of the cluster this is. Cursors carry the epoch; a restore from a backup draws a new one.
create table cluster (
    only_row boolean primary key default true check (only_row),
    epoch    uuid not null default gen_random_uuid(),
    created_at timestamptz not null default now()
);
insert into cluster default values;

-- A UUIDv7 (RFC 9562) of the given time, for statements that make many rows at once.
create function uuid_v7(at timestamptz) returns uuid
    language sql volatile parallel safe
    return encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                    placing substring(int8send((extract(epoch from at) * 1000)::bigint) from 3)
                    from 1 for 6),
            52, 1), 53, 1), 'hex')::uuid;
