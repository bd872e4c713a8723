package rpc_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/embedded" //nolint:depguard // the tests bring their own Redis
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/queue"
)

// bell is the queue of all tests of this binary: they know their messages by the IDs of their tasks.
var bell *queue.Queue

func TestMain(m *testing.M) {
	status, err := withRedis(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

func withRedis(run func() int) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server, err := embedded.RedisForTests(ctx)
	if err != nil {
		return 0, fmt.Errorf("starting Redis: %w", err)
	}
	defer func() { _ = server.Stop(context.Background()) }()
	client, err := ephemeral.Open(server.URL(), ephemeral.Options{})
	if err != nil {
		return 0, fmt.Errorf("opening Redis: %w", err)
	}
	defer func() { _ = client.Close() }()
	bell = queue.New(client)
	return run(), nil
}
