package ui

import "github.com/rollcallhq/rollcall/pkg/fleet"

// ShowFacts is showFacts, of which it returns how many cards and tables there are, for its fuzz test and benchmark.
func ShowFacts(report fleet.Report) int {
	v := showFacts(report, factsQuery{Type: report.Type, History: "/h", Base: "/b", Metrics: report.Metrics})
	return len(v.Cards) + len(v.Tables)
}

// ShowDelta returns the texts of showDelta, for its fuzz test.
func ShowDelta(before, after []byte) []string {
	d := showDelta("changed", before, after, plain)
	texts := []string{d.Before.Text, d.Before.Full, d.After.Text, d.After.Full}
	if d.Gained != nil {
		texts = append(texts, d.Gained.Text)
	}
	return texts
}
