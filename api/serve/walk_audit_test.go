package serve

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// entries returns what each writing operation leaves in the audit log, by its ID, in the order of the words.
func entries() map[string]string {
	return map[string]string{
		"login": "auth.login", "logout": "auth.logout", "changePassword": "auth.password", "resetPassword": "auth.password",
		"createToken": "token.create", "revokeToken": "token.revoke", "revokeSession": "session.revoke", "revokeSessions": "session.revoke",
		"createUser": "user.create", "updateUser": "user.update", "deleteUser": "user.delete", "resetUser": "user.reset",
		"revokeUserSession": "session.revoke", "revokeUserSessions": "session.revoke", "revokeUserToken": "token.revoke",
		"createHost": "host.create", "updateHost": "host.update", "retireHost": "host.retire", "importHosts": "host.create host.import",
		"trustHostKey": "host_key.trust", "revokeHostKey": "host_key.revoke",
		"createCredential": "credential.create", "updateCredential": "credential.update", "deleteCredential": "credential.delete", "resealCredentials": "credential.reseal",
		"collect": "collection.trigger", "cancelCollection": "collection.cancel", "retryCollection": "collection.trigger",
		"createSchedule": "schedule.create", "updateSchedule": "schedule.update", "deleteSchedule": "schedule.delete", "runSchedule": "collection.trigger schedule.run",
		"createCollector": "collector.create", "replaceCollector": "collector.update", "updateCollector": "collector.update", "deleteCollector": "collector.delete", "tryCollector": "collector.try",
		"setRetention": "retention.update", "unsetRetention": "retention.delete",
	}
}

// unwritten returns the operations that write nothing worth an entry, each with the reason.
func unwritten() map[string]string {
	return map[string]string{
		"refresh": "it goes on with a sign-in that has its entry, every quarter of an hour; the reuse of a token has one",
	}
}

// audits does every writing operation once, and looks for what the audit log says of the address that it came from.
func (w *walk) audits(t *testing.T) {
	t.Helper()
	table, silent, want := rules(), unwritten(), entries()
	admin := walker{fleet.Admin, everywhere, byAccess, w.users[fleet.Admin][everywhere]}
	if err := w.Store.SetPassword(t.Context(), admin.user.ID, w.hash); err != nil { // a step before this may have changed it
		t.Fatal(err)
	}
	for _, op := range w.documented(t) {
		rule, works := table[op.id]
		if op.method == http.MethodGet || !works || rule.events {
			continue
		}
		actions, audited := want[op.id]
		_, quiet := silent[op.id]
		if delete(want, op.id); audited == quiet {
			t.Errorf("%s %s (%s) is to leave which entry in the audit log, or why none?", op.method, op.path, op.id)
			continue
		}
		w.renew(t, admin.user) // what ended sessions before
		address := fmt.Sprintf("10.254.%d.%d", len(want), len(op.id))
		path, body, _ := strings.Cut(w.fill(t, rule.path+"\n"+rule.body, admin, false), "\n")
		if r := w.askFrom(t, address, admin, op.method, path, body, rule.media); r.status/100 != 2 {
			t.Errorf("%s %s = %d %s", op.method, path, r.status, r.body)
			continue
		}
		if got := w.entriesFrom(t, address); got != actions {
			t.Errorf("%s left %q in the audit log, want %q", op.id, got, actions)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(want)) {
		t.Errorf("%s is to leave an entry, and there is no such operation", id)
	}
}

func (w *walk) entriesFrom(t *testing.T, address string) string {
	t.Helper()
	rows, _ := w.Pool.Query(t.Context(), "select action from audit_logs where ip_address = $1::inet and outcome = 'ok'", address)
	actions, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(actions)
	return strings.Join(actions, " ")
}
