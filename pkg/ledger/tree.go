package ledger

import (
	"crypto/sha256"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Hash is a SHA-256 sum.
type Hash = [sha256.Size]byte

func leafOf(data []byte) Hash { return sha256.Sum256(append([]byte{0}, data...)) }

func nodeOf(left, right Hash) Hash {
	data := make([]byte, 1, 1+2*sha256.Size)
	data[0] = 1
	return sha256.Sum256(append(append(data, left[:]...), right[:]...))
}

// RootOf returns the root of the tree over leaves, which are hashes already; that of none is the sum of nothing.
func RootOf(leaves []Hash) Hash {
	if len(leaves) == 0 {
		return sha256.Sum256(nil)
	}
	if len(leaves) == 1 {
		return leaves[0]
	}
	half := 1
	for half*2 < len(leaves) {
		half *= 2
	}
	return nodeOf(RootOf(leaves[:half]), RootOf(leaves[half:]))
}

// rootOf returns the root of a seal, from its fields.
func rootOf(s fleet.AuditSeal) Hash { return nodeOf(leafOf(encodeSeal(s)), s.EntriesRoot) }

// LeafOf returns the leaf of an entry. An error means that its details are not JSON.
func LeafOf(e fleet.AuditRecord) (Hash, error) {
	data, err := EncodeEntry(e)
	if err != nil {
		return Hash{}, err
	}
	return leafOf(data), nil
}

// Seal returns the seals of entries, which come next after last in the order of their positions: one for each month
// among them, oldest month first. The zero last is that of a log without seals; without entries there is nothing to seal.
func Seal(last fleet.AuditSeal, entries []fleet.AuditRecord, at time.Time) ([]fleet.AuditSeal, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	leaves := map[time.Time][]Hash{}
	var months []time.Time
	for _, e := range entries {
		leaf, err := LeafOf(e)
		if err != nil {
			return nil, err
		}
		month := monthOf(e.CreatedAt)
		if leaves[month] == nil {
			months = append(months, month)
		}
		leaves[month] = append(leaves[month], leaf)
	}
	sortTimes(months)
	from, to := last.To, entries[len(entries)-1].AuditPosition
	seals := make([]fleet.AuditSeal, 0, len(months))
	for _, month := range months {
		s := fleet.AuditSeal{
			Seq: last.Seq + 1, Month: month, From: from, To: to, Entries: len(leaves[month]), EntriesRoot: RootOf(leaves[month]),
			PrevRoot: last.Root, SealedAt: at.UTC().Truncate(time.Microsecond),
		}
		s.Root = rootOf(s)
		seals = append(seals, s)
		last = s
	}
	return seals, nil
}
