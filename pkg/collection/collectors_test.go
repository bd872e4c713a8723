package collection_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/store"
)

func settings(script string, changes ...func(*collector.Definition)) collector.Definition {
	d := collector.Definition{Name: "settings", OS: map[string]string{"linux": script}, Parser: collector.ParserSpec{Format: collector.FormatKV}}
	for _, change := range changes {
		change(&d)
	}
	return d
}

func here(h *fleet.Host) { h.Connection = fleet.ConnectionLocal }

func TestACustomCollectorIsCollectedLikeAnyOther(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	w, _ := r.worker(local)
	admin := actor(fleet.Admin, "")
	first, err := r.service.AddCollector(t.Context(), admin, settings("echo color=red"))
	if err != nil || first.Version != 1 {
		t.Fatalf("AddCollector = %+v, %v", first, err)
	}
	host := r.host("here", here)
	r.ended(r.collect(w, host, "memory", "settings"), fleet.TaskSucceeded, "")
	report := r.latest(host)["settings"]
	if string(report.Facts) != `{"color": "red"}` || report.SchemaVersion != 1 || report.Status != "ok" {
		t.Errorf("the report is %s of version %d, %s", report.Facts, report.SchemaVersion, report.Status)
	}
	changes := func() int {
		return ask[int](r, "select count(*) from changes c join report_types t on t.id = c.report_type where t.name = 'settings'")
	}
	r.collect(w, host, "settings")
	if changes() != 0 {
		t.Errorf("%d changes of what has not changed", changes())
	}

	second, err := r.service.UpdateCollector(t.Context(), admin, settings("echo color=blue; echo size=1"), first.Version)
	if err != nil || second.Version != 2 {
		t.Fatalf("UpdateCollector = %+v, %v", second, err)
	}
	r.ended(r.collect(w, host, "settings"), fleet.TaskSucceeded, "")
	if report := r.latest(host)["settings"]; report.SchemaVersion != 2 || !strings.Contains(string(report.Facts), "blue") {
		t.Errorf("the report is %s of version %d", report.Facts, report.SchemaVersion)
	}
	if n := changes(); n != 0 {
		t.Errorf("a new version made %d changes", n)
	}
	if n := ask[int](r, "select count(*) from fact_baselines"); n == 0 {
		t.Error("a new version set no baseline")
	}

	if _, err := r.service.UpdateCollector(t.Context(), admin, settings("echo color=blue"), second.Version); err != nil {
		t.Fatal(err)
	}
	r.collect(w, host, "settings")
	if n := ask[int](r, "select count(*) from audit_logs where action like 'collector.%'"); n != 3 {
		t.Errorf("%d entries in the audit log, want 3", n)
	}
}

