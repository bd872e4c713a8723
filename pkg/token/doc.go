// Package token proves who is asking: short-lived access tokens (JWT, HS256), the refresh tokens that renew
// them, long-lived API tokens, and password hashes (argon2id). It keeps nothing: what is stored are the hashes
// it returns, and whether a session still lives is for the session store to say.
package token
