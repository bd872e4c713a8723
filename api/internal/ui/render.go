package ui

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A layout is what every page shows around its own content.
type layout struct {
	Title   string
	Nav     string // the entry of the navigation that the page belongs to
	Actor   fleet.Actor
	Now     time.Time
	Refresh int // seconds after which the page is read again; 0 means never
	Page    any
}

// page turns a handler that may fail into one that shows the failure.
func (s *Server) page(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
		defer cancel()
		if !readable(r.URL) {
			s.fail(w, r, fleet.Errorf(fleet.Invalid, "The address is not readable: its percent-encoding is wrong, or it holds what is not text."))
			return
		}
		if err := h(w, r.WithContext(ctx)); err != nil {
			s.fail(w, r, err)
		}
	}
}

// readable reports whether the address holds nothing but text, as PostgreSQL knows it.
func readable(u *url.URL) bool {
	q, err := url.ParseQuery(u.RawQuery)
	text := func(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }
	ok := err == nil && text(u.Path)
	for name, values := range q {
		ok = ok && text(name) && !slices.ContainsFunc(values, func(v string) bool { return !text(v) })
	}
	return ok
}

// signedIn sends whoever is not signed in to the sign-in page and brings them back afterwards.
func (s *Server) signedIn(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return s.page(func(w http.ResponseWriter, r *http.Request) error {
		if s.Actor(r.Context()).Kind == "" {
			http.Redirect(w, r, loginURL(r), http.StatusSeeOther)
			return nil
		}
		return h(w, r)
	})
}

// render writes a page whole or not at all, so that a template that fails half-way becomes an error page and not half
// a page with status 200.
func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, name string, l layout) error {
	l.Actor, l.Now = s.Actor(r.Context()), time.Now()
	var buf bytes.Buffer
	if err := s.pages[name].Execute(&buf, l); err != nil {
		return fmt.Errorf("rendering %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, err := buf.WriteTo(w)
	if err != nil {
		s.Log.DebugContext(r.Context(), "page not sent", "error", err)
	}
	return nil
}

func idOf(r *http.Request) (uuid.UUID, error) { return partOf(r, "id") }

// partOf returns the ID that is the named part of the address.
func partOf(r *http.Request, part string) (uuid.UUID, error) {
	id, err := uuid.Parse(chi.URLParam(r, part))
	if err != nil {
		return id, fleet.Errorf(fleet.NotFound, "There is no such page.")
	}
	return id, nil
}
