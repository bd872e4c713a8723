package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// Housekeeping is the queue of the ticks that say when one of the rare jobs is due.
const Housekeeping = "housekeeping"

// typeTick is the type of the ticks, as Asynqmon shows it, and the beginning of their IDs.
const typeTick = "housekeeping"

// tickPatience is how long a tick may be worked, which is longer than any job takes.
const tickPatience = 30 * time.Minute

// A Tick says how often a job is due.
type Tick struct {
	Job   string
	Every time.Duration // at least a second
}

// PeriodicOptions configure RunPeriodic.
type PeriodicOptions struct {
	Ticks []Tick
	// Do does a job that is due; its context ends with that of RunPeriodic. The same tick may come several times, and from
	// several processes at once.
	Do  func(ctx context.Context, job string) (line string, err error)
	Log *slog.Logger
	// SyncEvery is how often what Asynqmon shows is told to Redis; default 10s.
	SyncEvery time.Duration
}

// tickID is the ID of a job's message. It is always the same, so that however many processes tick, one message waits.
func tickID(job string) string { return typeTick + ":" + job }

// configs are the ticks, as Asynq's manager asks for them.
type configs []*asynq.PeriodicTaskConfig

// GetConfigs returns the ticks. They do not change while a process runs.
func (c configs) GetConfigs() ([]*asynq.PeriodicTaskConfig, error) { return c, nil }

func configsOf(ticks []Tick) (configs, error) {
	var all configs
	for _, tick := range ticks {
		body, err := json.Marshal(map[string]string{"job": tick.Job})
		if err != nil {
			return nil, fmt.Errorf("encoding a tick: %w", err)
		}
		all = append(all, &asynq.PeriodicTaskConfig{
			Cronspec: "@every " + tick.Every.String(), Task: asynq.NewTask(typeTick, body),
			Opts: []asynq.Option{
				asynq.Queue(Housekeeping), asynq.TaskID(tickID(tick.Job)), asynq.MaxRetry(maxDelivery), asynq.Timeout(tickPatience),
			},
		})
	}
	return all, nil
}

// RunPeriodic ticks, with Asynq's PeriodicTaskManager, and works the ticks of all processes, until ctx ends. Nothing depends
// on it: a tick that is lost or doubled is for Do to bear. While Redis does not answer, there are none.
func RunPeriodic(ctx context.Context, client redis.UniversalClient, o PeriodicOptions) error {
	wanted, err := configsOf(o.Ticks)
	if err != nil {
		return err
	}
	if o.SyncEvery == 0 {
		o.SyncEvery = 10 * time.Second
	}
	manager, err := asynq.NewPeriodicTaskManager(asynq.PeriodicTaskManagerOpts{
		PeriodicTaskConfigProvider: wanted, RedisUniversalClient: client, SyncInterval: time.Hour,
		SchedulerOpts: &asynq.SchedulerOpts{HeartbeatInterval: o.SyncEvery, Logger: quiet{o.Log}, LogLevel: asynq.ErrorLevel},
	})
	if err != nil {
		return fmt.Errorf("making the manager of ticks: %w", err)
	}
	server := asynq.NewServerFromRedisClient(client, asynq.Config{
		Concurrency: max(1, len(o.Ticks)), Queues: map[string]int{Housekeeping: 1}, BaseContext: func() context.Context { return ctx },
		ShutdownTimeout: 5 * time.Second, Logger: quiet{o.Log}, LogLevel: asynq.ErrorLevel,
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return 5 * time.Second },
		IsFailure:      func(error) bool { return false }, // an archived message would keep its ID, and with it the job, from coming again
	})
	if err := server.Start(ticked(o)); err != nil {
		return unavailable(fmt.Errorf("starting to serve the ticks: %w", err))
	}
	defer server.Shutdown()
	if err := manager.Start(); err != nil {
		return unavailable(fmt.Errorf("starting to tick: %w", err))
	}
	defer manager.Shutdown()
	<-ctx.Done()
	return nil
}

// ticked returns the handler of ticks. Whatever came of a job is noted in the database: the message has done its duty.
func ticked(o PeriodicOptions) asynq.Handler {
	return asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		var p struct {
			Job string `json:"job"`
		}
		if len(task.Payload()) > 1024 {
			return nil
		}
		if err := json.Unmarshal(task.Payload(), &p); err != nil {
			o.Log.WarnContext(ctx, "tick not read", "error", err)
			return nil
		}
		line, err := o.Do(ctx, p.Job)
		// No result is written for Asynqmon: written into a Redis that was wiped meanwhile, it would take the tick's ID for ever.
		o.Log.DebugContext(ctx, "tick worked", "job", p.Job, "what", line, "error", err)
		return nil
	})
}

// quiet keeps Asynq's complaints out of the log: it says every second that Redis is down, which the relay says already, and
// at its end that it may not close a client that is not its own.
type quiet struct{ log *slog.Logger }

func (l quiet) Debug(args ...any) { l.log.Debug("asynq", "message", fmt.Sprint(args...)) }
func (l quiet) Info(args ...any)  { l.log.Debug("asynq", "message", fmt.Sprint(args...)) }
func (l quiet) Warn(args ...any)  { l.log.Debug("asynq", "message", fmt.Sprint(args...)) }
func (l quiet) Error(args ...any) { l.log.Debug("asynq", "message", fmt.Sprint(args...)) }
func (l quiet) Fatal(args ...any) { l.log.Error("asynq", "message", fmt.Sprint(args...)) }
