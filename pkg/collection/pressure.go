package collection

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// CodeQueueFull is the code of the refusal of work because too much waits already.
const CodeQueueFull = "queue_full"

const (
	countFor     = time.Second      // how long a count of the waiting tasks is good
	countTimeout = 2 * time.Second  // the longest a count may take
	comeBack     = 30 * time.Second // when refused work is worth asking for again
)

// A gate refuses work when too much waits. It counts at most once a second, and in between adds what its own process
// lets through, so that a burst does not slip in between two counts. It is safe for concurrent use.
type gate struct {
	limit   int // 0: no work is refused
	fresh   time.Duration
	log     *slog.Logger
	refused *prometheus.CounterVec

	state chan known // holds the one value, unless somebody has it
}

// known is what a gate knows.
type known struct {
	waiting int
	at      time.Time // of the count; zero before the first
}

func newGate(limit int, log *slog.Logger, metrics prometheus.Registerer) *gate {
	g := &gate{
		limit: limit, fresh: countFor, log: log, state: make(chan known, 1),
		refused: registered(metrics, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rollcall_collection_refused_total", Help: "Collections refused because too many tasks waited.",
		}, []string{"priority", "code"})),
	}
	g.state <- known{}
	return g
}

// registered registers c, or returns the one that another part of the process has registered.
func registered(r prometheus.Registerer, c *prometheus.CounterVec) *prometheus.CounterVec {
	if r == nil {
		return c
	}
	err := r.Register(c)
	if there, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if same, ok := there.ExistingCollector.(*prometheus.CounterVec); ok {
			return same
		}
	}
	return c
}

// limitOf returns how many tasks may wait when work of the priority comes: bulk work gives way first, interactive
// work never.
func (g *gate) limitOf(p fleet.Priority) (limit int, limited bool) {
	switch p {
	case fleet.PriorityBulk:
		return g.limit, g.limit > 0
	case fleet.PriorityNormal, "":
		return 2 * g.limit, g.limit > 0
	case fleet.PriorityInteractive:
	}
	return 0, false
}

// pass answers whether work of the priority may come: an error of kind Exhausted refuses it.
func (g *gate) pass(ctx context.Context, s *store.Store, p fleet.Priority) error {
	limit, limited := g.limitOf(p)
	if !limited {
		return nil
	}
	waiting, err := g.waiting(ctx, s)
	if err != nil || waiting < limit {
		return err
	}
	if p == "" {
		p = fleet.PriorityNormal
	}
	g.refused.WithLabelValues(string(p), CodeQueueFull).Inc()
	more := ""
	if waiting >= g.most() { // it was counted no further
		more = " or more"
	}
	return fleet.Errorf(fleet.Exhausted, "Too much waits already: %s%s tasks, and the limit for %s work is %s. Ask again later, cancel what is not needed, "+
		"or let more workers run; interactive work (up to %d hosts) is taken all the same.",
		grouped(waiting), more, p, grouped(limit), fleet.MaxInteractiveHosts).WithCode(CodeQueueFull).WithRetryAfter(comeBack)
}

// most is how far is counted: no limit is higher.
func (g *gate) most() int { return 2 * g.limit }

// waiting returns how many tasks wait. A count that fails decides nothing: the last one goes on being good, and
// whether work is taken is left to the transaction that stores it.
func (g *gate) waiting(ctx context.Context, s *store.Store) (int, error) {
	k, err := g.take(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { g.state <- k }()
	if !k.at.IsZero() && time.Since(k.at) < g.fresh {
		return k.waiting, nil
	}
	counting, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	n, err := s.Waiting(counting, g.most())
	if ctx.Err() != nil { // whoever asked is gone, which says nothing about the queue
		return 0, err
	}
	if err != nil {
		g.log.WarnContext(ctx, "counting the waiting tasks failed", "error", err)
		n = k.waiting
	}
	k = known{waiting: n, at: time.Now()}
	return n, nil
}

// add notes that n tasks more wait.
func (g *gate) add(ctx context.Context, n int) {
	if g.limit == 0 {
		return
	}
	k, err := g.take(ctx)
	if err != nil { // the next count sees them
		return
	}
	k.waiting += n
	g.state <- k
}

func (g *gate) take(ctx context.Context) (known, error) {
	select {
	case k := <-g.state:
		return k, nil
	case <-ctx.Done():
		return known{}, fleet.Wrap(ctx.Err(), fleet.Unavailable, "The database does not say in time how much waits; try again shortly.").
			WithCode("database_unavailable").WithRetryAfter(time.Second)
	}
}

// grouped returns n with its thousands set apart.
func grouped(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Admit answers whether new work of the priority may come now, as Trigger does: with too much waiting, an error of kind
// Exhausted and code queue_full says how much that is. It is for those who call TriggerIn.
func (s *Service) Admit(ctx context.Context, tx *store.Store, p fleet.Priority) error {
	return s.gate.pass(ctx, tx, p)
}
