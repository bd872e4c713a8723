// Package collector says what is asked of a host and how its answer is read. It is pure: it makes one POSIX-sh
// script for a set of report types, and reads the framed answer into typed, canonical reports. Running the script
// is the business of the caller, so that the same code serves SSH, the machine itself and recordings.
//
// # The frames
//
// Every run has a 128-bit nonce. The script starts with the lines
//
//	#BEGIN-<nonce>
//	#SECTIONS id os mem …
//
// of which the second names the sections that will be sent, in order. The answer on standard output is
//
//	… anything: banners, messages of the day …
//	@@<nonce> BEGIN <clock> <pgid>
//	@@<nonce> S <section>
//	… bytes …
//	@@<nonce> E <section> [t] <status>
//	@@<nonce> END <clock>
//
// Each marker but BEGIN is preceded by a newline of its own, so that a file without a final newline cannot hide it.
// The clock is the host's, in Unix seconds; pgid is the process group that may be killed as a whole, or 0 where the
// script could not have one of its own; t says that a command of the section met its bound; the status is that of
// the section's last command.
//
// # The rules of a section
//
// A section only reads. It runs as an ordinary user, prints raw bytes, and leaves all understanding to the parser,
// except where a secret would otherwise leave the host. What can hang is run under lim, which kills it.
package collector
