package collection

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/remote"
)

// An elevation is how scripts become root on a host. Its zero value is: not at all.
type elevation struct {
	become   fleet.Become
	password []byte
}

// elevation returns how the claimed task's host wants it.
func (w *Worker) elevation(ctx context.Context, host fleet.Host) (elevation, error) {
	e := elevation{become: host.SSH.Become}
	if e.become == fleet.BecomeNone || host.SSH.BecomeCredentialID == nil {
		return e, nil
	}
	_, s, err := w.open(ctx, *host.SSH.BecomeCredentialID, host.Site)
	if f, ok := errors.AsType[*fleet.Failure](err); ok && f.Code == fleet.CodeAuthFailed { // it is not the login that fails
		return e, fleet.Fail(fleet.CodeSudoPasswordRequired, err, "reason", "become credential: "+f.Details["reason"])
	}
	e.password = s.Password
	return e, err
}

// sudoRefused is what sudo says to a wrong password, in the language C, unless its configuration says otherwise.
const sudoRefused = "try again"

// lead returns what goes before a script.
func (e elevation) lead() remote.Lead {
	if len(e.password) == 0 {
		return remote.Lead{}
	}
	line := append(bytes.Clone(e.password), '\n')
	return remote.Lead{Bytes: line, Taken: collector.ReadyMark, Refused: sudoRefused}
}

// run returns the command line of a plan's run.
func (e elevation) run(p collector.Plan) string { return p.CommandAs(e.become, len(e.password) > 0) }

// stop returns how the plan's run is ended that has said so much up to now: by the same user as ran it.
func (e elevation) stop(p collector.Plan, stdout []byte) remote.Stop {
	stop := stopOf(p, stdout)
	if e.become == fleet.BecomeSudo || e.become == fleet.BecomeDoas {
		stop.Command, stop.Lead = collector.CommandAs(e.become, len(e.password) > 0), e.lead()
	}
	return stop
}

// explain returns what came in the way of becoming root, or nil where something else did.
func (e elevation) explain(o remote.Output) *fleet.Failure {
	if e.become == "" || e.become == fleet.BecomeNone || bytes.Contains(o.Stdout, []byte(collector.ReadyMark)) {
		return nil
	}
	said := string(o.Stderr)
	if len(e.password) > 0 {
		said = strings.ReplaceAll(said, string(e.password), "…")
	}
	for _, r := range denials() {
		if r.status != 0 && r.status == o.ExitStatus || r.says != "" && strings.Contains(said, r.says) {
			details := []string{"become", string(e.become), "message", oneLine(said)}
			if r.reason != "" {
				details = append(details, "reason", r.reason)
			}
			return fleet.Fail(r.code, errors.New("not root"), details...)
		}
	}
	return nil
}

// A denial is one way of sudo and doas to say no, in the language C.
type denial struct {
	says   string // part of standard error
	status int    // of the command, instead
	code   fleet.Code
	reason string
}

// denials are from sudo 1.8 to 1.9 and OpenDoas 6; the first that fits counts.
func denials() []denial {
	const refused = "the password of the become credential was refused"
	return []denial{
		{says: "must have a tty", code: fleet.CodeSudoRequiresTTY},
		{says: "not in the sudoers file", code: fleet.CodeSudoNotAllowed},
		{says: "is not allowed to", code: fleet.CodeSudoNotAllowed},
		{says: "may not run sudo", code: fleet.CodeSudoNotAllowed},
		{says: "incorrect password attempt", code: fleet.CodeSudoPasswordRequired, reason: refused},
		{says: "no password was provided", code: fleet.CodeSudoPasswordRequired, reason: refused},
		{says: sudoRefused, code: fleet.CodeSudoPasswordRequired, reason: refused},
		{says: "password is required", code: fleet.CodeSudoPasswordRequired},
		{says: "terminal is required", code: fleet.CodeSudoPasswordRequired},
		{says: "no tty present", code: fleet.CodeSudoPasswordRequired},
		{says: "Authentication required", code: fleet.CodeSudoPasswordRequired}, // doas
		{says: "Operation not permitted", code: fleet.CodeSudoNotAllowed},       // doas
		{says: "is not enabled", code: fleet.CodeSudoNotAllowed, reason: "doas has no configuration on the host"},
		{says: "ccount validation failure", code: fleet.CodeSudoNotAllowed, reason: "the account has expired or is locked"},
		{status: 127, code: fleet.CodeSudoNotAllowed, reason: "there is no such command on the host"},
	}
}

// oneLine returns the end of what somebody said, fit for a detail: a lecture comes first.
func oneLine(said string) string {
	said = strings.Join(strings.Fields(said), " ")
	return strings.ToValidUTF8(said[max(0, len(said)-256):], "�")
}
