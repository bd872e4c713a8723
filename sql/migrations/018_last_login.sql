-- When a user signed in with the password last. Null for those who have not since this column is there.
alter table users add column last_login_at timestamptz;
