package ui

import "strings"

// A delta is a change as the pages show it.
type delta struct {
	Kind          string // added, removed or changed
	Before, After value
	Gained, Lost  *value // of a list: its items that are new or gone; nil where there are none
	IsList        bool
}

// showDelta returns what became of a value at a path.
func showDelta(kind string, before, after []byte, u unit) delta {
	d := delta{Kind: kind, Before: showValue(before, u), After: showValue(after, u)}
	old, ok1 := scalars(before)
	now, ok2 := scalars(after)
	if kind != "changed" || !ok1 || !ok2 || before == nil || after == nil {
		return d
	}
	d.Gained, d.Lost = lacking(now, old), lacking(old, now)
	d.IsList = d.Gained != nil || d.Lost != nil // else only the order has changed
	return d
}

// spare takes from d what can be unfolded if nothing is left for it.
func (d *delta) spare(left *int) {
	shown := []*value{&d.Before, &d.After}
	if d.IsList {
		shown = []*value{d.Gained, d.Lost}
	}
	for _, v := range shown {
		if v != nil {
			v.spare(left)
		}
	}
}

// lacking returns the items that others lack.
func lacking(items, others []string) *value {
	has := make(map[string]int, len(others))
	for _, item := range others {
		has[item]++
	}
	var found []string
	for _, item := range items {
		if has[item]--; has[item] < 0 {
			found = append(found, item)
		}
	}
	if found == nil {
		return nil
	}
	v := folded("list", strings.Join(found, ", "))
	return &v
}
