package facts

import "cmp"

// A tally is what was found under one name of the root, or in the whole document.
type tally struct {
	differences []UnlearnedDifference // nil if there are too many
	changed     bool                  // one of them is a change
	why         Unlearned             // why the first of the others is none
	over        bool                  // there are too many
}

// add notes a difference.
func (t *tally) add(d UnlearnedDifference) {
	if d.Why == "" {
		t.changed = true
	} else {
		t.why = cmp.Or(t.why, d.Why)
	}
	if len(t.differences) == maxDifferences {
		t.differences, t.over = nil, true
	}
	if !t.over {
		t.differences = append(t.differences, d)
	}
}

// rolled returns one difference at the path that stands for all of the tally.
func (t *tally) rolled(path Path, before, after []byte) []UnlearnedDifference {
	d := UnlearnedDifference{Difference: Difference{Path: path, Before: before, After: after}}
	if !t.changed {
		d.Why = t.why
	}
	return []UnlearnedDifference{d}
}

// A branch is one name of the root under which the documents differ.
type branch struct {
	name          string
	before, after []byte
	tally
}

// root compares the roots and returns what differs, sorted by path, never more than maxDifferences. Why is empty for
// changes.
func (c *comparer) root(before, after []byte) []UnlearnedDifference {
	if !isObject(before) || !isObject(after) {
		c.compare(before, after)
		return c.found.differences
	}
	var branches []branch
	var all tally // of the whole document, but for the differences
	total := 0
	c.objects(before, after, func(was, is []byte) {
		c.found = tally{}
		c.compare(was, is)
		b := branch{c.path[0], was, is, c.found}
		all.changed, all.why = all.changed || b.changed, cmp.Or(all.why, b.why)
		if b.over {
			b.differences = b.rolled(Path{b.name}, was, is)
		}
		if total += len(b.differences); len(b.differences) > 0 && !all.over {
			branches = append(branches, b)
		}
		if total > maxDifferences && !all.over {
			total = shrink(branches, total)
		}
		if total > maxDifferences {
			all.over, branches = true, nil
		}
	})
	if all.over {
		return all.rolled(Path{}, before, after)
	}
	found := make([]UnlearnedDifference, 0, total)
	for _, b := range branches {
		found = append(found, b.differences...)
	}
	return found
}

// shrink rolls up the branches with most differences until there are few enough, or nothing more to roll up, and returns
// how many there are then.
func shrink(branches []branch, total int) int {
	for total > maxDifferences {
		i := 0
		for j := range branches {
			if len(branches[j].differences) > len(branches[i].differences) {
				i = j
			}
		}
		b := &branches[i]
		if len(b.differences) == 1 {
			break
		}
		total -= len(b.differences) - 1
		b.differences = b.rolled(Path{b.name}, b.before, b.after)
	}
	return total
}
