package remote

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// The phases of a connection, as the detail "phase" of a failure names them.
const (
	phaseConnect     = "connect"
	phaseBanner      = "banner"
	phaseKeyExchange = "key_exchange"
	phaseLogin       = "login"
	phaseSession     = "session"
	phaseRun         = "run"
)

// ended returns why ctx ended: the failure that is its cause, a deadline, or else a cancellation.
func ended(ctx context.Context, phase string) *fleet.Failure {
	cause := context.Cause(ctx)
	if failure, ok := errors.AsType[*fleet.Failure](cause); ok {
		return withPhase(failure, phase)
	}
	if errors.Is(cause, context.DeadlineExceeded) {
		return fleet.Fail(fleet.CodeDeadlineExceeded, cause, "phase", phase)
	}
	return fleet.Fail(fleet.CodeCancelled, cause, "phase", phase)
}

// withPhase returns a copy of the failure that says in which phase it struck.
func withPhase(failure *fleet.Failure, phase string) *fleet.Failure {
	details := []string{"phase", phase}
	for name, value := range failure.Details {
		details = append(details, name, value)
	}
	return fleet.Fail(failure.Code, failure, details...)
}

// connectFailure classifies an error of the TCP connect.
func connectFailure(ctx context.Context, err error) *fleet.Failure {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		<-ctx.Done() // net looks at the deadline by itself, and may be a moment ahead
	}
	if ctx.Err() != nil {
		return ended(ctx, phaseConnect)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return fleet.Fail(fleet.CodeDNSFailed, err, "phase", phaseConnect, "name", printable(dns.Name, 255))
	}
	if address, ok := errors.AsType[*net.AddrError](err); ok {
		return fleet.Fail(fleet.CodeDNSFailed, err, "phase", phaseConnect, "name", printable(address.Addr, 255))
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fleet.Fail(fleet.CodeTCPRefused, err, "phase", phaseConnect)
	case errors.Is(err, syscall.ECONNRESET): // accepted and dropped before we even came to reading
		return bannerFailure(err, "")
	case isTimeout(err):
		return fleet.Fail(fleet.CodeTCPTimeout, err, "phase", phaseConnect)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH),
		errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EADDRNOTAVAIL):
		// No answer either, only that somebody nearer said so at once.
		return fleet.Fail(fleet.CodeTCPTimeout, err, "phase", phaseConnect, "reason", "no route to the address")
	}
	return fleet.Fail(fleet.CodeInternal, err, "phase", phaseConnect)
}

// lost returns the failure of a connection that broke in the phase. The set has no code of its own for it; it is
// the network that failed, and trying again may help, as with an address that does not answer.
func lost(err error, phase, reason string) *fleet.Failure {
	return fleet.Fail(fleet.CodeTCPTimeout, err, "phase", phase, "reason", reason)
}

// bannerFailure classifies a connection that ended before the server introduced itself.
func bannerFailure(err error, preamble string) *fleet.Failure {
	if isTimeout(err) {
		return fleet.Fail(fleet.CodeBannerTimeout, err, "phase", phaseBanner)
	}
	// OpenSSH drops a connection without a word, or, in newer releases, with one of these two.
	if preamble == "" || strings.HasPrefix(preamble, "Exceeded MaxStartups") || strings.HasPrefix(preamble, "Not allowed at this time") {
		return fleet.Fail(fleet.CodeRateLimitedBySSHD, err, "phase", phaseBanner)
	}
	return fleet.Fail(fleet.CodeProtocolNoise, err, "phase", phaseBanner, "preamble", printable(preamble, 256))
}

// keyExchangeFailure classifies a connection that ended before the host key was accepted.
func keyExchangeFailure(err error) *fleet.Failure {
	if negotiation, ok := errors.AsType[*ssh.AlgorithmNegotiationError](err); ok {
		return fleet.Fail(fleet.CodeKexNoCommonAlg, err, "phase", phaseKeyExchange,
			"kind", negotiation.What,
			"ours", strings.Join(negotiation.SupportedAlgorithms, ","),
			"theirs", printable(strings.Join(negotiation.RequestedAlgorithms, ","), 1024))
	}
	if isTimeout(err) {
		return fleet.Fail(fleet.CodeBannerTimeout, err, "phase", phaseKeyExchange)
	}
	return lost(err, phaseKeyExchange, "the server broke off the key exchange")
}

func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// printable returns at most limit bytes of a stranger's text that are safe to store and to show: valid UTF-8
// without control characters.
func printable(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text[:min(len(text), limit)], " "))
	return strings.TrimSpace(text)
}
