-- The credential by which scripts become root on a host, so that none is removed that is in use.
alter table hosts add column become_credential_id uuid
    generated always as ((ssh->>'become_credential_id')::uuid) stored references credentials;
create index on hosts (become_credential_id) where become_credential_id is not null;
