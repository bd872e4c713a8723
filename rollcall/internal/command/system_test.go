package command_test

import (
	"net/http"
	"testing"
)

func TestTheStorageInATable(t *testing.T) {
	t.Parallel()
	const size = `{"heap_bytes":0,"index_bytes":0,"toast_bytes":0,"total_bytes":1572864}`
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "GET /api/v1/system/storage":
			answer(w, 200, `{"database_bytes":3221225472,"months_ahead":3,"forecasts":[{"days":30,"bytes":1099511627776,"arithmetic":"x"}],
				"tables":[{"name":"report_rows","kept":"13months","rows":7,"size":`+size+`,"growth":{"bytes_per_day":2048,"rows_per_day":8},
					"forecasts":[{"days":30,"bytes":1023,"arithmetic":"y"}],"partitions":[]}],
				"jobs":[{"name":"retention","every_seconds":3600,"error":"it broke"}],"retention":[]}`)
		case "GET /api/v1/system/retention":
			answer(w, 200, `{"items":[],"next_cursor":null}`)
		case "PUT /api/v1/system/retention/packages":
			answer(w, 200, `{"type":"packages","days":30,"set_by":"user:ann","set_at":"2026-01-02T03:04:05Z"}`)
		case "DELETE /api/v1/system/retention/packages":
			w.WriteHeader(http.StatusNoContent)
		default:
			t.Errorf("it asks for %s %s", r.Method, r.URL.Path)
		}
	})
	u.run(t.Context(), "", "system", "storage").must(t, 0, "report_rows", "1.5 MiB", "2.0 KiB", "1023 B", "IN 30 DAYS", "it broke", "3.0 GiB", "1.0 TiB", "3 months ahead")
	u.run(t.Context(), "", "system", "storage", "-o", "json").must(t, 0, `"database_bytes": 3221225472`)
	u.run(t.Context(), "", "system", "retention").must(t, 0)
	u.run(t.Context(), "", "system", "retention", "set", "packages", "30").must(t, 0, "packages", "user:ann")
	u.run(t.Context(), "", "system", "retention", "unset", "packages").must(t, 0, "kept as long")
	u.run(t.Context(), "", "system", "retention", "set", "packages").must(t, 2)
}
