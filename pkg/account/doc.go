// Package account says who somebody is: it signs users in and out, keeps their sessions and API tokens, and turns what
// a caller shows, an access token, a cookie or an API token, into the fleet.Actor that everything else is done for.
//
// Users and API tokens live in PostgreSQL, sessions and the counting of sign-ins in Redis. While Redis is down nobody
// signs in and sessions are not accepted; API tokens are.
package account
