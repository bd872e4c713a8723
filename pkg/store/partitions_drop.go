package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// ErrPartitionBusy means that others were using a partition or its table and that nobody was made to wait for long.
var ErrPartitionBusy = fleet.Errorf(fleet.Unavailable, "the partition's table is in use; it is tried again").WithCode("partition_busy")

const lockNotAvailable = "55P03"

// OwnsPartitions reports whether this pool's role owns the partitioned tables, and so may detach partitions CONCURRENTLY.
func (s *Store) OwnsPartitions(ctx context.Context) (bool, error) {
	owns := false
	err := s.db.QueryRow(ctx, `
		select coalesce(bool_and(pg_has_role(c.relowner, 'usage')), false) from pg_class c
		where c.oid = any(select to_regclass(t) from unnest($1::text[]) t)`, PartitionedTables()).Scan(&owns)
	return owns, fail(err, "asking who owns the partitions")
}

// DetachConcurrently detaches a partition, or ends what another process began of it, and makes nobody wait: it waits for all
// transactions that use the table. It needs a pool of the owner's, whose statements and locks may take long, and cannot be
// part of a transaction. Ended in between, it leaves the partition pending.
func (s *Store) DetachConcurrently(ctx context.Context, r Relation) error {
	how := "concurrently"
	if r.Pending {
		how = "finalize"
	}
	_, err := s.db.Exec(ctx, fmt.Sprintf("alter table %s detach partition %s %s",
		pgx.Identifier{r.Table}.Sanitize(), pgx.Identifier{r.Name}.Sanitize(), how))
	return fail(err, "detaching a partition")
}

// DetachPartition detaches a partition for a role that does not own its table, which nobody may use at that moment. It
// waits a few hundredths of a second for that, in which others wait for it, and then gives up with ErrPartitionBusy.
// It reports whether the partition was attached.
func (s *Store) DetachPartition(ctx context.Context, name string) (bool, error) {
	detached := false
	err := s.db.QueryRow(ctx, "select detach_partition($1)", name).Scan(&detached)
	if sqlState(err) == lockNotAvailable {
		return false, ErrPartitionBusy
	}
	return detached, fail(err, "detaching a partition")
}

// DropPartition drops a partition that has been detached, and reports whether it was there.
func (s *Store) DropPartition(ctx context.Context, name string) (bool, error) {
	dropped := false
	err := s.db.QueryRow(ctx, "select drop_partition($1)", name).Scan(&dropped)
	return dropped, fail(err, "dropping a partition")
}
