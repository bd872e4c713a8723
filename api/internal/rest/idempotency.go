package rest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const (
	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotency-Replayed"
	idempotencyTTL    = 24 * time.Hour
	keepTimeout       = 5 * time.Second // for noting the outcome, also of a caller who has gone
)

// Codes of problems about an Idempotency-Key.
const (
	codeKeyReused   = "idempotency_key_reused"
	codeKeyUnderWay = "idempotency_in_progress"
	codeKeySecret   = "idempotency_answer_not_kept"
)

// idempotent makes a write with an Idempotency-Key happen once: the same request with the same key is answered as the
// first one was, for a day. Answers that hold a secret are not kept.
func (s *server) idempotent(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, actor := r.Header.Get(idempotencyHeader), session.Actor(r.Context())
		if key == "" || r.Method == http.MethodGet || actor.Kind == "" {
			next.ServeHTTP(w, r)
			return
		}
		taken, err := s.takeKey(w, r, actor, key)
		if err != nil {
			Fail(w, r, err)
			return
		}
		if taken != nil {
			replay(w, r, *taken)
			return
		}
		s.once(w, r, actor.ID, key, next)
	})
}

// takeKey takes the key for the request, or returns what is known of an earlier request like it.
func (s *server) takeKey(w http.ResponseWriter, r *http.Request, actor fleet.Actor, key string) (*store.IdempotentAnswer, error) {
	if r.URL.Path == prefix+importPath {
		return nil, fleet.NotSupportedYet(idempotencyHeader)
	}
	if len(key) > 255 || strings.IndexFunc(key, func(r rune) bool { return r < '!' || r > '~' }) >= 0 {
		return nil, fleet.InvalidField(idempotencyHeader, "1 to 255 printable characters of ASCII")
	}
	content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, fleet.Errorf(fleet.TooLarge, "A body has at most 1 MiB.")
	}
	if err != nil {
		return nil, fleet.Wrap(err, fleet.Invalid, "the body broke off")
	}
	r.Body = io.NopCloser(bytes.NewReader(content))
	h := hmac.New(sha256.New, s.DigestKey) // keyed, because a body may hold a password
	for _, part := range []string{r.Method, r.URL.Path, r.URL.RawQuery, string(content)} {
		_, _ = io.WriteString(h, part+"\x00") // a hash takes everything
	}
	hash := h.Sum(nil)
	ctx, cancel := context.WithTimeout(r.Context(), keepTimeout)
	defer cancel()
	taken, err := s.Store.BeginIdempotent(ctx, actor.ID, key, hash, idempotencyTTL)
	switch {
	case err != nil || taken == nil:
		return nil, err
	case !bytes.Equal(taken.RequestHash, hash):
		return nil, fleet.Errorf(fleet.Invalid, "the key was used for another request").WithCode(codeKeyReused).
			WithFields(fleet.FieldError{Field: idempotencyHeader, Code: codeKeyReused, Message: "it was used for another request"})
	case taken.Status == 0 && taken.Location != "":
		return s.doneBefore(ctx, actor, taken.Location)
	case taken.Status == 0:
		return nil, fleet.Errorf(fleet.Conflict, "a request with this key is under way, or broke off: look whether it was done before you use another key").
			WithCode(codeKeyUnderWay)
	}
	return taken, nil
}

// doneBefore answers for a request that was done and whose own answer nobody has: the connection to the database was lost
// when it was about to be told, or whoever served it was killed.
func (s *server) doneBefore(ctx context.Context, actor fleet.Actor, resource string) (*store.IdempotentAnswer, error) {
	kind, text, _ := strings.Cut(resource, " ")
	id, err := uuid.Parse(text)
	if err != nil || kind != "collection" {
		return nil, fleet.Errorf(fleet.Conflict, "this was done before, to the %s, and its answer is not kept", resource).WithCode(codeKeySecret)
	}
	c, err := s.Store.Collection(ctx, actor.Scope(), id)
	if err != nil {
		return nil, err
	}
	content, err := json.Marshal(wire.CollectionView(c))
	if err != nil {
		return nil, fmt.Errorf("writing the answer of an earlier request: %w", err)
	}
	return &store.IdempotentAnswer{Status: http.StatusAccepted, Location: locationOf(c), Body: content}, nil
}

// replay answers as the first request was answered.
func replay(w http.ResponseWriter, r *http.Request, a store.IdempotentAnswer) {
	if a.Body == nil {
		Fail(w, r, fleet.Errorf(fleet.Conflict, "this was done before, and its answer held a secret, which is not kept: see %s", a.Location).WithCode(codeKeySecret))
		return
	}
	w.Header().Set(replayedHeader, "true")
	if a.Location != "" {
		w.Header().Set("Location", a.Location)
	}
	if len(a.Body) > 0 {
		w.Header().Set("Content-Type", jsonType)
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body)
}

// once serves the request and keeps the answer; of a request that was refused nothing is kept.
func (s *server) once(w http.ResponseWriter, r *http.Request, actor uuid.UUID, key string, next http.Handler) {
	kept := &keeping{ResponseWriter: w}
	defer func() { //nolint:contextcheck // r has the context
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), keepTimeout)
		defer cancel()
		var err error
		// One that failed may have been done all the same; then its key stays taken.
		if kept.status/100 == 2 {
			err = s.Store.EndIdempotent(ctx, actor, key, kept.answer(r.URL.Path))
		} else {
			err = s.Store.ForgetIdempotent(ctx, actor, key)
		}
		if err != nil {
			s.Log.WarnContext(ctx, "the outcome under an idempotency key is not kept", "error", err)
		}
	}()
	next.ServeHTTP(kept, r.WithContext(session.WithKey(r.Context(), key)))
}

// A keeping keeps a copy of the answer that it passes on.
type keeping struct {
	http.ResponseWriter
	status  int
	content bytes.Buffer
}

// WriteHeader notes the status.
func (k *keeping) WriteHeader(status int) {
	if k.status == 0 {
		k.status = status
	}
	k.ResponseWriter.WriteHeader(status)
}

// Write keeps what it passes on.
func (k *keeping) Write(p []byte) (int, error) {
	if k.status == 0 {
		k.status = http.StatusOK
	}
	_, _ = k.content.Write(p) // a buffer takes everything
	return k.ResponseWriter.Write(p)
}

// Unwrap serves http.ResponseController.
func (k *keeping) Unwrap() http.ResponseWriter { return k.ResponseWriter }

func (k *keeping) answer(path string) store.IdempotentAnswer {
	a := store.IdempotentAnswer{Status: k.status, Location: k.Header().Get("Location"), Body: append([]byte{}, k.content.Bytes()...)}
	if path == prefix+tokensPath || path == prefix+usersPath || strings.HasPrefix(path, prefix+"/auth/") || strings.HasSuffix(path, resetSuffix) {
		a.Body = nil
	}
	return a
}
