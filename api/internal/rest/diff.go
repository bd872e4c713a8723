package rest

import (
	"context"
	"net/http"
	"slices"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/report"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

func (s *server) registerDiff() {
	register(s, operation{
		id: "diffReport", method: http.MethodGet, path: reportsPath + "/{id}/diff", tag: "reports", role: fleet.Viewer,
		summary: "What differs between two reports of a type",
		description: "By path, never by position. The reports may be of two hosts. Items with unlearned are no changes of a host: " +
			"one of the reports could not tell, or a schema version between the two gave the path another meaning. All items together lead from the one to the other.",
		responses: unchangedResponse(),
	}, s.diffReport)
}

type diffInput struct {
	ByID
	IfNoneMatch
	To string `query:"to" format:"uuid" doc:"the report to compare with; the default is the newest of the same host and type"`
}

func (s *server) diffReport(ctx context.Context, in *diffInput) (*tagged[wire.Diff], error) {
	to, err := idOf("to", in.To)
	if err != nil {
		return nil, err
	}
	d, err := s.Reports.Diff(ctx, session.Actor(ctx).Scope(), in.ID, orZero(to))
	if err != nil {
		return nil, err
	}
	return tag(in.IfNoneMatch, diffView(d))
}

// diffView returns d as the API shows it, with what changed and what was not learned in one list.
func diffView(d report.Diff) wire.Diff {
	view := wire.Diff{Type: d.From.Type, From: wire.ReportRefView(d.From), To: wire.ReportRefView(d.To), Items: []wire.Difference{}}
	all := slices.Clone(d.Comparison.Unlearned)
	for _, change := range d.Comparison.Changes {
		all = append(all, facts.UnlearnedDifference{Difference: change})
	}
	slices.SortFunc(all, func(a, b facts.UnlearnedDifference) int { return slices.Compare(a.Path, b.Path) })
	for _, item := range all {
		view.Items = append(view.Items, wire.Difference{
			Path: item.Path.String(), Kind: string(item.Kind()), Before: item.Before, After: item.After, Unlearned: string(item.Why),
		})
	}
	return view
}
