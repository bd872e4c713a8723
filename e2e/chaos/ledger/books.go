// Package ledger compares what three parties of a run know of it: the client, who noted every answer before it went on;
// the hosts, which counted what they executed; and the database. It finds what was lost and what was done twice.
package ledger

import "github.com/google/uuid"

// Books are the three ledgers at the end of a run, when no process works any more.
type Books struct {
	Client   []Accepted
	Hosts    map[string]int64 // executions by host name
	Database Database
}

// An Accepted is a request that was answered with 202.
type Accepted struct {
	Request int       `json:"request"` // the client's number of the request, which its collection carries, too
	ID      uuid.UUID `json:"id"`      // of the collection
	Hosts   []string  `json:"hosts"`   // names of those that were asked for
	Types   []string  `json:"types"`
}

// A Database is what the database says of the run.
type Database struct {
	Collections []Collection
	Tasks       []Task
	Reports     []Report
	Changes     int // changes of facts, on hosts that change nothing
	Overlaps    int // pairs of periods of one host and type that overlap
}

// A Collection is a row of the open collections or of those in history.
type Collection struct {
	ID      uuid.UUID
	Request int // the client's number; 0 if it carries none
	Open    bool
	State   string
	Types   []string
	Total   int
	Counts  map[string]int // by state of task; nil while it is open
}

// A Task is a row of the open tasks or of those in history.
type Task struct {
	ID         uuid.UUID
	Collection uuid.UUID
	Host       string
	Open       bool
	State      string
	Attempts   int // claims
	Code       string
	Failed     []string // report types that failed
}

// answered reports whether the task claims that its host answered.
func (t Task) answered() bool { return t.State == "succeeded" || t.State == "partial" }

// A Report is a stored report.
type Report struct {
	Task uuid.UUID
	Type string
}
