package fleet

import (
	"time"

	"github.com/google/uuid"
)

// A Role says what an actor may do; each includes those before it.
type Role string

// The roles.
const (
	Viewer   Role = "viewer"   // reads
	Operator Role = "operator" // also collects, cancels, retries, checks, runs schedules
	Admin    Role = "admin"    // also everything else
)

func (r Role) rank() int {
	switch r {
	case Viewer:
		return 1
	case Operator:
		return 2
	case Admin:
		return 3
	}
	return 0
}

// Valid reports whether r is one of the roles.
func (r Role) Valid() bool { return r.rank() > 0 }

// An ActorKind says what sort of actor it is.
type ActorKind string

// The kinds of actors.
const (
	ActorUser     ActorKind = "user"
	ActorToken    ActorKind = "token"
	ActorSchedule ActorKind = "schedule"
	ActorSystem   ActorKind = "system"
)

// An Actor is whoever something is done for. The zero value may do nothing and see nothing.
type Actor struct {
	Kind      ActorKind
	ID        uuid.UUID  // of the user, token or schedule; zero for the system
	UserID    *uuid.UUID // the user behind it, if there is one
	SessionID *uuid.UUID
	Name      string
	Role      Role
	Selector  *Selector // nil: all hosts
	Address   string    // where the request came from; empty if from nowhere
	Key       string    // the Idempotency-Key that the request is made under; empty if under none
}

// System is the actor of what Rollcall does by itself.
func System() Actor { return Actor{Kind: ActorSystem, Name: "system", Role: Admin} }

// String returns the actor as the audit log names it, such as user:admin; nobody in particular is anonymous.
func (a Actor) String() string {
	if a.Kind == ActorSystem {
		return "system"
	}
	if a.Kind == "" {
		return "anonymous"
	}
	return string(a.Kind) + ":" + a.Name
}

// Require returns an error of kind Forbidden, or Unauthenticated for the zero actor, unless a has role or more.
func (a Actor) Require(role Role) error {
	if a.Kind == "" {
		return Errorf(Unauthenticated, "sign in first")
	}
	if a.Role.rank() < role.rank() || role.rank() == 0 {
		return Errorf(Forbidden, "this needs the role %s, and %s has the role %s", role, a, a.Role)
	}
	return nil
}

// Scope returns what a may see.
func (a Actor) Scope() Scope {
	if !a.Role.Valid() || a.Kind == "" {
		return Scope{}
	}
	return Scope{sees: true, selector: a.Selector}
}

// A Scope is what somebody may see: every store read of host-related things takes one. Its zero value sees nothing.
type Scope struct {
	sees     bool
	selector *Selector
}

// Everything is the scope of the system's own work. Doors never use it: theirs come from Actor.Scope.
func Everything() Scope { return Scope{sees: true} }

// SeesNothing reports whether s is the zero scope.
func (s Scope) SeesNothing() bool { return !s.sees }

// Selector returns the selector that bounds s, or nil if it is not bounded.
func (s Scope) Selector() *Selector { return s.selector }

// Sees reports whether h lies inside s.
func (s Scope) Sees(h Host) bool {
	return s.sees && (s.selector == nil || s.selector.Match(h.Name, h.Site, h.Labels))
}

// A User is an account.
type User struct {
	ID           uuid.UUID
	Username     string
	PasswordHash string
	Role         Role
	Selector     string // empty: all hosts
	Version      int64
	CreatedAt    time.Time
	UpdatedAt    time.Time
	DisabledAt   *time.Time
	DeletedAt    *time.Time // set on a disabled user only; it is never enabled again
	SessionEpoch int64      // sessions of an earlier epoch have ended
	LastLoginAt  *time.Time // with the password; nil: not since it is noted
}

// An AuditEntry is who did what to what.
type AuditEntry struct {
	Action       string // thing.verb, such as host.update
	Denied       bool
	ResourceType string
	ResourceID   string
	Details      map[string]any
}
