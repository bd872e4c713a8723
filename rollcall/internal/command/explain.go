package command

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// explain returns what happened, each bad field, and what to do about it. What comes from elsewhere cannot steer the
// terminal.
func explain(err error) string {
	if errors.Is(err, context.Canceled) && !saysMore(err) {
		return "interrupted"
	}
	text := err.Error()
	todo := ""
	if e, ok := errors.AsType[*client.Error](err); ok {
		todo = remedy(e)
	} else if e, ok := errors.AsType[*client.TransportError](err); ok {
		todo = "Check that Rollcall runs at " + e.BaseURL + " and can be reached from here; rollcall doctor looks closer."
	}
	if todo != "" {
		text += "\n  " + todo
	}
	return plain(text, '\n', '\t')
}

// saysMore reports whether an interrupted command has told what it leaves behind.
func saysMore(err error) bool {
	_, ok := errors.AsType[left](err)
	return ok
}

// left is the error of a command that was interrupted and says what goes on without it.
type left struct{ error }

// aboutPaths is what to say to somebody whose path is none.
const aboutPaths = `A path is names joined by dots, as rollcall reports show HOST TYPE lists them, in quotes for the shell: 'packages."dpkg:libc6:amd64".version'.`

// remedy returns what to do about a refusal; empty if its own words say it.
func remedy(e *client.Error) string {
	switch e.Code {
	case "not_supported_yet":
		return "The server's release does not have this yet."
	case "no_hosts":
		return "rollcall hosts ls SELECTOR shows which hosts a selector picks; name=web-1 picks one by its name."
	case "no_report_yet":
		return "rollcall collect name=HOST --wait gets one."
	case "invalid_selector":
		return "A selector is *, name=web-1, site=eu, env=prod, role in (web,db), has(gpu), with and, or, not; put it in quotes."
	case "unknown_report_type":
		return "The types are those that rollcall collect '*' --dry-run lists."
	case "cursor_outdated":
		return "The database was restored or has failed over, so that the place in the feed means nothing any more: begin again, with --since for what may be missing."
	case "session_store_unavailable":
		return "API tokens still work: set " + envToken + "; rollcall doctor says what is down."
	case client.CodeNotRollcall:
		return "Check the address; rollcall doctor looks closer."
	}
	if slices.ContainsFunc(e.Errors, func(f wire.FieldProblem) bool { return f.Field == "path" }) {
		return aboutPaths
	}
	switch e.Status {
	case http.StatusUnauthorized:
		if e.Path == "/api/v1/auth/login" {
			return ""
		}
		return "Sign in again with rollcall login, or set a token that is good in " + envToken + "."
	case http.StatusForbidden:
		return "rollcall whoami shows your role; an admin can do it or give you another one."
	case http.StatusConflict, http.StatusPreconditionFailed:
		return "Look at it again before you repeat this."
	case http.StatusTooManyRequests:
		return "Try again" + after(e.RetryAfter) + "."
	case http.StatusServiceUnavailable:
		return "Try again" + after(e.RetryAfter) + "; rollcall doctor says what is down."
	case http.StatusInternalServerError:
		return "The server's log has the cause under the request " + e.RequestID + "."
	}
	return ""
}

func after(d time.Duration) string {
	if d < time.Second {
		return " in a moment"
	}
	return fmt.Sprintf(" in %s", d.Round(time.Second))
}

// plain returns text without control characters but those to keep: they could steer a terminal.
func plain(text string, keep ...rune) string {
	return strings.Map(func(r rune) rune {
		if slices.Contains(keep, r) {
			return r
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return '\uFFFD'
		}
		return r
	}, text)
}
