package collector

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/gowebpki/jcs"

	"github.com/rollcallhq/rollcall/pkg/facts"
)

// A FixtureResult is what became of one fixture.
type FixtureResult struct {
	Name        string
	Differences []string // one line each, by path; none: it is read as it should be
	Trial       Trial    // what it was read as
}

// TestFixtures reads every fixture of the definition as the output of a host and compares. A definition that Check
// refuses is an error.
func (d Definition) TestFixtures() ([]FixtureResult, error) {
	c, err := d.compile()
	if err != nil {
		return nil, err
	}
	results := make([]FixtureResult, len(d.Fixtures))
	for i, f := range d.Fixtures {
		results[i] = FixtureResult{Name: f.Name, Trial: c.trial(c.recorded(f))}
		results[i].Differences = f.Expect.compare(results[i].Trial.Report)
	}
	return results, nil
}

// recorded returns the run in which a host printed a fixture.
func (c *custom) recorded(f Fixture) Run {
	system := f.OS
	if system == "" {
		system = c.Systems()[0]
	}
	name, most := sectionPrefix+c.Name, c.stdoutCap()
	s := Section{Name: name, Data: []byte(f.Stdout), Status: f.RC, System: system}
	if int64(len(s.Data)) > most {
		s.Data, s.Truncated = s.Data[:most], true
	}
	return Run{Complete: true, Sections: []Section{s, {Name: name + stderrSuffix}}}
}

// compare returns what differs between what was expected and what there is.
func (e Expect) compare(r Report) []string {
	if e.Fails || r.Status == StatusFailed {
		if e.Fails && r.Status == StatusFailed {
			return nil
		}
		if e.Fails {
			return []string{"it is read, and should not be"}
		}
		return []string{"it cannot be read: " + r.Failure.Error()}
	}
	var out []string
	if e.Facts != nil {
		out = append(out, differences("facts", e.Facts, r.Facts)...)
	}
	if e.Metrics != nil {
		out = append(out, differences("metrics", e.Metrics, r.Metrics)...)
	}
	if e.Unavailable != nil {
		out = append(out, differences("unavailable", e.Unavailable, jsonOf(r.Unavailable))...)
	}
	return out
}

func jsonOf(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return []byte("null")
	}
	return b
}

// differences compares two documents by what they mean, path by path.
func differences(what string, want any, got []byte) []string {
	expected, err := jcs.Transform(jsonOf(want))
	if err != nil {
		return []string{what + ": what is expected is no JSON object"}
	}
	comparison, err := facts.Compare(expected, got, facts.Options{})
	if err != nil {
		return []string{what + ": cannot be compared"}
	}
	var out []string
	for _, d := range comparison.Changes {
		path := strings.TrimSuffix(what+"."+d.Path.String(), ".")
		switch d.Kind() {
		case facts.Added:
			out = append(out, fmt.Sprintf("+ %s = %s", path, shortened(d.After)))
		case facts.Removed:
			out = append(out, fmt.Sprintf("- %s = %s", path, shortened(d.Before)))
		default:
			out = append(out, fmt.Sprintf("- %s = %s", path, shortened(d.Before)), fmt.Sprintf("+ %s = %s", path, shortened(d.After)))
		}
	}
	return slices.Clip(out)
}

// shortened returns JSON in one line of a bearable length.
func shortened(value []byte) string {
	const most = 200
	if len(value) <= most {
		return string(value)
	}
	return strings.ToValidUTF8(string(value[:most]), "") + "…"
}
