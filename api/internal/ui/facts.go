package ui

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// Bounds of what a page shows of a report; the rest is a page further, or in the JSON that the page links to.
const (
	rowsPerTable = 100 // of one table among others
	rowsAlone    = 200 // of a table that has the page for itself
	maxRows      = 500 // of all cards and tables of a page
	maxDepth     = 16
	maxUnknown   = 60 // names in the list of what is not known
)

// A factsView is the facts of a report as a page shows them: small things as cards, keyed lists as tables.
type factsView struct {
	Cards   []card
	Tables  []table
	Unknown []unknown
	Search  bool      // whether there is so much that searching helps
	Left    bool      // whether something was left out that only the JSON has
	Empty   bool      // whether nothing that is there was asked for
	Since   time.Time // since when everything holds that has no time of its own; zero: nobody knows
}

// A card is names and values that belong together.
type card struct {
	Title string
	Rows  []factRow
	Dated bool // whether a row has a time of its own
}

type factRow struct {
	Name    string
	Path    string // canonical
	Value   value
	Since   time.Time // zero: since as long as everything else
	History string    // the link to the history of the path
}

// unknown is why some of the facts are not known.
type unknown struct {
	Reason string // as the collector noted it; empty: it noted none
	Paths  []string
	More   int // paths that are not named
}

// A factsQuery is what a page shows of a report.
type factsQuery struct {
	Type    string
	History string // the address of the history of a path, which is added as its query; empty: without links
	Self    url.Values
	Base    string // the address of the page, without its query
	Search  string // shows only rows that hold the text, in lower case
	Table   string // the canonical path of the one table to show; empty: everything
	After   string // shows only the rows of that table after this name
	Sinces  *facts.Sinces
	Metrics []byte
}

// builder makes a factsView.
type builder struct {
	factsQuery
	view        factsView
	unavailable []reasoned
	unknown     map[string]*unknown
	rows        int
	unfolded    int // bytes that are left for values that can be unfolded
}

type reasoned struct {
	pattern facts.Pattern
	reason  string
}

// showFacts returns the facts for a page. What is too much for one is left out and said to be.
func showFacts(report fleet.Report, q factsQuery) factsView {
	q.Search = strings.ToLower(strings.TrimSpace(q.Search))
	b := &builder{factsQuery: q, unknown: map[string]*unknown{}, unfolded: maxUnfolded}
	for path, reason := range report.Unavailable {
		if pattern, err := facts.ParsePattern(path); err == nil {
			b.unavailable = append(b.unavailable, reasoned{pattern, reason})
		}
	}
	b.object(facts.Path{}, report.Facts, 0, nil)
	b.view.Empty = len(b.view.Cards)+len(b.view.Tables) == 0
	b.finish(report.Unavailable)
	b.view.date()
	return b.view
}

// date takes the time that most of the report holds since, the oldest one, out of the rows: what changed later stands out.
func (v *factsView) date() {
	each := func(f func(*time.Time)) {
		for i := range v.Cards {
			for j := range v.Cards[i].Rows {
				f(&v.Cards[i].Rows[j].Since)
			}
		}
		for i := range v.Tables {
			for j := range v.Tables[i].Rows {
				f(&v.Tables[i].Rows[j].Since)
			}
		}
	}
	each(func(t *time.Time) {
		if !t.IsZero() && (v.Since.IsZero() || t.Before(v.Since)) {
			v.Since = *t
		}
	})
	each(func(t *time.Time) {
		if t.Equal(v.Since) {
			*t = time.Time{}
		}
	})
	dated := func(t time.Time) bool { return !t.IsZero() }
	for i, c := range v.Cards {
		v.Cards[i].Dated = slices.ContainsFunc(c.Rows, func(r factRow) bool { return dated(r.Since) })
	}
	for i, t := range v.Tables {
		v.Tables[i].Dated = slices.ContainsFunc(t.Rows, func(r tableRow) bool { return dated(r.Since) })
	}
}

