package fleet

// A Code says why a task failed or a step of a check did not pass. The set is closed; parameters such as the
// hop, the section or the phase travel beside it, never in it.
type Code string

// The codes.
const (
	CodeDNSFailed            Code = "dns_failed"
	CodeTCPRefused           Code = "tcp_refused"
	CodeTCPTimeout           Code = "tcp_timeout"
	CodeBannerTimeout        Code = "banner_timeout"
	CodeRateLimitedBySSHD    Code = "rate_limited_by_sshd"
	CodeJumpFailed           Code = "jump_failed"
	CodeKexNoCommonAlg       Code = "kex_no_common_alg"
	CodeHostKeyUnknown       Code = "hostkey_unknown"
	CodeHostKeyChanged       Code = "hostkey_changed"
	CodeHostKeyRevoked       Code = "hostkey_revoked"
	CodeAuthFailed           Code = "auth_failed"
	CodeAuthLockedOut        Code = "auth_locked_out"
	CodeAccountExpired       Code = "account_expired_or_password_change"
	CodeShellRestricted      Code = "shell_restricted"
	CodeSessionRefused       Code = "session_refused"
	CodeSudoPasswordRequired Code = "sudo_password_required"
	CodeSudoNotAllowed       Code = "sudo_not_allowed"
	CodeSudoRequiresTTY      Code = "sudo_requires_tty"
	CodeDeadlineExceeded     Code = "deadline_exceeded"
	CodeOutputTruncated      Code = "output_truncated"
	CodeProtocolNoise        Code = "protocol_noise"
	CodeParseFailed          Code = "parse_failed"
	CodeCollectorFailed      Code = "collector_failed"
	CodeIdentityMismatch     Code = "identity_mismatch"
	CodeCancelled            Code = "cancelled"
	CodeOSUnsupported        Code = "os_unsupported"
	CodeCredentialSuspended  Code = "credential_suspended"
	CodeHostDisabled         Code = "host_disabled"
	CodeLocalNotAllowed      Code = "local_not_allowed"
	CodeExpired              Code = "expired"
	CodeNoOpenKey            Code = "no_open_key"
	CodeSealBroken           Code = "seal_broken"
	CodeInternal             Code = "internal"
)

// A RetryClass says whether a failed task is worth another attempt within its deadline.
type RetryClass string

// The retry classes.
const (
	RetryLater RetryClass = "retry" // the network or a rate limit: again, with back-off, inside the deadline
	RetryOnce  RetryClass = "once"
	RetryNever RetryClass = "never" // trying again can only do harm or fail the same way
)

// A CodeInfo explains a code to a person and to the retry policy.
type CodeInfo struct {
	Code    Code
	Retry   RetryClass
	Meaning string // what happened
	Remedy  string // what to do about it
}

