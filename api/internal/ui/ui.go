// Package ui is the pages for people: rendered on the server, one file per page, everything embedded. Reading works
// without JavaScript, and so far nothing needs any.
package ui

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

//go:embed templates/*.html static/*
var files embed.FS

// Accounts is what the pages need of the account service.
type Accounts interface {
	LoginCookie(ctx context.Context, username, password string, from account.Client) (account.Cookie, error)
	Logout(ctx context.Context, actor fleet.Actor) error
}

// Config is what the pages need.
type Config struct {
	Store       *store.Store
	Collections *collection.Service
	Accounts    Accounts
	Log         *slog.Logger
	// Actor returns who is asking; the zero actor if nobody is signed in.
	Actor func(context.Context) fleet.Actor
	// Client returns where a request comes from.
	Client func(*http.Request) account.Client
	// SetCookie and ClearCookie begin and end a browser's session.
	SetCookie   func(http.ResponseWriter, *http.Request, account.Cookie)
	ClearCookie func(http.ResponseWriter, *http.Request)
}

// A Server renders the pages.
type Server struct {
	Config
	pages map[string]*template.Template
}

// New returns the pages. A template that does not parse is an error here and not on the first request.
func New(c Config) (*Server, error) {
	s := &Server{Config: c, pages: map[string]*template.Template{}}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("listing the templates: %w", err)
	}
	for _, name := range names {
		if name == "templates/layout.html" {
			continue
		}
		page, err := template.New("layout.html").Funcs(functions()).ParseFS(files, "templates/layout.html", name)
		if err != nil {
			return nil, fmt.Errorf("parsing %s: %w", name, err)
		}
		s.pages[name[len("templates/"):]] = page
	}
	return s, nil
}

// Routes adds the pages to r.
func (s *Server) Routes(r chi.Router) {
	static, err := fs.Sub(files, "static")
	if err != nil {
		panic("ui: " + err.Error()) // it is embedded
	}
	r.Handle("/static/*", cached(http.StripPrefix("/static/", http.FileServerFS(static))))
	r.Get("/login", s.page(s.login))
	r.Post("/login", s.page(s.signIn))
	r.Post("/logout", s.page(s.signOut))
	r.Get("/", s.signedIn(s.hosts))
	r.Get("/hosts/{id}", s.signedIn(s.host))
	r.Post("/hosts/{id}/collect", s.signedIn(s.collect))
	r.Get("/reports/{id}", s.signedIn(s.report))
	r.Get("/collections/{id}", s.signedIn(s.collection))
}

func cached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=300")
		next.ServeHTTP(w, r)
	})
}

// A layout is what every page shows around its own content.
type layout struct {
	Title   string
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
		if err := h(w, r.WithContext(ctx)); err != nil {
			s.fail(w, r, err)
		}
	}
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

// A failure is what happened, what it means and what to do.
type failure struct {
	Status  int
	Title   string
	Message string
	Advice  string
}

// fail shows why a page could not be shown. It is the one place where the pages turn an error's kind into a status.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := failure{Message: fleet.MessageOf(err)}
	switch fleet.KindOf(err) {
	case fleet.OK, fleet.Internal:
		f.Status, f.Title, f.Advice = http.StatusInternalServerError, "Something went wrong", "Try again; if it happens again, the log of the api process says why."
		s.Log.ErrorContext(r.Context(), "page failed", "path", r.URL.Path, "error", err)
	case fleet.Invalid:
		f.Status, f.Title, f.Advice = http.StatusUnprocessableEntity, "That cannot be done", "Go back and correct what the message names."
	case fleet.NotFound:
		f.Status, f.Title, f.Advice = http.StatusNotFound, "Not here", "It does not exist, or it lies outside of what you may see."
	case fleet.Conflict, fleet.Precondition:
		f.Status, f.Title, f.Advice = http.StatusConflict, "Not now", "Read the page again to see how things stand."
	case fleet.Unauthenticated:
		http.Redirect(w, r, loginURL(r), http.StatusSeeOther)
		return
	case fleet.Forbidden:
		f.Status, f.Title, f.Advice = http.StatusForbidden, "You may not do that", "An admin can give you the role for it."
	case fleet.TooLarge:
		f.Status, f.Title = http.StatusRequestEntityTooLarge, "Too large"
	case fleet.Exhausted:
		f.Status, f.Title, f.Advice = http.StatusTooManyRequests, "Too many attempts", "Wait a minute, then try again."
	case fleet.Unavailable:
		f.Status, f.Title, f.Advice = http.StatusServiceUnavailable, "Not available right now", "Nothing is lost. Try again in a moment; /health says what is down."
		w.Header().Set("Retry-After", "2")
	}
	if err := s.render(w, r, f.Status, "failure.html", layout{Title: f.Title, Page: f}); err != nil {
		s.Log.ErrorContext(r.Context(), "failure page failed", "error", err)
		http.Error(w, f.Title, f.Status)
	}
}
