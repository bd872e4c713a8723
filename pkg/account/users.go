package account

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

const (
	// userCacheTime is how long a change of a user may go unnoticed by another replica.
	userCacheTime = 2 * time.Second
	userCacheSize = 10_000
)

// An identity is what of a user matters for what is done in its name.
type identity struct {
	id       uuid.UUID
	name     string
	role     fleet.Role
	selector *fleet.Selector // nil: all hosts
	disabled bool
	epoch    int64 // sessions of an earlier one have ended
}

func (i identity) actor() fleet.Actor {
	return fleet.Actor{Kind: fleet.ActorUser, ID: i.id, UserID: &i.id, Name: i.name, Role: i.role, Selector: i.selector}
}

// newIdentity fails where the stored selector cannot be read: who is bounded by something unknown sees nothing.
func newIdentity(u fleet.User) (identity, error) {
	selector, err := storedSelector(u.Selector)
	if err != nil {
		return identity{}, err
	}
	return identity{id: u.ID, name: u.Username, role: u.Role, selector: selector, disabled: u.DisabledAt != nil, epoch: u.SessionEpoch}, nil
}

// storedSelector reads a selector of the database, where the empty one means no bounds.
func storedSelector(text string) (*fleet.Selector, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no bounds
	}
	selector, err := fleet.ParseSelector(text)
	if err != nil {
		return nil, fleet.Wrap(err, fleet.Internal, "a stored selector cannot be read")
	}
	return &selector, nil
}

// A userCache spares the database the same question many times a second. The zero value is ready.
type userCache struct {
	mu      sync.Mutex
	entries map[uuid.UUID]cachedUser
}

type cachedUser struct {
	identity
	until time.Time
}

// get returns the user, as it was at most userCacheTime ago.
func (c *userCache) get(ctx context.Context, db *store.Store, id uuid.UUID, now time.Time) (identity, error) {
	c.mu.Lock()
	entry, ok := c.entries[id]
	c.mu.Unlock()
	if ok && now.Before(entry.until) {
		return entry.identity, nil
	}
	return c.fetch(ctx, db, id, now)
}

// drop forgets the user, so that the next question about it is asked anew.
func (c *userCache) drop(id uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, id)
}

// fetch returns the user as it is now. A user that does not exist is one whose sessions have ended.
func (c *userCache) fetch(ctx context.Context, db *store.Store, id uuid.UUID, now time.Time) (identity, error) {
	user, err := db.User(ctx, id)
	if fleet.KindOf(err) == fleet.NotFound {
		return identity{}, sessionEnded()
	}
	if err != nil {
		return identity{}, err
	}
	found, err := newIdentity(user)
	if err != nil {
		return identity{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil || len(c.entries) >= userCacheSize {
		c.entries = make(map[uuid.UUID]cachedUser)
	}
	c.entries[id] = cachedUser{identity: found, until: now.Add(userCacheTime)}
	return found, nil
}
