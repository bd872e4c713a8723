package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const collectionsPath = "/collections"

func (s *server) registerCollections() {
	register(s, operation{
		id: "collect", method: http.MethodPost, path: collectionsPath, tag: "collections", summary: "Collect reports from hosts", role: fleet.Operator,
		status: http.StatusAccepted, description: "Answers as soon as the collection is stored; with dry_run, what it would do.",
		responses: map[string]*huma.Response{
			"202": {Description: "The collection; it is under way.", Content: map[string]*huma.MediaType{jsonType: {Schema: schemaOf[wire.Collection](s)}}},
			"200": {Description: "A dry run: what would be done.", Content: map[string]*huma.MediaType{jsonType: {Schema: schemaOf[wire.Preview](s)}}},
		},
	}, s.collect)
	register(s, operation{
		id: "listCollections", method: http.MethodGet, path: collectionsPath, tag: "collections", summary: "List collections, newest first", role: fleet.Viewer,
	}, s.listCollections)
	register(s, operation{
		id: "getCollection", method: http.MethodGet, path: collectionsPath + "/{id}", tag: "collections", summary: "One collection and how far it is", role: fleet.Viewer,
	}, s.getCollection)
	register(s, operation{
		id: "listTasks", method: http.MethodGet, path: collectionsPath + "/{id}/tasks", tag: "collections", summary: "How it went per host", role: fleet.Viewer,
	}, s.listTasks)
	register(s, operation{
		id: "cancelCollection", method: http.MethodPost, path: collectionsPath + "/{id}/cancel", tag: "collections", summary: "Cancel a collection", role: fleet.Operator,
		status: http.StatusAccepted, description: "Hosts that wait are not asked any more; what runs on those being asked is ended within seconds, " +
			"and the task's termination says whether that is certain.",
	}, s.cancelCollection)
	register(s, operation{
		id: "retryCollection", method: http.MethodPost, path: collectionsPath + "/{id}/retry", tag: "collections", role: fleet.Operator,
		summary: "Collect again from hosts of a collection", status: http.StatusAccepted, description: "Makes a new collection.",
	}, s.retryCollection)
}

type collectInput struct{ Body wire.CollectionInput }

// collected is the answer to a request for a collection: a wire.Collection, or a wire.Preview.
type collected struct {
	Status   int
	Location string `header:"Location"`
	Body     any
}

func (s *server) collect(ctx context.Context, in *collectInput) (*collected, error) {
	b := in.Body
	request := collection.Request{
		Selector: orZero(b.Selector), HostIDs: b.HostIDs, ReportTypes: b.ReportTypes, Priority: fleet.Priority(orZero(b.Priority)),
		Deadline: secondsOf(b.DeadlineSeconds), Expires: secondsOf(b.ExpiresSeconds), MaxParallel: orZero(b.MaxParallel),
	}
	if orZero(b.DryRun) {
		p, err := s.Collections.Preview(ctx, session.Actor(ctx), request)
		if err != nil {
			return nil, err
		}
		return &collected{Status: http.StatusOK, Body: wire.PreviewView(p.Hosts, p.Total, p.Skipped, p.ReportTypes, p.Script)}, nil
	}
	return collecting(s.Collections.Trigger(ctx, session.Actor(ctx), request))
}

func collecting(t collection.Triggered, err error) (*collected, error) {
	if err != nil {
		return nil, err
	}
	view := wire.CollectionView(t.Collection)
	view.Delayed = t.Delayed
	return &collected{Status: http.StatusAccepted, Location: locationOf(t.Collection), Body: view}, nil
}

func locationOf(c fleet.Collection) string { return prefix + collectionsPath + "/" + c.ID.String() }

func (s *server) listCollections(ctx context.Context, in *Paged) (*body[wire.List[wire.Collection]], error) {
	found, next, err := s.Store.Collections(ctx, session.Actor(ctx).Scope(), in.page())
	if err != nil {
		return nil, err
	}
	return answer(wire.ListOf(found, next, wire.CollectionView)), nil
}

func (s *server) getCollection(ctx context.Context, in *ByID) (*body[wire.Collection], error) {
	scope := session.Actor(ctx).Scope()
	c, err := s.Store.Collection(ctx, scope, in.ID)
	if err != nil {
		return nil, err
	}
	view := wire.CollectionView(c)
	if !c.State.Ended() {
		waits, err := s.Store.UnservedTasks(ctx, scope, c.ID, collection.Silence)
		if err != nil {
			return nil, err
		}
		for _, w := range waits {
			view.Unserved = append(view.Unserved, wire.SiteWait(w))
		}
	}
	return answer(view), nil
}

type listTasksInput struct {
	ByID
	Paged
	State string `query:"state" enum:"queued,running,succeeded,partial,failed,cancelled"`
	Code  string `query:"code" maxLength:"64" example:"tcp_refused"`
}

func (s *server) listTasks(ctx context.Context, in *listTasksInput) (*body[wire.List[wire.Task]], error) {
	scope := session.Actor(ctx).Scope()
	if _, err := s.Store.Collection(ctx, scope, in.ID); err != nil {
		return nil, err
	}
	if err := checkCode(in.Code); err != nil {
		return nil, err
	}
	filter := store.TaskFilter{State: fleet.TaskState(in.State), Code: fleet.Code(in.Code)}
	tasks, next, err := s.Store.Tasks(ctx, scope, in.ID, filter, in.page())
	if err != nil {
		return nil, err
	}
	return answer(wire.ListOf(tasks, next, wire.TaskView)), nil
}

// checkCode refuses a code that no task can have; the empty one stands for any.
func checkCode(code string) error {
	if code == "" || string(fleet.Code(code).Info().Code) == code {
		return nil
	}
	return fleet.InvalidField("code", "there is no such code; docs/errors.md lists them")
}

func (s *server) cancelCollection(ctx context.Context, in *ByID) (*body[wire.Collection], error) {
	c, err := s.Collections.Cancel(ctx, session.Actor(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return answer(wire.CollectionView(c)), nil
}

type retryInput struct {
	ByID
	Body *wire.RetryInput `required:"false"`
}

// retried is the answer to a request for a collection like another.
type retried struct {
	Location string `header:"Location"`
	Body     wire.Collection
}

func (s *server) retryCollection(ctx context.Context, in *retryInput) (*retried, error) {
	var states []fleet.TaskState
	var codes []fleet.Code
	if in.Body != nil {
		for _, state := range in.Body.States {
			states = append(states, fleet.TaskState(state))
		}
		for _, code := range in.Body.Codes {
			if err := checkCode(code); err != nil {
				return nil, err
			}
			codes = append(codes, fleet.Code(code))
		}
	}
	t, err := s.Collections.Retry(ctx, session.Actor(ctx), in.ID, states, codes)
	if err != nil {
		return nil, err
	}
	view := wire.CollectionView(t.Collection)
	view.Delayed = t.Delayed
	return &retried{Location: locationOf(t.Collection), Body: view}, nil
}
