package collection

import "time"

// SetPace makes w live faster: how often it beats, when it gives itself up, and how long it waits before trying a host
// again.
func SetPace(w *Worker, beat, fence, retry time.Duration) {
	w.pace = pace{beat: beat, fence: fence, stray: fence, retry: retry}
}

// SetAges makes w call things lost earlier: a silent worker, a message without a claim, one that is stuck.
func SetAges(w *Sweeper, silence, rung, stuck time.Duration) {
	w.ages = ages{silence: silence, rung: rung, stuck: stuck, completed: stuck}
}

// SetPatience says how long s waits for the queue before it answers that a collection is delayed.
func SetPatience(s *Service, d time.Duration) { s.patience = d }

// RingLimit is how many tasks whoever triggers rings for at once.
const RingLimit = ringLimit
