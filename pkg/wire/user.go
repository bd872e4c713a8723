package wire

import (
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A User is an account.
type User struct {
	ID         uuid.UUID  `json:"id" format:"uuid"`
	Username   string     `json:"username"`
	Role       string     `json:"role" enum:"viewer,operator,admin"`
	Selector   *string    `json:"selector" doc:"which hosts it sees; null means all"`
	Disabled   bool       `json:"disabled"`
	DisabledAt *time.Time `json:"disabled_at"`
	Version    int64      `json:"version" doc:"one more with each change; the ETag"`
	CreatedAt  time.Time  `json:"created_at"`
	UpdatedAt  time.Time  `json:"updated_at"`

	LastLoginAt *time.Time `json:"last_login_at" doc:"when it signed in with its password last; null if not since this is noted"`
}

// UserView returns u as the API shows it.
func UserView(u fleet.User) User {
	return User{
		ID: u.ID, Username: u.Username, Role: string(u.Role), Selector: orNull(u.Selector), Disabled: u.DisabledAt != nil,
		DisabledAt: utcOrNull(u.DisabledAt), Version: u.Version, CreatedAt: utc(u.CreatedAt), UpdatedAt: utc(u.UpdatedAt),
		LastLoginAt: utcOrNull(u.LastLoginAt),
	}
}

// A UserInput is a user as it is added.
type UserInput struct {
	Username string  `json:"username" example:"ann" doc:"lower-case letters, digits and . _ @ -, at most 63; a name is given once, even if its user is deleted"`
	Password *Secret `json:"password,omitempty" nullable:"true" writeOnly:"true" doc:"at least 12 characters, at most 1,024 bytes; without it the answer has a one-time link with which the user sets one"`
	Role     string  `json:"role" enum:"viewer,operator,admin"`
	Selector *string `json:"selector,omitempty" nullable:"true" example:"env=staging" doc:"which hosts it sees; null means all"`
}

// A UserPatch changes a user (RFC 7396).
type UserPatch struct {
	Role     *string `json:"role,omitempty" enum:"viewer,operator,admin"`
	Selector *string `json:"selector,omitempty" nullable:"true" doc:"which hosts it sees; null means all"`
	Disabled *bool   `json:"disabled,omitempty" doc:"true ends all its sessions at once, and its API tokens are refused until it is enabled again"`
}

// A NewUser is a user that was made.
type NewUser struct {
	User
	Reset *ResetLink `json:"reset,omitempty" doc:"the one-time link with which the user sets a password; absent if one was given"`
}

// A ResetLink is a one-time link with which a user sets a password. It is shown once.
type ResetLink struct {
	Path      string    `json:"path" example:"/reset#rcp_…" doc:"of the page, below the address of the web UI"`
	Token     string    `json:"token" doc:"for POST /auth/reset"`
	ExpiresAt time.Time `json:"expires_at"`
}

// A PasswordReset sets the password of the user that a one-time link is for.
type PasswordReset struct {
	Token    Secret `json:"token" writeOnly:"true"`
	Password Secret `json:"password" writeOnly:"true" doc:"at least 12 characters, at most 1,024 bytes"`
}

// A PasswordChange changes the password of whoever is signed in.
type PasswordChange struct {
	CurrentPassword Secret `json:"current_password" writeOnly:"true"`
	NewPassword     Secret `json:"new_password" writeOnly:"true" doc:"at least 12 characters, at most 1,024 bytes"`
}

// A Session is a user who is signed in somewhere.
type Session struct {
	ID        uuid.UUID `json:"id" format:"uuid" doc:"it names the session and opens nothing"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	Address   string    `json:"address" doc:"from where it was begun"`
	UserAgent string    `json:"user_agent" doc:"as the client calls itself"`
	Current   bool      `json:"current" doc:"it is the one of this request"`
}
