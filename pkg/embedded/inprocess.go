package embedded

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// clockStep is how exact times to live are in the in-process server.
const clockStep = 250 * time.Millisecond

// An inProcess is a Redis server inside of this process.
type inProcess struct {
	server *miniredis.Miniredis
	quit   chan struct{}
	once   sync.Once
	done   chan struct{}
}

// startInside starts the in-process server.
func (r *Redis) startInside(ctx context.Context) error {
	portFile := filepath.Join(r.dir, "redis.port")
	port, err := pickPort(ctx, portFile)
	if err != nil {
		return err
	}
	server := miniredis.NewMiniRedis()
	server.RequireAuth(r.password)
	if err := server.StartAddr(address(port)); err != nil {
		return fmt.Errorf("starting the in-process Redis: %w", err)
	}
	in := &inProcess{server: server, quit: make(chan struct{}), done: make(chan struct{})}
	go in.run()
	r.inside, r.port = in, port
	r.log.InfoContext(ctx, "redis started in this process", "reason", r.reason, "port", port)
	return keepPort(portFile, port)
}

// run lets the server's time pass, which by itself stands still, until stop is called.
func (in *inProcess) run() {
	defer close(in.done)
	defer in.server.Close()
	tick := time.NewTicker(clockStep)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-in.quit:
			return
		case now := <-tick.C:
			in.server.FastForward(now.Sub(last))
			last = now
		}
	}
}

// stop ends the server and waits for its end.
func (in *inProcess) stop() {
	in.once.Do(func() { close(in.quit) })
	<-in.done
}
