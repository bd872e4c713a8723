package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A JobLease is the right to do one of the rare jobs for a while. Its fence is higher than that of whoever held it before.
type JobLease struct {
	Job   string
	Fence int64
}

// ErrLeaseOver means that the lease has run out or is another's. Nothing was done.
var ErrLeaseOver = fleet.Errorf(fleet.Conflict, "the lease of the housekeeping job is over").WithCode("lease_over")

// A JobClaim asks for a job's lease.
type JobClaim struct {
	Job    string
	Holder string        // who asks, for people
	For    time.Duration // how long the lease lasts unless it is renewed
	Age    time.Duration // how long ago the last success must be; 0: it does not matter
}

// How long a job that failed is left alone: the shortest time, which doubles with each failure in a row, and the longest.
const (
	jobPatience    = 15 * time.Second
	maxJobPatience = 10 * time.Minute
)

// jobPause is how long to wait after a failure, for use in SQL.
const jobPause = "least(@longest::interval, @patience::interval * (2 ^ least(j.failures - 1, 10)))"

// TakeJob takes the lease of a job if nobody has it, if its last success is as long ago as the claim says, and if it did not
// fail just now. All times are the database's. It returns nil if the job is not to be done now, or not by this caller.
func (s *Store) TakeJob(ctx context.Context, c JobClaim) (*JobLease, error) {
	args := pgx.NamedArgs{
		"job": c.Job, "holder": c.Holder, "for": c.For, "age": c.Age, "patience": jobPatience, "longest": maxJobPatience,
	}
	lease := JobLease{Job: c.Job}
	_, err := s.db.Exec(ctx, "insert into housekeeping_jobs (job) values (@job) on conflict do nothing", args)
	if err != nil {
		return nil, fail(err, "naming a housekeeping job")
	}
	err = s.db.QueryRow(ctx, `
		with free as (
			select job from housekeeping_jobs j
			where job = @job and (until is null or until < clock_timestamp())
				and (done_at is null or @age::interval = '0' or done_at <= clock_timestamp() - @age::interval)
				and (failures = 0 or ended_at is null or ended_at <= clock_timestamp() - `+jobPause+`)
			for update skip locked
		)
		update housekeeping_jobs j set holder = @holder, fence = j.fence + 1, until = clock_timestamp() + @for::interval, began_at = clock_timestamp()
		from free where j.job = free.job
		returning j.fence`, args).Scan(&lease.Fence)
	if isNoRows(err) {
		return nil, nil //nolint:nilnil // it is not to be done by this caller
	}
	return &lease, fail(err, "taking a housekeeping job")
}

// RenewJob lets the lease last for that time from now. A lease that has run out cannot be renewed: ErrLeaseOver.
func (s *Store) RenewJob(ctx context.Context, l JobLease, d time.Duration) error {
	tag, err := s.db.Exec(ctx, `
		update housekeeping_jobs set until = clock_timestamp() + $3::interval
		where job = $1 and fence = $2 and until > clock_timestamp()`, l.Job, l.Fence, d)
	if err == nil && tag.RowsAffected() == 0 {
		return ErrLeaseOver
	}
	return fail(err, "renewing a housekeeping job")
}

// EndJob gives the lease back and notes how the job went: failure is empty for a success. Who no longer has the lease
// notes nothing, which is ErrLeaseOver.
func (s *Store) EndJob(ctx context.Context, l JobLease, failure string, details map[string]any) error {
	if details == nil {
		details = map[string]any{}
	}
	tag, err := s.db.Exec(ctx, `
		update housekeeping_jobs set holder = null, until = null, ended_at = clock_timestamp(), error = nullif(@failure, ''), details = @details,
			done_at = case when @failure = '' then clock_timestamp() else done_at end,
			failures = case when @failure = '' then 0 else failures + 1 end
		where job = @job and fence = @fence`,
		pgx.NamedArgs{"job": l.Job, "fence": l.Fence, "failure": failure, "details": details})
	if err == nil && tag.RowsAffected() == 0 {
		return ErrLeaseOver
	}
	return fail(err, "ending a housekeeping job")
}

// LeaveJob gives the lease back of a job that was interrupted: it is neither done nor failed.
func (s *Store) LeaveJob(ctx context.Context, l JobLease) error {
	_, err := s.db.Exec(ctx, "update housekeeping_jobs set holder = null, until = null where job = $1 and fence = $2", l.Job, l.Fence)
	return fail(err, "leaving a housekeeping job")
}

// InJob runs f in a transaction that holds the lease: nobody takes it over before f is done, and f is not called, with
// ErrLeaseOver, if that has happened already. f should be short, and must not renew.
func (s *Store) InJob(ctx context.Context, l JobLease, f func(tx *Store) error) error {
	return s.InTx(ctx, func(tx *Store) error {
		var job string
		err := tx.db.QueryRow(ctx, `
			select job from housekeeping_jobs where job = $1 and fence = $2 and until > clock_timestamp() for share`, l.Job, l.Fence).Scan(&job)
		if isNoRows(err) {
			return ErrLeaseOver
		}
		if err != nil {
			return fail(err, "looking at the lease of a housekeeping job")
		}
		return f(tx)
	})
}

// Jobs returns how the rare jobs went, by name. Those that never ran are missing, and Every is not known here.
func (s *Store) Jobs(ctx context.Context) ([]fleet.HousekeepingJob, error) {
	rows, _ := s.db.Query(ctx, `
		select job, case when until > clock_timestamp() then coalesce(holder, '') else '' end, began_at, ended_at, done_at,
			coalesce(error, ''), failures, details
		from housekeeping_jobs order by job`)
	jobs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (fleet.HousekeepingJob, error) {
		var j fleet.HousekeepingJob
		err := row.Scan(&j.Name, &j.Holder, &j.BeganAt, &j.EndedAt, &j.DoneAt, &j.Error, &j.Failures, &j.Details)
		return j, err
	})
	return jobs, fail(err, "reading how the housekeeping went")
}
