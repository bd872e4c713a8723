package collection

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/remote"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// A conn is the way to a host: SSH or local.
type conn interface {
	Run(ctx context.Context, command string, stdin []byte, o remote.RunOptions) (remote.Output, error)
	Close() error
}

type localConn struct {
	remote.Local
	over func(began time.Time, err error) // is told when a script has run
}

// Run is as that of remote.Local.
func (c localConn) Run(ctx context.Context, command string, stdin []byte, o remote.RunOptions) (remote.Output, error) {
	began := time.Now()
	output, err := c.Local.Run(ctx, command, stdin, o)
	c.over(began, err)
	return output, err
}

// Close does nothing: there is no connection.
func (localConn) Close() error { return nil }

// learned is what one attempt at a task yielded.
type learned struct {
	reports   []collector.Report    // what there is to store
	failed    map[string]fleet.Code // report types that yielded nothing
	gone      []string              // those of them that were custom collectors and are removed
	partial   bool                  // a report is partial
	failure   *fleet.Failure        // of the attempt as a whole
	machineID string
	ended     fleet.Termination // of what ran on the host
	blocked   bool              // the failure is ours, such as a database that does not answer, and says nothing about the host
	began     time.Time
}

// state returns the state of a task that ends with this: succeeded when every type is ok, failed when there is nothing
// to store, partial otherwise.
func (l learned) state() fleet.TaskState {
	switch {
	case l.failure != nil && l.failure.Code == fleet.CodeCancelled:
		return fleet.TaskCancelled
	case len(l.reports) == 0:
		return fleet.TaskFailed
	case len(l.failed) > 0 || l.partial:
		return fleet.TaskPartial
	default:
		return fleet.TaskSucceeded
	}
}

// interrupted reports whether the attempt failed because it was told to stop, so that it says nothing about the host.
func (l learned) interrupted() bool {
	return l.failure != nil && (l.blocked || l.failure.Code == fleet.CodeCancelled || errors.Is(l.failure, context.Canceled))
}

// collect talks to the claimed task's host: connects, runs the script once and reads the answer. It never fails:
// what went wrong is in what was learned.
func (w *Worker) collect(ctx context.Context, claim *store.Claim) learned {
	l := learned{began: time.Now()}
	if claim.Retired {
		l.failure = fleet.Fail(fleet.CodeHostDisabled, nil)
		return l
	}
	c, err := w.connect(ctx, claim)
	if err != nil {
		l.failure, l.blocked = w.failureOf(ctx, err), fleet.KindOf(err) == fleet.Unavailable
		return l
	}
	defer func() { _ = c.Close() }()
	w.reach(stepConnected)
	defer closeWhenFenced(ctx, c)()
	return w.ask(ctx, claim, c, l)
}

// ask runs the script on the host and reads its answer.
func (w *Worker) ask(ctx context.Context, claim *store.Claim, c conn, l learned) learned {
	plan, err := w.plan(ctx, claim, &l)
	if err != nil {
		l.failure, l.blocked = w.failureOf(ctx, err), fleet.KindOf(err) == fleet.Unavailable
		return l
	}
	root, err := w.elevation(ctx, claim.Host)
	if err != nil {
		l.failure, l.blocked = w.failureOf(ctx, err), fleet.KindOf(err) == fleet.Unavailable
		return l
	}
	output, err := c.Run(ctx, root.run(plan), plan.Script(), remote.RunOptions{
		MaxStdout: plan.MaxOutput(), Lead: root.lead(),
		Stop: func(stdout []byte) remote.Stop { return root.stop(plan, stdout) },
	})
	l.ended = output.Termination
	if err != nil {
		l.failure = w.failureOf(ctx, err)
	}
	if len(output.Stdout) == 0 && l.failure != nil {
		return l
	}
	parsing, span := w.Traces.Start(ctx, spanParse, slog.Int("bytes", len(output.Stdout)))
	before := l.failure
	l = w.hear(parsing, claim, heard{plan, root, output}, l)
	if l.failure == before {
		span.End("")
	} else {
		span.End(string(l.failure.Code))
	}
	return l
}

// heard is what a host has answered, and to what.
type heard struct {
	plan   collector.Plan
	root   elevation
	output remote.Output
}

// hear reads the answer of the host.
func (w *Worker) hear(ctx context.Context, claim *store.Claim, h heard, l learned) learned {
	plan, root, output := h.plan, h.root, h.output
	run, err := plan.Read(output.Stdout)
	if refused := root.explain(output); err != nil && refused != nil {
		err = refused
	}
	if err != nil {
		if l.failure == nil {
			l.failure = w.failureOf(ctx, err)
		}
		return l
	}
	if output.Truncated && l.failure == nil {
		l.failure = fleet.Fail(fleet.CodeOutputTruncated, nil, "cap_bytes", strconv.FormatInt(plan.MaxOutput(), 10))
	}
	l.machineID = run.MachineID()
	if err := w.checkIdentity(ctx, claim, run.MachineID()); err != nil {
		l.failure, l.blocked, l.machineID = w.failureOf(ctx, err), fleet.KindOf(err) == fleet.Unavailable, ""
		return l
	}
	if claim.Kind == fleet.KindTry {
		if err := w.keepTrial(ctx, claim, plan.Trials(run)); err != nil {
			l.failure, l.blocked = w.failureOf(ctx, err), fleet.KindOf(err) == fleet.Unavailable
			return l
		}
	}
	l.read(plan.Reports(run))
	return l
}

