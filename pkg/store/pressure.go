package store

import "context"

// Waiting returns how many tasks are queued, on the queue or not yet, counted no further than to limit: what it costs is
// bounded however many there are.
func (s *Store) Waiting(ctx context.Context, limit int) (int, error) {
	n := 0
	err := s.db.QueryRow(ctx, "select count(*) from (select from tasks where state = 'queued' limit $1) t", limit).Scan(&n)
	return n, fail(err, "counting the waiting tasks")
}
