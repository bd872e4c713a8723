package remote

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const (
	methodPublicKey   = "publickey"
	methodPassword    = "password"
	methodInteractive = "keyboard-interactive"
)

// maxSaid bounds what is kept of the server's messages during the login.
const maxSaid = 4 << 10

// A login offers one credential once. Its methods are called by the handshake's goroutine, one after the other.
type login struct {
	username string
	methods  map[string]ssh.AuthMethod
	password string

	method   string   // the one that was offered; empty until then
	offers   []string // what the server accepts, as of its last answer
	partial  bool     // the server was content with the credential and wants another one as well
	answered bool     // the password went to a keyboard-interactive prompt
	renew    bool     // the server asks for a new password
	said     strings.Builder
}

// newLogin prepares the credential. One that cannot be used is refused before any connection is made.
func newLogin(credential Credential) (*login, error) {
	l := &login{username: credential.Username, methods: map[string]ssh.AuthMethod{}}
	switch credential.Kind {
	case KindPrivateKey:
		signer, err := parseSigner(credential.PrivateKey, credential.Passphrase)
		if err != nil {
			return nil, fleet.Fail(fleet.CodeAuthFailed, err, "phase", phaseLogin, "reason", "the private key cannot be read")
		}
		l.methods[methodPublicKey] = ssh.PublicKeys(signer)
	case KindPassword:
		l.password = string(credential.Password)
		l.methods[methodPassword] = ssh.Password(l.password)
		l.methods[methodInteractive] = ssh.KeyboardInteractive(l.answer)
	case KindNone:
	default:
		return nil, fleet.Fail(fleet.CodeInternal, errors.New("unknown kind of credential"), "phase", phaseLogin)
	}
	return l, nil
}

// next is asked by the handshake for the next thing to try. It offers the credential by the first method that the
// server accepts, and nothing ever after: every further try counts against the account.
func (l *login) next(server *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	l.offers = server.AllowedMethods
	l.partial = len(server.PartialSuccessMethods) > 0
	if l.method != "" {
		return nil, nil //nolint:nilnil // the contract of ssh.ClientAuthCallback: nothing more to try
	}
	for _, name := range []string{methodPublicKey, methodPassword, methodInteractive} {
		if method, ok := l.methods[name]; ok && slices.Contains(server.AllowedMethods, name) {
			l.method = name
			return method, nil
		}
	}
	return nil, nil //nolint:nilnil // as above
}

var errPrompt = errors.New("the server asks for more than the password")

// answer answers one keyboard-interactive challenge: the first single prompt without echo gets the password.
func (l *login) answer(_, instruction string, questions []string, echos []bool) ([]string, error) {
	l.hear(instruction)
	if len(questions) == 0 {
		return nil, nil
	}
	if slices.ContainsFunc(questions, asksForNewPassword) {
		l.renew = true
		return nil, errPrompt
	}
	if len(questions) != 1 || echos[0] || l.answered {
		return nil, errPrompt
	}
	l.answered = true
	return []string{l.password}, nil
}

func asksForNewPassword(question string) bool {
	question = strings.ToLower(question)
	return strings.Contains(question, "password") &&
		(strings.Contains(question, "new") || strings.Contains(question, "retype") || strings.Contains(question, "current"))
}

// hear keeps what the server says once the credential has been offered. What it says before is its legal notice,
// which may well speak of locked and expired accounts.
func (l *login) hear(message string) {
	if l.method != "" && l.said.Len() < maxSaid {
		l.said.WriteString(message[:min(len(message), maxSaid-l.said.Len())])
	}
}

// failure classifies a login that did not succeed.
func (l *login) failure(err error) *fleet.Failure {
	if l.method == "" && isTimeout(err) {
		return fleet.Fail(fleet.CodeBannerTimeout, err, "phase", phaseLogin)
	}
	details := []string{
		"phase", phaseLogin, "user", printable(l.username, 64), "methods", l.method,
		"accepted", printable(strings.Join(l.offers, ","), 256),
	}
	said := strings.ToLower(l.said.String())
	switch {
	case l.renew, asksForChange(err), strings.Contains(said, "expired"), strings.Contains(said, "change your password"):
		return fleet.Fail(fleet.CodeAccountExpired, err, append(details, "message", printable(l.said.String(), 256))...)
	case strings.Contains(said, "locked"):
		return fleet.Fail(fleet.CodeAuthLockedOut, err, append(details, "message", printable(l.said.String(), 256))...)
	case l.partial:
		details = append(details, "reason", "the server wants a second factor as well")
	case errors.Is(err, errPrompt):
		details = append(details, "reason", "the server asks for more than the password")
	case l.method == "" && len(l.offers) > 0:
		details = append(details, "reason", "the server accepts no method of this credential")
	case l.method == "":
		return lost(err, phaseLogin, "the server broke off before the login")
	case isTimeout(err):
		// Never told to be tried again: the attempt may have counted.
		details = append(details, "reason", "no answer to the login in time")
	}
	return fleet.Fail(fleet.CodeAuthFailed, err, details...)
}

// asksForChange reports whether the server answered a password by SSH_MSG_USERAUTH_PASSWD_CHANGEREQ (60), which
// x/crypto/ssh does not know and tells by its number alone.
func asksForChange(err error) bool {
	return strings.Contains(err.Error(), "unexpected message type 60")
}
