package queue_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/embedded"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/queue"
)

// patience bounds every wait of a test; none takes that long unless something is wrong.
const patience = 20 * time.Second

func open(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	client, err := ephemeral.Open(url, ephemeral.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// startRedis returns a client of a Redis of the test's own.
func startRedis(t *testing.T) (redis.UniversalClient, *embedded.Redis) {
	t.Helper()
	server, err := embedded.RedisForTests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
	return open(t, server.URL()), server
}

func aMessage() fleet.Message {
	return fleet.Message{TaskID: fleet.NewID(), Epoch: 1, Site: "eu", Priority: fleet.PriorityNormal}
}

func key(m fleet.Message) string {
	return "asynq:{" + queue.Name(m.Site, m.Priority) + "}:t:" + queue.ID(m)
}

func stateOf(t *testing.T, q *queue.Queue, m fleet.Message) queue.State {
	t.Helper()
	states, err := q.States(t.Context(), []fleet.Message{m})
	if err != nil || len(states) != 1 {
		t.Fatalf("States = %v, %v", states, err)
	}
	return states[0]
}

// serve runs the servers until the end of the test or until the returned function is called, which waits for them.
func serve(t *testing.T, client redis.UniversalClient, o queue.ServerOptions) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	o.Sites, o.Log = []string{"eu"}, slog.New(slog.DiscardHandler)
	if o.Slots == 0 {
		o.Slots = 20
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := queue.Run(ctx, client, o); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}

func TestRingingTwiceIsOneMessage(t *testing.T) {
	t.Parallel()
	client, _ := startRedis(t)
	q := queue.New(client)
	m := aMessage()
	next := m
	next.Epoch++
	for range 2 {
		if err := q.Ring(t.Context(), []fleet.Message{m, m, next}); err != nil {
			t.Fatal(err)
		}
	}
	if n := client.LLen(t.Context(), "asynq:{collect.eu.normal}:pending").Val(); n != 2 {
		t.Errorf("%d messages wait, want one of each epoch", n)
	}
	if err := q.Ring(t.Context(), nil); err != nil {
		t.Errorf("ringing for nothing: %v", err)
	}
	many := make([]fleet.Message, 300)
	for i := range many {
		many[i] = aMessage()
		many[i].Priority = fleet.PriorityBulk
	}
	if err := q.Ring(t.Context(), many); err != nil {
		t.Fatal(err)
	}
	if n := client.LLen(t.Context(), "asynq:{collect.eu.bulk}:pending").Val(); n != int64(len(many)) {
		t.Errorf("%d messages wait, want %d", n, len(many))
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.Ring(ended, []fleet.Message{aMessage()}); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("ringing with a context that has ended = %v, want Unavailable", err)
	}
}

// TestTheWireFormat holds what States reads past Asynq's own API: its hash of a message. A new Asynq that keeps
// messages elsewhere fails here.
func TestTheWireFormat(t *testing.T) {
	t.Parallel()
	client, _ := startRedis(t)
	m := aMessage()
	if err := queue.New(client).Ring(t.Context(), []fleet.Message{m}); err != nil {
		t.Fatal(err)
	}
	if got, want := queue.ID(m), m.TaskID.String()+":1"; got != want {
		t.Errorf("ID = %s, want %s", got, want)
	}
	values, err := client.HMGet(t.Context(), "asynq:{collect.eu.normal}:t:"+queue.ID(m), "state", "msg").Result()
	if err != nil || len(values) != 2 || values[0] != "pending" || values[1] == nil || values[1] == "" {
		t.Errorf("state and msg = %v, %v", values, err)
	}
	if known := client.SMembers(t.Context(), "asynq:queues").Val(); !slices.Equal(known, []string{"collect.eu.normal"}) {
		t.Errorf("queues = %v", known)
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	client, _ := startRedis(t)
	q := queue.New(client)
	inspector := asynq.NewInspectorFromRedisClient(client)
	name := "collect.eu.normal"
	tests := []struct {
		want    queue.State
		prepare func(m fleet.Message) error
	}{
		{queue.StatePending, func(fleet.Message) error { return nil }},
		{queue.StateAbsent, func(m fleet.Message) error { return inspector.DeleteTask(name, queue.ID(m)) }},
		{queue.StateScheduled, func(m fleet.Message) error {
			if err := inspector.DeleteTask(name, queue.ID(m)); err != nil {
				return err
			}
			_, err := asynq.NewClientFromRedisClient(client).Enqueue(asynq.NewTask("collect", nil), asynq.Queue(name),
				asynq.TaskID(queue.ID(m)), asynq.ProcessIn(time.Hour))
			return err
		}},
		{queue.StateArchived, func(m fleet.Message) error { return inspector.ArchiveTask(name, queue.ID(m)) }},
		// What a lost message leaves behind takes its ID for ever, too.
		{queue.StateArchived, func(m fleet.Message) error { return client.HDel(t.Context(), key(m), "msg").Err() }},
	}
	var all []fleet.Message
	var want []queue.State
	for _, tt := range tests {
		m := aMessage()
		if err := errors.Join(q.Ring(t.Context(), []fleet.Message{m}), tt.prepare(m)); err != nil {
			t.Fatalf("%s: %v", tt.want, err)
		}
		all, want = append(all, m), append(want, tt.want)
	}
	if got, err := q.States(t.Context(), all); err != nil || !slices.Equal(got, want) {
		t.Errorf("States = %v, %v; want %v", got, err, want)
	}
	if got, err := q.States(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("States of none = %v, %v", got, err)
	}
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := q.Register(t.Context(), []string{"eu", "us"}); err != nil {
		t.Fatal(err)
	}
	if n := client.SCard(t.Context(), "asynq:queues").Val(); n != 6 {
		t.Errorf("%d queues are known after a flush, want those of two sites", n)
	}
	if err := q.Register(t.Context(), nil); err != nil {
		t.Errorf("Register of no site: %v", err)
	}
}

// TestAResultWithoutAMessageTakesItsIDForEver wipes Redis while a handler works: all that is there afterwards is the
// line that the handler leaves, and Asynq takes that for the message.
func TestAResultWithoutAMessageTakesItsIDForEver(t *testing.T) {
	t.Parallel()
	client, _ := startRedis(t)
	q := queue.New(client)
	working, release := make(chan struct{}), make(chan struct{})
	serve(t, client, queue.ServerOptions{Handler: func(context.Context, fleet.Message) (string, error) {
		close(working)
		<-release
		return "web-1 succeeded 1.2s", nil
	}})
	m := aMessage()
	if err := q.Ring(t.Context(), []fleet.Message{m}); err != nil {
		t.Fatal(err)
	}
	<-working
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if state := stateOf(t, q, m); state != queue.StateAbsent {
		t.Errorf("after the wipe it is %s", state)
	}
	close(release)
	await.Until(t, "the line of the handler", func() bool { return client.Exists(t.Context(), key(m)).Val() == 1 })
	if fields := client.HGetAll(t.Context(), key(m)).Val(); len(fields) != 1 || fields["result"] == "" {
		t.Fatalf("Redis has %v, want the result alone", fields)
	}
	if err := q.Ring(t.Context(), []fleet.Message{m}); err != nil { // a conflict, which we take for success
		t.Fatal(err)
	}
	if n := client.LLen(t.Context(), "asynq:{collect.eu.normal}:pending").Val(); n != 0 {
		t.Errorf("%d messages wait, so the ID is free after all, and StateAbsent would do", n)
	}
	if state := stateOf(t, q, m); state != queue.StateArchived {
		t.Errorf("it is %s, want it rung for under a new epoch", state)
	}
}

func TestMessagesAreDelivered(t *testing.T) {
	t.Parallel()
	client, _ := startRedis(t)
	q := queue.New(client)
	got := make(chan fleet.Message, 3)
	release := make(chan struct{})
	serve(t, client, queue.ServerOptions{Handler: func(_ context.Context, m fleet.Message) (string, error) {
		got <- m
		<-release
		return "web-1 succeeded", nil
	}})
	var sent []fleet.Message
	for _, priority := range fleet.Priorities() {
		m := aMessage()
		m.Priority, m.Epoch = priority, 7
		sent = append(sent, m)
	}
	if err := q.Ring(t.Context(), sent); err != nil {
		t.Fatal(err)
	}
	for range sent {
		select {
		case m := <-got:
			if !slices.Contains(sent, m) {
				t.Errorf("delivered %+v, which was not sent", m)
			}
			if state := stateOf(t, q, m); state != queue.StateActive {
				t.Errorf("while it is worked it is %s", state)
			}
		case <-time.After(patience):
			t.Fatal("a message was not delivered")
		}
	}
	close(release)
	for _, m := range sent {
		await.Until(t, "the end of a message", func() bool { return stateOf(t, q, m) == queue.StateCompleted })
		info, err := asynq.NewInspectorFromRedisClient(client).GetTaskInfo(queue.Name(m.Site, m.Priority), queue.ID(m))
		if err != nil || string(info.Result) != "web-1 succeeded" || info.Retention != 10*time.Minute {
			t.Errorf("Asynqmon shows %+v, %v", info, err)
		}
	}
	if err := q.Ring(t.Context(), sent[:1]); err != nil || stateOf(t, q, sent[0]) != queue.StateCompleted {
		t.Errorf("ringing for what was answered: %v", err)
	}
}

func TestAHandlersErrorDeliversAgain(t *testing.T) {
	t.Parallel()
	client, _ := startRedis(t)
	q := queue.New(client)
	var calls atomic.Int32
	serve(t, client, queue.ServerOptions{Handler: func(context.Context, fleet.Message) (string, error) {
		if calls.Add(1) == 1 {
			return "", errors.New("the database does not answer")
		}
		return "", nil
	}})
	m := aMessage()
	if err := q.Ring(t.Context(), []fleet.Message{m}); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "the message waiting to be delivered again", func() bool { return stateOf(t, q, m) == queue.StateRetry || calls.Load() > 1 })
	await.Until(t, "the second delivery", func() bool { return stateOf(t, q, m) == queue.StateCompleted })
	if n := calls.Load(); n != 2 {
		t.Errorf("delivered %d times, want twice", n)
	}
}

func TestWhatIsNoMessageIsArchived(t *testing.T) {
	t.Parallel()
	client, _ := startRedis(t)
	var calls atomic.Int32
	serve(t, client, queue.ServerOptions{Handler: func(context.Context, fleet.Message) (string, error) {
		calls.Add(1)
		return "", nil
	}})
	enqueuer := asynq.NewClientFromRedisClient(client)
	for i, body := range []string{
		"", "null", "[]", "{", `{"task_id":"x","epoch":1}`, fmt.Sprintf(`{"task_id":%q,"epoch":1}`, uuid.Nil),
		fmt.Sprintf(`{"task_id":%q,"epoch":0}`, fleet.NewID()), fmt.Sprintf(`{"task_id":%q,"epoch":1,"more":%q}`, fleet.NewID(), make([]byte, 2000)),
	} {
		id := fmt.Sprintf("bad-%d", i)
		if _, err := enqueuer.Enqueue(asynq.NewTask("collect", []byte(body)), asynq.Queue("collect.eu.normal"), asynq.TaskID(id)); err != nil {
			t.Fatal(err)
		}
		await.Until(t, "the archiving of "+body, func() bool {
			return client.HGet(t.Context(), "asynq:{collect.eu.normal}:t:"+id, "state").Val() == "archived"
		})
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("%d of them came to the handler", n)
	}
}

func TestRunWaitsForItsHandlers(t *testing.T) {
	t.Parallel()
	client, _ := startRedis(t)
	q := queue.New(client)
	working, release := make(chan struct{}), make(chan struct{})
	var ended atomic.Bool
	var alive error
	stop := serve(t, client, queue.ServerOptions{Handler: func(ctx context.Context, _ fleet.Message) (string, error) {
		close(working)
		<-release
		alive = ctx.Err()
		ended.Store(true)
		return "", nil
	}})
	m, late := aMessage(), aMessage()
	if err := q.Ring(t.Context(), []fleet.Message{m}); err != nil {
		t.Fatal(err)
	}
	<-working
	var stopping sync.WaitGroup
	stopping.Go(func() {
		stop()
		if !ended.Load() {
			t.Error("Run returned before its handler")
		}
	})
	if err := q.Ring(t.Context(), []fleet.Message{late}); err != nil {
		t.Fatal(err)
	}
	close(release)
	stopping.Wait()
	if !ended.Load() || alive != nil {
		t.Errorf("the handler ended %v, its context had ended: %v", ended.Load(), alive)
	}
	if state := stateOf(t, q, m); state != queue.StateCompleted {
		t.Errorf("the message is %s afterwards", state)
	}
}

func TestRunGivesUpOnHandlersAfterDrain(t *testing.T) {
	t.Parallel()
	client, _ := startRedis(t)
	q := queue.New(client)
	release := make(chan struct{})
	var working atomic.Int32
	const drain = 300 * time.Millisecond
	stop := serve(t, client, queue.ServerOptions{Drain: drain, Handler: func(context.Context, fleet.Message) (string, error) {
		working.Add(1)
		<-release
		return "", nil
	}})
	defer close(release)
	var sent []fleet.Message
	for range 20 { // some for each of the servers
		m := aMessage()
		m.Priority = fleet.PriorityInteractive
		sent = append(sent, m)
	}
	if err := q.Ring(t.Context(), sent); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "all handlers at work", func() bool { return working.Load() == int32(len(sent)) })
	began := time.Now()
	stop()
	if took := time.Since(began); took > 2*drain+2*time.Second {
		t.Errorf("stopping took %s with a drain of %s", took, drain)
	}
	for _, m := range sent {
		if state := stateOf(t, q, m); state != queue.StatePending {
			t.Errorf("a message that was given up is %s, want it pending for others", state)
		}
	}
}

// TestRedisThatDoesNotAnswer holds that nobody waits for it for long.
func TestRedisThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := silent.Accept()
			if err != nil {
				return
			}
			served.Go(func() { _, _ = io.Copy(io.Discard, conn); _ = conn.Close() })
		}
	})
	t.Cleanup(func() { _ = silent.Close() })
	for name, url := range map[string]string{
		"nothing listens":      "redis://127.0.0.1:1/0",
		"it accepts and hangs": "redis://" + silent.Addr().String() + "/0",
	} {
		client := open(t, url)
		q := queue.New(client)
		many := make([]fleet.Message, 200)
		for i := range many {
			many[i] = aMessage()
		}
		for call, do := range map[string]func() error{
			"Ring":     func() error { return q.Ring(t.Context(), many) },
			"States":   func() error { _, err := q.States(t.Context(), many); return err },
			"Register": func() error { return q.Register(t.Context(), []string{"eu"}) },
			"Ping":     func() error { return q.Ping(t.Context()) },
		} {
			t.Run(call+" when "+name, func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				err := do()
				if fleet.KindOf(err) != fleet.Unavailable || fleet.CodeOf(err) != "queue_unavailable" {
					t.Errorf("%v (%s), want it unavailable", err, fleet.CodeOf(err))
				}
				if took := time.Since(began); took > 2500*time.Millisecond {
					t.Errorf("it took %s", took)
				}
			})
		}
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	client, server := startRedis(t)
	q := queue.New(client)
	if err := q.Ping(t.Context()); err != nil {
		t.Errorf("Ping = %v", err)
	}
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := q.Ping(t.Context()); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("Ping of a stopped Redis = %v", err)
	}
}
