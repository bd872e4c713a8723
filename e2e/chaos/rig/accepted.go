package rig

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rollcallhq/rollcall/e2e/chaos/ledger"
)

// acceptedFile is the client's ledger.
const acceptedFile = "accepted.ndjson"

// note writes a 202 down, durably, before anything else is done with it.
func (c *client) note(q request, a answer, took time.Duration) {
	entry := ledger.Accepted{Request: q.number, ID: a.id, Hosts: q.hosts, Types: q.types}
	line, err := json.Marshal(entry)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		_, err = c.ledger.Write(append(line, '\n'))
	}
	if err == nil {
		err = c.ledger.Sync()
	}
	if err != nil {
		c.failed = errors.Join(c.failed, fmt.Errorf("noting an answer: %w", err))
		return
	}
	c.stats.Accepted++
	if a.replayed {
		c.stats.Replayed++
	}
	c.stats.LongestTry = max(c.stats.LongestTry, took)
}

// readAccepted reads what note has written.
func readAccepted(path string) ([]ledger.Accepted, error) {
	file, err := os.Open(path) //nolint:gosec // our own
	if err != nil {
		return nil, fmt.Errorf("reading the client's ledger: %w", err)
	}
	defer func() { _ = file.Close() }()
	var accepted []ledger.Accepted
	for lines := json.NewDecoder(file); ; {
		var a ledger.Accepted
		if err := lines.Decode(&a); errors.Is(err, io.EOF) {
			return accepted, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading the client's ledger: %w", err)
		}
		accepted = append(accepted, a)
	}
}
