package simulate

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// Startups are what sshd calls MaxStartups: how many connections may be open that have not logged in. From Start on,
// Rate percent of new ones are dropped, more and more of them as there are more, and from Full on all. The zero value
// drops none.
type Startups struct {
	Start, Rate, Full int
}

// UnmarshalText reads start:rate:full, such as sshd's own default 10:30:100, or one number from which all are dropped.
func (s *Startups) UnmarshalText(text []byte) error {
	parts := strings.Split(string(text), ":")
	numbers := make([]int, len(parts))
	for i, part := range parts {
		number, err := strconv.Atoi(part)
		if err != nil {
			return fmt.Errorf("%q is not of the form 10:30:100", text)
		}
		numbers[i] = number
	}
	read := Startups{Start: numbers[0], Rate: 100, Full: numbers[0]}
	switch len(numbers) {
	case 1:
	case 3:
		read = Startups{Start: numbers[0], Rate: numbers[1], Full: numbers[2]}
	default:
		return fmt.Errorf("%q is not of the form 10:30:100", text)
	}
	if read == (Startups{}) {
		return fmt.Errorf("%q would let nobody in", text)
	}
	if err := read.check(); err != nil {
		return err
	}
	*s = read
	return nil
}

func (s Startups) check() error {
	if s == (Startups{}) {
		return nil
	}
	if s.Start < 1 || s.Rate < 1 || s.Rate > 100 || s.Full < s.Start {
		return fleet.InvalidField("max_startups", "must be start:rate:full with 1 <= start <= full and a rate from 1 to 100")
	}
	return nil
}

// drops reports whether a new connection is dropped while so many others have not logged in. The dice
// tell from 0 to 99.
func (s Startups) drops(others int64, dice func() int64) bool {
	start, rate, full := int64(s.Start), int64(s.Rate), int64(s.Full)
	switch {
	case s == Startups{} || others < start:
		return false
	case others >= full || rate == 100:
		return true
	}
	return dice() < rate+(100-rate)*(others-start)/(full-start)
}

// dice returns a number from 0 to 99 that follows from the host and the number of the connection.
func (h *host) dice(connection int64) int64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "startups %x %d", h.random, connection))
	return int64(binary.BigEndian.Uint32(sum[:4]) % 100)
}
