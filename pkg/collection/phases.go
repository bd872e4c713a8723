package collection

import (
	"context"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/remote"
)

// phaseRun is the only phase of what runs on this machine.
const phaseRun = "run"

// passed returns what is told of the phases of a connection: it measures them and makes spans of them.
func (w *Worker) passed(ctx context.Context) func(remote.Phase) {
	return func(p remote.Phase) {
		w.metrics.phases.WithLabelValues(p.Name, outcomeOf(p.Code)).Observe(p.Ended.Sub(p.Began).Seconds())
		w.Traces.Note(ctx, spanSSH+p.Name, p.Began, p.Ended, string(p.Code))
	}
}

// outcomeOf returns the class of a code, of which there are few: whether the phase went well, and otherwise whether trying
// again may help.
func outcomeOf(code fleet.Code) string {
	if code == "" {
		return "ok"
	}
	if code == fleet.CodeCancelled || code == fleet.CodeDeadlineExceeded {
		return string(code)
	}
	return string(code.Info().Retry)
}

// ranHere tells of a script that has run on this machine.
func (w *Worker) ranHere(ctx context.Context, began time.Time, err error) {
	code := fleet.Code("")
	if err != nil {
		code = w.failureOf(ctx, err).Code
	}
	w.passed(ctx)(remote.Phase{Name: phaseRun, Began: began, Ended: time.Now(), Code: code})
}
