// Package embedded runs a private PostgreSQL and a private Redis for people who have neither at hand: for
// "rollcall up" and for the tests of the whole repository. The servers are ordinary child processes that listen on
// loopback alone, keep their data and their random passwords in a directory of the caller's, never run with root's
// identity where an account can be had, and end with the process that started them, even if that one is killed.
//
// It speaks to the servers just enough to know that they answer; SQL and Redis commands are other packages' work.
package embedded
