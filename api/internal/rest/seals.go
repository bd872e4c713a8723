package rest

import (
	"context"
	"net/http"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

func (s *server) registerSeals() {
	const tag = "credentials"
	register(s, operation{
		id: "listSeals", method: http.MethodGet, path: credentialsPath + "/seals", tag: tag, summary: "How many credentials are sealed to which key, by site and key", role: fleet.Admin,
		description: "While a key has seals that are not current, it must stay in ROLLCALL_OPEN_KEYS of the site's workers. For admins who see all hosts.",
	}, s.listSeals)
	register(s, operation{
		id: "resealCredentials", method: http.MethodPost, path: credentialsPath + "/reseal", tag: tag, summary: "Seal credentials anew to the current keys", role: fleet.Admin,
		status: http.StatusAccepted,
		description: "Makes a collection of kind reseal that ends when the workers of the sites have sealed anew every secret that is not sealed to its site's current key. " +
			"Its counts are seals instead of hosts. It can be asked for as often as one likes. For admins who see all hosts.",
	}, s.resealCredentials)
	register(s, operation{
		id: "listReseals", method: http.MethodGet, path: collectionsPath + "/{id}/reseals", tag: "collections", summary: "What became of each seal that a collection of kind reseal is about", role: fleet.Admin,
		description: "For 90 days.",
	}, s.listReseals)
}

func (s *server) listSeals(ctx context.Context, _ *struct{}) (*body[wire.List[wire.SealCount]], error) {
	counts, err := s.Inventory.SealCounts(ctx, session.Actor(ctx), collection.Silence)
	if err != nil {
		return nil, err
	}
	return answer(wire.ListOf(counts, "", wire.SealCountView)), nil
}

type resealInput struct {
	Body *wire.ResealInput `required:"false"`
}

func (s *server) resealCredentials(ctx context.Context, in *resealInput) (*retried, error) {
	var sites []string
	if in.Body != nil {
		sites = in.Body.Sites
	}
	c, err := s.Inventory.Reseal(ctx, session.Actor(ctx), sites)
	if err != nil {
		return nil, err
	}
	return &retried{Location: locationOf(c), Body: wire.CollectionView(c)}, nil
}

type listResealsInput struct {
	ByID
	Paged
	State string `query:"state" enum:"queued,succeeded,failed,cancelled" doc:"only those in this state"`
}

func (s *server) listReseals(ctx context.Context, in *listResealsInput) (*body[wire.List[wire.Reseal]], error) {
	found, next, err := s.Inventory.Reseals(ctx, session.Actor(ctx), in.ID, fleet.TaskState(in.State), in.page())
	if err != nil {
		return nil, err
	}
	return answer(wire.ListOf(found, next, wire.ResealView)), nil
}
