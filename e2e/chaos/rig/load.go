package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

const (
	requestLimit   = 5 * time.Second  // for one try
	giveUp         = 45 * time.Second // for one request with all its tries
	mostAtOnce     = 16               // requests under way
	loadTick       = 100 * time.Millisecond
	bulkEvery      = 20 * time.Second
	mostUnderWay   = 6 // tries that may be answered with "under way" before the outcome counts as unknown
	marker         = "chaos"
	interactiveIn  = 2 // one tick in so many makes an interactive request
	normalIn       = 20
	maxNormalParts = 10 // groups
)

// A request is what the client asks for.
type request struct {
	number   int
	selector string
	priority string
	hosts    []string
	types    []string
}

// A client posts collections without a pause, and notes every 202 before it goes on.
type client struct {
	rig    *rig
	dice   *rand.Rand
	open   *atomic.Int64 // tasks that are open according to the last look at the database
	limit  int64         // of open tasks
	http   *http.Client
	ledger *os.File

	mu     sync.Mutex
	recent int64 // tasks that were asked for since the last look
	stats  LoadStats
	failed error // why the ledger could not be kept

	refusals []string // answers that no fault explains
}

// LoadStats are what the client met.
type LoadStats struct {
	Requests   int            `json:"requests"`
	Accepted   int            `json:"accepted"`
	Replayed   int            `json:"replayed"` // of the accepted, answers to a repeated request
	Tries      int            `json:"tries"`
	GivenUp    int            `json:"given_up"`   // no answer within the limit
	Unknown    int            `json:"unknown"`    // the key was under way, and stayed so
	Refused    int            `json:"refused"`    // with 429
	Unwelcome  map[string]int `json:"unwelcome"`  // tries by what they met instead of an answer
	LongestTry time.Duration  `json:"longest_ns"` // of a request, until its 202
}

