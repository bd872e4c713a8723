package fleet

import (
	"strings"
	"time"
)

// ParseBlackout reads a window as people write it in one line: "sat,sun 22:00-06:00", "12:00-13:00" for every day, or two
// RFC 3339 times, "2027-01-01T00:00:00Z/2027-01-02T00:00:00Z". Whether its days and times exist is looked at where the
// schedule is stored.
func ParseBlackout(text string) (Blackout, error) {
	var b Blackout
	if begins, ends, once := strings.Cut(text, "/"); once {
		from, err := time.Parse(time.RFC3339, strings.TrimSpace(begins))
		to, toErr := time.Parse(time.RFC3339, strings.TrimSpace(ends))
		if err == nil && toErr == nil {
			return Blackout{StartsAt: &from, EndsAt: &to}, nil
		}
	} else if words := strings.Fields(text); len(words) == 1 || len(words) == 2 {
		if len(words) == 2 {
			b.Days = strings.Split(words[0], ",")
		}
		var weekly bool
		if b.From, b.To, weekly = strings.Cut(words[len(words)-1], "-"); weekly {
			return b, nil
		}
	}
	return Blackout{}, InvalidField("blackouts", "%q is neither days and times such as sat,sun 22:00-06:00 nor two times with a slash between them", text)
}

// String returns the line that ParseBlackout reads.
func (b Blackout) String() string {
	if b.StartsAt != nil && b.EndsAt != nil {
		return b.StartsAt.UTC().Format(time.RFC3339) + "/" + b.EndsAt.UTC().Format(time.RFC3339)
	}
	if len(b.Days) == 0 {
		return b.From + "-" + b.To
	}
	return strings.Join(b.Days, ",") + " " + b.From + "-" + b.To
}
