package store

import (
	"strings"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// selector bounds the query to those of the hosts h that sel picks; nil and the zero selector pick none.
func (w *where) selector(sel *fleet.Selector) {
	if sel == nil || sel.IsZero() {
		w.and("false")
		return
	}
	w.and(w.expr(sel.Expr()))
}

// expr returns the condition of an expression of a selector. Its logic has two values, like Selector.Match: name and
// site are never null, and a label is asked for by containment, which a missing label does not meet.
func (w *where) expr(e fleet.Expr) string {
	switch e := e.(type) {
	case fleet.All:
		return "true"
	case fleet.And:
		return w.join(e.Terms, " and ")
	case fleet.Or:
		return w.join(e.Terms, " or ")
	case fleet.Not:
		return "not (" + w.expr(e.Term) + ")"
	case fleet.Compare:
		return w.compare(e)
	}
	return "false"
}

func (w *where) join(terms []fleet.Expr, word string) string {
	conditions := make([]string, len(terms))
	for i, term := range terms {
		conditions[i] = w.expr(term)
	}
	return "(" + strings.Join(conditions, word) + ")"
}

func (w *where) compare(c fleet.Compare) string {
	if c.Field == fleet.FieldLabel {
		return w.compareLabel(c)
	}
	column := "h." + string(c.Field)
	switch c.Op {
	case fleet.OpEq:
		return column + " = " + w.arg(c.Values[0])
	case fleet.OpNe:
		return column + " <> " + w.arg(c.Values[0])
	case fleet.OpGlob:
		return column + " like " + w.arg(globPattern(c.Values[0]))
	case fleet.OpIn:
		return column + " = any(" + w.arg(c.Values) + ")"
	case fleet.OpNotIn:
		return column + " <> all(" + w.arg(c.Values) + ")"
	case fleet.OpHas:
	}
	return "false"
}

func (w *where) compareLabel(c fleet.Compare) string {
	switch c.Op {
	case fleet.OpEq:
		return w.contains(c.Key, c.Values)
	case fleet.OpNe, fleet.OpNotIn:
		return "not " + w.contains(c.Key, c.Values)
	case fleet.OpIn:
		return w.contains(c.Key, c.Values)
	case fleet.OpHas:
		return "jsonb_exists(h.labels, " + w.arg(c.Key) + ")"
	case fleet.OpGlob:
		return "coalesce(h.labels ->> " + w.arg(c.Key) + " like " + w.arg(globPattern(c.Values[0])) + ", false)"
	}
	return "false"
}

// contains asks whether the label is there with one of the values, in a form that the index on labels serves.
func (w *where) contains(key string, values []string) string {
	conditions := make([]string, len(values))
	for i, value := range values {
		conditions[i] = "h.labels @> " + w.arg(map[string]string{key: value}) + "::jsonb"
	}
	return "(" + strings.Join(conditions, " or ") + ")"
}

// globPattern turns a glob of * and ? into a pattern of LIKE.
func globPattern(glob string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`, `*`, `%`, `?`, `_`).Replace(glob)
}
