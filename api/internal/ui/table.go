package ui

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/facts"
)

// sampled is how many entries of a keyed list are looked at to find out what its columns are.
const sampled = 20

// maxColumns is how many members the entries of a keyed list have that is shown as a table.
const maxColumns = 40

// A table is a keyed list: an object whose values are objects with the same members.
type table struct {
	ID      string // for links
	Title   string
	Key     string // the heading of the keys
	Columns []column
	Rows    []tableRow
	Total   int
	Alone   string    // the link to the table alone, where not all rows are shown
	Next    string    // the link to the rows after those
	Same    []factRow // columns that have one value in all rows
	Unknown []string  // columns of which nothing is known
	Usage   bool      // whether the rows have a Usage
	Dated   bool      // whether a row has a time of its own
}

// A column is a member of the entries.
type column struct {
	Name   string
	Number bool // whether it holds numbers
}

type tableRow struct {
	Name    string
	Cells   []value
	Since   time.Time
	History string
	Usage   *usage
}

// A usage is how full something is.
type usage struct {
	Share float64 // 0 to 1
	Text  string
}

// isKeyed reports whether the fields are a keyed list.
func isKeyed(fields []member) bool {
	counts := map[string]int{}
	names := 0
	for i, f := range fields {
		if kindOfJSON(f.Raw) != '{' {
			return false
		}
		if i < sampled {
			var entry map[string]json.RawMessage
			if json.Unmarshal(f.Raw, &entry) != nil {
				return false
			}
			names += len(entry)
			for name := range entry {
				counts[name]++
			}
		}
	}
	n := min(len(fields), sampled)
	// On average an entry has three quarters of all members that occur; and one entry alone has several, or a name that
	// is none of a field.
	if n == 0 || len(counts) == 0 || len(counts) > maxColumns || 4*names < 3*n*len(counts) {
		return false
	}
	return n > 1 || len(counts) >= 3 || strings.ContainsFunc(fields[0].Name, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') })
}

// table adds a keyed list to the page.
func (b *builder) table(path facts.Path, fields []member) {
	name := path.String()
	if b.Table != "" && b.Table != name {
		return
	}
	if b.Search != "" && !strings.Contains(strings.ToLower(name), b.Search) {
		fields = slices.DeleteFunc(fields, func(f member) bool { return !b.matches(facts.Path{f.Name}, f.Raw) })
	}
	t := table{ID: name, Title: title(path), Total: len(fields), Key: "name"}
	if len(fields) > rowsPerTable/4 {
		b.view.Search = true
	}
	most := rowsPerTable
	if b.Table != "" {
		most = rowsAlone
		fields = slices.DeleteFunc(fields, func(f member) bool { return b.After != "" && natural(f.Name, b.After) <= 0 })
	}
	shown := fields[:min(len(fields), most, max(0, maxRows-b.rows))]
	if len(shown) < len(fields) && b.Base == "" {
		b.view.Left = true
	} else if len(shown) < len(fields) {
		t.Alone = b.link(name, "")
		if b.Table != "" && len(shown) > 0 {
			t.Next = b.link(name, shown[len(shown)-1].Name)
		}
	}
	if len(shown) == 0 && t.Alone == "" {
		return
	}
	b.rows += len(shown)
	b.fill(&t, path, shown)
	b.view.Tables = append(b.view.Tables, t)
}

// link returns the address of the table alone, from after the row of that name.
func (b *builder) link(table, after string) string {
	return link(b.Base, b.Self, "table", table, "after", after)
}

// fill fills in columns and rows.
func (b *builder) fill(t *table, path facts.Path, shown []member) {
	entries := make([]map[string]json.RawMessage, len(shown))
	names := map[string]bool{}
	for i, f := range shown {
		_ = json.Unmarshal(f.Raw, &entries[i]) // one that is no object has no cells
		for name := range entries[i] {
			names[name] = true
		}
	}
	uses := b.usages(path, shown)
	columns := slices.SortedFunc(maps.Keys(names), natural)
	for _, name := range columns[:min(len(columns), maxColumns)] {
		b.column(t, path, shown, entries, name)
	}
	for i, f := range shown {
		p := child(path, f.Name)
		row := tableRow{Name: cutName(f.Name), Since: b.since(p), History: b.history(p), Usage: uses[f.Name]}
		t.Usage = t.Usage || row.Usage != nil
		for _, c := range t.Columns {
			v := cell(entries[i][c.Name], unitOf(b.Type, child(p, c.Name)))
			if c.Number && v.Kind == "null" {
				v.Kind = "null number"
			}
			v.spare(&b.unfolded)
			row.Cells = append(row.Cells, v)
		}
		t.Rows = append(t.Rows, row)
	}
}

// column adds a column, unless it says nothing: it repeats the name, is empty, or is the same in all of several rows.
func (b *builder) column(t *table, path facts.Path, shown []member, entries []map[string]json.RawMessage, name string) {
	first, same, known, isKey, numbers := string(entries[0][name]), true, false, true, true
	for i, entry := range entries {
		raw := entry[name]
		same = same && string(raw) == first
		switch kindOfJSON(raw) {
		case 'n':
			isKey = false
		case '{', '[':
			known, isKey, numbers = known || !isEmpty(raw), false, false
		case '"', 't', 'f':
			numbers = false
			known = known || string(raw) != `""`
			isKey = isKey && string(raw) == strconv.Quote(shown[i].Name)
		default:
			known, isKey = true, false
		}
	}
	switch {
	case isKey:
		t.Key = name
	case !known:
		t.Unknown = append(t.Unknown, name)
	case same && len(entries) > 2:
		t.Same = append(t.Same, factRow{Name: name, Value: cell(entries[0][name], unitOf(b.Type, child(child(path, "*"), name)))})
	default:
		t.Columns = append(t.Columns, column{name, numbers})
	}
}

// cell returns a value as it stands in a table: of a list within it, its keys.
func cell(raw json.RawMessage, u unit) value {
	switch {
	case raw == nil, kindOfJSON(raw) == 'n':
		return value{Kind: "null", Text: "–"}
	case kindOfJSON(raw) == '{':
		return keysOf(raw)
	case kindOfJSON(raw) == '[' && isEmpty(raw):
		return value{Kind: "null", Text: "–"}
	}
	return showValue(raw, u)
}

func keysOf(raw json.RawMessage) value {
	fields := members(raw)
	if len(fields) == 0 {
		return value{Kind: "null", Text: "–"}
	}
	v := showValue(raw, plain)
	var names []string
	for _, f := range fields {
		if kindOfJSON(f.Raw) != '{' {
			return v
		}
		names = append(names, f.Name)
	}
	v.Text = folded("object", strings.Join(names, ", ")).Text
	if v.Full == "" {
		v.Full, v.Cut = head(string(raw), maxFull)
	}
	return v
}

// usages returns how full the entries that are shown of the list at the path are, as far as the metrics of the same
// report tell.
func (b *builder) usages(path facts.Path, shown []member) map[string]*usage {
	raw, ok := facts.At(b.Metrics, path)
	if !ok {
		return nil
	}
	var entries map[string]json.RawMessage
	if json.Unmarshal(raw, &entries) != nil {
		return nil
	}
	out := map[string]*usage{}
	for _, f := range shown {
		var m struct{ Used, Size, Total *float64 }
		if json.Unmarshal(entries[f.Name], &m) != nil || m.Used == nil {
			continue
		}
		size := m.Size
		if size == nil {
			size = m.Total
		}
		if size == nil || *size <= 0 || *m.Used < 0 {
			continue
		}
		share := min(*m.Used / *size, 1)
		out[f.Name] = &usage{share, trim(100*share, 0) + " % of " + showBytes(*size)}
	}
	return out
}
