package ledger

import (
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// A Verdict is what the comparison found.
type Verdict struct {
	Accepted   int `json:"accepted"`   // requests answered with 202
	Unanswered int `json:"unanswered"` // collections whose answer did not reach the client: legal
	Asked      int `json:"asked"`      // tasks of all collections
	Ended      int `json:"ended"`      // of those, in history

	States     map[string]int `json:"states"` // tasks in history
	Codes      map[string]int `json:"codes"`  // of those that neither succeeded nor were partial
	Executions int64          `json:"executions"`
	Repeated   int64          `json:"repeated"` // executions beyond one for each task that was answered: legal
	Attempts   int            `json:"attempts"` // claims of tasks that ended
	Reports    int            `json:"reports"`

	Lost    Findings `json:"lost"`
	Doubled Findings `json:"doubled"`
	Wrong   Findings `json:"wrong"` // neither lost nor twice, and not true
}

// OK reports whether nothing was lost, done twice or made up.
func (v Verdict) OK() bool { return v.Lost.Count+v.Doubled.Count+v.Wrong.Count == 0 }

// Findings are what was found of one sort.
type Findings struct {
	Count    int      `json:"count"`
	Examples []string `json:"examples,omitempty"` // the first ones
}

const maxExamples = 20

func (f *Findings) add(format string, args ...any) {
	f.Count++
	if len(f.Examples) < maxExamples {
		f.Examples = append(f.Examples, fmt.Sprintf(format, args...))
	}
}

// A comparison holds the books by what they are looked up by.
type comparison struct {
	books       Books
	verdict     Verdict
	collections map[uuid.UUID]Collection
	tasks       map[uuid.UUID][]Task // by collection
	reports     map[uuid.UUID][]string
}

// Compare compares the books.
func Compare(b Books) Verdict {
	c := comparison{
		books: b, collections: map[uuid.UUID]Collection{}, tasks: map[uuid.UUID][]Task{}, reports: map[uuid.UUID][]string{},
		verdict: Verdict{Accepted: len(b.Client), Reports: len(b.Database.Reports), States: map[string]int{}, Codes: map[string]int{}},
	}
	c.index()
	c.answers()
	for _, collection := range c.collections {
		c.collection(collection)
	}
	c.strays()
	c.executions()
	v := &c.verdict
	if n := b.Database.Changes; n > 0 {
		v.Wrong.add("%d changes on hosts that change nothing", n)
	}
	if n := b.Database.Overlaps; n > 0 {
		v.Wrong.add("%d pairs of periods overlap", n)
	}
	return c.verdict
}

// index looks everything up once, and finds what the database has twice.
func (c *comparison) index() {
	requests := map[int]uuid.UUID{}
	for _, collection := range c.books.Database.Collections {
		if _, twice := c.collections[collection.ID]; twice {
			c.verdict.Doubled.add("collection %s is there twice", collection.ID)
			continue
		}
		c.collections[collection.ID] = collection
		if collection.Request == 0 {
			continue
		}
		if other, twice := requests[collection.Request]; twice {
			c.verdict.Doubled.add("request %d made two collections, %s and %s", collection.Request, other, collection.ID)
		}
		requests[collection.Request] = collection.ID
	}
	for _, task := range c.books.Database.Tasks {
		c.tasks[task.Collection] = append(c.tasks[task.Collection], task)
	}
	for _, report := range c.books.Database.Reports {
		c.reports[report.Task] = append(c.reports[report.Task], report.Type)
	}
}

// answers holds every answer that the client had against the database.
func (c *comparison) answers() {
	answered := map[uuid.UUID]int{}
	for _, a := range c.books.Client {
		if other, twice := answered[a.ID]; twice {
			c.verdict.Doubled.add("requests %d and %d were answered with one collection, %s", other, a.Request, a.ID)
			continue
		}
		answered[a.ID] = a.Request
		collection, ok := c.collections[a.ID]
		if !ok {
			c.verdict.Lost.add("collection %s of request %d was accepted and is not there", a.ID, a.Request)
			continue
		}
		if collection.Request != a.Request {
			c.verdict.Wrong.add("collection %s was the answer to request %d and is of request %d", a.ID, a.Request, collection.Request)
		}
		if !slices.Equal(sorted(collection.Types), sorted(a.Types)) {
			c.verdict.Wrong.add("collection %s asks for %v instead of %v", a.ID, collection.Types, a.Types)
		}
		c.hosts(a)
	}
	c.verdict.Unanswered = len(c.collections) - c.known(answered)
}

func (c *comparison) known(answered map[uuid.UUID]int) int {
	n := 0
	for id := range answered {
		if _, ok := c.collections[id]; ok {
			n++
		}
	}
	return n
}

// hosts insists on one task for each host that was asked for, and on none besides.
func (c *comparison) hosts(a Accepted) {
	has := map[string]bool{}
	for _, task := range c.tasks[a.ID] {
		has[task.Host] = true
	}
	for _, host := range a.Hosts {
		if !has[host] {
			c.verdict.Lost.add("collection %s has no task for %s", a.ID, host)
		}
		delete(has, host)
	}
	for host := range has {
		c.verdict.Wrong.add("collection %s has a task for %s, which nobody asked for", a.ID, host)
	}
}

// collection holds one collection against its tasks.
func (c *comparison) collection(collection Collection) {
	v := &c.verdict
	v.Asked += collection.Total
	if collection.Open {
		v.Lost.add("collection %s has not ended: it is %s", collection.ID, collection.State)
	}
	seen, counts := map[string]bool{}, map[string]int{}
	for _, task := range c.tasks[collection.ID] {
		if seen[task.Host] {
			v.Doubled.add("collection %s has two tasks for %s", collection.ID, task.Host)
		}
		seen[task.Host] = true
		c.task(collection, task)
		if !task.Open {
			counts[task.State]++
		}
	}
	if n := len(seen); n < collection.Total {
		v.Lost.add("collection %s has %d tasks of %d", collection.ID, n, collection.Total)
	}
	if collection.Open {
		return
	}
	sum := 0
	for _, state := range []string{"succeeded", "partial", "failed", "cancelled"} {
		sum += collection.Counts[state]
		if collection.Counts[state] != counts[state] {
			v.Wrong.add("collection %s counts %d tasks as %s, history has %d", collection.ID, collection.Counts[state], state, counts[state])
		}
	}
	if sum != collection.Total || collection.Counts["total"] != collection.Total {
		v.Lost.add("collection %s counts %d ended tasks of %d", collection.ID, sum, collection.Total)
	}
	if want := stateOf(counts, collection.Total); collection.State != want {
		v.Wrong.add("collection %s is %s and should be %s", collection.ID, collection.State, want)
	}
}

// stateOf is the state of a collection whose tasks ended so.
func stateOf(counts map[string]int, total int) string {
	switch {
	case counts["succeeded"] == total:
		return "succeeded"
	case counts["succeeded"]+counts["partial"] > 0:
		return "partial"
	case counts["failed"] > 0:
		return "failed"
	default:
		return "cancelled"
	}
}

// task holds one task against its reports.
func (c *comparison) task(collection Collection, task Task) {
	v := &c.verdict
	if task.Open {
		v.Lost.add("task %s for %s has not ended: it is %s", task.ID, task.Host, task.State)
		return
	}
	v.Ended++
	v.Attempts += task.Attempts
	v.States[task.State]++
	if !task.answered() {
		v.Codes[task.Code]++
	}
	count := map[string]int{}
	for _, t := range c.reports[task.ID] {
		count[t]++
	}
	for _, t := range collection.Types {
		failed := slices.Contains(task.Failed, t)
		switch {
		case count[t] > 1:
			v.Doubled.add("task %s for %s has %d reports of %s", task.ID, task.Host, count[t], t)
		case count[t] == 1 && !task.answered():
			v.Wrong.add("task %s for %s is %s and has a report of %s", task.ID, task.Host, task.State, t)
		case count[t] == 0 && task.State == "succeeded", count[t] == 0 && task.State == "partial" && !failed:
			v.Lost.add("task %s for %s is %s and has no report of %s", task.ID, task.Host, task.State, t)
		}
		delete(count, t)
	}
	for t := range count {
		v.Wrong.add("task %s for %s has a report of %s, which nobody asked for", task.ID, task.Host, t)
	}
}

// strays finds tasks without a collection and reports without a task.
func (c *comparison) strays() {
	ids := map[uuid.UUID]bool{}
	for collection, tasks := range c.tasks {
		if _, ok := c.collections[collection]; !ok {
			c.verdict.Lost.add("%d tasks belong to collection %s, which is not there", len(tasks), collection)
		}
		for _, task := range tasks {
			if ids[task.ID] {
				c.verdict.Doubled.add("task %s is there twice", task.ID)
			}
			ids[task.ID] = true
		}
	}
	for task, types := range c.reports {
		if !ids[task] {
			c.verdict.Doubled.add("%d reports belong to task %s, which is not there", len(types), task)
		}
	}
}

// executions holds what the tasks claim against what the hosts counted.
func (c *comparison) executions() {
	claimed := map[string]int64{}
	answered := int64(0)
	for _, task := range c.books.Database.Tasks {
		if !task.Open && task.answered() {
			claimed[task.Host]++
			answered++
		}
	}
	for host, n := range claimed {
		if counted := c.books.Hosts[host]; counted < n {
			c.verdict.Lost.add("%s executed %d times, and %d tasks claim its answer", host, counted, n)
		}
	}
	for _, n := range c.books.Hosts {
		c.verdict.Executions += n
	}
	c.verdict.Repeated = c.verdict.Executions - answered
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }
