package command

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// hasCode reports whether the server has refused with that code.
func hasCode(err error, code string) bool {
	e, ok := errors.AsType[*client.Error](err)
	return ok && e.Code == code
}

// reportAsOf returns the newest report of a host's type, or the newest one as of then.
func reportAsOf(ctx context.Context, server *client.Client, host wire.Host, reportType string, at moment, options ...client.CallOption) (wire.Report, error) {
	if !at.IsZero() {
		options = append(options, client.AsOf(at.Time))
	}
	report, err := server.HostReport(ctx, host.ID, reportType, options...)
	if hasCode(err, "no_report_yet") && !at.IsZero() {
		return report, fmt.Errorf("%s had no report of type %s yet at %s; rollcall reports ls %s -t %s shows since when it has",
			host.Name, reportType, stamp(at.Time), host.Name, reportType)
	}
	return report, err
}

// maxNear is how many paths are named where another one was meant.
const maxNear = 5

// near returns those of the paths that may have been meant: those that hold what was asked for, or else the last name
// of it, or else the first ones. Paths are compared without regard to case and quotes.
func near(asked string, paths []string) []string {
	fold := func(text string) string { return strings.ToLower(strings.ReplaceAll(text, `"`, "")) }
	asked = strings.Trim(fold(asked), ".*")
	for _, part := range []string{asked, asked[strings.LastIndexByte(asked, '.')+1:], ""} {
		var found []string
		for _, path := range paths {
			if strings.Contains(fold(path), part) {
				found = append(found, path)
			}
		}
		if len(found) > maxNear {
			return append(found[:maxNear], ellipsis)
		}
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// orElse yields the error of why in the place of items if there are none, or none that counts.
func orElse[T any](items iter.Seq2[T, error], counts func(T) bool, why func() error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var kept []T
		some := false
		for item, err := range items {
			if err == nil && !some && !counts(item) {
				kept = append(kept, item)
				continue
			}
			for _, k := range kept {
				if !yield(k, nil) {
					return
				}
			}
			kept, some = nil, true
			if !yield(item, err) {
				return
			}
		}
		if some {
			return
		}
		if err := why(); err != nil {
			var none T
			yield(none, err)
			return
		}
		for _, k := range kept {
			if !yield(k, nil) {
				return
			}
		}
	}
}
