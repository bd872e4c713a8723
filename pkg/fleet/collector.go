package fleet

import (
	"time"

	"github.com/google/uuid"
)

// A Collector is one version of a custom collector.
type Collector struct {
	Name        string
	Version     int        // given by the store: each change is a new one
	Newest      int        // the newest version of the name
	Definition  []byte     // JSON of a collector.Definition without its version; nil in lists
	Description string     // of the definition
	Systems     []string   // those that the definition has scripts for, sorted
	Actor       string     // who made this version, in words
	CreatedAt   time.Time  // of this version
	RemovedAt   *time.Time // of the collector as a whole; its past reports stay
}

// A Trial is what a collection of kind try runs on its one host, and what came of it.
type Trial struct {
	CollectionID uuid.UUID
	Name         string
	Version      int    // 0: a definition that is not stored
	Definition   []byte // JSON of a collector.Definition
	Result       []byte // JSON; nil until the host has answered
	ExpiresAt    time.Time
}
