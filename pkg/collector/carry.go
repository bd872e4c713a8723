package collector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gowebpki/jcs"
)

// CarryOver returns r with the facts that this run could not tell (Missing) as an earlier report of the same type and
// schema version knew them, so that a section that timed out does not look like a change. former are the canonical
// facts of that report, or nil if there is none. What is carried over stays in Unavailable and Missing. A report that
// failed, or that misses nothing, is returned as it is.
func (r Report) CarryOver(former []byte) (Report, error) {
	if r.Status == StatusFailed || len(r.Missing) == 0 || len(former) == 0 {
		return r, nil
	}
	old, err := decodeFacts(former)
	if err != nil {
		return r, fmt.Errorf("decoding the former facts: %w", err)
	}
	facts, err := decodeFacts(r.Facts)
	if err != nil {
		return r, fmt.Errorf("decoding facts: %w", err)
	}
	for _, path := range r.Missing {
		carry(facts, old, strings.Split(path, "."))
	}
	raw, err := json.Marshal(facts)
	if err != nil {
		return r, fmt.Errorf("encoding facts: %w", err)
	}
	if r.Facts, err = jcs.Transform(raw); err != nil {
		return r, fmt.Errorf("canonicalising facts: %w", err)
	}
	r.ContentHash = ContentHash(r.Type, r.SchemaVersion, r.Facts)
	return r, nil
}

// decodeFacts decodes an object with its numbers as they are written.
func decodeFacts(raw []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var facts map[string]any
	err := d.Decode(&facts)
	return facts, err
}

// carry copies what lies under path from old to facts. A * stands for every name that facts have there. Where facts
// have nothing of the kind, such as a metric, nothing happens.
func carry(facts, old map[string]any, path []string) {
	names := []string{path[0]}
	if path[0] == "*" {
		names = names[:0]
		for name := range facts {
			names = append(names, name)
		}
	}
	for _, name := range names {
		before, known := old[name]
		if _, there := facts[name]; !there || !known {
			continue
		}
		if len(path) == 1 {
			facts[name] = before
			continue
		}
		inner, ok1 := facts[name].(map[string]any)
		innerOld, ok2 := before.(map[string]any)
		if ok1 && ok2 {
			carry(inner, innerOld, path[1:])
		}
	}
}
