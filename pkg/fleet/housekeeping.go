package fleet

import "time"

// A Storage is what the database holds and how it grows, as its catalogue and statistics tell without reading a table.
type Storage struct {
	At            time.Time
	DatabaseBytes int64
	DiskFreeBytes *int64         // nil: SQL cannot tell
	Tables        []TableStorage // the largest first
	Forecasts     []StorageForecast
	Jobs          []HousekeepingJob // by name
	Types         []TypeRetention   // those that are kept shorter, by name
	MonthsAhead   int               // for how many months beyond this one all partitions exist
}

// A TableStorage is one table, or all partitions of one that is partitioned.
type TableStorage struct {
	Name       string
	Kept       string     // how long its rows are kept: 13months, 30d; empty where no time bounds it
	KeptSince  *time.Time // what is older was removed; nil: nothing was yet
	Rows       int64      // estimated
	Size       StorageSize
	Partitions []PartitionStorage // oldest first; nil for a table that is not partitioned
	Growth     *StorageGrowth     // nil until two samples are an hour apart
	Forecasts  []StorageForecast
}

// A StorageSize is what a table takes on disk, in bytes.
type StorageSize struct {
	Heap    int64 // with its maps
	Indexes int64
	Toast   int64 // large values, with their index
}

// Total returns all of it, in bytes.
func (s StorageSize) Total() int64 { return s.Heap + s.Indexes + s.Toast }

// A PartitionStorage is one month of a table.
type PartitionStorage struct {
	Name     string
	From, To time.Time // To is exclusive
	Rows     int64     // estimated
	Size     StorageSize
	Detached bool // on its way out: not part of its table any more, or about to be
}

// A StorageGrowth is how a table has grown between two times, removed partitions not counted.
type StorageGrowth struct {
	From, To    time.Time
	RowsPerDay  float64
	BytesPerDay float64
}

// BytesPerRow returns what a new row takes, indexes included; 0 if there were none.
func (g StorageGrowth) BytesPerRow() float64 {
	if g.RowsPerDay <= 0 {
		return 0
	}
	return g.BytesPerDay / g.RowsPerDay
}

// A StorageForecast is how large something will be if it goes on as it does.
type StorageForecast struct {
	Days       int // from now
	Bytes      int64
	Arithmetic string // how it was computed, for people
}

// A HousekeepingJob is one of the rare jobs and how it last went.
type HousekeepingJob struct {
	Name     string
	Every    time.Duration // how often it is due
	Holder   string        // who does it now; empty: nobody
	BeganAt  *time.Time    // of the last run; nil: it has never run
	EndedAt  *time.Time    // of the last run that ended
	DoneAt   *time.Time    // of the last run that succeeded
	Error    string        // of the last run that ended; empty: it succeeded
	Failures int           // failed runs in a row
	Details  map[string]any
}

// A TypeRetention is a type of report that is kept shorter than the others.
type TypeRetention struct {
	Type  string
	Days  int
	SetBy string // as the audit log names actors
	SetAt time.Time
}
