// Package fleet is Rollcall's vocabulary: hosts, credentials, collections, tasks, reports, schedules and actors,
// the kinds of errors and the closed set of codes a task can end with. It knows no database, no wire format
// and no library but uuid; every other package speaks in its words.
package fleet