// Codes returns every code with its retry class, meaning and remedy, in the order of the documentation.
func Codes() []CodeInfo {
	return []CodeInfo{
		{CodeDNSFailed, RetryLater, "The host's address could not be resolved.", "Check the address of the host, or the resolver of the worker's machine."},
		{CodeTCPRefused, RetryLater, "The host refused the connection: nothing listens on that port.", "Check that sshd runs there and that the port of the host is right."},
		{CodeTCPTimeout, RetryLater, "No answer from the address within the connect timeout.", "Check that the host is up, that it is routed from this site, and the firewalls between."},
		{CodeBannerTimeout, RetryLater, "The port accepts connections but no SSH server answered in time.", "Check what listens on that port; slow reverse DNS of sshd (UseDNS) is a usual cause."},
		{CodeRateLimitedBySSHD, RetryLater, "The connection was dropped before the SSH banner.", "Usually sshd's MaxStartups; raise it, or lower the number of hosts collected through this endpoint at once."},
		{CodeJumpFailed, RetryLater, "A jump host could not be passed.", "Collect from the jump host itself to see its own code."},
		{CodeKexNoCommonAlg, RetryNever, "The host and Rollcall share no key exchange, cipher or host key algorithm.", "Update the host's SSH server; the details list both sides' offers."},
		{CodeHostKeyUnknown, RetryNever, "The host showed a host key that nobody has trusted yet.", "Compare the fingerprint with the host's own and trust the key under the host's host keys."},
		{CodeHostKeyChanged, RetryNever, "The host showed another host key than the trusted one; no credential was offered.", "Find out why: a reinstalled host needs its new key trusted, anything else is an incident."},
		{CodeHostKeyRevoked, RetryNever, "The host showed a host key that was revoked; no credential was offered.", "Give the host a new host key and trust that one."},
		{CodeAuthFailed, RetryNever, "The host accepted none of the offered authentication methods.", "Check user and key or password; on the host check AllowUsers and Match, permissions of ~/.ssh, and whether the account is locked or expired."},
		{CodeAuthLockedOut, RetryNever, "The host has locked the account after too many failed logins.", "Unlock the account on the host (faillock, fail2ban), then correct the credential."},
		{CodeAccountExpired, RetryNever, "The account has expired or must change its password at login.", "Renew the account or its password on the host."},
		{CodeShellRestricted, RetryNever, "The login did not run the collecting script: a restricted shell, a forced command or no shell at all.", "Give the account a POSIX shell, or use another account."},
		{CodeSessionRefused, RetryLater, "The host accepted the login but refused to open a session.", "Check sshd's MaxSessions and the account's limits."},
		{CodeSudoPasswordRequired, RetryNever, "sudo asks for a password and none is configured.", "Add a NOPASSWD line for the account or set a become credential."},
		{CodeSudoNotAllowed, RetryNever, "The account may not use sudo for the collecting script.", "Add the sudoers line that Rollcall prints, or collect without sudo."},
		{CodeSudoRequiresTTY, RetryNever, "sudo insists on a terminal.", "Add 'Defaults:USER !requiretty' to sudoers."},
		{CodeDeadlineExceeded, RetryOnce, "The task's time was up before the host had answered everything.", "Look at the phase in the details; raise deadline_seconds or find out what is slow on the host."},
		{CodeOutputTruncated, RetryNever, "The host sent more than is accepted, and the rest was cut off.", "Find out which section is so large on that host."},
		{CodeProtocolNoise, RetryNever, "The answer was not framed as expected.", "Look at the preamble in the details: something on the host writes into the session."},
		{CodeParseFailed, RetryNever, "A section of the answer could not be read.", "Report it with a recording of the section; the other sections are stored."},
		{CodeCollectorFailed, RetryNever, "A custom collector's script failed, or printed something else than its definition says.", "The details say why; try the collector on the host to see what it prints, and correct its definition."},
		{CodeIdentityMismatch, RetryNever, "Another machine answered than the one this host stands for; nothing was stored.", "Check the address; for a replaced machine, retire the host and add it anew."},
		{CodeCancelled, RetryNever, "The collection was cancelled.", "Nothing to do."},
		{CodeOSUnsupported, RetryNever, "The operating system is not supported beyond its own description.", "Only the os report is available for it."},
		{CodeCredentialSuspended, RetryNever, "The credential is paused after failed logins on several hosts.", "Correct the credential and resume it."},
		{CodeHostDisabled, RetryNever, "The host is disabled or was retired.", "Enable it to collect from it."},
		{CodeLocalNotAllowed, RetryNever, "This worker may not collect from the machine it runs on.", "Set ROLLCALL_LOCAL=true on the worker, or connect over ssh."},
		{CodeExpired, RetryNever, "The task waited longer than it was allowed to.", "Check that workers serve the host's site and keep up; raise expires_seconds if waiting is fine."},
		{CodeNoOpenKey, RetryNever, "No worker of the site that is alive holds both the key that the secret is sealed to and, first of the site, the key that the api seals to.", "Put the new private key first and the old one after it in ROLLCALL_OPEN_KEYS of the site's workers, restart them, and reseal again."},
		{CodeSealBroken, RetryNever, "The sealed secret does not open with its key: it was altered, or moved from another credential or site.", "Find out who writes to the database, and give the credential its secret anew."},
		{CodeInternal, RetryNever, "Rollcall itself failed; the log has the details.", "Look at the worker's log for this task."},
	}
}

// Info returns what is known about c; an unknown code is described as internal.
func (c Code) Info() CodeInfo {
	all := Codes()
	for _, info := range all {
		if info.Code == c {
			return info
		}
	}
	return all[len(all)-1]
}

// A Failure is why a task failed: a code of the closed set with its parameters. It is an error, so that the
// packages that talk to hosts can return it, and it is stored with the task.
type Failure struct {
	Code    Code
	Details map[string]string // hop, phase, section, methods, fingerprint …; safe to show
	cause   error
}

// Fail returns a failure with alternating detail names and values.
func Fail(code Code, cause error, details ...string) *Failure {
	f := &Failure{Code: code, cause: cause, Details: map[string]string{}}
	for i := 0; i+1 < len(details); i += 2 {
		f.Details[details[i]] = details[i+1]
	}
	return f
}

// Error returns the code and the cause, for the log.
func (f *Failure) Error() string {
	if f.cause == nil {
		return string(f.Code)
	}
	return string(f.Code) + ": " + f.cause.Error()
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.cause }
