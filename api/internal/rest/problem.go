package rest

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// Codes of problems that are found at the door.
const (
	codeMalformedJSON  = "malformed_json"
	codeMalformedQuery = "malformed_query"
	codeBodyRequired   = "body_required"
	codeUnknownField   = "unknown_field"
	codeUnknownParam   = "unknown_parameter"
	codeRequired       = "required"
	codeMediaType      = "unsupported_media_type"
	codeMethod         = "method_not_allowed"
	codeTimeout        = "timeout"
)

// statusOf is the one place where a kind of error becomes a status.
func statusOf(kind fleet.Kind) int {
	switch kind {
	case fleet.OK:
		return http.StatusOK
	case fleet.Invalid:
		return http.StatusUnprocessableEntity
	case fleet.NotFound:
		return http.StatusNotFound
	case fleet.Conflict:
		return http.StatusConflict
	case fleet.Precondition:
		return http.StatusPreconditionFailed
	case fleet.Unauthenticated:
		return http.StatusUnauthorized
	case fleet.Forbidden:
		return http.StatusForbidden
	case fleet.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fleet.Exhausted:
		return http.StatusTooManyRequests
	case fleet.Unavailable:
		return http.StatusServiceUnavailable
	case fleet.Internal:
		return http.StatusInternalServerError
	}
	return http.StatusInternalServerError
}

// A failure is a problem on its way out.
type failure struct {
	wire.Problem
	headers http.Header
}

// Error returns what may be shown.
func (f *failure) Error() string { return f.Detail }

// GetStatus returns the status to answer with.
func (f *failure) GetStatus() int { return f.Status }

// GetHeaders returns the headers that go with the problem.
func (f *failure) GetHeaders() http.Header { return f.headers }

// ContentType returns that of problems, whatever was asked for.
func (f *failure) ContentType(string) string { return problemType }

// newFailure returns a problem of a status.
func newFailure(ctx context.Context, status int, code, detail string, fields ...wire.FieldProblem) *failure {
	return &failure{headers: http.Header{}, Problem: wire.Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Code: code,
		RequestID: telemetry.RequestID(ctx), Errors: fields,
	}}
}

// failureOf returns the problem that err amounts to, and keeps err for the log. A failure is returned as it is.
func failureOf(ctx context.Context, err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	noteError(ctx, err)
	kind := fleet.KindOf(err)
	f := newFailure(ctx, statusOf(kind), fleet.CodeOf(err), fleet.MessageOf(err), wire.FieldProblems(fleet.FieldsOf(err))...)
	session.LimitHeaders(f.headers, err)
	switch kind {
	case fleet.Unauthenticated:
		f.headers.Set("WWW-Authenticate", `Bearer realm="rollcall"`)
	case fleet.Unavailable, fleet.Exhausted:
		if f.headers.Get("Retry-After") == "" {
			f.headers.Set("Retry-After", retryAfter(err))
		}
	default: // nothing to add
	}
	return f
}

// retryAfter returns in how many seconds trying again makes sense: at least one.
func retryAfter(err error) string {
	wait := time.Second
	if e, ok := errors.AsType[*fleet.Error](err); ok && e.RetryAfter > wait {
		wait = e.RetryAfter
	}
	return strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10)
}

// Fail answers a request with the problem that err amounts to.
func Fail(w http.ResponseWriter, r *http.Request, err error) {
	failureOf(r.Context(), err).write(w)
}

func (f *failure) write(w http.ResponseWriter) {
	h := w.Header()
	maps.Copy(h, f.headers)
	h.Set("Content-Type", problemType)
	h.Del("ETag")
	h.Del("Location")
	w.WriteHeader(f.Status)
	content, err := json.Marshal(f.Problem)
	if err != nil { // texts and numbers always have a JSON form
		return
	}
	_, _ = w.Write(append(content, '\n')) // the caller is gone if this fails
}

// problemOfHuma turns what huma found wrong with a request into a problem of ours. It never passes a value on.
func problemOfHuma(hc huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	ctx := hc.Context()
	var f *failure
	switch m.Status {
	case http.StatusBadRequest:
		f = newFailure(ctx, m.Status, codeMalformedJSON, "The body is not JSON in UTF-8, or a text in it holds U+0000.")
		if len(m.Errors) == 0 {
			f = newFailure(ctx, m.Status, codeBodyRequired, "The request needs a body.")
		}
	case http.StatusRequestEntityTooLarge:
		f = newFailure(ctx, m.Status, fleet.TooLarge.DefaultCode(), "A body has at most 1 MiB.")
	case http.StatusUnsupportedMediaType:
		f = newFailure(ctx, m.Status, codeMediaType, "The body has to be JSON, and Content-Type has to say so.")
	case http.StatusRequestTimeout:
		f = newFailure(ctx, m.Status, codeTimeout, "The body took too long to arrive.")
	case http.StatusUnprocessableEntity:
		f = invalid(ctx, m.Errors)
	default:
		noteError(ctx, errors.New(m.Detail))
		f = newFailure(ctx, m.Status, fleet.Internal.DefaultCode(), fleet.MessageOf(errors.New("")))
	}
	return f, nil
}

// invalid returns the problem of a request whose fields do not fit the schema.
func invalid(ctx context.Context, details []*huma.ErrorDetail) *failure {
	fields := make([]wire.FieldProblem, 0, len(details))
	code, names := "", make([]string, 0, len(details))
	for _, d := range details {
		f := fieldOf(d)
		fields, names = append(fields, f), append(names, f.Field)
		if code == "" {
			code = f.Code
		}
		if f.Code != code {
			code = fleet.Invalid.DefaultCode()
		}
	}
	detail := "These fields are not acceptable: " + strings.Join(names, ", ")
	if len(fields) == 1 {
		detail = fields[0].Field + ": " + fields[0].Message
	}
	return newFailure(ctx, http.StatusUnprocessableEntity, code, detail, fields...)
}

// maxFieldName bounds what is repeated of a name that the caller made up.
const maxFieldName = 64

func fieldOf(d *huma.ErrorDetail) wire.FieldProblem {
	_, field, inside := strings.Cut(d.Location, ".")
	if !inside {
		field = d.Location
	}
	if property, ok := strings.CutPrefix(d.Message, "expected required property "); ok {
		property = strings.TrimSuffix(property, " to be present")
		if inside {
			property = field + "." + property
		}
		return wire.FieldProblem{Field: property, Code: codeRequired, Message: "it is required"}
	}
	if len(field) > maxFieldName {
		field = strings.ToValidUTF8(field[:maxFieldName], "")
	}
	switch d.Message {
	case "required query parameter is missing":
		return wire.FieldProblem{Field: field, Code: codeRequired, Message: "it is required"}
	case "unexpected property":
		return wire.FieldProblem{Field: field, Code: codeUnknownField, Message: "there is no such field"}
	case "unknown query parameter":
		return wire.FieldProblem{Field: field, Code: codeUnknownParam, Message: "there is no such parameter"}
	}
	return wire.FieldProblem{Field: field, Code: fleet.Invalid.DefaultCode(), Message: safeMessage(d.Message)}
}

// safeMessage returns a message of huma's without what may be a value: of messages that it did not write itself
// nothing is left.
func safeMessage(message string) string {
	message, _, _ = strings.Cut(message, ": ")
	for _, known := range []string{"expected ", "invalid integer", "invalid boolean", "invalid date/time", "required "} {
		if strings.HasPrefix(message, known) {
			return message
		}
	}
	return "the value cannot be read"
}
