package queue_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/rollcallhq/rollcall/pkg/embedded"
)

// The tests in the files asynq_*_test.go hold what docs/asynq.md says of Asynq, and nothing of ours. Where one fails
// after an upgrade, Asynq has changed: read the section of that page which names the test before changing either.

const aQueue = "q" // the queue of most of these tests; each has a Redis of its own

// redisURL returns the address of a Redis of the test's own, for a bubble of synctest's. In there time is fake and
// Redis is real: two minutes of waiting cost no time, and every interval of Asynq's is exact. Clients come from dial.
//
// What Redis itself measures, which is the time to live of a key, goes by the real clock and hence stands still.
func redisURL(t *testing.T) string {
	t.Helper()
	server, err := embedded.RedisForTests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
	return server.URL()
}

// pass lets fake time pass.
func pass(d time.Duration) { <-time.After(d) }

// within returns what comes out of c, and fails the test if that takes longer.
func within[T any](t *testing.T, c <-chan T, d time.Duration) T {
	t.Helper()
	select {
	case value := <-c:
		return value
	case <-time.After(d):
		t.Fatalf("waited in vain for %s", d)
		panic("unreachable")
	}
}

// A cable is a client's way to Redis, which can be cut and can lose an answer.
type cable struct {
	mu    sync.Mutex
	isCut bool
	lose  string // the answer to the first request that contains it is lost; empty: none
	conns []*strand
}

// dial returns a client for the bubble, and the cable that it hangs on.
func dial(t *testing.T, url string) (*redis.Client, *cable) {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{}
	o.Dialer, o.Protocol, o.PoolSize, o.DisableIdentity = c.dial, 2, 5000, true // who waits for a connection leaves a timer of the bubble to others
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	client := redis.NewClient(o)
	client.AddHook(watcher(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		err := next(ctx, cmd)
		if _, answered := errors.AsType[redis.Error](err); err != nil && !answered {
			pass(100 * time.Millisecond) // Asynq's fetch loop does not wait after an error, and while it spins fake time stands still
		}
		return err
	}))
	t.Cleanup(func() {
		_ = client.Close()
		pass(2 * time.Second) // for its pool to notice
	})
	return client, c
}

func (c *cable) dial(_ context.Context, network, address string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isCut {
		return nil, syscall.ECONNREFUSED
	}
	conn, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	s := &strand{Conn: conn, cable: c, asked: make(chan struct{}, 100), closed: make(chan struct{})}
	c.conns = append(c.conns, s)
	return s, nil
}

// cut ends the connections and refuses new ones, which to Redis is what kill -9 of the process looks like.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = true
	for _, s := range c.conns {
		_ = s.Close()
	}
}

// mend lets the client connect again.
func (c *cable) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = false
}

// loseAnswer makes the connection break when Redis has answered the next request that contains text.
func (c *cable) loseAnswer(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lose = text
}

// A strand is one connection. Who waits on the network holds fake time still, which is right for an answer that is on
// its way and wrong for a subscriber to whom nobody may ever speak: that one waits for a request of its own.
type strand struct {
	net.Conn
	cable      *cable
	subscribed bool
	losing     bool
	asked      chan struct{}
	closed     chan struct{}
	once       sync.Once
}

func (s *strand) Write(request []byte) (int, error) {
	s.cable.mu.Lock()
	if s.cable.lose != "" && bytes.Contains(request, []byte(s.cable.lose)) {
		s.cable.lose, s.losing = "", true
	}
	if bytes.Contains(request, []byte("\r\nsubscribe\r\n")) {
		s.subscribed = true
	}
	subscribed := s.subscribed
	s.cable.mu.Unlock()
	n, err := s.Conn.Write(request)
	if subscribed {
		s.asked <- struct{}{}
	}
	return n, err
}

func (s *strand) Read(answer []byte) (int, error) {
	for {
		s.cable.mu.Lock()
		subscribed, losing := s.subscribed, s.losing
		s.cable.mu.Unlock()
		if subscribed {
			select {
			case <-s.asked:
			case <-s.closed:
				return 0, net.ErrClosed
			}
			_ = s.SetReadDeadline(time.Now().Add(time.Second)) // by the real clock: two answers may come at once
		}
		n, err := s.Conn.Read(answer)
		if subscribed && n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if losing {
			_ = s.Close()
			return 0, io.EOF
		}
		return n, err
	}
}

