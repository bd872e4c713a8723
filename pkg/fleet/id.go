package fleet

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// NewIDAt returns a UUIDv7 (RFC 9562, section 5.7) of t's millisecond; the rest is random.
func NewIDAt(t time.Time) uuid.UUID {
	var id uuid.UUID
	_, _ = rand.Read(id[6:]) // crypto/rand.Read never fails
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(t.UnixMilli()))
	copy(id[:6], ms[2:])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// TimeOf returns the millisecond of a UUIDv7, in UTC: rows of a month's partition are found by their ID through
// it. For an ID of another version the answer is a time without meaning.
func TimeOf(id uuid.UUID) time.Time {
	var ms [8]byte
	copy(ms[2:], id[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:]))).UTC() //nolint:gosec // 48 bits fit
}

// NewID returns a UUIDv7 of now.
func NewID() uuid.UUID { return NewIDAt(time.Now()) }
