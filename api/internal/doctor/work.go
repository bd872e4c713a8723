package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	workerSilence = 10 * time.Second // a worker beats every second
	longWait      = 10 * time.Minute
	countAtMost   = 100_000 // of what waits
	sweepPatience = time.Minute
)

func (d *Doctor) workers(ctx context.Context) (Finding, error) {
	workers, err := d.Store.Workers(ctx, workerSilence)
	if err != nil {
		return Finding{}, err
	}
	if len(workers) == 0 {
		return bad("Start a worker, or look at the log of the one that should run.", "No worker is alive: nothing is collected.")
	}
	slots := 0
	sites, versions := map[string]bool{}, map[string]bool{}
	for _, w := range workers {
		slots += w.Slots
		versions[w.Version] = true
		for _, site := range w.Sites {
			sites[site] = true
		}
	}
	unserved, err := d.Store.UnservedSites(ctx, workerSilence)
	if err != nil {
		return Finding{}, err
	}
	if len(unserved) > 0 {
		return warn("Start a worker with these in its ROLLCALL_SITES, move their hosts to another site, or disable them.",
			"%s with %d slots, and none serves %s, where there are hosts to collect from.", people(len(workers), "worker"), slots, strings.Join(unserved, ", "))
	}
	if len(versions) > 1 {
		return warn("Finish the upgrade.", "%s, of %d versions.", people(len(workers), "worker"), len(versions))
	}
	return well("%s with %d slots at %s.", people(len(workers), "worker"), slots, people(len(sites), "site"))
}

// people counts things of which there are a few.
func people(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func (d *Doctor) queues(ctx context.Context) (Finding, error) {
	lanes, err := d.Store.WaitingState(ctx, countAtMost)
	if err != nil {
		return Finding{}, err
	}
	workers, err := d.Store.Workers(ctx, workerSilence)
	if err != nil {
		return Finding{}, err
	}
	total, oldest := 0, time.Duration(0)
	var abandoned []string
	for _, lane := range lanes {
		total += lane.Tasks
		oldest = max(oldest, lane.Oldest)
		served := false
		for _, w := range workers {
			served = served || slices.Contains(w.Sites, lane.Site)
		}
		if !served && !slices.Contains(abandoned, lane.Site) {
			abandoned = append(abandoned, lane.Site)
		}
	}
	waits := fmt.Sprintf("%d tasks wait, the oldest for %s", total, oldest.Round(time.Second))
	if total >= countAtMost {
		waits = fmt.Sprintf("%d tasks or more wait, one of them for %s", total, oldest.Round(time.Second))
	}
	switch {
	case total == 0:
		return well("No task waits.")
	case len(abandoned) > 0:
		return bad("Start a worker with these in its ROLLCALL_SITES, or cancel the collections.", "%s; no worker serves %s.", waits, strings.Join(abandoned, ", "))
	case d.QueueLimit > 0 && total >= min(d.QueueLimit, countAtMost):
		return warn("Start more workers, or give them more slots (ROLLCALL_WORKER_CONCURRENCY).", "%s; from %d on bulk work is refused.", waits, d.QueueLimit)
	case oldest >= longWait:
		return warn("Start more workers, or give them more slots (ROLLCALL_WORKER_CONCURRENCY).", "%s.", waits)
	}
	return well("%s.", waits)
}

func (d *Doctor) stuck(ctx context.Context) (Finding, error) {
	s, err := d.Store.StuckState(ctx, sweepPatience)
	if err != nil {
		return Finding{}, err
	}
	var parts []string
	for _, part := range []struct {
		n    int
		text string
	}{
		{s.Orphaned, "run on workers that have died"}, {s.Overdue, "are past their deadline"}, {s.Unrung, "wait and have not been rung for"},
	} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.text))
		}
	}
	if len(parts) > 0 {
		return bad("Start a scheduler, which sweeps them up; if one runs, its log says why it cannot (Redis has to be up to ring).",
			"Tasks are stuck for over a minute: %s.", strings.Join(parts, ", "))
	}
	return well("No task is stuck; %d run.", s.Running)
}
