package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// Audit writes who did what to what. It belongs into the transaction of what was done. If the actor does it under an
// idempotency key, that is noted with the key.
func (s *Store) Audit(ctx context.Context, actor fleet.Actor, e fleet.AuditEntry) error {
	details := e.Details
	if details == nil {
		details = map[string]any{}
	}
	outcome := "ok"
	if e.Denied {
		outcome = "denied"
	}
	id, key := fleet.NewID(), actor.Key
	if e.Denied {
		key = ""
	}
	_, err := s.db.Exec(ctx, `
		with noted as (
			update idempotency_keys set location = @resource_type || ' ' || @resource_id
			where @key <> '' and actor_id = @actor_id and key = @key and status is null
		)
		insert into audit_logs (id, created_at, user_id, actor, action, outcome, resource_type, resource_id, details, ip_address)
		values (@id, @created_at, @user_id, @actor, @action, @outcome, @resource_type, @resource_id, @details, nullif(@address, '')::inet)`,
		pgx.NamedArgs{
			"id": id, "created_at": fleet.TimeOf(id), "user_id": actor.UserID, "actor": actor.String(),
			"action": e.Action, "outcome": outcome, "resource_type": e.ResourceType, "resource_id": e.ResourceID,
			"details": details, "address": actor.Address, "actor_id": actor.ID, "key": key,
		})
	return fail(err, "writing the audit log")
}

// An IdempotentAnswer is what a write with an Idempotency-Key was answered.
type IdempotentAnswer struct {
	RequestHash []byte
	Status      int    // 0 while the first request is under way, or when what became of it is not known
	Location    string // while Status is 0: the type and ID of the resource to which it was done already; empty if it was not
	Body        []byte // nil where the answer held a secret
}

// abandonedAfter is when a request that is under way and has done nothing will not do anything any more: whoever served it
// was killed, or could not say that it failed. It is far longer than a request and its statements may take.
const abandonedAfter = 3 * time.Minute

// BeginIdempotent takes the actor's key for a request. It returns nil if the key was free or its request was abandoned,
// and otherwise what is known of the earlier request with it.
func (s *Store) BeginIdempotent(ctx context.Context, actor uuid.UUID, key string, hash []byte, ttl time.Duration) (*IdempotentAnswer, error) {
	for {
		a, err := s.beginIdempotent(ctx, actor, key, hash, ttl)
		if !isNoRows(err) { // else the key was freed between two looks at it
			return a, fail(err, "taking an idempotency key")
		}
	}
}

func (s *Store) beginIdempotent(ctx context.Context, actor uuid.UUID, key string, hash []byte, ttl time.Duration) (*IdempotentAnswer, error) {
	tag, err := s.db.Exec(ctx, `
		insert into idempotency_keys (actor_id, key, request_hash, expires_at) values ($1, $2, $3, now() + $4)
		on conflict (actor_id, key) do update set request_hash = excluded.request_hash, status = null, location = null,
			answer = null, created_at = now(), expires_at = excluded.expires_at
		where idempotency_keys.expires_at < now() or idempotency_keys.status is null and idempotency_keys.location is null
			and idempotency_keys.request_hash = excluded.request_hash and idempotency_keys.created_at < now() - $5::interval`,
		actor, key, hash, ttl, abandonedAfter)
	if err != nil {
		return nil, err
	}
	if tag.RowsAffected() == 1 {
		return nil, nil //nolint:nilnil // the key was free
	}
	var a IdempotentAnswer
	err = s.db.QueryRow(ctx, `
		select request_hash, coalesce(status, 0), coalesce(location, ''), answer from idempotency_keys
		where actor_id = $1 and key = $2`, actor, key).Scan(&a.RequestHash, &a.Status, &a.Location, &a.Body)
	return &a, err
}

// EndIdempotent keeps the answer for the key.
func (s *Store) EndIdempotent(ctx context.Context, actor uuid.UUID, key string, a IdempotentAnswer) error {
	_, err := s.db.Exec(ctx, `
		update idempotency_keys set status = $3, location = $4, answer = $5 where actor_id = $1 and key = $2`,
		actor, key, a.Status, a.Location, a.Body)
	return fail(err, "keeping an idempotent answer")
}

// ForgetIdempotent frees the key of a request that failed, unless it was done all the same: its commit may have succeeded
// although nobody was told.
func (s *Store) ForgetIdempotent(ctx context.Context, actor uuid.UUID, key string) error {
	_, err := s.db.Exec(ctx, "delete from idempotency_keys where actor_id = $1 and key = $2 and location is null", actor, key)
	return fail(err, "freeing an idempotency key")
}

// ForgetExpiredAnswers removes at most limit idempotency keys whose time is over.
func (s *Store) ForgetExpiredAnswers(ctx context.Context, limit int) (int, error) {
	tag, err := s.db.Exec(ctx, `
		with old as materialized (
			select actor_id, key from idempotency_keys where expires_at < now() order by expires_at limit $1 for update skip locked
		)
		delete from idempotency_keys k using old where k.actor_id = old.actor_id and k.key = old.key`, limit)
	return int(tag.RowsAffected()), fail(err, "forgetting idempotent answers")
}
