// Package ephemeral holds what the replicas of a process share for a while, in Redis: sessions and rate
// limits. Nothing here is the truth about anything that must survive; when Redis loses it, people sign in
// again. Every call ends within a second, and when Redis does not answer it is an error of kind Unavailable.
package ephemeral
