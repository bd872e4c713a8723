package rest

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const hostsPath = "/hosts"

func (s *server) registerHosts() {
	register(s, operation{
		id: "listHosts", method: http.MethodGet, path: hostsPath, tag: "hosts", summary: "List hosts, by name", role: fleet.Viewer,
	}, s.listHosts)
	register(s, operation{
		id: "createHost", method: http.MethodPost, path: hostsPath, tag: "hosts", summary: "Add a host", role: fleet.Admin, status: http.StatusCreated,
	}, s.createHost)
	register(s, operation{
		id: "getHost", method: http.MethodGet, path: hostsPath + "/{id}", tag: "hosts", summary: "One host", role: fleet.Viewer,
	}, s.getHost)
	register(s, operation{
		id: "updateHost", method: http.MethodPatch, path: hostsPath + "/{id}", tag: "hosts", summary: "Change a host", role: fleet.Admin,
		description: "Another address, port or site suspends the trust in the host's keys: no credential is offered before somebody has trusted one anew.",
	}, s.updateHost)
	register(s, operation{
		id: "retireHost", method: http.MethodDelete, path: hostsPath + "/{id}", tag: "hosts", summary: "Retire a host", role: fleet.Admin,
		description: "Its reports stay, and its name is free again.",
	}, s.retireHost)
}

type listHostsInput struct {
	Paged
	Selector string `query:"selector" maxLength:"4096" example:"env=prod and not role=db"`
	Q        string `query:"q" maxLength:"253" doc:"part of a name or address"`
	Site     string `query:"site" maxLength:"63"`
	Status   string `query:"status" enum:"fresh,stale,failing,never,disabled" doc:"how fresh what is known of them is"`
	Code     string `query:"code" maxLength:"64" example:"auth_failed" doc:"why they are failing"`
}

func (s *server) listHosts(ctx context.Context, in *listHostsInput) (*body[wire.List[wire.Host]], error) {
	selector, err := selectorOf(in.Selector)
	if err != nil {
		return nil, err
	}
	scope := session.Actor(ctx).Scope()
	filter := fleet.HostFilter{Selector: selector, Search: in.Q, Site: in.Site, Status: fleet.Freshness(in.Status), Code: fleet.Code(in.Code)}
	if filter.Code != "" && filter.Status != "" && filter.Status != fleet.HostFailing {
		return nil, fleet.InvalidField("code", "only failing hosts have one")
	}
	hosts, next, err := s.Store.Hosts(ctx, scope, filter, in.page())
	if err != nil {
		return nil, err
	}
	ids := make([]uuid.UUID, len(hosts))
	for i, h := range hosts {
		ids[i] = h.ID
	}
	statuses, err := s.Store.HostStatuses(ctx, scope, ids)
	if err != nil {
		return nil, err
	}
	return answer(wire.ListOf(hosts, next, func(h fleet.Host) wire.Host { return hostView(h, statuses) })), nil
}

func hostView(h fleet.Host, statuses map[uuid.UUID]fleet.HostStatus) wire.Host {
	if status, ok := statuses[h.ID]; ok {
		return wire.HostView(h, &status)
	}
	return wire.HostView(h, nil)
}

type createHostInput struct{ Body wire.HostInput }

func (s *server) createHost(ctx context.Context, in *createHostInput) (*made[wire.Host], error) {
	h, err := s.Inventory.AddHost(ctx, session.Actor(ctx), in.Body.Host())
	if err != nil {
		return nil, err
	}
	stored, err := s.withStatus(ctx, h)
	if err != nil {
		return nil, err
	}
	return &made[wire.Host]{Location: prefix + hostsPath + "/" + h.ID.String(), ETag: stored.ETag, Body: stored.Body}, nil
}

func (s *server) getHost(ctx context.Context, in *ByID) (*versioned[wire.Host], error) {
	h, err := s.Store.Host(ctx, session.Actor(ctx).Scope(), in.ID)
	if err != nil {
		return nil, err
	}
	return s.withStatus(ctx, h)
}

// withStatus returns the host with how fresh what is known of it is.
func (s *server) withStatus(ctx context.Context, h fleet.Host) (*versioned[wire.Host], error) {
	statuses, err := s.Store.HostStatuses(ctx, session.Actor(ctx).Scope(), []uuid.UUID{h.ID})
	if err != nil {
		return nil, err
	}
	return &versioned[wire.Host]{ETag: etagOf(h.Version), Body: hostView(h, statuses)}, nil
}

type updateHostInput struct {
	ByID
	IfMatch
	Body    wire.HostPatch
	RawBody []byte `contentType:"application/merge-patch+json"`
}

func (s *server) updateHost(ctx context.Context, in *updateHostInput) (*versioned[wire.Host], error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	h, err := s.Inventory.UpdateHost(ctx, session.Actor(ctx), in.ID, version, func(h *fleet.Host) error {
		changed, err := patched(wire.HostInputOf(*h), in.RawBody)
		if err != nil {
			return err
		}
		*h = changed.Host()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.withStatus(ctx, h)
}

type deleteInput struct {
	ByID
	IfMatch
}

func (s *server) retireHost(ctx context.Context, in *deleteInput) (*none, error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	return &none{}, s.Inventory.RetireHost(ctx, session.Actor(ctx), in.ID, version)
}
