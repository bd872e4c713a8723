package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// streamMisses is how many times in a row a stream may fail before its follower asks without it; whoever wants to know
// is then told as well.
const streamMisses = 3

// maxStreamAgain is how long a follower asks without events at most before it tries them again.
const maxStreamAgain = 16 * time.Minute

// streamTimes are how long a stream may be silent. Of events the server speaks at once and then every 15 s.
type streamTimes struct {
	first time.Duration // for the first sign of life: whatever is between holds the events back
	later time.Duration // for the next one
	again time.Duration // before it tries again where they could not be had; each time twice as long

	answer time.Duration // for more of an answer that is read as it comes: one to a hard question begins late
}

func defaultStreamTimes() streamTimes {
	return streamTimes{first: 10 * time.Second, later: 50 * time.Second, again: time.Minute, answer: 2 * time.Minute}
}

// errNoStream says that events cannot be had, and polling can.
var errNoStream = errors.New("the server's events do not come through")

// A follower shows something as it goes on. It follows the server's events, comes again when they break off, and polls
// where they cannot be had, until they can.
type follower struct {
	client *Client
	doing  string                          // what, for errors: watching …
	events func() call                     // returns the request for the events, as from now
	take   func(e event) error             // passes an event on; errNoStream if it is none of Rollcall's
	poll   func(ctx context.Context) error // asks for what is new, and passes it on
	lost   func(err error)                 // hears of each time the server is away for a while; nil: nobody does
	misses int                             // how often in a row it may fail before it gives up; 0: for ever

	over    bool          // nobody wants to see more
	met     bool          // whether the server has answered
	heard   bool          // whether this stream has said anything
	failed  int           // streams in a row that said nothing
	polling time.Time     // until when events are not tried
	pause   time.Duration // how long they are not tried the next time
}

// run follows until nobody wants to see more. Its error is one that stays, the end of ctx, or that of a server that is
// away for too long.
func (f *follower) run(ctx context.Context) error {
	for missed := 0; !f.over; {
		err := f.look(ctx)
		switch {
		case f.over:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w", f.doing, ctx.Err())
		case f.lasting(err):
			return err
		case errors.Is(err, errNoStream):
			continue // and poll
		case err == nil || f.heard:
			missed, f.met = 0, true
		default:
			missed++
		}
		if missed == streamMisses && f.lost != nil {
			f.lost(err)
		}
		if f.misses > 0 && missed > f.misses {
			return err
		}
		if err := sleep(ctx, f.wait(missed, err)); err != nil {
			return fmt.Errorf("%s: %w", f.doing, err)
		}
	}
	return nil
}

// lasting reports whether asking again cannot help. A proxy that answers in the place of a server that has been there
// has just lost it.
func (f *follower) lasting(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Status/100 != 4 || f.met && e.Code == CodeNotRollcall {
		return false
	}
	return e.Status != http.StatusTooManyRequests && e.Status != http.StatusRequestTimeout
}

// wait returns how long to wait after that many failures in a row, of which err is the last.
func (f *follower) wait(missed int, err error) time.Duration {
	every := f.client.polling
	own := min(every<<min(max(missed-1, 0), 10), max(every, maxPause))
	if e, ok := errors.AsType[*Error](err); ok {
		return max(own, min(e.RetryAfter, maxAsked))
	}
	return own
}

// look follows one stream to its end, or polls once.
func (f *follower) look(ctx context.Context) error {
	f.heard = false
	if time.Now().Before(f.polling) {
		return f.poll(ctx)
	}
	err := f.stream(ctx)
	if f.heard && !errors.Is(err, errNoStream) {
		f.failed, f.pause = 0, 0
		return err
	}
	if f.failed++; f.failed >= streamMisses || errors.Is(err, errNoStream) {
		f.pause = min(max(2*f.pause, f.client.streams.again), maxStreamAgain)
		f.polling = time.Now().Add(f.pause)
	}
	return err
}

// stream follows the events until they end.
func (f *follower) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(f.client.streams.first, cancel)
	defer silence.Stop()
	r := f.events()
	r.header.Set("Accept", "text/event-stream")
	res, err := f.open(ctx, r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	alive := func() {
		f.heard = true
		silence.Reset(f.client.streams.later)
	}
	for e, err := range events(res.Body, alive) {
		if err != nil {
			return f.broken(ctx, r, err)
		}
		silence.Stop() // the time that whoever follows takes is not the server's
		if err := f.take(e); err != nil || f.over {
			return err
		}
		alive()
	}
	if !f.heard {
		return errNoStream
	}
	return nil
}

// broken returns what the end of a stream means: one that never said anything is held back on its way.
func (f *follower) broken(ctx context.Context, r call, err error) error {
	if !f.heard && ctx.Err() != nil {
		return errNoStream
	}
	return f.client.failed(context.WithoutCancel(ctx), r, err)
}

// open asks for the events. The caller closes the body of the response.
func (f *follower) open(ctx context.Context, r call) (*http.Response, error) {
	token := ""
	for again := range 2 {
		var err error
		if token, err = f.token(ctx, token); err != nil {
			return nil, err
		}
		res, err := f.client.send(ctx, r, token)
		if err != nil {
			return nil, f.broken(ctx, r, err)
		}
		if res.StatusCode == http.StatusOK && isMedia(res.Header, "text/event-stream") {
			return res, nil
		}
		status := res.StatusCode
		_ = res.Body.Close()
		if status != http.StatusUnauthorized || again > 0 || f.client.tokens == nil {
			break
		}
	}
	// Polling finds out what is wrong, if anything is wrong but the stream.
	return nil, errNoStream
}

func (f *follower) token(ctx context.Context, stale string) (string, error) {
	if f.client.tokens == nil {
		return "", nil
	}
	return f.client.tokens.Token(ctx, stale)
}
