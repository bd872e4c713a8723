// Package queue is Asynq on Redis: the bell that tells workers of tasks. A message names a task and its epoch and
// nothing else; PostgreSQL is the truth, so losing or repeating a message is harmless.
//
// Queues are named collect.<site>.<lane>, the lanes being the priorities, so that Asynqmon shows who waits where.
// A message's ID is <task>:<epoch>: ringing twice for one epoch is one message.
package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// typeCollect is the type of the messages, as Asynqmon shows it.
const typeCollect = "collect"

const (
	retention   = 10 * time.Minute        // how long an answered message stays visible in Asynqmon
	maxDelivery = 50                      // deliveries that may fail before a claim
	atOnce      = 32                      // messages on their way to Redis at once
	patience    = 1500 * time.Millisecond // for one exchange with Redis
)

// A Queue puts messages on the queues and looks after them. It is safe for concurrent use.
type Queue struct {
	redis  redis.UniversalClient
	client *asynq.Client
}

// New returns a Queue on a Redis client, which stays the caller's to close.
func New(client redis.UniversalClient) *Queue {
	return &Queue{redis: client, client: asynq.NewClientFromRedisClient(client)}
}

// Name returns the queue of a site's lane.
func Name(site string, lane fleet.Priority) string { return "collect." + site + "." + string(lane) }

// payload is a message as it lies in Redis.
type payload struct {
	TaskID uuid.UUID `json:"task_id"`
	Epoch  int       `json:"epoch"`
}

// ID returns the ID under which Asynq knows the message.
func ID(m fleet.Message) string { return fmt.Sprintf("%s:%d", m.TaskID, m.Epoch) }

// Ring puts the messages on their queues. A message that is there already is no error. On error some of them may be
// there; ringing all of them again is harmless. A Redis that does not answer is an error of kind Unavailable.
func (q *Queue) Ring(ctx context.Context, messages []fleet.Message) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, atOnce)
	for _, m := range messages {
		slots <- struct{}{}
		if ctx.Err() != nil {
			<-slots
			break
		}
		go func() {
			defer func() { <-slots }()
			if err := q.ring(ctx, m); err != nil {
				cancel(err)
			}
		}()
	}
	for range atOnce { // wait for the last ones
		slots <- struct{}{}
	}
	if err := context.Cause(ctx); err != nil {
		return unavailable(err)
	}
	return nil
}

func (q *Queue) ring(ctx context.Context, m fleet.Message) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	body, err := json.Marshal(payload{TaskID: m.TaskID, Epoch: m.Epoch})
	if err != nil {
		return fmt.Errorf("encoding a message: %w", err)
	}
	_, err = q.client.EnqueueContext(ctx, asynq.NewTaskWithHeaders(typeCollect, body, headersOf(m)),
		asynq.Queue(Name(m.Site, m.Priority)),
		asynq.TaskID(ID(m)),
		asynq.MaxRetry(maxDelivery),
		asynq.Timeout(fleet.MaxDeadline+time.Minute),
		asynq.Retention(retention))
	if errors.Is(err, asynq.ErrTaskIDConflict) {
		return nil
	}
	return err
}

// The headers of a message say which trace its work belongs to, in the form of W3C Trace Context.
const (
	headerParent = "traceparent"
	headerLink   = "tracelink" // instead, where the work is a trace of its own
)

func headersOf(m fleet.Message) map[string]string {
	switch {
	case m.Trace == "":
		return nil
	case m.Linked:
		return map[string]string{headerLink: m.Trace}
	default:
		return map[string]string{headerParent: m.Trace}
	}
}

// Ping answers nil if Redis answers within a second.
func (q *Queue) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := q.redis.Ping(ctx).Err(); err != nil {
		return unavailable(err)
	}
	return nil
}

func unavailable(err error) error {
	return fleet.Wrap(err, fleet.Unavailable, "The queue does not answer; try again shortly.").
		WithCode("queue_unavailable").WithRetryAfter(time.Second)
}

// A State is what Redis knows of a message.
type State string

// The states of a message, in Asynq's words.
const (
	StateAbsent    State = "absent"
	StatePending   State = "pending"
	StateActive    State = "active"
	StateScheduled State = "scheduled"
	StateRetry     State = "retry"
	StateArchived  State = "archived"
	StateCompleted State = "completed"
)

// States returns what Redis knows of each of the messages, in one round trip.
func (q *Queue) States(ctx context.Context, messages []fleet.Message) ([]State, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pipe := q.redis.Pipeline()
	replies, exist := make([]*redis.SliceCmd, len(messages)), make([]*redis.IntCmd, len(messages))
	for i, m := range messages {
		// Asynq keeps a message in the hash asynq:{<queue>}:t:<id>.
		key := "asynq:{" + Name(m.Site, m.Priority) + "}:t:" + ID(m)
		replies[i], exist[i] = pipe.HMGet(ctx, key, "state", "msg"), pipe.Exists(ctx, key)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, unavailable(err)
	}
	states := make([]State, len(messages))
	for i, reply := range replies {
		states[i] = stateOf(reply.Val(), exist[i].Val() > 0)
	}
	return states, nil
}

// stateOf reads state and msg. A hash that lacks either takes the message's ID for ever, as an archived one does, and
// nobody will deliver it: it is what a lost message left behind, or all that a handler's result went into when Redis
// had been wiped before.
func stateOf(values []any, exists bool) State {
	if !exists {
		return StateAbsent
	}
	if len(values) != 2 || values[0] == nil || values[1] == nil {
		return StateArchived
	}
	state, _ := values[0].(string)
	return State(state)
}

// Register makes the sites' queues known to Asynqmon again, which a Redis that lost its data has forgotten.
func (q *Queue) Register(ctx context.Context, sites []string) error {
	var names []any
	for _, site := range sites {
		for _, lane := range fleet.Priorities() {
			names = append(names, Name(site, lane))
		}
	}
	if len(names) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := q.redis.SAdd(ctx, "asynq:queues", names...).Err(); err != nil {
		return unavailable(err)
	}
	return nil
}

// read returns the message that an Asynq task carries.
func read(task *asynq.Task, queue string) (fleet.Message, error) {
	var p payload
	if len(task.Payload()) > 1024 {
		return fleet.Message{}, fleet.Errorf(fleet.Invalid, "a message of %d bytes", len(task.Payload()))
	}
	if err := json.Unmarshal(task.Payload(), &p); err != nil || p.TaskID == uuid.Nil || p.Epoch < 1 {
		return fleet.Message{}, fleet.Wrap(err, fleet.Invalid, "not a collect message")
	}
	m := fleet.Message{TaskID: p.TaskID, Epoch: p.Epoch, Trace: task.Headers()[headerParent]}
	if link := task.Headers()[headerLink]; link != "" {
		m.Trace, m.Linked = link, true
	}
	if parts := strings.Split(queue, "."); len(parts) == 3 {
		m.Site, m.Priority = parts[1], fleet.Priority(parts[2])
	}
	return m, nil
}
