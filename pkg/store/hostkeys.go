package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const hostKeyColumns = `k.id, k.host_id, k.algorithm, k.key, k.fingerprint, k.state, k.first_seen, k.last_seen,
	coalesce(k.decided_by, ''), coalesce(k.reason, '')`

func scanHostKey(row pgx.CollectableRow) (fleet.HostKey, error) {
	var k fleet.HostKey
	err := row.Scan(&k.ID, &k.HostID, &k.Algorithm, &k.Key, &k.Fingerprint, &k.State, &k.FirstSeen, &k.LastSeen,
		&k.DecidedBy, &k.Reason)
	return k, err
}

// HostKeys returns the keys that the host has shown or was given, newest first.
func (s *Store) HostKeys(ctx context.Context, scope fleet.Scope, host uuid.UUID) ([]fleet.HostKey, error) {
	w := newWhere()
	w.add("k.host_id = @host", "host", host)
	w.scope(scope)
	rows, _ := s.db.Query(ctx, "select "+hostKeyColumns+
		" from host_keys k join hosts h on h.id = k.host_id where "+w.String()+" order by k.first_seen desc, k.id desc", w.args)
	keys, err := pgx.CollectRows(rows, scanHostKey)
	return keys, fail(err, "listing host keys")
}

// RecordHostKey stores a key that the host has shown, with its state, or notes that a known one was seen again;
// it returns the key as stored, whose state is the earlier decision's.
func (s *Store) RecordHostKey(ctx context.Context, k fleet.HostKey) (fleet.HostKey, error) {
	rows, _ := s.db.Query(ctx, `
		insert into host_keys as k (id, host_id, algorithm, key, fingerprint, state, decided_at, decided_by, reason)
		values (@id, @host_id, @algorithm, @key, @fingerprint, @state,
			case when @decided_by::text <> '' then now() end, nullif(@decided_by::text, ''), nullif(@reason::text, ''))
		on conflict (host_id, key) do update set last_seen = now()
		returning `+hostKeyColumns, pgx.NamedArgs{
		"id": k.ID, "host_id": k.HostID, "algorithm": k.Algorithm, "key": k.Key, "fingerprint": k.Fingerprint,
		"state": k.State, "decided_by": k.DecidedBy, "reason": k.Reason,
	})
	stored, err := pgx.CollectExactlyOneRow(rows, scanHostKey)
	return stored, fail(err, "recording a host key")
}

// DecideHostKey sets the state of a host's key.
func (s *Store) DecideHostKey(ctx context.Context, host, key uuid.UUID, state fleet.HostKeyState, by, reason string) (fleet.HostKey, error) {
	rows, _ := s.db.Query(ctx, `
		update host_keys k set state = $3, decided_at = now(), decided_by = $4, reason = nullif($5, '')
		where id = $2 and host_id = $1
		returning `+hostKeyColumns, host, key, state, by, reason)
	k, err := pgx.CollectExactlyOneRow(rows, scanHostKey)
	return k, notFound(err, "host key")
}

// SuspendHostKeys turns the host's trusted keys into pending ones: its address has changed, so somebody has to
// trust them anew before a credential is offered. It returns how many there were.
func (s *Store) SuspendHostKeys(ctx context.Context, host uuid.UUID, reason string) (int, error) {
	tag, err := s.db.Exec(ctx, `
		update host_keys set state = 'pending', decided_at = null, decided_by = null, reason = $2
		where host_id = $1 and state = 'trusted'`, host, reason)
	return int(tag.RowsAffected()), fail(err, "suspending host keys")
}
