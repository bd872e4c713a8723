package queue

import (
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
)

// maxSized bounds how many queues are looked at; each costs Redis a few commands.
const maxSized = 300

// A Size is what waits on a queue and for how long.
type Size struct {
	Queue   string
	States  map[string]int // messages by Asynq's state: pending, active, scheduled, retry, archived, completed
	Latency time.Duration  // age of the oldest pending message
	Paused  bool
}

// Sizes returns the sizes of the queues there are, at most 300. A Redis that does not answer is an error.
func (q *Queue) Sizes() ([]Size, error) {
	inspector := asynq.NewInspectorFromRedisClient(q.redis)
	names, err := inspector.Queues()
	if err != nil {
		return nil, fmt.Errorf("looking for the queues: %w", err)
	}
	sizes := make([]Size, 0, len(names))
	for _, name := range names[:min(len(names), maxSized)] {
		info, err := inspector.GetQueueInfo(name)
		if errors.Is(err, asynq.ErrQueueNotFound) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("looking at queue %s: %w", name, err)
		}
		sizes = append(sizes, Size{
			Queue: name, Latency: info.Latency, Paused: info.Paused,
			States: map[string]int{
				"pending": info.Pending, "active": info.Active, "scheduled": info.Scheduled,
				"retry": info.Retry, "archived": info.Archived, "completed": info.Completed,
			},
		})
	}
	return sizes, nil
}
