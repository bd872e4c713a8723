package wire

import "time"

// Health is how well a process is.
type Health struct {
	Status    string           `json:"status" enum:"ok,degraded,down"`
	Timestamp time.Time        `json:"timestamp"`
	Checks    map[string]Check `json:"checks,omitempty" doc:"absent where only being alive was asked for"`
	Warnings  []Warning        `json:"warnings,omitempty" doc:"what somebody should look at, although the process is as well as status says; absent if there is nothing"`
}

// A Warning is something that somebody should look at and that makes no process unwell.
type Warning struct {
	Code    string `json:"code" example:"site_unserved"`
	Message string `json:"message" doc:"a sentence"`
}

// A Check is what was found of one thing that a process needs.
type Check struct {
	Status    string  `json:"status" enum:"ok,degraded,down"`
	LatencyMS float64 `json:"latency_ms"`
	Reason    string  `json:"reason,omitempty"`
}
