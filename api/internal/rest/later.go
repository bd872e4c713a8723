package rest

import (
	"context"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// registerLater answers the calls that are promised and do not exist yet, so that nobody takes them for a mistake of
// theirs. They take the parameters that they will have.
func (s *server) registerLater() {
	registerCalls[Paged](s, []laterCall{
		{"listWebhooks", http.MethodGet, "/webhooks", "List webhooks", fleet.Admin},
	})
	registerCalls[struct{}](s, []laterCall{
		{"createWebhook", http.MethodPost, "/webhooks", "Add a webhook", fleet.Admin},
	})
	registerCalls[ByID](s, []laterCall{
		{"checkHost", http.MethodPost, hostsPath + "/{id}/check", "Check the way to a host", fleet.Operator},
		{"getWebhook", http.MethodGet, "/webhooks/{id}", "A webhook", fleet.Admin},
		{"updateWebhook", http.MethodPatch, "/webhooks/{id}", "Change a webhook", fleet.Admin},
		{"deleteWebhook", http.MethodDelete, "/webhooks/{id}", "Remove a webhook", fleet.Admin},
	})
	registerCalls[laterDeliveries](s, []laterCall{
		{"listDeliveries", http.MethodGet, "/webhooks/{id}/deliveries", "The deliveries of a webhook", fleet.Admin},
	})
	registerCalls[laterDelivery](s, []laterCall{
		{"replayDelivery", http.MethodPost, "/webhooks/{id}/deliveries/{delivery_id}/replay", "Deliver once more", fleet.Admin},
	})
}

// A laterCall is a call that is still to come.
type laterCall struct {
	id, method, path, summary string
	role                      fleet.Role
}

// What the calls that are still to come may be asked.
type (
	laterDeliveries struct {
		ByID
		Paged
	}
	laterDelivery struct {
		ByID
		DeliveryID uuid.UUID `path:"delivery_id" format:"uuid"`
	}
)

func registerCalls[I any](s *server, calls []laterCall) {
	for _, c := range calls {
		register(s, later(c.id, c.method, c.path, c.summary, c.role), refuseLater[I](c.method, c.path))
	}
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