func (s *strand) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Conn.Close()
}

// startServer starts a server of Asynq's, on aQueue unless c names others, which ends with the test.
func startServer(t *testing.T, client redis.UniversalClient, c asynq.Config, h asynq.HandlerFunc) *asynq.Server {
	t.Helper()
	c.LogLevel = asynq.FatalLevel
	if c.Queues == nil {
		c.Queues = map[string]int{aQueue: 1}
	}
	if c.Concurrency == 0 {
		c.Concurrency = 10
	}
	server := asynq.NewServerFromRedisClient(client, c)
	if err := server.Start(h); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	return server
}

// enqueue puts a task on aQueue, unless the options name another.
func enqueue(t *testing.T, client redis.UniversalClient, id string, options ...asynq.Option) {
	t.Helper()
	if err := tryEnqueue(client, id, options...); err != nil {
		t.Fatalf("enqueueing %s: %v", id, err)
	}
}

// tryEnqueue is enqueue for those who want to see it fail.
func tryEnqueue(client redis.UniversalClient, id string, options ...asynq.Option) error {
	all := append([]asynq.Option{asynq.Queue(aQueue), asynq.TaskID(id)}, options...)
	_, err := asynq.NewClientFromRedisClient(client).Enqueue(asynq.NewTask("test", []byte("payload of "+id)), all...)
	return err
}

// keyOf returns one of aQueue's keys: pending, active, lease, scheduled, retry, archived, completed or t:<id>.
func keyOf(name string) string { return "asynq:{" + aQueue + "}:" + name }

// asynqState returns the state that Redis has of a task: empty if there is none.
func asynqState(t *testing.T, client redis.UniversalClient, id string) string {
	t.Helper()
	return client.HGet(t.Context(), keyOf("t:"+id), "state").Val()
}

// infoOf returns what Asynq tells of a task.
func infoOf(t *testing.T, client redis.UniversalClient, id string) *asynq.TaskInfo {
	t.Helper()
	info, err := asynq.NewInspectorFromRedisClient(client).GetTaskInfo(aQueue, id)
	if err != nil {
		t.Fatalf("looking at %s: %v", id, err)
	}
	return info
}

// scoreOf returns the time that a sorted set holds for a task.
func scoreOf(t *testing.T, client redis.UniversalClient, set, id string) time.Time {
	t.Helper()
	score, err := client.ZScore(t.Context(), keyOf(set), id).Result()
	if err != nil {
		t.Fatalf("looking for %s in %s: %v", id, set, err)
	}
	return time.Unix(int64(score), 0)
}

// taskID returns the ID of the task that a handler was given.
func taskID(ctx context.Context) string {
	id, _ := asynq.GetTaskID(ctx)
	return id
}

// A watcher sees a client's commands.
type watcher func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error

func (w watcher) DialHook(next redis.DialHook) redis.DialHook { return next }
func (w watcher) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return w(ctx, cmd, next) }
}

func (w watcher) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// keysOf returns the names of the keys of a script, without the queue's prefix; none if the command is no script.
func keysOf(cmd redis.Cmder) []string {
	args := cmd.Args()
	if name := cmd.Name(); name != "evalsha" && name != "eval" || len(args) < 4 {
		return nil
	}
	count, _ := args[2].(int)
	var keys []string
	for _, arg := range args[3:min(len(args), 3+count)] {
		key, _ := arg.(string)
		keys = append(keys, strings.TrimPrefix(key, keyOf("")))
	}
	return keys
}

// isFetch says that a command fetches a task; isAck, that it reports the success of one without retention.
func isFetch(cmd redis.Cmder) bool {
	keys := keysOf(cmd)
	return len(keys) == 4 && strings.HasSuffix(keys[0], "pending") && strings.HasSuffix(keys[3], "lease")
}

func isAck(cmd redis.Cmder) bool {
	keys := keysOf(cmd)
	return len(keys) == 5 && keys[0] == "active" && keys[1] == "lease" && strings.HasPrefix(keys[2], "t:")
}
