package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/rollcallhq/rollcall/api/internal/doctor"
	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

func (s *server) registerDoctor() {
	if s.Doctor == nil {
		return
	}
	register(s, operation{
		id: "doctor", method: http.MethodGet, path: "/system/doctor", tag: "health", summary: "What is wrong with the deployment, and what to do about it", role: fleet.Admin,
		description: "Looks at databases, queues, workers and clocks as the api sees them, in about three seconds at most; each check by itself. " +
			"The answer is 200 whatever was found. An admin who may see only some hosts is refused: the checks are about all of them.",
	}, s.diagnose)
}

func (s *server) diagnose(ctx context.Context, _ *struct{}) (*body[wire.Diagnosis], error) {
	actor := session.Actor(ctx)
	if err := actor.Require(fleet.Admin); err != nil {
		return nil, err
	}
	if actor.Selector != nil {
		return nil, fleet.Errorf(fleet.Forbidden, "the doctor looks at everything, and you may see only some hosts")
	}
	findings, err := s.Doctor.Diagnose(ctx)
	if err != nil {
		return nil, err
	}
	d := wire.Diagnosis{Status: string(doctor.Worst(findings)), Timestamp: time.Now().UTC(), Checks: make([]wire.Finding, len(findings))}
	for i, f := range findings {
		d.Checks[i] = wire.Finding{Name: f.Name, Status: string(f.Status), Detail: f.Detail, Cure: f.Cure}
	}
	return answer(d), nil
}
