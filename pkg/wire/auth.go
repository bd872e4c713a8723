package wire

import (
	"time"

	"github.com/google/uuid"
)

// A Login is a user's name and password.
type Login struct {
	Username string `json:"username" example:"admin"`
	Password Secret `json:"password" writeOnly:"true"`
}

// A Refresh exchanges a refresh token for new tokens. It is good once.
type Refresh struct {
	RefreshToken Secret `json:"refresh_token" writeOnly:"true"`
}

// Tokens are what a client gets for a password or a refresh token.
type Tokens struct {
	AccessToken  string `json:"access_token" doc:"for the header Authorization: Bearer"`
	TokenType    string `json:"token_type" enum:"Bearer"`
	ExpiresIn    int    `json:"expires_in" doc:"seconds that the access token is good for"`
	RefreshToken string `json:"refresh_token"`
}

// An Actor is whoever a request is made for.
type Actor struct {
	ID        uuid.UUID  `json:"id" format:"uuid" doc:"of the user or the API token"`
	Kind      string     `json:"kind" enum:"user,token,schedule,system"`
	Name      string     `json:"name"`
	Username  string     `json:"username" doc:"of the user behind it"`
	UserID    *uuid.UUID `json:"user_id" nullable:"true" format:"uuid"`
	Role      string     `json:"role" enum:"viewer,operator,admin"`
	Selector  *string    `json:"selector" doc:"which hosts it sees; null means all"`
	ExpiresAt *time.Time `json:"expires_at" doc:"of the session or API token; null means never"`
}

// A TokenInput asks for an API token.
type TokenInput struct {
	Name      string     `json:"name" example:"ci"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" nullable:"true" doc:"null means never"`
	Role      *string    `json:"role,omitempty" nullable:"true" doc:"viewer, operator or admin, at most one's own; null means one's own, as it is at each use"`
	Selector  *string    `json:"selector,omitempty" nullable:"true" doc:"which of the hosts that one sees the token sees; null means all of them"`
}

// An APIToken is what is known of an API token.
type APIToken struct {
	ID         uuid.UUID  `json:"id" format:"uuid"`
	Name       string     `json:"name"`
	Role       *string    `json:"role" nullable:"true" doc:"null means its owner's"`
	Selector   *string    `json:"selector" nullable:"true" doc:"within its owner's; null means just that"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	LastUsedAt *time.Time `json:"last_used_at" doc:"right to a minute"`
}

// A NewAPIToken is an API token with its secret, which is shown once.
type NewAPIToken struct {
	APIToken
	Token string `json:"token" doc:"for the header Authorization: Bearer; it is shown this once" example:"rc_…"`
}
