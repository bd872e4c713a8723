package ephemeral

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const (
	// MaxSessionsPerUser is how many sessions a user has at most; one more ends the one that would expire
	// first.
	MaxSessionsPerUser = 100

	// CodeSessionEnded is the code of the error about a session that has expired, was ended or never was.
	CodeSessionEnded = "session_ended"
	// CodeRefreshReused is the code of the error about a refresh token that had been used before. Its session
	// is ended, because one of the two who used it has stolen it.
	CodeRefreshReused = "refresh_token_reused"

	maxAddressBytes   = 64
	maxUserAgentBytes = 256
)

// A Session is a signed-in user at one client.
type Session struct {
	ID          uuid.UUID
	UserID      uuid.UUID
	RefreshHash []byte    // SHA-256 of the refresh token, 32 bytes; written and compared, never read back
	CreatedAt   time.Time // whole milliseconds
	ExpiresAt   time.Time // whole milliseconds; refreshing does not move it
	Address     string    // of the client; cut after 64 bytes
	UserAgent   string    // cut after 256 bytes
	Epoch       int64     // the user's when the session began; a session of an earlier one is worthless
}

// The fields of a session's hash.
const (
	fieldUser    = "user"
	fieldRefresh = "refresh" // hex of the current hash
	fieldSpent   = "spent"   // hex of former hashes, each followed by a comma
	fieldCreated = "created"
	fieldExpires = "expires"
	fieldAddress = "address"
	fieldAgent   = "agent"
	fieldEpoch   = "epoch" // absent: 0
)

func sessionKey(id uuid.UUID) string { return keyPrefix + "session:" + id.String() }

// indexKey is a sorted set of a user's session IDs by the time they expire. An entry without a session is
// harmless, a session without an entry would outlive DeleteUserSessions; hence the order of writes.
func indexKey(user uuid.UUID) string { return keyPrefix + "user-sessions:" + user.String() }

// CreateSession stores a session until it expires. A session without ID or user, without a hash of 32 bytes
// or one that has already expired is an error of kind Invalid.
func (s *Store) CreateSession(ctx context.Context, sess Session) error {
	if sess.ID == uuid.Nil || sess.UserID == uuid.Nil || len(sess.RefreshHash) != sha256.Size {
		return fleet.Errorf(fleet.Invalid, "a session needs an ID, a user and a refresh hash of %d bytes", sha256.Size)
	}
	now := time.Now()
	if !sess.ExpiresAt.After(now) {
		return fleet.Errorf(fleet.Invalid, "the session has expired before it begins")
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	expires := sess.ExpiresAt.UnixMilli()
	surplus, err := indexScript().Run(ctx, s.client, []string{indexKey(sess.UserID)},
		sess.ID.String(), expires, now.UnixMilli(), MaxSessionsPerUser).StringSlice()
	if err != nil {
		return sessionsUnavailable(err)
	}
	err = createScript().Run(ctx, s.client, []string{sessionKey(sess.ID)}, expires,
		fieldUser, sess.UserID.String(),
		fieldRefresh, hex.EncodeToString(sess.RefreshHash),
		fieldCreated, sess.CreatedAt.UnixMilli(),
		fieldExpires, expires,
		fieldAddress, clip(sess.Address, maxAddressBytes),
		fieldAgent, clip(sess.UserAgent, maxUserAgentBytes),
		fieldEpoch, sess.Epoch).Err()
	if err != nil {
		return sessionsUnavailable(err)
	}
	return s.deleteSessions(ctx, surplus)
}

// Session returns the session with this ID. One that has ended in any way is an error of kind Unauthenticated
// with CodeSessionEnded; when Redis does not answer it is of kind Unavailable with CodeSessionStoreUnavailable.
func (s *Store) Session(ctx context.Context, id uuid.UUID) (Session, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	fields, err := s.client.HGetAll(ctx, sessionKey(id)).Result()
	if err != nil {
		return Session{}, sessionsUnavailable(err)
	}
	return readSession(id, fields, time.Now())
}

// RotateRefresh exchanges the refresh hash of a session, if oldHash is its current one, and returns the
// session. A hash that was current before ends the session and is an error with CodeRefreshReused; one that
// never was leaves the session alone, so that knowing its ID is not enough to end it. Both, and a session that
// has ended, are of kind Unauthenticated. Repeating a rotation with the same two hashes is no reuse: the
// client library does it when an answer of Redis is lost. Of former hashes the last 32 are remembered.
func (s *Store) RotateRefresh(ctx context.Context, id uuid.UUID, oldHash, newHash []byte) (Session, error) {
	if len(oldHash) != sha256.Size || len(newHash) != sha256.Size {
		return Session{}, fleet.Errorf(fleet.Invalid, "refresh hashes have %d bytes", sha256.Size)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	verdict, err := rotateScript().Run(ctx, s.client, []string{sessionKey(id)},
		hex.EncodeToString(oldHash), hex.EncodeToString(newHash)).Text()
	if err != nil {
		return Session{}, sessionsUnavailable(err)
	}
	switch verdict {
	case "ok":
		return s.Session(ctx, id)
	case "reused":
		return Session{}, fleet.Errorf(fleet.Unauthenticated, "this refresh token was used before; the session has been ended").
			WithCode(CodeRefreshReused)
	}
	return Session{}, sessionEnded()
}

// DeleteSession ends a session at once. Ending one that has ended is no error.
func (s *Store) DeleteSession(ctx context.Context, id uuid.UUID) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	// Its entry in the user's index is left to the next reading of the index.
	return s.deleteSessions(ctx, []string{id.String()})
}

// SetSessionEpoch lets a living session go on in another epoch of its user. For one that has ended it does nothing.
func (s *Store) SetSessionEpoch(ctx context.Context, id uuid.UUID, epoch int64) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := epochScript().Run(ctx, s.client, []string{sessionKey(id)}, epoch).Err(); err != nil {
		return sessionsUnavailable(err)
	}
	return nil
}

