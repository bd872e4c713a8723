package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const (
	refreshEarly   = 30 * time.Second // before an access token ends it is replaced
	refreshTimeout = 30 * time.Second
	lockPause      = 20 * time.Millisecond
	maxSaved       = 1 << 20 // bytes of the file
)

// saved is what login keeps: where and as whom.
type saved struct {
	URL          string    `json:"url"`
	Username     string    `json:"username"`
	AccessToken  string    `json:"access_token"`
	RefreshToken string    `json:"refresh_token"`
	ExpiresAt    time.Time `json:"expires_at"` // of the access token
}

// with returns s with other tokens.
func (s saved) with(tokens wire.Tokens) saved {
	s.AccessToken, s.RefreshToken = tokens.AccessToken, tokens.RefreshToken
	s.ExpiresAt = time.Now().Add(time.Duration(tokens.ExpiresIn) * time.Second).UTC()
	return s
}

// A contextFile is where login keeps it. Nobody but its owner may read it.
type contextFile string

// contextFileOf returns the file that the environment asks for.
func contextFileOf(environ map[string]string) (contextFile, error) {
	dir := environ["XDG_CONFIG_HOME"]
	if !filepath.IsAbs(dir) { // by its specification others are to be ignored
		home := environ["HOME"]
		if home == "" {
			return "", errors.New("neither HOME nor XDG_CONFIG_HOME says where to keep who is signed in; set ROLLCALL_URL and ROLLCALL_TOKEN instead")
		}
		dir = filepath.Join(home, ".config")
	}
	return contextFile(filepath.Join(dir, "rollcall", "context.json")), nil
}

// load returns what is kept; the zero value if nobody has signed in.
func (f contextFile) load() (saved, error) {
	info, err := os.Stat(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return saved{}, nil
	}
	var content []byte
	if err == nil && info.Size() > maxSaved {
		err = errors.New("it is too large to be ours")
	}
	if err == nil {
		content, err = os.ReadFile(string(f))
	}
	var s saved
	if err == nil {
		err = json.Unmarshal(content, &s)
	}
	if err != nil {
		return saved{}, fmt.Errorf("reading who is signed in from %s: %w; rollcall login writes it anew", string(f), err)
	}
	return s, nil
}

// save keeps s, whole or not at all.
func (f contextFile) save(s saved) error {
	content, err := json.MarshalIndent(s, "", "  ") //nolint:gosec // the tokens are what the file is for
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(string(f)), 0o700); err != nil {
		return fmt.Errorf("keeping who is signed in: %w", err)
	}
	part, err := os.CreateTemp(filepath.Dir(string(f)), "context-*.part") // with the permissions 0600
	if err != nil {
		return fmt.Errorf("keeping who is signed in: %w", err)
	}
	_, err = part.Write(append(content, '\n'))
	if closed := part.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(part.Name(), string(f))
	}
	if err != nil {
		_ = os.Remove(part.Name())
		return fmt.Errorf("keeping who is signed in: %w", err)
	}
	return nil
}

// remove forgets who is signed in.
func (f contextFile) remove() error {
	if err := os.Remove(string(f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forgetting who is signed in: %w", err)
	}
	return nil
}

// lock waits until no other rollcall changes the file. A refresh token is good once: two who used the same one would
// end the session.
func (f contextFile) lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(string(f)), 0o700); err != nil {
		return nil, fmt.Errorf("locking who is signed in: %w", err)
	}
	file, err := os.OpenFile(string(f)+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking who is signed in: %w", err)
	}
	tick := time.NewTicker(lockPause)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = file.Close()
			return nil, fmt.Errorf("locking who is signed in: %w", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			_ = file.Close()
			return nil, fmt.Errorf("waiting for another rollcall: %w", ctx.Err())
		}
	}
}

// A savedSession gives the tokens of who is signed in, and keeps new ones.
type savedSession struct {
	file   contextFile
	server *client.Client // asks without a token
}

// Token returns the access token, a new one if it is stale or about to expire.
func (s savedSession) Token(ctx context.Context, stale string) (string, error) {
	if now, err := s.current(); err != nil || s.good(now, stale) {
		return now.AccessToken, err
	}
	unlock, err := s.file.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	now, err := s.current()
	if err != nil || s.good(now, stale) { // another rollcall was faster
		return now.AccessToken, err
	}
	// Whoever gives up here would lose the session, because the old refresh token is spent.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTimeout)
	defer cancel()
	tokens, err := s.server.Refresh(ctx, now.RefreshToken)
	if e, ok := errors.AsType[*client.Error](err); ok && e.Status == http.StatusUnauthorized {
		return "", errSessionEnded
	}
	if err != nil {
		return "", err
	}
	now = now.with(tokens)
	return now.AccessToken, s.file.save(now)
}

func (s savedSession) good(now saved, stale string) bool {
	return now.AccessToken != stale && time.Until(now.ExpiresAt) > refreshEarly
}

// current returns what is kept now, if it is still of the same server: another rollcall may have signed in or out.
func (s savedSession) current() (saved, error) {
	now, err := s.file.load()
	if err == nil && now.URL != s.server.BaseURL() {
		err = errSessionEnded
	}
	return now, err
}

var errSessionEnded = errors.New("the session has ended; sign in again with rollcall login")
