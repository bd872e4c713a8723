-- Whether what a task ran on its host is known to have ended: confirmed, unconfirmed, or null where nothing ran or where
-- it ended by itself. An open task has that of its last attempt. Without a check: it would read all of history.
alter table tasks add column termination text;
alter table task_history add column termination text;
