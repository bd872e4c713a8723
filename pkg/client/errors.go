package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// CodeNotRollcall is the code of an Error whose answer was no problem document: something else than Rollcall has
// answered, such as a proxy.
const CodeNotRollcall = "not_rollcall"

// An Error is a call that was refused: the problem that the server answered with. Its Code is stable, its Detail and
// the Message of its Errors are for people.
type Error struct {
	wire.Problem
	Method     string
	Path       string        // below the base URL
	RetryAfter time.Duration // when the server asks to come again; 0 if it does not say
}

// Error returns what happened and which fields were bad.
func (e *Error) Error() string {
	text := strings.TrimRight(e.Detail, ".")
	if text == "" {
		text = fmt.Sprintf("the server answered %d %s", e.Status, e.Title)
	}
	for _, f := range e.Errors {
		if !strings.Contains(text, f.Field) || !strings.Contains(text, f.Message) {
			text += "; " + f.Field + ": " + f.Message
		}
	}
	return text
}

// A TransportError is a call that got no answer, or one that broke off: whether it was done is not known.
type TransportError struct {
	BaseURL string
	Err     error
}

// Error says who did not answer and why.
func (e *TransportError) Error() string { return e.BaseURL + " does not answer: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *TransportError) Unwrap() error { return e.Err }

// errorOf returns the error of an answer that is no success.
func errorOf(c call, a answer) *Error {
	e := &Error{Method: c.method, Path: c.path}
	e.RetryAfter, _ = retryAfter(a.header, time.Now())
	isProblem := isMedia(a.header, "application/problem+json") && json.Unmarshal(a.content, &e.Problem) == nil && e.Code != ""
	if !isProblem {
		e.Problem = wire.Problem{
			Code:   CodeNotRollcall,
			Detail: fmt.Sprintf("%d %s is not an answer of Rollcall: something else is at this address, or between", a.status, http.StatusText(a.status)),
		}
		if to := a.header.Get("Location"); a.status/100 == 3 && to != "" {
			e.Detail = "the server sends us on to " + strconv.Quote(to) + ", and redirects are not followed: use the address that is meant"
		}
	}
	e.Status, e.Title = a.status, http.StatusText(a.status)
	return e
}

// retryAfter returns how long Retry-After asks to wait, and whether it does.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}
