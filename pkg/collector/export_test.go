package collector

import "github.com/rollcallhq/rollcall/pkg/facts"

// PlanOf returns a plan whose script runs the given commands as the section "test" after the identity.
func PlanOf(o Options, sectionCap int64, commands string) Plan {
	p := Plan{options: o.withDefaults()}
	p.options.Nonce = newNonce()
	p.sections = append(sectionsOf(nil, mib), section{name: "test", cap: sectionCap, body: commands})
	p.script = frame(p.options.Nonce, p.sections, buildBody(p.options.Nonce, int64(p.options.Deadline.Seconds()), p.sections, nil))
	return p
}

// RevisedOf is what Revised returns for a type that this program knows.
func RevisedOf(t Type, low, high int) []facts.Pattern { return t.revised(low, high) }

// FactsOf returns what a type reads out of a run, before it is encoded.
func FactsOf(t Type, run Run) any {
	facts, _ := t.read(&reader{run: run, unavailable: map[string]string{}, noted: map[string]bool{}})
	return facts
}