// UserSessions returns the user's living sessions, the one that expires last first, at most
// MaxSessionsPerUser.
func (s *Store) UserSessions(ctx context.Context, user uuid.UUID) ([]Session, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ids, err := s.client.ZRevRange(ctx, indexKey(user), 0, MaxSessionsPerUser-1).Result()
	if err != nil {
		return nil, sessionsUnavailable(err)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	pipe := s.client.Pipeline()
	found := make([]*redis.MapStringStringCmd, len(ids))
	for i, id := range ids {
		found[i] = pipe.HGetAll(ctx, keyPrefix+"session:"+id)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, sessionsUnavailable(err)
	}
	sessions := make([]Session, 0, len(ids))
	var gone []any
	for i, text := range ids {
		id, err := uuid.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("reading the sessions of user %s: %w", user, err)
		}
		sess, err := readSession(id, found[i].Val(), time.Now())
		switch {
		case err == nil:
			sessions = append(sessions, sess)
		case fleet.KindOf(err) == fleet.Unauthenticated:
			gone = append(gone, text)
		default:
			return nil, err
		}
	}
	s.forget(ctx, user, gone)
	return sessions, nil
}

// forget removes the index entries of sessions that are gone. It is housekeeping: the entries are harmless and
// the next reading tries again, so that its failure is nobody's business.
func (s *Store) forget(ctx context.Context, user uuid.UUID, ids []any) {
	if len(ids) > 0 {
		_ = s.client.ZRem(ctx, indexKey(user), ids...).Err()
	}
}

// DeleteUserSessions ends all sessions of the user except those to keep. A session that is created at the
// same time may survive; who changes a password or a role does that first, so that such a session is of the
// new state.
func (s *Store) DeleteUserSessions(ctx context.Context, user uuid.UUID, keep ...uuid.UUID) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ids, err := s.client.ZRange(ctx, indexKey(user), 0, -1).Result()
	if err != nil {
		return sessionsUnavailable(err)
	}
	kept := make(map[string]bool, len(keep))
	for _, id := range keep {
		kept[id.String()] = true
	}
	var ended []string
	var entries []any
	for _, id := range ids {
		if !kept[id] {
			ended = append(ended, id)
			entries = append(entries, id)
		}
	}
	if err := s.deleteSessions(ctx, ended); err != nil {
		return err
	}
	s.forget(ctx, user, entries)
	return nil
}

// deleteSessions deletes key by key, because the keys of a cluster live on several servers.
func (s *Store) deleteSessions(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	pipe := s.client.Pipeline()
	for _, id := range ids {
		pipe.Del(ctx, keyPrefix+"session:"+id)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return sessionsUnavailable(err)
	}
	return nil
}

// readSession turns the fields of a session's hash into a Session. The time is looked at too, because an
// in-process Redis may be late in removing what has expired.
func readSession(id uuid.UUID, fields map[string]string, now time.Time) (Session, error) {
	if len(fields) == 0 {
		return Session{}, sessionEnded()
	}
	user, err1 := uuid.Parse(fields[fieldUser])
	created, err2 := strconv.ParseInt(fields[fieldCreated], 10, 64)
	expires, err3 := strconv.ParseInt(fields[fieldExpires], 10, 64)
	epoch, err4 := strconv.ParseInt(cmp.Or(fields[fieldEpoch], "0"), 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
		return Session{}, fmt.Errorf("reading session %s: a field is missing or malformed", id)
	}
	if now.UnixMilli() >= expires {
		return Session{}, sessionEnded()
	}
	return Session{
		ID: id, UserID: user,
		CreatedAt: time.UnixMilli(created).UTC(), ExpiresAt: time.UnixMilli(expires).UTC(),
		Address: fields[fieldAddress], UserAgent: fields[fieldAgent], Epoch: epoch,
	}, nil
}

func clip(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "")
}

func sessionEnded() error {
	return fleet.Errorf(fleet.Unauthenticated, "the session has ended; sign in again").WithCode(CodeSessionEnded)
}

func sessionsUnavailable(err error) error {
	return fleet.Wrap(err, fleet.Unavailable, "the session store does not answer; try again").
		WithCode(CodeSessionStoreUnavailable).WithRetryAfter(time.Second)
}
