package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// UnusedContents returns contents that nobody refers to and that nobody has stored for longer than age, at most limit of
// those that follow on after, in the order of their hashes; and where to go on, nil at the end. It looks at no more than ten
// times as many.
//
// What a report refers to, the period refers to that the report has begun or confirmed, and periods outlive their reports:
// asking the periods, which have an index for it, is asking all.
func (s *Store) UnusedContents(ctx context.Context, age time.Duration, after []byte, limit int) (unused [][]byte, next []byte, err error) {
	if after == nil {
		after = []byte{}
	}
	rows, _ := s.db.Query(ctx, `
		select c.content_hash, c.last_used_at < now() - $1::interval and not exists (select from fact_periods p where p.content_hash = c.content_hash)
		from (select content_hash, last_used_at from report_contents where content_hash > $2 order by content_hash limit $3) c
		order by c.content_hash`, age, after, 10*limit)
	var hash []byte
	var is bool
	seen := 0
	_, err = pgx.ForEachRow(rows, []any{&hash, &is}, func() error {
		if len(unused) == limit {
			return nil
		}
		seen++
		next = append([]byte(nil), hash...)
		if is {
			unused = append(unused, next)
		}
		return nil
	})
	if err == nil && seen < 10*limit && len(unused) < limit {
		next = nil
	}
	return unused, next, fail(err, "looking for contents that nobody refers to")
}

// RemoveContents removes those of the contents that are still unused, and returns how many. Whoever stores one again at the
// same time holds its row's lock until its first reference is there as well: such a row is passed over, and one that was
// stored meanwhile is seen to be young, because the lock is taken before the row is looked at again.
func (s *Store) RemoveContents(ctx context.Context, hashes [][]byte, age time.Duration) (int, error) {
	if len(hashes) == 0 {
		return 0, nil
	}
	return s.removal(ctx, "removing contents", `
		delete from report_contents c using (
			select content_hash from report_contents
			where content_hash = any(@hashes) and last_used_at < now() - @age::interval
			order by content_hash for update skip locked
		) old
		where c.content_hash = old.content_hash and not exists (select from fact_periods p where p.content_hash = c.content_hash)`,
		pgx.NamedArgs{"hashes": hashes, "age": age})
}
