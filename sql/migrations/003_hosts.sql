create table credentials (
    id         uuid primary key,
    name       text not null check (length(name) between 1 and 255),
    kind       text not null check (kind in ('private_key', 'password', 'certificate', 'agent')),
    username   text not null,
    fingerprint text,                         -- of the public key, where there is one
    version    bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (name)
);

-- One HPKE seal per site that may use the credential; only workers of that site can open it.
create table credential_seals (
    credential_id uuid not null references credentials on delete cascade,
    site          text not null,
    key_id        text not null,
    sealed        bytea not null,
    primary key (credential_id, site)
);

create table hosts (
    id            uuid primary key,
    name          text not null check (name ~ '^[A-Za-z0-9][A-Za-z0-9._:-]{0,252}$'),
    address       text not null,
    port          integer not null default 22 check (port between 1 and 65535),
    site          text not null default 'default' check (site ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    labels        jsonb not null default '{}' check (jsonb_typeof(labels) = 'object'),
    credential_id uuid references credentials,
    connection    text not null default 'ssh' check (connection in ('ssh', 'local')),
    jump_host_id  uuid references hosts,
    ssh           jsonb not null default '{}' check (jsonb_typeof(ssh) = 'object'),
    enabled       boolean not null default true,
    machine_id    text,                       -- pinned at the first collection of a local host, learned of others
    version       bigint not null default 1,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    retired_at    timestamptz                 -- retired, never deleted while reports name it
);
create unique index hosts_name_live on hosts (name) where retired_at is null;
create index hosts_name on hosts (name);      -- plain SQL asks by name and includes retired hosts
create index hosts_labels on hosts using gin (labels jsonb_path_ops) where retired_at is null;
create index hosts_site on hosts (site) where retired_at is null;
create index hosts_credential on hosts (credential_id);
create index hosts_jump on hosts (jump_host_id) where jump_host_id is not null;

create table host_keys (
    id          uuid primary key,
    host_id     uuid not null references hosts,
    algorithm   text not null,
    key         bytea not null,
    fingerprint text not null,
    state       text not null check (state in ('pending', 'trusted', 'changed', 'revoked')),
    first_seen  timestamptz not null default now(),
    last_seen   timestamptz not null default now(),
    decided_at  timestamptz,
    decided_by  text,
    reason      text,
    unique (host_id, key)
);

-- How the last task of a host went; updated in place by every task that ends.
create table host_status (
    host_id       uuid primary key references hosts,
    collection_id uuid not null,
    state         text not null check (state in ('succeeded', 'partial', 'failed', 'cancelled')),
    error_code    text,
    finished_at   timestamptz not null,
    succeeded_at  timestamptz,                -- of the last succeeded or partial task
    failures      integer not null default 0  -- failed tasks in a row
) with (fillfactor = 70);

create table collectors (
    name       text not null check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    version    integer not null check (version > 0),
    definition jsonb not null,
    enabled    boolean not null default true,
    created_by text not null,
    created_at timestamptz not null default now(),
    primary key (name, version)
);

create table webhooks (
    id         uuid primary key,
    name       text not null unique,
    url        text not null,
    secret     bytea not null,                -- sealed
    events     text[] not null,
    selector   text,
    enabled    boolean not null default true,
    version    bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
