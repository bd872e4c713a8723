package ledger_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/e2e/chaos/ledger"
)

func id(n byte) uuid.UUID { return uuid.UUID{0: 1, 15: n} }

// healthy returns the books of a run in which nothing went wrong: a collection of two hosts that both answered, one of a
// host that answered in part, one of a host that did not, and one whose answer did not reach the client.
func healthy() ledger.Books {
	types := []string{"cpu", "os"}
	counts := func(succeeded, partial, failed int) map[string]int {
		return map[string]int{"total": succeeded + partial + failed, "succeeded": succeeded, "partial": partial, "failed": failed, "cancelled": 0}
	}
	return ledger.Books{
		Client: []ledger.Accepted{
			{Request: 1, ID: id(1), Hosts: []string{"a", "b"}, Types: types},
			{Request: 2, ID: id(2), Hosts: []string{"a"}, Types: types},
			{Request: 3, ID: id(3), Hosts: []string{"b"}, Types: types},
		},
		Hosts: map[string]int64{"a": 3, "b": 2, "c": 0},
		Database: ledger.Database{
			Collections: []ledger.Collection{
				{ID: id(1), Request: 1, State: "succeeded", Types: types, Total: 2, Counts: counts(2, 0, 0)},
				{ID: id(2), Request: 2, State: "partial", Types: types, Total: 1, Counts: counts(0, 1, 0)},
				{ID: id(3), Request: 3, State: "failed", Types: types, Total: 1, Counts: counts(0, 0, 1)},
				{ID: id(4), Request: 4, State: "succeeded", Types: types, Total: 1, Counts: counts(1, 0, 0)},
			},
			Tasks: []ledger.Task{
				{ID: id(11), Collection: id(1), Host: "a", State: "succeeded", Attempts: 1},
				{ID: id(12), Collection: id(1), Host: "b", State: "succeeded", Attempts: 2},
				{ID: id(13), Collection: id(2), Host: "a", State: "partial", Attempts: 1, Code: "parse_failed", Failed: []string{"cpu"}},
				{ID: id(14), Collection: id(3), Host: "b", State: "failed", Attempts: 3, Code: "deadline_exceeded"},
				{ID: id(15), Collection: id(4), Host: "a", State: "succeeded", Attempts: 1},
			},
			Reports: []ledger.Report{
				{Task: id(11), Type: "os"},
				{Task: id(11), Type: "cpu"},
				{Task: id(12), Type: "os"},
				{Task: id(12), Type: "cpu"},
				{Task: id(13), Type: "os"},
				{Task: id(15), Type: "os"},
				{Task: id(15), Type: "cpu"},
			},
		},
	}
}

func TestHealthyBooksAreCounted(t *testing.T) {
	t.Parallel()
	v := ledger.Compare(healthy())
	want := ledger.Verdict{
		Accepted: 3, Unanswered: 1, Asked: 5, Ended: 5,
		States: map[string]int{"succeeded": 3, "partial": 1, "failed": 1}, Codes: map[string]int{"deadline_exceeded": 1},
		Executions: 5, Repeated: 1, Attempts: 8, Reports: 7,
	}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Errorf("the verdict differs (-want +got):\n%s", diff)
	}
	if !v.OK() {
		t.Error("healthy books are not ok")
	}
}

// A spoiling is something that is wrong with books, and what has to be found of it.
type spoiling struct {
	name    string
	spoil   func(*ledger.Books)
	lost    string // part of a finding; empty: none
	doubled string
	wrong   string
}