func TestWhoMayRunACustomCollector(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	admin, operator := actor(fleet.Admin, ""), actor(fleet.Operator, "")
	if _, err := r.service.AddCollector(t.Context(), operator, settings("true")); fleet.KindOf(err) != fleet.Forbidden {
		t.Errorf("an operator adds one: %v", err)
	}
	added, err := r.service.AddCollector(t.Context(), admin, settings("true"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.service.UpdateCollector(t.Context(), operator, settings("false"), added.Version); fleet.KindOf(err) != fleet.Forbidden {
		t.Errorf("an operator changes one: %v", err)
	}
	if err := r.service.RemoveCollector(t.Context(), operator, "settings"); fleet.KindOf(err) != fleet.Forbidden {
		t.Errorf("an operator removes one: %v", err)
	}
	near, far := r.host("near", here), r.host("far")
	for _, tt := range []struct {
		name  string
		actor fleet.Actor
		host  fleet.Host
		types []string
		want  string
	}{
		{"an admin here", admin, near, []string{"settings"}, ""},
		{"an operator here", operator, near, []string{"settings"}, "local_custom_collector"},
		{"an operator here with another one", operator, near, []string{"os", "settings"}, "local_custom_collector"},
		{"an operator elsewhere", operator, far, []string{"settings"}, ""},
		{"an operator here with built-in types", operator, near, []string{"os"}, ""},
		{"a type that there is not", operator, far, []string{"setting"}, "unknown_report_type"},
	} {
		err := r.InTx(t.Context(), func(tx *store.Store) error {
			_, err := r.service.TriggerIn(t.Context(), tx, tt.actor, collection.Request{HostIDs: idsOf(tt.host), ReportTypes: tt.types})
			return err
		})
		if fleet.CodeOf(err) != tt.want && (err != nil || tt.want != "") {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := r.service.Try(t.Context(), operator, collection.TryRequest{Name: "settings", HostID: far.ID}); fleet.KindOf(err) != fleet.Forbidden {
		t.Errorf("an operator tries one: %v", err)
	}
	all, err := r.service.CheckTypes(t.Context(), nil)
	if err != nil || slices.Contains(all, "settings") || len(all) != len(collector.Builtin()) {
		t.Errorf("all types are %v, %v", all, err)
	}
}

func TestACollectorThatIsRemovedMeanwhileCostsOnlyItself(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	w, _ := r.worker(local)
	admin := actor(fleet.Admin, "")
	if _, err := r.service.AddCollector(t.Context(), admin, settings("echo a=1")); err != nil {
		t.Fatal(err)
	}
	host := r.host("here", here)
	r.ended(r.collect(w, host, "settings"), fleet.TaskSucceeded, "")
	id, _ := r.request(20*time.Second, []string{"memory", "settings"}, host)
	r.exec(`insert into schedules (id, name, cron, selector, report_types) values (gen_random_uuid(), 'nightly', '@daily', '*', '{settings}')`)
	if err := r.service.RemoveCollector(t.Context(), admin, "settings"); fleet.CodeOf(err) != "collector_in_use" || !strings.Contains(fleet.MessageOf(err), "nightly") {
		t.Errorf("removing what a schedule asks for: %v", err)
	}
	r.exec(`delete from schedules`)
	if err := r.service.RemoveCollector(t.Context(), admin, "settings"); err != nil {
		t.Fatal(err)
	}
	task := r.workOut(w, id)[0]
	r.ended(task, fleet.TaskPartial, "")
	if task.ReportErrors["settings"] != fleet.CodeCollectorFailed {
		t.Errorf("report errors %v", task.ReportErrors)
	}
	if report := r.latest(host)["settings"]; !strings.Contains(string(report.Facts), `"1"`) {
		t.Errorf("its past report is %s", report.Facts)
	}
	if _, err := r.service.Try(t.Context(), admin, collection.TryRequest{Name: "settings", HostID: host.ID}); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("trying it then: %v", err)
	}
}

// try tries a collector and returns the task and the result.
func (r *rig) try(w *collection.Worker, request collection.TryRequest) (fleet.Task, collection.TrialResult) {
	r.t.Helper()
	triggered, err := r.service.Try(r.t.Context(), actor(fleet.Admin, ""), request)
	if err != nil {
		r.t.Fatal(err)
	}
	task := r.workOut(w, triggered.Collection.ID)[0]
	trial, err := r.service.Trial(r.t.Context(), actor(fleet.Admin, ""), triggered.Collection.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	var result collection.TrialResult
	if trial.Result != nil {
		if err := json.Unmarshal(trial.Result, &result); err != nil {
			r.t.Fatal(err)
		}
	}
	return task, result
}

func TestATrialTellsEverythingAndStoresNoReport(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	w, _ := r.worker(local)
	host := r.host("here", here)
	const script = "echo a=1; echo password=hunter2; echo oops >&2"
	redacting := func(d *collector.Definition) { d.Redact = []string{`password=(\S+)`} }
	if _, err := r.service.AddCollector(t.Context(), actor(fleet.Admin, ""), settings(script, redacting)); err != nil {
		t.Fatal(err)
	}
	task, result := r.try(w, collection.TryRequest{Name: "settings", HostID: host.ID})
	r.ended(task, fleet.TaskSucceeded, "")
	if result.Stdout != "a=1\npassword=[redacted]\n" || result.Stderr != "oops\n" || result.Status != "ok" || !strings.Contains(string(result.Facts), `"1"`) {
		t.Errorf("the result is %+v with facts %s", result, result.Facts)
	}
	if n := ask[int](r, "select count(*) from report_rows") + ask[int](r, "select count(*) from host_status"); n != 0 {
		t.Errorf("a trial stored %d rows", n)
	}
	if n := ask[int](r, "select count(*) from trials where result::text like '%hunter2%'"); n != 0 {
		t.Error("a trial keeps what is redacted")
	}

	unsaved := settings("echo nonsense; exit 3")
	unsaved.Name = "draft"
	task, result = r.try(w, collection.TryRequest{Name: "draft", HostID: host.ID, Definition: &unsaved})
	r.ended(task, fleet.TaskFailed, fleet.CodeCollectorFailed)
	if result.ExitStatus != 3 || result.Stdout != "nonsense\n" || result.Code != "collector_failed" || result.Facts != nil {
		t.Errorf("the result is %+v", result)
	}
	if versions, err := r.CollectorVersions(t.Context(), []string{"draft"}); err != nil || len(versions) != 0 {
		t.Errorf("a draft is stored: %v, %v", versions, err)
	}
	long := settings("head -c 1000000 /dev/zero | tr '\\000' x", func(d *collector.Definition) { d.Parser.Format, d.Caps.Stdout = "text", 2<<20 })
	if _, result = r.try(w, collection.TryRequest{Name: "settings", HostID: host.ID, Definition: &long}); len(result.Stdout) != 256<<10 || !result.StdoutTruncated || !result.Omitted {
		t.Errorf("%d bytes are kept, truncated %v, omitted %v", len(result.Stdout), result.StdoutTruncated, result.Omitted)
	}
	other := r.host("elsewhere")
	triggered, err := r.service.Try(t.Context(), actor(fleet.Admin, ""), collection.TryRequest{Name: "settings", HostID: other.ID})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.service.Trial(t.Context(), actor(fleet.Admin, "name=here"), triggered.Collection.ID); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("a trial of a host that is not to be seen: %v", err)
	}
	if _, err := r.service.Retry(t.Context(), actor(fleet.Admin, ""), task.CollectionID, nil, nil); fleet.CodeOf(err) != "not_retried" {
		t.Errorf("retrying a trial: %v", err)
	}
}

func TestCancelEndsACustomScriptOnTheHost(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	w, _ := r.worker()
	s := startSSHD(t)
	file := filepath.Join(t.TempDir(), "pid")
	d := settings("echo $$ >"+file+".new; mv "+file+".new "+file+"; trap '' TERM HUP; sleep 1000 & sleep 1000", func(d *collector.Definition) { d.TimeoutSeconds = 300 })
	if _, err := r.service.AddCollector(t.Context(), actor(fleet.Admin, ""), d); err != nil {
		t.Fatal(err)
	}
	host := r.host("web-1", at(s.address), r.credential(currentUser(t), secret.Credential{PrivateKey: s.key}))
	id, messages := r.request(time.Minute, []string{"memory", "settings"}, host)
	var working sync.WaitGroup
	working.Go(func() { contains(t, r.work(w, messages[0]), " cancelled ") })
	group := 0
	await.Until(t, "the script running", func() bool {
		text, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		group, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil && len(processes(t, inGroup(group))) >= 3
	})
	if _, err := r.service.Cancel(t.Context(), actor(fleet.Operator, ""), id); err != nil {
		t.Fatal(err)
	}
	working.Wait()
	task := r.tasks(id)[0]
	r.ended(task, fleet.TaskCancelled, fleet.CodeCancelled)
	if left := processes(t, inGroup(group)); len(left) > 0 || task.Termination != fleet.TerminationConfirmed {
		t.Errorf("%q, and left are %+v", task.Termination, left)
	}
}

func idsOf(hosts ...fleet.Host) []uuid.UUID {
	var ids []uuid.UUID
	for _, h := range hosts {
		ids = append(ids, h.ID)
	}
	return ids
}
