-- Sessions live in Redis and carry the epoch of their user at the time of the sign-in. Whatever ends all of a user's
-- sessions counts the epoch up, so that they are dead even if Redis could not be told.
alter table users
    add column session_epoch bigint not null default 0,
    add column deleted_at    timestamptz;     -- the row stays, because the audit log names people: a name is given once

-- One-time links with which users set a password. Only the newest of each user is good, and using it removes it.
create table password_resets (
    user_id    uuid primary key references users,
    hash       bytea not null unique,         -- SHA-256 of the token; the token itself is shown once
    expires_at timestamptz not null,
    created_by text not null,
    created_at timestamptz not null default now()
);