// read takes in the reports. What has an answer is data, even if the attempt as a whole was cut short.
func (l *learned) read(reports []collector.Report) {
	l.failed = map[string]fleet.Code{}
	for _, name := range l.gone {
		l.failed[name] = fleet.CodeCollectorFailed
	}
	for _, r := range reports {
		if r.Status == collector.StatusFailed {
			l.failed[r.Type] = fleet.CodeInternal
			if r.Failure != nil {
				l.failed[r.Type] = r.Failure.Code
			}
			if l.failure == nil {
				l.failure = r.Failure
			}
			continue
		}
		l.partial = l.partial || r.Status == collector.StatusPartial
		l.reports = append(l.reports, r)
	}
}

// checkIdentity pins which machine a local host is, and refuses the answer of another one.
func (w *Worker) checkIdentity(ctx context.Context, claim *store.Claim, machineID string) error {
	if claim.Host.Connection != fleet.ConnectionLocal || machineID == "" {
		return nil
	}
	pinned, err := w.Store.PinMachineID(ctx, claim.Host.ID, machineID)
	if err != nil {
		return err
	}
	if pinned != machineID {
		return fleet.Fail(fleet.CodeIdentityMismatch, nil, "worker", w.Self.Host)
	}
	return nil
}

// connect opens the way to the claimed task's host.
func (w *Worker) connect(ctx context.Context, claim *store.Claim) (conn, error) {
	if claim.Host.Connection == fleet.ConnectionLocal {
		if !w.Local {
			return nil, fleet.Fail(fleet.CodeLocalNotAllowed, nil, "worker", w.Self.Host)
		}
		return localConn{over: func(began time.Time, err error) { w.ranHere(ctx, began, err) }}, nil
	}
	credential, err := w.credential(ctx, claim)
	if err != nil {
		return nil, err
	}
	trust, err := newTrust(ctx, w.Store, claim.Host)
	if err != nil {
		return nil, err
	}
	c, err := remote.Dial(ctx, remote.Target{
		Address: claim.Host.Address, Port: claim.Host.Port, Credential: credential,
		KnownAlgorithms: trust.algorithms(), Verify: trust.verify, Passed: w.passed(ctx), Options: remote.Options{Keepalive: keepalive(claim.Host.SSH)},
	})
	if f, ok := errors.AsType[*fleet.Failure](err); ok && f.Code == fleet.CodeAuthFailed && claim.Host.CredentialID == nil {
		f.Details["reason"] = "the host has no credential"
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

func keepalive(o fleet.SSHOptions) time.Duration {
	switch {
	case o.KeepaliveSeconds == nil:
		return 0 // the default
	case *o.KeepaliveSeconds == 0:
		return -1 // none
	}
	return time.Duration(*o.KeepaliveSeconds) * time.Second
}

// credential opens the host's credential.
func (w *Worker) credential(ctx context.Context, claim *store.Claim) (remote.Credential, error) {
	if claim.Host.CredentialID == nil {
		// The way to the login is worth knowing all the same: whether the host answers, and with which key.
		return remote.Credential{Kind: remote.KindNone, Username: "nobody"}, nil
	}
	c, s, err := w.open(ctx, *claim.Host.CredentialID, claim.Host.Site)
	if err != nil {
		return remote.Credential{}, err
	}
	return remote.Credential{
		Kind: string(c.Kind), Username: c.Username,
		PrivateKey: s.PrivateKey, Passphrase: s.Passphrase, Password: s.Password,
	}, nil
}

// open returns a credential with its secret. It is the only place where one is in the clear.
func (w *Worker) open(ctx context.Context, id uuid.UUID, site string) (fleet.Credential, secret.Credential, error) {
	c, seal, err := w.Store.CredentialFor(ctx, id, site)
	if fleet.KindOf(err) == fleet.NotFound {
		return c, secret.Credential{}, fleet.Fail(fleet.CodeAuthFailed, err, "reason", "the credential is not sealed to the host's site", "methods", "none")
	}
	if err != nil {
		return c, secret.Credential{}, err
	}
	plain, err := w.Keys.Open(seal.Site, seal.KeyID, c.ID, seal.Sealed)
	if err != nil {
		return c, secret.Credential{}, fleet.Fail(fleet.CodeAuthFailed, err,
			"reason", "this worker's ROLLCALL_OPEN_KEYS do not open the credential", "key_id", seal.KeyID, "methods", "none")
	}
	s, err := secret.DecodeCredential(plain)
	if err != nil {
		return c, secret.Credential{}, fleet.Fail(fleet.CodeInternal, err)
	}
	return c, s, nil
}

// failureOf returns the failure that err is, and otherwise why ctx ended, and otherwise an internal one.
func (w *Worker) failureOf(ctx context.Context, err error) *fleet.Failure {
	if f, ok := errors.AsType[*fleet.Failure](err); ok {
		return f
	}
	if f, ok := errors.AsType[*fleet.Failure](context.Cause(ctx)); ok {
		return f
	}
	return fleet.Fail(fleet.CodeInternal, err)
}
