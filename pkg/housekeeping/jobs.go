package housekeeping

import "time"

// A Job is one of the rare jobs.
type Job struct {
	Name  string
	Every time.Duration // how long after a success it is due again
}

// The jobs.
const (
	JobPartitions = "partitions" // makes the months to come
	JobRetention  = "retention"  // drops the months that are over, and removes what is kept shorter
	JobContents   = "contents"   // removes contents that nobody refers to
	JobStorage    = "storage"    // notes how large the tables are
	JobForget     = "forget"     // forgets workers and answers whose time is over
	JobSeal       = "seal"       // seals the entries of the audit log
	JobQueues     = "queues"     // makes queues known to a Redis that forgot them, and clears up after dead schedulers
)

// Jobs returns the jobs.
func Jobs() []Job {
	return []Job{
		{JobContents, 6 * time.Hour},
		{JobForget, 30 * time.Second},
		{JobPartitions, 10 * time.Minute},
		{JobQueues, 30 * time.Second},
		{JobRetention, time.Hour},
		{JobSeal, time.Minute},
		{JobStorage, time.Hour},
	}
}
