// Package token proves who is asking: short-lived access tokens (JWT, HS256), the refresh tokens that renew
// them, long-lived API tokens, and password hashes (argon2id). It keeps nothing: what is stored are the hashes
// it returns, and whether a session still lives is for the session store to say.
//
// The form of an API token does not change, so that scanners for leaked secrets can rely on it. It is 52 characters long:
// the prefix rc_, 43 digits of base 62 (0-9, A-Z, a-z; the most significant first) of 256 random bits, and 6 digits of the
// same base of the CRC-32 (IEEE 802.3) of those 43 characters, with leading zeros. A scanner looks for
//
//	\brc_[0-9A-Za-z]{49}\b
//
// and drops what has another checksum. What is stored is the SHA-256 of the whole token.
package token
