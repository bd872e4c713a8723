package command

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A share is a part of a whole, from 0 to 1, that may be given in per cent.
type share float64

// UnmarshalText reads 1%, 0.5% or 0.01.
func (s *share) UnmarshalText(text []byte) error {
	digits, percent := strings.CutSuffix(string(text), "%")
	v, err := strconv.ParseFloat(digits, 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) { // what is not a number is no share either
		return fmt.Errorf("%q is not a share such as 1%% or 0.01", text)
	}
	*s = share(v)
	return nil
}

var errDrift = errors.New("--drift is about simulated hosts: say how many with --simulate")
