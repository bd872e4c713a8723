package rest

import (
	"context"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// registerLater answers the calls that are promised and do not exist yet, so that nobody takes them for a mistake of
// theirs.
func (s *server) registerLater() {
	for _, call := range []struct {
		id, method, path, summary string
		role                      fleet.Role
	}{
		{"listUsers", http.MethodGet, "/users", "List users", fleet.Admin},
		{"createUser", http.MethodPost, "/users", "Add a user", fleet.Admin},
		{"createCollector", http.MethodPost, collectorsPath, "Add a custom collector", fleet.Admin},
		{"listChanges", http.MethodGet, "/changes", "The feed of changes", fleet.Viewer},
		{"streamChanges", http.MethodGet, "/changes/events", "Watch the feed of changes", fleet.Viewer},
		{"query", http.MethodGet, "/query", "Ask for facts over the fleet", fleet.Viewer},
		{"listAudit", http.MethodGet, "/audit", "The audit log", fleet.Admin},
		{"listWebhooks", http.MethodGet, "/webhooks", "List webhooks", fleet.Admin},
		{"createWebhook", http.MethodPost, "/webhooks", "Add a webhook", fleet.Admin},
	} {
		register(s, later(call.id, call.method, call.path, call.summary, call.role), refuseLater[struct{}](call.method, call.path))
	}
	for _, call := range []struct {
		id, method, path, summary string
		role                      fleet.Role
	}{
		{"checkHost", http.MethodPost, hostsPath + "/{id}/check", "Check the way to a host", fleet.Operator},
		{"diffReport", http.MethodGet, reportsPath + "/{id}/diff", "What differs between two reports", fleet.Viewer},
	} {
		register(s, later(call.id, call.method, call.path, call.summary, call.role), refuseLater[laterByID](call.method, call.path))
	}
	const try = collectorsPath + "/{name}/try"
	register(s, later("tryCollector", http.MethodPost, try, "Try a collector on a host", fleet.Admin), refuseLater[collectorInput](http.MethodPost, try))
}

// laterByID is the path of one thing, and what may be asked of it.
type laterByID struct {
	ID uuid.UUID `path:"id" format:"uuid"`
	To string    `query:"to" format:"uuid"`
}

func later(id, method, path, summary string, role fleet.Role) operation {
	return operation{
		id: id, method: method, path: path, tag: "later", summary: summary, role: role,
		description: "Not supported yet: it is always refused with the code not_supported_yet.",
	}
}

func refuseLater[I any](method, path string) func(context.Context, *I) (*none, error) {
	return func(context.Context, *I) (*none, error) {
		return nil, fleet.Errorf(fleet.Invalid, "%s %s is not supported yet by this release", method, strings.TrimSuffix(path, "/")).
			WithCode("not_supported_yet")
	}
}
