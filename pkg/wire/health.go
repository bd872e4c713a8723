package wire

import "time"

// Health is how well a process is.
type Health struct {
	Status    string           `json:"status" enum:"ok,degraded,down"`
	Timestamp time.Time        `json:"timestamp"`
	Checks    map[string]Check `json:"checks,omitempty" doc:"absent where only being alive was asked for"`
}

// A Check is what was found of one thing that a process needs.
type Check struct {
	Status    string  `json:"status" enum:"ok,degraded,down"`
	LatencyMS float64 `json:"latency_ms"`
	Reason    string  `json:"reason,omitempty"`
}
