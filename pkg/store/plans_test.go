package store_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// seed stores 100 hosts with five reports of five types each month from January to June 2025, and their metrics.
func seed(t *testing.T, db store.DBTX) {
	t.Helper()
	exec(t, db, `
		select make_partition(p, m::date)
		from unnest('{report_rows,report_metrics}'::text[]) p, generate_series('2025-01-01'::timestamptz, '2025-06-01', interval '1 month') m;
		insert into hosts (id, name, address)
			select gen_random_uuid(), 'host-' || n, '192.0.2.1' from generate_series(1, 100) n;
		insert into report_contents (content_hash, report_type, schema_version, facts)
			select sha256((h.name || t.name)::bytea), t.id, 1, jsonb_build_object('of', h.name, 'type', t.name)
			from hosts h, report_types t where t.id <= 5;
		insert into report_rows (id, created_at, host_id, report_type, status, content_hash)
			select uuid_v7(at), at, h.id, t.id, 'ok', sha256((h.name || t.name)::bytea)
			from generate_series('2025-01-01 00:00:07'::timestamptz, '2025-06-30', interval '6 days') at, hosts h, report_types t
			where t.id <= 5 order by at;
		insert into report_metrics (report_id, created_at, host_id, report_type, metrics)
			select id, created_at, host_id, report_type, '{"load": 1}' from report_rows;
		analyze`)
}

// A node is a step of a plan, as EXPLAIN (ANALYZE, FORMAT JSON) tells it.
type node struct {
	Type     string  `json:"Node Type"`
	Relation string  `json:"Relation Name"`
	Index    string  `json:"Index Name"`
	Loops    float64 `json:"Actual Loops"`
	Rows     float64 `json:"Actual Rows"`
	Plans    []node  `json:"Plans"`
}

// executed returns the steps that were really taken, those below them included.
func (n node) executed() []node {
	if n.Loops == 0 {
		return nil
	}
	all := []node{n}
	for _, child := range n.Plans {
		all = append(all, child.executed()...)
	}
	return all
}

func explain(t *testing.T, db store.DBTX, sql string) []node {
	t.Helper()
	var plans []struct{ Plan node }
	answer := ask[string](t, db, "explain (analyze, timing off, format json) "+sql)
	if err := json.Unmarshal([]byte(answer), &plans); err != nil || len(plans) != 1 {
		t.Fatalf("plan %s: %v", answer, err)
	}
	return plans[0].Plan.executed()
}

// months are the partitions that hold the seeded reports; the others are empty, and reading them costs nothing.
var months = regexp.MustCompile(`^report_(rows|metrics)_2025_\d\d$`)

// TestPlansThroughTheView holds what docs/adr/0004 promises of plain SQL through the view reports.
func TestPlansThroughTheView(t *testing.T) {
	t.Parallel()
	_, pool := storetest.Pool(t)
	seed(t, pool)
	const columns = "select hostname, report_type, data, created_at from reports "
	const march = "created_at >= '2025-03-05' and created_at < '2025-03-12'"
	tests := []struct {
		name  string
		where string
		rows  float64 // that come out
		month string  // the only one that is read; empty: all of them
		index string  // through which reports are found
		sort  float64 // the most rows that are sorted
	}{
		{"by host, newest first", "where hostname = 'host-7' order by created_at desc limit 20", 20, "", "host_id_report_type_created_at_idx", 155},
		{"by host and type", "where hostname = 'host-7' and report_type = 'os'", 31, "", "host_id_report_type_created_at_idx", 0},
		{"by host and time", "where hostname = 'host-7' and " + march, 5, "2025_03", "host_id_report_type_created_at_idx", 0},
		{"by type and time", "where report_type = 'cpu' and " + march, 100, "2025_03", "created_at_idx", 0},
		{"by time", "where " + march, 500, "2025_03", "created_at_idx", 0},
		{"by time, newest first", "where " + march + " order by created_at desc limit 100", 100, "2025_03", "created_at_idx", 500},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			steps := explain(t, pool, columns+tt.where)
			if steps[0].Rows < tt.rows-1 || steps[0].Rows > tt.rows {
				t.Errorf("%v rows, want %v: the plan is about something else", steps[0].Rows, tt.rows)
			}
			read := map[string]int{}
			for _, step := range steps {
				if step.Type == "Sort" && step.Rows > tt.sort {
					t.Errorf("it sorts %v rows, want at most %v", step.Rows, tt.sort)
				}
				if step.Type == "Bitmap Index Scan" && !strings.HasSuffix(step.Index, tt.index) {
					t.Errorf("it looks into %s, want an index …%s", step.Index, tt.index)
				}
				if !months.MatchString(step.Relation) {
					continue
				}
				read[step.Relation]++
				if !slices.Contains([]string{"Bitmap Heap Scan", "Index Scan", "Index Only Scan"}, step.Type) {
					t.Errorf("%s of %s, want it read through an index", step.Type, step.Relation)
				}
				if tt.month != "" && !strings.HasSuffix(step.Relation, tt.month) {
					t.Errorf("it reads %s, want %s alone", step.Relation, tt.month)
				}
			}
			if len(read) == 0 {
				t.Error("no partition was read: the plan is about something else")
			}
		})
	}
}

func TestTheViewAnswersPlainSQL(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	host := addHost(t, s, "web-1")
	_, messages := collect(t, s)
	cut := finding("os", `{"id":"debian"}`, `{"uptime_seconds":1}`)
	cut.Unavailable = map[string]string{"dmi": "denied"}
	end(t, s, ending(claim(t, s, messages[0], aWorker(t, s).ID), fleet.TaskSucceeded, cut, finding("cpu", `{"cores":2}`, "")))
	if err := s.RetireHost(t.Context(), host.ID); err != nil {
		t.Fatal(err)
	}
	for reportType, want := range map[string]string{
		"os":  `{"facts": {"id": "debian"}, "metrics": {"uptime_seconds": 1}, "unavailable": {"dmi": "denied"}}`,
		"cpu": `{"facts": {"cores": 2}, "metrics": null, "unavailable": {}}`,
	} {
		got := ask[string](t, store.DBOf(s), "select data::text from reports where hostname = 'web-1' and report_type = $1 and created_at > now() - interval '1 hour'", reportType)
		if got != want {
			t.Errorf("data of %s = %s, want %s", reportType, got, want)
		}
	}
}
