package doctor

import (
	"context"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/store"
)

// oldestPostgres is the oldest major version that Rollcall is tested with.
const oldestPostgres = 15

func (d *Doctor) database(ctx context.Context) (Finding, error) {
	v, err := d.Store.ServerState(ctx)
	if err != nil {
		return Finding{}, err
	}
	version, _, _ := strings.Cut(v.Version, " ")
	switch {
	case v.ReadOnly:
		return bad("Point DATABASE_URL at the primary, or switch default_transaction_read_only off.", "PostgreSQL %s is read-only: a standby, or switched so.", version)
	case v.Number < oldestPostgres*10_000:
		return bad("Upgrade PostgreSQL.", "PostgreSQL %s is older than %d, the oldest that is tested.", version, oldestPostgres)
	case !v.Fsync || !v.FullPages:
		return warn("Switch fsync and full_page_writes on in postgresql.conf.", "PostgreSQL %s does without fsync or full_page_writes: a crash of its machine may destroy everything.", version)
	case v.SyncCommit == "off":
		return warn("Set synchronous_commit to on.", "PostgreSQL %s answers before it has written (synchronous_commit is off): a crash loses collections that were accepted.", version)
	case v.OwnsAudit:
		return well("PostgreSQL %s answers. One role does everything, so that whoever has it can change the audit log; with DATABASE_OWNER_URL it could not.", version)
	}
	return well("PostgreSQL %s answers.", version)
}

func (d *Doctor) migrations(ctx context.Context) (Finding, error) {
	have, want, err := d.Store.Migrations(ctx)
	switch {
	case err != nil:
		return Finding{}, err
	case have == 0:
		return bad("Run rollcall migrate.", "There is no schema.")
	case have < want:
		return bad("Run rollcall migrate.", "The schema is at migration %d, and this api expects %d.", have, want)
	case have > want:
		return warn("Upgrade this api: the others are newer.", "The schema is at migration %d, and this api knows %d.", have, want)
	}
	return well("The schema is at migration %d, as expected.", have)
}

func (d *Doctor) connections(ctx context.Context) (Finding, error) {
	c, err := d.Store.ConnectionState(ctx)
	if err != nil {
		return Finding{}, err
	}
	const cure = "Raise max_connections, lower ROLLCALL_DB_MAX_CONNS, or put a pooler between."
	switch may := c.Processes * d.PoolSize; {
	case c.Used*10 >= c.Max*9:
		return bad(cure, "%d of %d connections to PostgreSQL are taken, %d of them by Rollcall.", c.Used, c.Max, c.Ours)
	case may > c.Max:
		return warn(cure, "%d processes of Rollcall may open %d connections each, %d together, and PostgreSQL takes %d.", c.Processes, d.PoolSize, may, c.Max)
	case c.Used*10 >= c.Max*8:
		return warn(cure, "%d of %d connections to PostgreSQL are taken, %d of them by Rollcall.", c.Used, c.Max, c.Ours)
	default:
		return well("%d of %d connections to PostgreSQL are taken, %d of them by Rollcall; its %d processes may open %d.", c.Used, c.Max, c.Ours, c.Processes, may)
	}
}

func (d *Doctor) partitions(ctx context.Context) (Finding, error) {
	now, err := d.Store.Now(ctx)
	if err != nil {
		return Finding{}, err
	}
	const cure = "Start a scheduler, which makes them; if one runs, its log says why it cannot."
	first := time.Date(now.UTC().Year(), now.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
	for ahead := range store.MonthsAhead + 1 {
		month := first.AddDate(0, ahead, 0)
		missing, err := d.Store.MissingPartitions(ctx, month)
		if err != nil {
			return Finding{}, err
		}
		if len(missing) == 0 {
			continue
		}
		form, args := "The partitions of %s are missing for %s.", []any{month.Format("January 2006"), strings.Join(missing, ", ")}
		if ahead == 0 {
			return bad(cure, form, args...)
		}
		return warn(cure, form, args...)
	}
	return well("The partitions of this month and the next %d are there.", store.MonthsAhead)
}
