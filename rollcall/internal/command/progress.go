package command

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// A watcher shows how a collection goes, on standard error.
type watcher interface {
	show(c wire.Collection)
	stop() // nothing is shown any more when it has returned
}

// newProgress returns a bar for a terminal and lines for everything else.
func newProgress(in Invocation, c wire.Collection) watcher {
	if tty, ok := terminal(in.Stderr); ok {
		return newBar(tty, c)
	}
	return &lines{out: in.Stderr, now: time.Now}
}

// done returns how many of the hosts have ended.
func done(c wire.Counts) int { return c.Succeeded + c.Partial + c.Failed + c.Cancelled }

// text returns what is worth knowing beside how many are done.
func text(c wire.Counts) string {
	var s strings.Builder
	for _, part := range []struct {
		n    int
		name string
	}{{c.Running, "running"}, {c.Partial, "partial"}, {c.Failed, "failed"}, {c.Cancelled, "cancelled"}} {
		if part.n > 0 {
			fmt.Fprintf(&s, ", %d %s", part.n, part.name)
		}
	}
	return s.String()
}

// message returns how far a collection is.
func message(c wire.Collection) string {
	return fmt.Sprintf("%d of %d %s done%s", done(c.Counts), c.Counts.Total, unit(c), text(c.Counts))
}

const maxMessage = 60

// lines prints a line whenever a tenth more is done, or a while has passed.
type lines struct {
	out   io.Writer
	now   func() time.Time
	last  time.Time
	tenth int
}

const lineEvery = 10 * time.Second

func (l *lines) show(c wire.Collection) {
	tenth := 10 * done(c.Counts) / max(c.Counts.Total, 1)
	if now := l.now(); l.last.IsZero() || tenth > l.tenth || now.Sub(l.last) >= lineEvery {
		l.last, l.tenth = now, tenth
		_, _ = fmt.Fprintln(l.out, message(c))
	}
}

func (l *lines) stop() {}

// A bar is a line that is drawn again and again.
type bar struct {
	writer  progress.Writer
	tracker *progress.Tracker
	ended   bool
	drawn   chan struct{} // closed when the last drawing is done
}

func newBar(out io.Writer, c wire.Collection) *bar {
	b := &bar{writer: progress.NewWriter(), drawn: make(chan struct{})}
	b.tracker = &progress.Tracker{Message: message(c), Total: int64(max(c.Counts.Total, 1)), AutoStopDisabled: true}
	b.writer.SetOutputWriter(out)
	b.writer.SetTrackerLength(30)
	b.writer.SetMessageLength(maxMessage)
	b.writer.SetUpdateFrequency(100 * time.Millisecond)
	b.writer.SetStyle(progress.StyleBlocks)
	b.writer.Style().Visibility.Value = false
	b.writer.Style().Options.PercentFormat = "%4.0f%%"
	b.writer.Style().Options.TimeInProgressPrecision = time.Second
	b.writer.Style().Options.DoneString, b.writer.Style().Options.ErrorString = "ended", "left"
	b.writer.AppendTracker(b.tracker)
	go func() {
		defer close(b.drawn)
		b.writer.Render()
	}()
	return b
}

func (b *bar) show(c wire.Collection) {
	b.tracker.UpdateTotal(int64(max(c.Counts.Total, 1)))
	b.tracker.UpdateMessage(message(c))
	b.tracker.SetValue(int64(done(c.Counts)))
	b.ended = client.Ended(c.State)
}

func (b *bar) stop() {
	if b.ended {
		b.tracker.MarkAsDone()
	} else {
		b.tracker.MarkAsErrored()
	}
	b.writer.Stop()
	<-b.drawn
}
