create table users (
    id            uuid primary key,
    username      text not null check (username ~ '^[a-z0-9][a-z0-9._@-]{0,62}$'),
    password_hash text not null,
    role          text not null check (role in ('viewer', 'operator', 'admin')),
    selector      text,                       -- null: all hosts
    version       bigint not null default 1,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    disabled_at   timestamptz,
    unique (username)
);

create table api_tokens (
    id           uuid primary key,
    user_id      uuid not null references users,
    name         text not null,
    hash         bytea not null unique,       -- SHA-256 of the token; the token itself is shown once
    role         text check (role in ('viewer', 'operator', 'admin')),   -- null: the owner's
    selector     text,                        -- null: the owner's
    created_at   timestamptz not null default now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);
create index on api_tokens (user_id);

-- Answers to writes that carried an Idempotency-Key. A row without a status belongs to a request under way.
create table idempotency_keys (
    actor_id     uuid not null,
    key          text not null check (length(key) between 1 and 255),
    request_hash bytea not null,
    status       smallint,
    location     text,
    answer       bytea,
    created_at   timestamptz not null default now(),
    expires_at   timestamptz not null,
    primary key (actor_id, key)
);
create index on idempotency_keys (expires_at);

-- Who did what to what. tx is the horizon under which entries are sealed.
create table audit_logs (
    id            uuid not null,
    created_at    timestamptz not null,
    tx            xid8 not null default pg_current_xact_id(),
    user_id       uuid,
    actor         text not null,              -- user:admin, token:ci, schedule:nightly, system
    action        text not null,              -- thing.verb
    outcome       text not null default 'ok' check (outcome in ('ok', 'denied')),
    resource_type text not null,
    resource_id   text not null default '',
    details       jsonb not null default '{}',
    ip_address    inet,
    primary key (id, created_at)
) partition by range (created_at);
create index on audit_logs (resource_type, resource_id, created_at);
