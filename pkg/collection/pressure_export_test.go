package collection

import "time"

// SetCountFor says how long s thinks that a count of the waiting tasks is good.
func SetCountFor(s *Service, d time.Duration) { s.gate.fresh = d }
