package fleet

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Kind says what a caller can do about an error. Every door of the program translates
// kinds, and nothing but kinds, into its own statuses.
type Kind uint8

// The kinds. New situations get a new message or code, seldom a new kind.
const (
	OK              Kind = iota // no error
	Internal                    // a bug or an unclassified failure; details stay in the log
	Invalid                     // the request can never succeed as it is
	NotFound                    // the named thing does not exist, or the actor may not know that it does
	Conflict                    // the state of the thing forbids it now; reading again may help
	Precondition                // the caller's copy of the thing is out of date (If-Match)
	Unauthenticated             // no actor, or one whose proof has expired
	Forbidden                   // the actor is known and may not
	TooLarge                    // the request is larger than what is accepted
	Exhausted                   // too many requests; RetryAfter says when to come back
	Unavailable                 // a host or a dependency did not answer; the same request may succeed later
)

// DefaultCode is the stable code of an error of this kind that carries none of its own.
func (k Kind) DefaultCode() string {
	switch k {
	case OK:
		return "ok"
	case Invalid:
		return "invalid"
	case NotFound:
		return "not_found"
	case Conflict:
		return "conflict"
	case Precondition:
		return "precondition_failed"
	case Unauthenticated:
		return "unauthenticated"
	case Forbidden:
		return "forbidden"
	case TooLarge:
		return "too_large"
	case Exhausted:
		return "rate_limited"
	case Unavailable:
		return "unavailable"
	case Internal:
		return "internal"
	}
	return "internal"
}

// A FieldError names one bad field of a request.
type FieldError struct {
	Field   string // dotted path, such as ssh.become
	Code    string // stable, such as not_supported_yet; may be empty
	Message string // for a person; never echoes the value
}

// An Error is an error that may be shown: its message is safe for whoever asked, its cause is for the log.
type Error struct {
	Kind       Kind
	Code       string        // stable and machine-readable; empty means Kind.DefaultCode
	Message    string        // safe to show
	Fields     []FieldError  // the bad fields of an Invalid request
	RetryAfter time.Duration // for Exhausted and Unavailable; 0 means unknown
	cause      error
}

// Error returns the message followed by the cause, for the log.
func (e *Error) Error() string {
	if e.cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// WithCode returns a copy of e that carries code, and so do those of its fields that had none of their own.
func (e *Error) WithCode(code string) *Error {
	c := *e
	c.Code = code
	c.Fields = slices.Clone(e.Fields)
	for i := range c.Fields {
		if c.Fields[i].Code == "" || c.Fields[i].Code == Invalid.DefaultCode() {
			c.Fields[i].Code = code
		}
	}
	return &c
}

// WithFields returns a copy of e that names further bad fields.
func (e *Error) WithFields(fields ...FieldError) *Error {
	c := *e
	c.Fields = append(append([]FieldError(nil), e.Fields...), fields...)
	return &c
}

// WithRetryAfter returns a copy of e that says when trying again makes sense.
func (e *Error) WithRetryAfter(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// Errorf returns an error of the kind with a message that is safe to show.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Wrap returns an error of the kind whose message is safe to show and whose cause is cause.
func Wrap(cause error, kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), cause: cause}
}

// InvalidField returns an Invalid error about one field.
func InvalidField(field, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return Errorf(Invalid, "%s: %s", field, message).
		WithFields(FieldError{Field: field, Code: "invalid", Message: message})
}

// NotSupportedYet returns the refusal of a field of the contract whose behaviour does not exist yet.
func NotSupportedYet(field string) *Error {
	const code = "not_supported_yet"
	return Errorf(Invalid, "%s is not supported yet by this release", field).WithCode(code).
		WithFields(FieldError{Field: field, Code: code, Message: "not supported yet by this release; leave it out"})
}

// KindOf returns the kind of err: OK for nil, Internal for an error that nobody classified.
func KindOf(err error) Kind {
	if err == nil {
		return OK
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// CodeOf returns the stable code of err, "ok" for nil.
func CodeOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok && e.Code != "" {
		return e.Code
	}
	return KindOf(err).DefaultCode()
}

// MessageOf returns what may be shown of err: its message, and of an internal error nothing but that it happened.
func MessageOf(err error) string {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind == Internal {
		return "Something went wrong on our side; the log has the details under this request's ID."
	}
	return e.Message
}

// FieldsOf returns the bad fields that err names, if any.
func FieldsOf(err error) []FieldError {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Fields
	}
	return nil
}