func losses() []spoiling {
	return []spoiling{
		{
			name: "a collection that was accepted is not there",
			spoil: func(b *ledger.Books) {
				d := &b.Database
				d.Collections = slices.DeleteFunc(d.Collections, func(c ledger.Collection) bool { return c.ID == id(3) })
				d.Tasks = slices.DeleteFunc(d.Tasks, func(t ledger.Task) bool { return t.Collection == id(3) })
			},
			lost: "of request 3 was accepted and is not there",
		},
		{
			name: "a collection has not ended",
			spoil: func(b *ledger.Books) {
				c := &b.Database.Collections[1]
				c.Open, c.State, c.Counts = true, "running", nil
			},
			lost: "has not ended: it is running",
		},
		{
			name: "a collection nobody was told of has not ended",
			spoil: func(b *ledger.Books) {
				c := &b.Database.Collections[3]
				c.Open, c.State, c.Counts = true, "pending", nil
			},
			lost: "has not ended: it is pending",
		},
		{
			name:  "a task has not ended",
			spoil: func(b *ledger.Books) { b.Database.Tasks[0].Open, b.Database.Tasks[0].State = true, "queued" },
			lost:  "for a has not ended: it is queued", wrong: "counts 2 tasks as succeeded, history has 1",
		},
		{
			name: "a task that was asked for is not there",
			spoil: func(b *ledger.Books) {
				b.Database.Tasks = slices.Delete(b.Database.Tasks, 3, 4)
			},
			lost: "has no task for b", wrong: "counts 1 tasks as failed, history has 0",
		},
		{
			name: "a task of a collection nobody was told of is not there",
			spoil: func(b *ledger.Books) {
				b.Database.Tasks, b.Database.Reports = b.Database.Tasks[:4], b.Database.Reports[:5]
			},
			lost: "has 0 tasks of 1", wrong: "counts 1 tasks as succeeded, history has 0",
		},
		{
			name: "the database agrees with itself and asked fewer hosts than the client",
			spoil: func(b *ledger.Books) {
				d := &b.Database
				d.Collections[0].Total, d.Collections[0].Counts = 1, map[string]int{"total": 1, "succeeded": 1}
				d.Tasks, d.Reports = slices.Delete(d.Tasks, 1, 2), slices.Delete(d.Reports, 2, 4)
			},
			lost: "has no task for b",
		},
		{
			name:  "counts do not add up to the total",
			spoil: func(b *ledger.Books) { b.Database.Collections[0].Total = 3 },
			lost:  "counts 2 ended tasks of 3", wrong: "is succeeded and should be partial",
		},
		{
			name:  "a task that succeeded lacks a report",
			spoil: func(b *ledger.Books) { b.Database.Reports = b.Database.Reports[1:] },
			lost:  "is succeeded and has no report of os",
		},
		{
			name:  "a task that is partial lacks a report that did not fail",
			spoil: func(b *ledger.Books) { b.Database.Reports = slices.Delete(b.Database.Reports, 4, 5) },
			lost:  "is partial and has no report of os",
		},
		{
			name:  "a host executed less often than tasks claim",
			spoil: func(b *ledger.Books) { b.Hosts["a"] = 2 },
			lost:  "a executed 2 times, and 3 tasks claim its answer",
		},
		{
			name:  "tasks belong to no collection",
			spoil: func(b *ledger.Books) { b.Database.Collections = b.Database.Collections[:3] },
			lost:  "1 tasks belong to collection",
		},
	}
}

func doublings() []spoiling {
	return []spoiling{
		{
			name: "a collection is open and in history",
			spoil: func(b *ledger.Books) {
				b.Database.Collections = append(b.Database.Collections, ledger.Collection{ID: id(1), Request: 1, Open: true})
			},
			doubled: "is there twice",
		},
		{
			name:    "two collections of one request",
			spoil:   func(b *ledger.Books) { b.Database.Collections[3].Request = 1 },
			doubled: "request 1 made two collections",
		},
		{
			name:    "two requests were answered with one collection",
			spoil:   func(b *ledger.Books) { b.Client[1].ID = id(1) },
			doubled: "requests 1 and 2 were answered with one collection",
		},
		{
			name: "two tasks for one host in one collection",
			spoil: func(b *ledger.Books) {
				b.Database.Tasks = append(b.Database.Tasks, ledger.Task{ID: id(16), Collection: id(3), Host: "b", State: "failed", Code: "internal"})
			},
			doubled: "has two tasks for b", wrong: "counts 1 tasks as failed, history has 2",
		},
		{
			name: "a task is open and in history",
			spoil: func(b *ledger.Books) {
				b.Database.Tasks = append(b.Database.Tasks, ledger.Task{ID: id(11), Collection: id(1), Host: "a", Open: true, State: "running"})
			},
			doubled: "is there twice", lost: "for a has not ended",
		},
		{
			name: "two reports of one type for one task",
			spoil: func(b *ledger.Books) {
				b.Database.Reports = append(b.Database.Reports, ledger.Report{Task: id(11), Type: "os"})
			},
			doubled: "has 2 reports of os",
		},
		{
			name: "a report belongs to no task",
			spoil: func(b *ledger.Books) {
				b.Database.Reports = append(b.Database.Reports, ledger.Report{Task: id(99), Type: "os"})
			},
			doubled: "1 reports belong to task",
		},
	}
}

