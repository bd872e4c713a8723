package rest_test

import (
	"net/http"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

func TestTheStorageIsShown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	storage := get[wire.Storage](t, b.do(t, call{path: "/api/v1/system/storage", as: "viewer"}), http.StatusOK)
	byName := map[string]wire.StorageTable{}
	for _, table := range storage.Tables {
		byName[table.Name] = table
	}
	rows := byName["report_rows"]
	if len(rows.Partitions) != store.MonthsAhead+1 || rows.Kept == nil || *rows.Kept != "13months" || rows.KeptSince != nil || rows.Size.TotalBytes == 0 {
		t.Errorf("report_rows = %+v", rows)
	}
	if hosts := byName["hosts"]; hosts.Kept != nil || len(hosts.Partitions) != 0 {
		t.Errorf("hosts = %+v", hosts)
	}
	if storage.DatabaseBytes == 0 || storage.DiskFreeBytes != nil || storage.MonthsAhead != store.MonthsAhead || len(storage.Forecasts) != 0 || len(storage.Jobs) == 0 {
		t.Errorf("storage = %+v", storage)
	}
}

func TestATypeIsKeptShorter(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const path = "/api/v1/system/retention"
	set := get[wire.TypeRetention](t, b.do(t, call{method: http.MethodPut, path: path + "/packages", as: "admin", body: `{"days":30}`}), http.StatusOK)
	if set.Type != "packages" || set.Days != 30 || set.SetBy == "" {
		t.Errorf("set = %+v", set)
	}
	list := get[wire.List[wire.TypeRetention]](t, b.do(t, call{path: path, as: "viewer"}), http.StatusOK)
	if len(list.Items) != 1 || list.Items[0] != set {
		t.Errorf("list = %+v, want %+v", list, set)
	}
	if r := b.do(t, call{method: http.MethodDelete, path: path + "/packages", as: "admin"}); r.status != http.StatusNoContent {
		t.Errorf("DELETE = %d %s", r.status, r.body)
	}
	list = get[wire.List[wire.TypeRetention]](t, b.do(t, call{path: path, as: "viewer"}), http.StatusOK)
	if len(list.Items) != 0 {
		t.Errorf("afterwards = %+v", list)
	}
}