// object shows the fields of an object: those that are small in the card, or one of its own, and lists as tables.
func (b *builder) object(path facts.Path, raw []byte, depth int, into *card) {
	if depth > maxDepth {
		b.view.Left = true
		return
	}
	own := card{Title: title(path)}
	if into == nil {
		into = &own
	}
	var later []member
	for _, f := range members(raw) {
		if kindOfJSON(f.Raw) == '{' && !isEmpty(f.Raw) {
			later = append(later, f)
			continue
		}
		b.leaf(child(path, f.Name), f.Raw, into)
	}
	for _, f := range later {
		p, fields := child(path, f.Name), members(f.Raw)
		switch {
		case isKeyed(fields):
			b.table(p, fields)
		case depth == 0:
			b.object(p, f.Raw, depth+1, nil)
		default:
			b.object(p, f.Raw, depth+1, into)
		}
	}
	if into == &own && len(own.Rows) > 0 {
		b.view.Cards = append(b.view.Cards, own)
		if depth == 0 { // what stands by itself stands first
			cards := b.view.Cards
			copy(cards[1:], cards)
			cards[0] = own
		}
	}
}

// leaf adds a value to a card, or to what is not known.
func (b *builder) leaf(path facts.Path, raw json.RawMessage, into *card) {
	if b.Table != "" || !b.matches(path, raw) {
		return
	}
	if kindOfJSON(raw) == 'n' {
		b.notKnown(path)
		return
	}
	if !b.room() {
		return
	}
	name := path[len(path)-1]
	if len(path) > 2 {
		name = strings.Join(path[1:], ".")
	}
	v := showValue(raw, unitOf(b.Type, path))
	v.spare(&b.unfolded)
	into.Rows = append(into.Rows, factRow{
		Name: cutName(name), Path: cutName(path.String()), Value: v, Since: b.since(path), History: b.history(path),
	})
}

// room counts a row, and reports whether the page has room for it.
func (b *builder) room() bool {
	b.rows++
	if b.rows > maxRows {
		b.view.Left = true
		return false
	}
	return true
}

func (b *builder) matches(path facts.Path, raw []byte) bool {
	return b.Search == "" || strings.Contains(strings.ToLower(path.String()), b.Search) ||
		bytes.Contains(bytes.ToLower(raw), []byte(b.Search))
}

func (b *builder) since(path facts.Path) time.Time {
	if b.Sinces == nil {
		return time.Time{}
	}
	return b.Sinces.Of(path)
}

func (b *builder) history(path facts.Path) string {
	text := path.String()
	if b.History == "" || len(text) > maxLink {
		return ""
	}
	return b.History + "?" + url.Values{"type": {b.Type}, "path": {text}}.Encode()
}

// notKnown notes that the value at the path is null, and why.
func (b *builder) notKnown(path facts.Path) {
	reason := ""
	for _, u := range b.unavailable {
		if u.pattern.Covers(path) {
			reason = u.reason
			break
		}
	}
	b.note(reason, path.String())
}

func (b *builder) note(reason, path string) {
	u := b.unknown[reason]
	if u == nil {
		u = &unknown{Reason: reason}
		b.unknown[reason] = u
	}
	if len(u.Paths) >= maxUnknown {
		u.More++
		return
	}
	u.Paths = append(u.Paths, cutName(path))
}

func child(path facts.Path, name string) facts.Path {
	return append(slices.Clip(path), name)
}

// title returns a path as a heading.
func title(path facts.Path) string {
	if len(path) == 0 {
		return "General"
	}
	return cutName(strings.Join(path, " › "))
}

// kindOfJSON returns the first byte of a value, which tells its kind.
func kindOfJSON(raw []byte) byte {
	if raw = bytes.TrimSpace(raw); len(raw) > 0 {
		return raw[0]
	}
	return 'n'
}

// isEmpty reports whether the object or list has nothing in it.
func isEmpty(raw []byte) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) < 2 || len(bytes.TrimSpace(raw[1:len(raw)-1])) == 0
}
