package housekeeping

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/settings"
	"github.com/rollcallhq/rollcall/pkg/store"
)

const (
	day         = 24 * time.Hour
	growthDays  = 7 // growth is measured over that many days at most
	leastGrowth = time.Hour - time.Minute
)

// forecastDays returns for which days from now the size is foretold.
func forecastDays() []int { return []int{30, 90, 395} }

// Storage returns what the database holds, how it grows and what that leads to. It reads the catalogue, the statistics and
// the hourly samples, and no table that grows.
func (s *Service) Storage(ctx context.Context) (fleet.Storage, error) {
	now, err := s.Store.Now(ctx)
	if err != nil {
		return fleet.Storage{}, err
	}
	out := fleet.Storage{At: now}
	if out.DatabaseBytes, err = s.Store.DatabaseSize(ctx); err != nil {
		return out, err
	}
	relations, err := s.Store.Relations(ctx)
	if err != nil {
		return out, err
	}
	growth, from, to, err := s.Store.Growth(ctx, growthDays)
	if err != nil {
		return out, err
	}
	floors, err := s.Store.Floors(ctx)
	if err != nil {
		return out, err
	}
	if out.Types, err = s.Store.TypeRetentions(ctx); err != nil {
		return out, err
	}
	if out.Jobs, err = s.jobs(ctx); err != nil {
		return out, err
	}
	out.MonthsAhead = monthsAhead(relations, now)
	out.Tables = s.tables(relations, floors, now)
	measure(out.Tables, relations, growth, from, to)
	out.Forecasts = s.foretell(out.Tables, now)
	return out, nil
}

// jobs returns all jobs, also those that have not run yet, by name.
func (s *Service) jobs(ctx context.Context) ([]fleet.HousekeepingJob, error) {
	known, err := s.Store.Jobs(ctx)
	if err != nil {
		return nil, err
	}
	var all []fleet.HousekeepingJob
	for _, j := range Jobs() {
		job := fleet.HousekeepingJob{Name: j.Name}
		if i := slices.IndexFunc(known, func(k fleet.HousekeepingJob) bool { return k.Name == j.Name }); i >= 0 {
			job = known[i]
		}
		job.Every = j.Every
		all = append(all, job)
	}
	return all, nil
}

// monthsAhead returns for how many months beyond now's every partitioned table has its partition; -1 if this month's is
// missing somewhere.
func monthsAhead(relations []store.Relation, now time.Time) int {
	have := map[string]bool{}
	for _, r := range relations {
		if !r.Month.IsZero() && !r.Detached {
			have[r.Table+r.Month.Format("2006-01")] = true
		}
	}
	for ahead := 0; ; ahead++ {
		month := monthOf(now).AddDate(0, ahead, 0).Format("2006-01")
		for _, table := range store.PartitionedTables() {
			if !have[table+month] {
				return ahead - 1
			}
		}
	}
}