func wrongs() []spoiling {
	return []spoiling{
		{
			name: "a task that failed has a report",
			spoil: func(b *ledger.Books) {
				b.Database.Reports = append(b.Database.Reports, ledger.Report{Task: id(14), Type: "os"})
			},
			wrong: "is failed and has a report of os",
		},
		{
			name: "a report of a type that nobody asked for",
			spoil: func(b *ledger.Books) {
				b.Database.Reports = append(b.Database.Reports, ledger.Report{Task: id(11), Type: "disks"})
			},
			wrong: "has a report of disks, which nobody asked for",
		},
		{
			name:  "a task for a host that nobody asked for",
			spoil: func(b *ledger.Books) { b.Client[0].Hosts = []string{"a"} },
			wrong: "has a task for b, which nobody asked for",
		},
		{
			name:  "the answer to another request",
			spoil: func(b *ledger.Books) { b.Client[0].ID, b.Client[1].ID = b.Client[1].ID, b.Client[0].ID },
			wrong: "was the answer to request 1 and is of request 2", lost: "has no task for b",
		},
		{
			name:  "a collection asks for other types",
			spoil: func(b *ledger.Books) { b.Client[0].Types = []string{"os"} },
			wrong: "asks for [cpu os] instead of [os]",
		},
		{
			name:  "a collection is in a state that its tasks do not give",
			spoil: func(b *ledger.Books) { b.Database.Collections[1].State = "succeeded" },
			wrong: "is succeeded and should be partial",
		},
		{
			name: "counts are not those of history",
			spoil: func(b *ledger.Books) {
				b.Database.Collections[0].Counts = map[string]int{"total": 2, "succeeded": 1, "failed": 1}
			},
			wrong: "counts 1 tasks as succeeded, history has 2",
		},
		{
			name:  "facts changed on hosts that change nothing",
			spoil: func(b *ledger.Books) { b.Database.Changes = 1 },
			wrong: "1 changes on hosts that change nothing",
		},
		{
			name:  "two periods of a host overlap",
			spoil: func(b *ledger.Books) { b.Database.Overlaps = 1 },
			wrong: "1 pairs of periods overlap",
		},
	}
}

func TestWhateverIsWrongIsFound(t *testing.T) {
	t.Parallel()
	for _, tt := range slices.Concat(losses(), doublings(), wrongs()) {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			books := healthy()
			tt.spoil(&books)
			v := ledger.Compare(books)
			if v.OK() {
				t.Fatal("the books are ok")
			}
			for _, sort := range []struct {
				name  string
				found ledger.Findings
				want  string
			}{{"lost", v.Lost, tt.lost}, {"doubled", v.Doubled, tt.doubled}, {"wrong", v.Wrong, tt.wrong}} {
				if sort.found.Count < len(sort.found.Examples) || (sort.found.Count > 0) != (sort.want != "") {
					t.Errorf("%s: %d %q, want %q", sort.name, sort.found.Count, sort.found.Examples, sort.want)
				}
				if !slices.ContainsFunc(sort.found.Examples, func(s string) bool { return strings.Contains(s, sort.want) }) && sort.want != "" {
					t.Errorf("%s: %q, want %q among them", sort.name, sort.found.Examples, sort.want)
				}
			}
		})
	}
}

func TestManyFindingsAreCountedAndFewShown(t *testing.T) {
	t.Parallel()
	books := healthy()
	for n := range 100 {
		books.Client = append(books.Client, ledger.Accepted{Request: 100 + n, ID: uuid.New()})
	}
	if v := ledger.Compare(books); v.Lost.Count != 100 || len(v.Lost.Examples) == 0 || len(v.Lost.Examples) > 20 {
		t.Errorf("%d lost, %d shown", v.Lost.Count, len(v.Lost.Examples))
	}
}
