package command

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A lifetime is a time that may be given in days.
type lifetime time.Duration

const maxDays = 100 * 365

// UnmarshalText reads 90d, 12h or 30m.
func (l *lifetime) UnmarshalText(text []byte) error {
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil || n == 0 || n > maxDays {
			return fmt.Errorf("%q is not a number of days such as 90d", text)
		}
		*l = lifetime(time.Duration(n) * day)
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is not a time such as 90d or 12h", text)
	}
	*l = lifetime(d)
	return nil
}