func monthOf(t time.Time) time.Time {
	return time.Date(t.UTC().Year(), t.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
}

// tables gathers the relations into tables, the largest first.
func (s *Service) tables(relations []store.Relation, floors []store.Floor, now time.Time) []fleet.TableStorage {
	byName := map[string]*fleet.TableStorage{}
	for _, r := range relations {
		t := byName[r.Table]
		if t == nil {
			t = &fleet.TableStorage{Name: r.Table}
			byName[r.Table] = t
		}
		if r.Partitioned {
			continue
		}
		t.Rows += r.Rows
		t.Size.Heap, t.Size.Indexes, t.Size.Toast = t.Size.Heap+r.Size.Heap, t.Size.Indexes+r.Size.Indexes, t.Size.Toast+r.Size.Toast
		if !r.Month.IsZero() {
			t.Partitions = append(t.Partitions, fleet.PartitionStorage{
				Name: r.Name, From: r.Month, To: r.End(), Rows: r.Rows, Size: r.Size, Detached: r.Detached,
			})
		}
	}
	var all []fleet.TableStorage
	for _, t := range byName {
		if slices.Contains(store.PartitionedTables(), t.Name) {
			period, part := s.Retention.kept(t.Name)
			t.Kept = period.String()
			for _, f := range floors {
				if f.Part == part && f.Type == "" && f.KeptSince.Before(now) {
					t.KeptSince = &f.KeptSince
				}
			}
		}
		all = append(all, *t)
	}
	slices.SortFunc(all, func(a, b fleet.TableStorage) int {
		return cmp.Or(cmp.Compare(b.Size.Total(), a.Size.Total()), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// measure sets how the tables have grown.
func measure(tables []fleet.TableStorage, relations []store.Relation, growth []store.RelationGrowth, from, to time.Time) {
	span := to.Sub(from)
	if span < leastGrowth {
		return
	}
	owner := map[string]string{}
	for _, r := range relations {
		owner[r.Name] = r.Table
	}
	perDay := float64(day) / float64(span)
	for i := range tables {
		g := fleet.StorageGrowth{From: from, To: to}
		for _, r := range growth {
			if owner[r.Relation] == tables[i].Name {
				g.RowsPerDay += float64(r.Rows) * perDay
				g.BytesPerDay += float64(r.Bytes) * perDay
			}
		}
		tables[i].Growth = &g
	}
}

// foretell sets how large each table will be, and returns how large all of them together.
func (s *Service) foretell(tables []fleet.TableStorage, now time.Time) []fleet.StorageForecast {
	sums := make([]fleet.StorageForecast, len(forecastDays()))
	for n, days := range forecastDays() {
		sums[n] = fleet.StorageForecast{Days: days, Arithmetic: "the sum of the tables"}
	}
	for i := range tables {
		if tables[i].Growth == nil {
			return nil
		}
		for n, days := range forecastDays() {
			f := s.forecast(tables[i], days, now)
			tables[i].Forecasts = append(tables[i].Forecasts, f)
			sums[n].Bytes += f.Bytes
		}
	}
	return sums
}

// forecast returns how large a table will be: what is there today and not dropped by then, and what will have come and
// not been dropped. What shrinks is taken to stay as it is.
func (s *Service) forecast(t fleet.TableStorage, days int, now time.Time) fleet.StorageForecast {
	perDay := max(t.Growth.BytesPerDay, 0)
	rate := fmt.Sprintf("%.0f bytes a day", perDay)
	if perRow := t.Growth.BytesPerRow(); perRow > 0 {
		rate = fmt.Sprintf("%.0f bytes a row x %.0f rows a day", perRow, t.Growth.RowsPerDay)
	}
	if t.Kept == "" {
		return fleet.StorageForecast{
			Days: days, Bytes: t.Size.Total() + int64(perDay*float64(days)),
			Arithmetic: fmt.Sprintf("%d bytes now + %s x %d days", t.Size.Total(), rate, days),
		}
	}
	period, _ := s.Retention.kept(t.Name)
	then := now.AddDate(0, 0, days)
	cutoff := cutoffOf(period, then)
	var left int64
	for _, p := range t.Partitions {
		if !p.Detached && p.To.After(cutoff) {
			left += p.Size.Total()
		}
	}
	grown := days
	if cutoff.After(now) {
		grown = wholeDays(then.Sub(cutoff))
	}
	return fleet.StorageForecast{
		Days: days, Bytes: left + int64(perDay*float64(grown)),
		Arithmetic: fmt.Sprintf("%d bytes of today's months still kept + %s x %d of %d days kept (%s, whole months)", left, rate, grown, days, t.Kept),
	}
}

// cutoffOf returns the first moment that is kept at that time: months are dropped whole, once the period is over for all
// of their days.
func cutoffOf(p settings.Period, now time.Time) time.Time { return monthOf(p.Before(now)) }