func newClient(r *rig, open *atomic.Int64) (*client, error) {
	file, err := os.OpenFile(filepath.Join(r.Dir, acceptedFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the client's ledger: %w", err)
	}
	return &client{
		rig: r, dice: rand.New(rand.NewPCG(r.Seed, 0x636c69656e74)), open: open, limit: int64(r.Hosts + r.Hosts/2), //nolint:gosec // reproducible
		http: &http.Client{Timeout: requestLimit, Transport: &http.Transport{MaxIdleConnsPerHost: mostAtOnce}}, ledger: file,
		stats: LoadStats{Unwelcome: map[string]int{}},
	}, nil
}

// run posts until ctx ends, and returns when no request is under way any more.
func (c *client) run(ctx context.Context) error {
	defer func() { _ = c.ledger.Close() }()
	defer c.http.CloseIdleConnections()
	tick := time.NewTicker(loadTick)
	defer tick.Stop()
	var work sync.WaitGroup
	slots := make(chan struct{}, mostAtOnce)
	var lastBulk time.Time
	for number := 1; ; {
		select {
		case <-ctx.Done():
			work.Wait()
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.failed
		case <-tick.C:
		}
		q, ok := c.draw(number, &lastBulk)
		if !ok {
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			continue
		}
		number++
		work.Go(func() {
			defer func() { <-slots }()
			c.post(context.WithoutCancel(ctx), q) // a request that is under way is brought to its end
		})
	}
}

// draw chooses the next request, if any: there is room for it, and its time has come.
func (c *client) draw(number int, lastBulk *time.Time) (request, bool) {
	c.mu.Lock()
	room := c.limit - c.open.Load() - c.recent
	c.mu.Unlock()
	q := request{number: number, types: c.types()}
	mark := fmt.Sprintf("%s!=r%d", marker, number) // true of every host, and tells whose the collection is
	switch {
	case time.Since(*lastBulk) > bulkEvery && room >= int64(c.rig.Hosts):
		*lastBulk = time.Now()
		q.selector, q.priority = mark, "bulk"
		for n := range c.rig.Hosts {
			q.hosts = append(q.hosts, hostName(n))
		}
	case c.dice.IntN(normalIn) == 0 && room > 0:
		groups := c.dice.Perm((c.rig.Hosts + groupSize - 1) / groupSize)
		groups = groups[:min(len(groups), 1+c.dice.IntN(maxNormalParts))]
		var labels []string
		for _, g := range groups {
			labels = append(labels, groupOf(g*groupSize))
			for n := g * groupSize; n < min((g+1)*groupSize, c.rig.Hosts); n++ {
				q.hosts = append(q.hosts, hostName(n))
			}
		}
		q.selector, q.priority = "group in ("+strings.Join(labels, ",")+") and "+mark, "normal"
	case c.dice.IntN(interactiveIn) == 0:
		host := hostName(c.dice.IntN(c.rig.Hosts))
		q.selector, q.priority, q.hosts = "name="+host+" and "+mark, "interactive", []string{host}
	default:
		return q, false
	}
	return q, true
}

func (c *client) types() []string {
	all := []string{"os", "cpu", "memory", "disks", "network"}
	c.dice.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return slices.Sorted(slices.Values(all[:1+c.dice.IntN(3)]))
}

// post brings one request to its end: accepted, or given up.
func (c *client) post(ctx context.Context, q request) {
	c.mu.Lock()
	c.stats.Requests++
	c.recent += int64(len(q.hosts))
	c.mu.Unlock()
	key, began, underWay := uuid.NewString(), time.Now(), 0
	for try := 0; time.Since(began) < giveUp; try++ {
		base := c.rig.apis[(q.number+try)%len(c.rig.apis)]
		answer := c.try(ctx, base, key, q)
		c.count(func(s *LoadStats) {
			s.Tries++
			if answer.unwelcome != "" {
				s.Unwelcome[answer.unwelcome]++
			}
		})
		switch {
		case answer.id != uuid.Nil:
			c.note(q, answer, time.Since(began))
			return
		case answer.status == http.StatusTooManyRequests:
			c.count(func(s *LoadStats) { s.Refused++ })
			return
		case answer.status/100 == 4 && answer.status != http.StatusConflict:
			c.refused(fmt.Sprintf("request %d was refused: %s", q.number, answer.unwelcome))
			return
		case answer.status == http.StatusConflict:
			if underWay++; underWay == mostUnderWay {
				c.count(func(s *LoadStats) { s.Unknown++ })
				return
			}
		}
		pause(ctx, min(time.Second, 100*time.Millisecond<<min(try, 4)))
	}
	c.count(func(s *LoadStats) { s.GivenUp++ })
}

// An answer is what a try met.
type answer struct {
	id        uuid.UUID // of the accepted collection
	replayed  bool
	status    int    // 0: none
	unwelcome string // what it was instead of a 202
}

func (c *client) try(ctx context.Context, base, key string, q request) answer {
	body, err := json.Marshal(map[string]any{"selector": q.selector, "report_types": q.types, "priority": q.priority})
	if err != nil {
		return answer{unwelcome: err.Error()}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/v1/collections", bytes.NewReader(body))
	if err != nil {
		return answer{unwelcome: err.Error()}
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+c.rig.token)
	r.Header.Set("Idempotency-Key", key)
	got, err := c.http.Do(r)
	if err != nil {
		return answer{unwelcome: "no answer"}
	}
	defer func() { _ = got.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(got.Body, 1<<20))
	if err != nil {
		return answer{unwelcome: "an answer that broke off"}
	}
	var told struct {
		ID   uuid.UUID `json:"id"`
		Code string    `json:"code"`
	}
	if err := json.Unmarshal(text, &told); err != nil {
		return answer{status: got.StatusCode, unwelcome: strconv.Itoa(got.StatusCode) + " without JSON"}
	}
	if got.StatusCode != http.StatusAccepted {
		return answer{status: got.StatusCode, unwelcome: strconv.Itoa(got.StatusCode) + " " + told.Code}
	}
	return answer{id: told.ID, status: got.StatusCode, replayed: got.Header.Get("Idempotency-Replayed") == "true"}
}

func (c *client) count(f func(*LoadStats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

func (c *client) refused(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusals = append(c.refusals, what)
}

// looked is told that the database was looked at, so that what was asked for before is in the count of open tasks.
func (c *client) looked() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recent = 0
}

// pause waits, or less if ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
