// Package report answers questions about reports that take more than reading them.
package report

import (
	"context"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// A Service answers questions about reports.
type Service struct {
	Store *store.Store
}

// A Diff is what differs between two reports of one type, which may be of two hosts.
type Diff struct {
	From, To   fleet.Report
	Comparison facts.Comparison
}

// Diff compares two reports within the scope. Where to is uuid.Nil it is the newest report of the same host and type.
// Reports of two types are an error of kind Invalid.
func (s *Service) Diff(ctx context.Context, scope fleet.Scope, from, to uuid.UUID) (Diff, error) {
	a, err := s.Store.Report(ctx, scope, from)
	if err != nil {
		return Diff{}, err
	}
	b, err := s.other(ctx, scope, a, to)
	if err != nil {
		return Diff{}, err
	}
	if a.Type != b.Type {
		return Diff{}, fleet.InvalidField("to", "this is a report of type %s, and the other one is of type %s; only reports of one type can be compared", b.Type, a.Type)
	}
	comparison, err := facts.Compare(a.Facts, b.Facts, facts.Options{
		BeforeUnavailable: collector.UnavailablePatterns(a.Unavailable), AfterUnavailable: collector.UnavailablePatterns(b.Unavailable),
		Revised: collector.Revised(a.Type, a.SchemaVersion, b.SchemaVersion),
	})
	if err != nil {
		return Diff{}, err
	}
	return Diff{From: a, To: b, Comparison: comparison}, nil
}

func (s *Service) other(ctx context.Context, scope fleet.Scope, a fleet.Report, to uuid.UUID) (fleet.Report, error) {
	if to != uuid.Nil {
		b, err := s.Store.Report(ctx, scope, to)
		if fleet.KindOf(err) == fleet.NotFound {
			return b, fleet.InvalidField("to", "there is no such report")
		}
		return b, err
	}
	latest, err := s.Store.LatestReports(ctx, scope, a.HostID, a.Type)
	if err != nil {
		return fleet.Report{}, err
	}
	if len(latest) == 0 { // it was there a moment ago
		return a, nil
	}
	return latest[0], nil
}
