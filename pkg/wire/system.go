package wire

import (
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Storage is what the database holds and how it grows.
type Storage struct {
	Timestamp     time.Time         `json:"timestamp"`
	DatabaseBytes int64             `json:"database_bytes"`
	DiskFreeBytes *int64            `json:"disk_free_bytes" doc:"null: SQL cannot tell"`
	MonthsAhead   int               `json:"months_ahead" doc:"for how many months beyond this one all partitions exist; -1: one of this month's is missing"`
	Tables        []StorageTable    `json:"tables" nullable:"false" doc:"the largest first"`
	Forecasts     []StorageForecast `json:"forecasts" nullable:"false" doc:"of all tables together; none until two hourly samples show how they grow"`
	Jobs          []StorageJob      `json:"jobs" nullable:"false" doc:"the housekeeping, by name"`
	Retention     []TypeRetention   `json:"retention" nullable:"false" doc:"types that are kept shorter than the others"`
}

// A StorageSize is what a table takes on disk, in bytes.
type StorageSize struct {
	HeapBytes  int64 `json:"heap_bytes"`
	IndexBytes int64 `json:"index_bytes"`
	ToastBytes int64 `json:"toast_bytes" doc:"large values"`
	TotalBytes int64 `json:"total_bytes"`
}

// A StorageTable is one table, or all partitions of one.
type StorageTable struct {
	Name       string             `json:"name" example:"report_rows"`
	Kept       *string            `json:"kept" example:"13months" doc:"how long rows are kept; null where no time bounds it"`
	KeptSince  *time.Time         `json:"kept_since" doc:"what is older was removed; null: nothing was yet"`
	Rows       int64              `json:"rows" doc:"estimated"`
	Size       StorageSize        `json:"size"`
	Growth     *StorageGrowth     `json:"growth,omitempty" doc:"absent until two hourly samples show it"`
	Forecasts  []StorageForecast  `json:"forecasts" nullable:"false"`
	Partitions []StoragePartition `json:"partitions" nullable:"false" doc:"the oldest first; none for a table that is not partitioned"`
}

// A StoragePartition is one month of a table.
type StoragePartition struct {
	Name     string      `json:"name" example:"report_rows_2026_11"`
	From     time.Time   `json:"from"`
	To       time.Time   `json:"to" doc:"exclusive"`
	Rows     int64       `json:"rows" doc:"estimated"`
	Size     StorageSize `json:"size"`
	Detached bool        `json:"detached" doc:"on its way out"`
}

// A StorageGrowth is how a table has grown.
type StorageGrowth struct {
	From        time.Time `json:"from"`
	To          time.Time `json:"to"`
	RowsPerDay  float64   `json:"rows_per_day"`
	BytesPerDay float64   `json:"bytes_per_day"`
	BytesPerRow float64   `json:"bytes_per_row" doc:"of a new row, indexes included; 0 if there were none"`
}

// A StorageForecast is how large something will be if it goes on as it does.
type StorageForecast struct {
	Days       int    `json:"days" doc:"from now"`
	Bytes      int64  `json:"bytes"`
	Arithmetic string `json:"arithmetic" doc:"how it was computed"`
}

// A StorageJob is one of the rare jobs and how it last went.
type StorageJob struct {
	Name         string         `json:"name" example:"retention"`
	EverySeconds int            `json:"every_seconds"`
	Holder       *string        `json:"holder" doc:"the scheduler that does it now; null: none"`
	BeganAt      *time.Time     `json:"began_at"`
	EndedAt      *time.Time     `json:"ended_at"`
	DoneAt       *time.Time     `json:"done_at" doc:"of the last run that succeeded"`
	Error        *string        `json:"error" doc:"of the last run; null: it succeeded"`
	Failures     int            `json:"failures" doc:"failed runs in a row"`
	Details      map[string]any `json:"details" nullable:"false" doc:"what the last run did"`
}

// A TypeRetention is a type of report that is kept shorter than the others.
type TypeRetention struct {
	Type  string    `json:"type" example:"packages"`
	Days  int       `json:"days"`
	SetBy string    `json:"set_by" example:"user:admin"`
	SetAt time.Time `json:"set_at"`
}

// A TypeRetentionInput says how long a type of report is kept.
type TypeRetentionInput struct {
	Days int `json:"days" minimum:"1" example:"90" doc:"not more than ROLLCALL_RETENTION"`
}

// StorageView returns s as the API shows it.
func StorageView(s fleet.Storage) Storage {
	view := Storage{
		Timestamp: utc(s.At), DatabaseBytes: s.DatabaseBytes, DiskFreeBytes: s.DiskFreeBytes, MonthsAhead: s.MonthsAhead,
		Forecasts: forecastViews(s.Forecasts), Tables: []StorageTable{}, Jobs: []StorageJob{}, Retention: []TypeRetention{},
	}
	for _, t := range s.Tables {
		view.Tables = append(view.Tables, tableView(t))
	}
	for _, j := range s.Jobs {
		if j.Details == nil {
			j.Details = map[string]any{}
		}
		view.Jobs = append(view.Jobs, StorageJob{
			Name: j.Name, EverySeconds: seconds(j.Every), Holder: orNull(j.Holder), BeganAt: utcOrNull(j.BeganAt), EndedAt: utcOrNull(j.EndedAt),
			DoneAt: utcOrNull(j.DoneAt), Error: orNull(j.Error), Failures: j.Failures, Details: j.Details,
		})
	}
	for _, t := range s.Types {
		view.Retention = append(view.Retention, TypeRetentionView(t))
	}
	return view
}

func tableView(t fleet.TableStorage) StorageTable {
	view := StorageTable{
		Name: t.Name, Kept: orNull(t.Kept), KeptSince: utcOrNull(t.KeptSince), Rows: t.Rows, Size: sizeView(t.Size),
		Forecasts: forecastViews(t.Forecasts), Partitions: []StoragePartition{},
	}
	if g := t.Growth; g != nil {
		view.Growth = &StorageGrowth{From: utc(g.From), To: utc(g.To), RowsPerDay: g.RowsPerDay, BytesPerDay: g.BytesPerDay, BytesPerRow: g.BytesPerRow()}
	}
	for _, p := range t.Partitions {
		view.Partitions = append(view.Partitions, StoragePartition{
			Name: p.Name, From: utc(p.From), To: utc(p.To), Rows: p.Rows, Size: sizeView(p.Size), Detached: p.Detached,
		})
	}
	return view
}

func sizeView(s fleet.StorageSize) StorageSize {
	return StorageSize{HeapBytes: s.Heap, IndexBytes: s.Indexes, ToastBytes: s.Toast, TotalBytes: s.Total()}
}

func forecastViews(all []fleet.StorageForecast) []StorageForecast {
	views := []StorageForecast{}
	for _, f := range all {
		views = append(views, StorageForecast{Days: f.Days, Bytes: f.Bytes, Arithmetic: f.Arithmetic})
	}
	return views
}

// TypeRetentionView returns t as the API shows it.
func TypeRetentionView(t fleet.TypeRetention) TypeRetention {
	return TypeRetention{Type: t.Type, Days: t.Days, SetBy: t.SetBy, SetAt: utc(t.SetAt)}
}
