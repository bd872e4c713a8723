package ledger

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// What the first bytes of leaves are: the kind, and the version of its encoding.
const (
	kindEntry = "audit entry 1\n"
	kindSeal  = "audit seal 1\n"
)

const maxDepth = 200 // of details

// errDetails is about details that no entry can have.
var errDetails = errors.New("details are not one JSON value")

// EncodeEntry returns the bytes that an entry's leaf is made of: every column, each text after its length, so that no
// two entries share them. Details are written with sorted names and without spaces, numbers as they are spelled. An
// error means that the details are not JSON.
func EncodeEntry(e fleet.AuditRecord) ([]byte, error) {
	details, err := canonical(e.Details)
	if err != nil {
		return nil, err
	}
	user := ""
	if e.UserID != nil {
		user = e.UserID.String()
	}
	out := appendPosition([]byte(kindEntry), e.AuditPosition)
	out = appendTime(out, e.CreatedAt)
	for _, text := range []string{user, e.Actor, e.Action, e.Outcome, e.ResourceType, e.ResourceID, string(details), e.Address} {
		out = appendText(out, text)
	}
	return out, nil
}

// encodeSeal returns the bytes of a seal's own leaf.
func encodeSeal(s fleet.AuditSeal) []byte {
	out := appendInt([]byte(kindSeal), s.Seq)
	out = appendTime(out, s.Month)
	out = appendPosition(out, s.From)
	out = appendPosition(out, s.To)
	out = appendInt(out, int64(s.Entries))
	out = append(out, s.PrevRoot[:]...)
	return appendTime(out, s.SealedAt)
}

func appendPosition(out []byte, p fleet.AuditPosition) []byte {
	out = appendInt(out, int64(p.Life))
	out = appendInt(out, p.Tx)
	return append(out, p.ID[:]...)
}

func appendInt(out []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(out, uint64(n)) //nolint:gosec // the same 64 bits
}

func appendTime(out []byte, t time.Time) []byte { return appendInt(out, t.UnixMicro()) }

func appendText(out []byte, text string) []byte {
	out = binary.BigEndian.AppendUint64(out, uint64(len(text)))
	return append(out, text...)
}

// canonical returns the one form of a JSON value: names sorted by their bytes, no spaces, texts as encoding/json writes
// them, numbers as they are spelled, which PostgreSQL does in one way.
func canonical(data []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("%w: %w", errDetails, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errDetails
	}
	return appendValue(nil, v, 0)
}

func appendValue(out []byte, v any, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errDetails
	}
	var err error
	switch v := v.(type) {
	case json.Number:
		return append(out, v...), nil
	case []any:
		out = append(out, '[')
		for i, item := range v {
			if i > 0 {
				out = append(out, ',')
			}
			if out, err = appendValue(out, item, depth+1); err != nil {
				return nil, err
			}
		}
		return append(out, ']'), nil
	case map[string]any:
		out = append(out, '{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				out = append(out, ',')
			}
			if out, err = appendValue(out, name, depth); err != nil {
				return nil, err
			}
			if out, err = appendValue(append(out, ':'), v[name], depth+1); err != nil {
				return nil, err
			}
		}
		return append(out, '}'), nil
	}
	text, err := json.Marshal(v) // a text, true, false or null
	return append(out, text...), err
}

// monthOf returns the first moment of the month that t lies in, in UTC.
func monthOf(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}
