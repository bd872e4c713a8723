-- Where in which trace a collection was asked for, a W3C traceparent, so that the messages of its tasks can carry it whoever
-- rings for them. Null without traces. It goes with the collection: its history has none.
alter table collections add column trace text;
