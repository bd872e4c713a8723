package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const (
	prefix       = "/api/v1"
	maxBody      = 1 << 20
	bodyTimeout  = 30 * time.Second // how long a body may take to arrive
	bearerScheme = "bearer"
	problemType  = "application/problem+json"
	jsonType     = "application/json"
	mergeType    = "application/merge-patch+json"
)

func (s *server) newAPI(r chi.Router) huma.API {
	strictCasing()
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: decodeJSON}
	config := huma.DefaultConfig("Rollcall", s.Version)
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", "" // mountDocument serves them
	config.CreateHooks = nil                                             // they add $schema to every body
	config.Formats = map[string]huma.Format{jsonType: format, "json": format}
	config.RejectUnknownQueryParameters = true
	config.Transformers = []huma.Transformer{problemOfHuma}
	describe(config.OpenAPI)
	return humachi.New(r, config)
}

// What json.Unmarshal lets pass: a text that PostgreSQL cannot keep, and bytes for which it would put U+FFFD, in a
// password, too.
var (
	errNUL     = errors.New("a text holds U+0000")
	errNotUTF8 = errors.New("the body is not UTF-8")
)

// decodeJSON is json.Unmarshal that refuses what is not UTF-8, and U+0000 in texts, wherever they are. Bodies are
// decoded into an any first, for validation.
func decodeJSON(data []byte, v any) error {
	if !utf8.Valid(data) {
		return errNotUTF8
	}
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	if decoded, ok := v.(*any); ok && bytes.Contains(data, []byte(`\u0000`)) && holdsNUL(*decoded) {
		return errNUL
	}
	return nil
}

// holdsNUL reports whether a text in decoded JSON holds U+0000.
func holdsNUL(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.ContainsRune(v, 0)
	case []any:
		return slices.ContainsFunc(v, holdsNUL)
	case map[string]any:
		for name, value := range v {
			if holdsNUL(name) || holdsNUL(value) {
				return true
			}
		}
	}
	return false
}

// An operation is one row of the API.
type operation struct {
	id          string // camelCase; what generated clients call it
	method      string
	path        string // below prefix
	tag         string
	summary     string
	description string
	role        fleet.Role    // needed to call it; empty: everybody may
	status      int           // of success; 0: 200, or 204 where there is no body
	timeout     time.Duration // default Timeouts.Request
	responses   map[string]*huma.Response
	body        *huma.RequestBody // of operations that read it themselves
	extra       []int             // error statuses beyond the usual ones
}

// register adds an operation to the API. h decodes nothing and encodes nothing: it makes the call.
func register[I, O any](s *server, op operation, h func(ctx context.Context, in *I) (*O, error)) {
	o := huma.Operation{
		OperationID: op.id, Method: op.method, Path: prefix + op.path, Tags: []string{op.tag}, Summary: op.summary,
		Description: op.describe(), DefaultStatus: op.status, Responses: op.responses, RequestBody: op.body,
		MaxBodyBytes: maxBody + 1, BodyReadTimeout: bodyTimeout,
		Middlewares: huma.Middlewares{s.within(op), s.authorize(op)},
	}
	if o.Responses == nil {
		o.Responses = map[string]*huma.Response{}
	}
	if op.role != "" {
		o.Security = []map[string][]string{{bearerScheme: {}}}
	} else {
		o.Security = []map[string][]string{}
	}
	in := reflect.TypeFor[I]()
	_, takesBody := in.FieldByName("Body")
	for _, status := range op.errors(takesBody || op.body != nil) {
		o.Responses[strconv.Itoa(status)] = s.problemResponse(status)
	}
	huma.Register(s.api, o, func(ctx context.Context, in *I) (*O, error) {
		out, err := h(ctx, in)
		if err != nil {
			return nil, failureOf(ctx, err)
		}
		return out, nil
	})
}

func (op operation) describe() string {
	if op.role == "" {
		return op.description
	}
	return strings.TrimSpace("Needs the role " + string(op.role) + ". " + op.description)
}

// errors returns the statuses that the operation can be refused with.
func (op operation) errors(takesBody bool) []int {
	statuses := append([]int{
		http.StatusBadRequest, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusServiceUnavailable,
	}, op.extra...)
	if op.role != "" {
		statuses = append(statuses, http.StatusUnauthorized)
	}
	if strings.Contains(op.path, "{") {
		statuses = append(statuses, http.StatusNotFound)
	}
	if op.method != http.MethodGet {
		statuses = append(statuses, http.StatusConflict)
	}
	if op.method == http.MethodPatch || op.method == http.MethodDelete {
		statuses = append(statuses, http.StatusPreconditionFailed)
	}
	if takesBody || op.method != http.MethodGet { // a write's body is read for its Idempotency-Key
		statuses = append(statuses, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	return statuses
}

func (s *server) problemResponse(status int) *huma.Response {
	schema := s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[wire.Problem](), true, "")
	r := &huma.Response{Description: http.StatusText(status), Content: map[string]*huma.MediaType{problemType: {Schema: schema}}}
	header := func(name, kind string) {
		if r.Headers == nil {
			r.Headers = map[string]*huma.Param{}
		}
		r.Headers[name] = &huma.Param{Schema: &huma.Schema{Type: kind}}
	}
	switch status {
	case http.StatusUnauthorized:
		header("WWW-Authenticate", huma.TypeString)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		header("Retry-After", huma.TypeInteger)
	}
	return r
}

// schemaOf returns a reference to the schema of a body.
func schemaOf[T any](s *server) *huma.Schema {
	return s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
}

// within bounds how long the operation takes.
func (s *server) within(op operation) func(huma.Context, func(huma.Context)) {
	timeout := op.timeout
	if timeout == 0 {
		timeout = s.Timeouts.Request
	}
	return func(hc huma.Context, next func(huma.Context)) {
		ctx, cancel := context.WithTimeout(hc.Context(), timeout)
		defer cancel()
		next(huma.WithContext(hc, ctx))
	}
}

// authorize refuses who may not call the operation, before anything of the request is looked at.
func (s *server) authorize(op operation) func(huma.Context, func(huma.Context)) {
	return func(hc huma.Context, next func(huma.Context)) {
		actor, err := session.From(hc.Context())
		noteActor(hc.Context(), actor)
		if op.role != "" {
			if err == nil {
				err = actor.Require(fleet.Viewer) // services ask for more, and audit the refusal
			}
			if err != nil {
				r, w := humachi.Unwrap(hc)
				Fail(w, r, err)
				return
			}
		}
		next(hc)
	}
}

// body is an answer with nothing but its body.
type body[T any] struct{ Body T }

func answer[T any](v T) *body[T] { return &body[T]{Body: v} }

// none is an answer without a body.
type none struct{}

// made is the answer of what was created.
type made[T any] struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     T
}

// versioned is an answer whose version a client can give back as If-Match.
type versioned[T any] struct {
	ETag string `header:"ETag"`
	Body T
}
