package queue

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

const (
	historyPrefix = "asynq:scheduler_history:" // and the ID of an entry: what it has enqueued, without an end to its life
	historyAge    = 5 * time.Minute            // a scheduler that has enqueued within that time may not have shown itself yet
	scanAtOnce    = 1000
	upkeepTime    = 20 * time.Second
)

// Upkeep looks after what Asynq leaves in Redis.
type Upkeep struct {
	Queue *Queue
	Jobs  []Tick // whose ticks are ours

	// Age is how long ago a scheduler must have ticked last to count as dead; 0: five minutes.
	Age time.Duration
}

// Keep makes the sites' queues known again, lets ticks come again whose ID a dead message takes, and removes what dead
// schedulers have left behind. Only what comes of our ticks is touched. It returns how many traces it removed.
func (u Upkeep) Keep(ctx context.Context, sites []string) (int, error) {
	if err := u.Queue.Register(ctx, sites); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, upkeepTime)
	defer cancel()
	if err := u.Queue.redis.SAdd(ctx, "asynq:queues", Housekeeping).Err(); err != nil {
		return 0, unavailable(err)
	}
	inspector := asynq.NewInspectorFromRedisClient(u.Queue.redis)
	for _, tick := range u.Jobs {
		if err := u.free(ctx, inspector, tickID(tick.Job)); err != nil {
			return 0, unavailable(fmt.Errorf("looking after a tick: %w", err))
		}
	}
	return u.forgetSchedulers(ctx, inspector)
}

// free removes a tick that is archived, or of which something has left only parts: nobody will deliver it, and no other can
// come under its ID.
func (u Upkeep) free(ctx context.Context, inspector *asynq.Inspector, id string) error {
	key := "asynq:{" + Housekeeping + "}:t:" + id
	exists, err := u.Queue.redis.Exists(ctx, key).Result()
	if err != nil {
		return err
	}
	values, err := u.Queue.redis.HMGet(ctx, key, "state", "msg").Result()
	if err != nil {
		return err
	}
	if state := stateOf(values, exists > 0); state != StateArchived && state != StateCompleted {
		return nil
	}
	if inspector.DeleteTask(Housekeeping, id) == nil {
		return nil
	}
	return u.Queue.redis.Del(ctx, key).Err() // Asynq cannot read what is left of it
}

// forgetSchedulers removes the histories of our entries whose scheduler is gone: a scheduler that is killed leaves them, and
// each that starts makes new ones.
func (u Upkeep) forgetSchedulers(ctx context.Context, inspector *asynq.Inspector) (int, error) {
	histories, err := u.histories(ctx)
	if err != nil {
		return 0, unavailable(err)
	}
	entries, err := inspector.SchedulerEntries() // after the histories: whoever has written one since is among them
	if err != nil {
		return 0, unavailable(fmt.Errorf("listing schedulers: %w", err))
	}
	alive := map[string]bool{}
	for _, entry := range entries {
		alive[entry.ID] = true
	}
	age := u.Age
	if age == 0 {
		age = historyAge
	}
	removed := 0
	for _, id := range histories {
		if alive[id] {
			continue
		}
		events, err := inspector.ListSchedulerEnqueueEvents(id, asynq.PageSize(1))
		if err != nil {
			return removed, unavailable(fmt.Errorf("reading what a scheduler did: %w", err))
		}
		if len(events) == 0 || !strings.HasPrefix(events[0].TaskID, typeTick+":") || time.Since(events[0].EnqueuedAt) < age {
			continue
		}
		if err := u.Queue.redis.Del(ctx, historyPrefix+id).Err(); err != nil {
			return removed, unavailable(err)
		}
		removed++
	}
	return removed, nil
}

// histories returns the IDs of all entries that have a history, ours or not.
func (u Upkeep) histories(ctx context.Context) ([]string, error) {
	var mu sync.Mutex
	var ids []string
	scan := func(ctx context.Context, node redis.Cmdable) error {
		keys := node.Scan(ctx, 0, historyPrefix+"*", scanAtOnce).Iterator()
		for keys.Next(ctx) {
			mu.Lock()
			ids = append(ids, strings.TrimPrefix(keys.Val(), historyPrefix))
			mu.Unlock()
		}
		return keys.Err()
	}
	if cluster, ok := u.Queue.redis.(*redis.ClusterClient); ok {
		err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return scan(ctx, node) })
		return ids, err
	}
	return ids, scan(ctx, u.Queue.redis)
}
