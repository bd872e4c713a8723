package serve

import (
	"net/http"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/token"
)

// writes holds that what a scoped admin writes lies inside his scope before and after, also where others share it.
func (w *walk) writes(t *testing.T) {
	t.Helper()
	staging := walker{fleet.Admin, inside, byToken, w.users[fleet.Admin][inside]}
	narrow := walker{fleet.Admin, inside, byToken, w.addUser(t, "narrow", fleet.Admin, "")}
	plain, hash := token.NewAPIToken()
	if err := w.Store.AddAPIToken(t.Context(), store.APIToken{
		ID: fleet.NewID(), UserID: narrow.user.ID, Name: "narrow", Hash: hash, Selector: "env=staging", CreatedAt: time.Now(),
	}); err != nil {
		t.Fatal(err)
	}
	w.bearers[narrow.user.ID] = plain
	w.shared["quartz_credential"], w.shared["quartz_collection"], w.shared["quartz_schedule"] = w.quartz.ids["credential"], w.quartz.ids["collection"], w.quartz.ids["schedule"]
	shared := w.newCredential(t, "amber")
	w.newHost(t, w.amber, "amber-shared", &shared)
	w.newHost(t, w.quartz, "quartz-shared", &shared)
	w.shared["shared_credential"] = shared.String()
	const hosts, schedules, credentials = "/api/v1/hosts/", "/api/v1/schedules/", "/api/v1/credentials/"
	tests := []struct {
		name               string
		as                 walker
		method, path, body string
		want               int
	}{
		{"a host is not moved out of the scope", staging, "PATCH", hosts + "$host", `{"labels":{"env":"prod"}}`, 403},
		{"nor loses the label that it is seen by", staging, "PATCH", hosts + "$host", `{"labels":{"env":null}}`, 403},
		{"a new host does not get a credential of others", staging, "POST", "/api/v1/hosts", `{"name":"$unique","address":"192.0.2.9","site":"quartz","labels":{"env":"staging"},"credential_id":"$quartz_credential"}`, 422},
		{"nor does an old one", staging, "PATCH", hosts + "$host", `{"site":"quartz","credential_id":"$quartz_credential"}`, 422},
		{"not to become root with either", staging, "PATCH", hosts + "$host", `{"ssh":{"become":"sudo","become_credential_id":"$quartz_credential"}}`, 422},
		{"a credential of others is not changed", staging, "PATCH", credentials + "$quartz_credential", `{"username":"v"}`, 404},
		{"nor is one that is shared with them", staging, "PATCH", credentials + "$shared_credential", `{"username":"v"}`, 403},
		{"nor deleted", staging, "DELETE", credentials + "$shared_credential", "", 403},
		{"it may be given to another host of the scope", staging, "POST", "/api/v1/hosts", `{"name":"$unique","address":"192.0.2.9","site":"amber","labels":{"env":"staging"},"credential_id":"$shared_credential"}`, 201},
		{"a collection that is shared is not cancelled", staging, "POST", "/api/v1/collections/$both_open/cancel", "", 403},
		{"of one that is shared only the own part is tried again", staging, "POST", "/api/v1/collections/$both/retry", "", 202},
		{"a collection of others is not", staging, "POST", "/api/v1/collections/$quartz_collection/retry", "", 404},
		{"a host of others is not named", staging, "POST", "/api/v1/collections", `{"host_ids":["$host","$quartz_host"]}`, 422},
		{"nor picked", staging, "POST", "/api/v1/collections", `{"selector":"env=prod"}`, 422},
		{"a schedule that is shared is not run", staging, "POST", schedules + "$everything/run", "", 403},
		{"nor changed", staging, "PATCH", schedules + "$everything", `{"selector":"env=staging"}`, 403},
		{"nor deleted", staging, "DELETE", schedules + "$everything", "", 403},
		{"a schedule of others is not there", staging, "DELETE", schedules + "$quartz_schedule", "", 404},
		{"a token that sees less than its user makes no schedule", narrow, "POST", "/api/v1/schedules", `{"name":"$unique","cron":"@daily","selector":"*","report_types":["os"]}`, 403},
		{"nor makes one its user's", narrow, "PATCH", schedules + "$schedule", `{"cron":"@hourly"}`, 403},
		{"nor sees what its user sees", narrow, "GET", hosts + "$quartz_host", "", 404},
	}
	for _, test := range tests {
		media := ""
		if test.method == http.MethodPatch {
			media = merge
		}
		r := w.ask(t, test.as, test.method, w.fill(t, test.path, test.as, false), w.fill(t, test.body, test.as, false), media)
		if r.status != test.want {
			t.Errorf("%s: %s %s = %d, want %d: %s", test.name, test.method, test.path, r.status, test.want, r.body)
		}
	}
}
