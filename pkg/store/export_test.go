package store

// DBOf returns what s runs its statements on, so that tests can look at the rows themselves.
func DBOf(s *Store) DBTX { return s.db }
