package telemetry

import (
	"context"
	"slices"
)

// WarnOf has each round of checks ask look what there is to warn of. It is called before the first round. Like a check,
// look is given a second, and is not called again before it has returned; while it does not answer, or fails, the
// warnings are those that it had last: a check says what is down.
func (h *Health) WarnOf(look func(ctx context.Context) ([]Warning, error)) {
	h.warns = &warner{look: look, busy: make(chan struct{}, 1)}
}

// A warner is what there is to warn of.
type warner struct {
	look func(ctx context.Context) ([]Warning, error)
	busy chan struct{} // holds a token while it looks, perhaps longer than anybody waits
	last []Warning     // only the round touches it
}

// now returns the warnings of now, or of the last time that could be told.
func (w *warner) now(ctx context.Context) []Warning {
	select {
	case w.busy <- struct{}{}:
	default:
		return w.known()
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	found := make(chan []Warning, 1)
	go func() {
		defer func() { <-w.busy }()
		defer cancel()
		defer func() {
			if recover() != nil { // a mistake in a warning makes no process unwell
				found <- nil
			}
		}()
		warnings, err := w.look(ctx)
		if err == nil && warnings == nil {
			warnings = []Warning{}
		}
		if err != nil {
			warnings = nil
		}
		found <- warnings
	}()
	select {
	case warnings := <-found:
		if warnings != nil {
			w.last = warnings
		}
	case <-ctx.Done():
	}
	return w.known()
}

func (w *warner) known() []Warning {
	if w.last == nil {
		return []Warning{}
	}
	return slices.Clone(w.last)
}
