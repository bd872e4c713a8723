package remote

import (
	"errors"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Phase of a connection that is over. After one that failed there is no other.
type Phase struct {
	Name  string // connect, banner, key_exchange, login, session or run
	Began time.Time
	Ended time.Time
	Code  fleet.Code // why it failed; empty if it did not
}

// Phases returns the names of the phases in their order.
func Phases() []string {
	return []string{phaseConnect, phaseBanner, phaseKeyExchange, phaseLogin, phaseSession, phaseRun}
}

// A passing is how far a connection has come.
type passing struct {
	tell  func(Phase) // nil: nobody
	since time.Time   // when the phase that is under way began
}

// over ends the phase that is under way, which went well.
func (p *passing) over(phase string, at time.Time) {
	if p.tell != nil {
		p.tell(Phase{Name: phase, Began: p.since, Ended: at})
	}
	p.since = at
}

// failed ends the phase that is under way, and returns why it failed.
func (p *passing) failed(phase string, err error) error {
	if p.tell == nil {
		return err
	}
	code := fleet.CodeInternal
	if failure, ok := errors.AsType[*fleet.Failure](err); ok {
		code = failure.Code
	}
	p.tell(Phase{Name: phase, Began: p.since, Ended: time.Now(), Code: code})
	return err
}

// handshake ends the phases of the handshake that went well, and returns the one that it has come to.
func (p *passing) handshake(w *wire, g *gate) string {
	reached := g.phase(w)
	if reached != phaseBanner {
		p.over(phaseBanner, w.greeting)
	}
	if reached == phaseLogin {
		p.over(phaseKeyExchange, g.since)
	}
	return reached
}
