// Package ui is the pages for people: rendered on the server, one file per page, everything embedded. Reading works
// without JavaScript; what there is of it adds keys, folds and a feed that is followed live.
package ui

import (
	"context"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/housekeeping"
	"github.com/rollcallhq/rollcall/pkg/report"
	"github.com/rollcallhq/rollcall/pkg/schedule"
	"github.com/rollcallhq/rollcall/pkg/store"
)

//go:embed templates/*.html static/*
var files embed.FS

// Config is what the pages need.
type Config struct {
	Store        *store.Store
	Collections  *collection.Service
	Schedules    *schedule.Service
	Housekeeping *housekeeping.Service
	Accounts     Accounts
	Log          *slog.Logger
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
	reports *report.Service
	pages   map[string]*template.Template
}

// New returns the pages. A template that does not parse is an error here and not on the first request.
func New(c Config) (*Server, error) {
	s := &Server{Config: c, reports: &report.Service{Store: c.Store}, pages: map[string]*template.Template{}}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("listing the templates: %w", err)
	}
	for _, name := range names {
		if shared(name) {
			continue
		}
		page, err := template.New("layout.html").Funcs(functions()).
			ParseFS(files, "templates/layout.html", "templates/parts.html", "templates/facts.html", "templates/accounts.html", name)
		if err != nil {
			return nil, fmt.Errorf("parsing %s: %w", name, err)
		}
		s.pages[name[len("templates/"):]] = page
	}
	return s, nil
}

// shared reports whether the template is a part of every page and none of its own.
func shared(name string) bool {
	switch name {
	case "templates/layout.html", "templates/parts.html", "templates/facts.html", "templates/accounts.html":
		return true
	}
	return false
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
	r.Get("/reset", s.page(s.reset))
	r.Post("/reset", s.page(s.setPassword))
	r.Get("/", s.signedIn(s.overview))
	r.Get("/hosts", s.signedIn(s.hosts))
	r.Get("/hosts/{id}", s.signedIn(s.host))
	r.Post("/hosts/{id}/collect", s.signedIn(s.collect))
	r.Get("/hosts/{id}/history", s.signedIn(s.history))
	r.Get("/changes", s.signedIn(s.changes))
	r.Get("/system", s.signedIn(s.system))
	r.Get("/audit", s.signedIn(s.audit))
	r.Get("/collectors", s.signedIn(s.collectors))
	r.Get("/collectors/{name}", s.signedIn(s.collector))
	r.Get("/reports/{id}", s.signedIn(s.report))
	r.Get("/reports/{id}/diff", s.signedIn(s.diff))
	r.Get("/collections/{id}", s.signedIn(s.collection))
	r.Get("/schedules", s.signedIn(s.schedules))
	r.Get("/schedules/new", s.signedIn(s.newSchedule))
	r.Post("/schedules", s.signedIn(s.addSchedule))
	r.Get("/schedules/{id}", s.signedIn(s.schedule))
	r.Post("/schedules/{id}", s.signedIn(s.changeSchedule))
	r.Post("/schedules/{id}/run", s.signedIn(s.runSchedule))
	r.Post("/schedules/{id}/pause", s.signedIn(s.pauseSchedule))
	r.Post("/schedules/{id}/resume", s.signedIn(s.resumeSchedule))
	r.Post("/schedules/{id}/delete", s.signedIn(s.deleteSchedule))
	s.accountRoutes(r)
}

func (s *Server) accountRoutes(r chi.Router) {
	r.Get("/me", s.signedIn(s.me))
	r.Post("/me/password", s.signedIn(s.changePassword))
	r.Post("/me/sessions/revoke", s.signedIn(s.endOtherSessions))
	r.Post("/me/sessions/{session}/revoke", s.signedIn(s.endSession))
	r.Post("/me/tokens", s.signedIn(s.addToken))
	r.Post("/me/tokens/{token}/revoke", s.signedIn(s.revokeToken))
	r.Get("/users", s.signedIn(s.users))
	r.Get("/users/new", s.signedIn(s.newUser))
	r.Post("/users", s.signedIn(s.addUser))
	r.Get("/users/{id}", s.signedIn(s.user))
	r.Post("/users/{id}", s.signedIn(s.changeUser))
	r.Post("/users/{id}/disable", s.signedIn(s.disableUser))
	r.Post("/users/{id}/enable", s.signedIn(s.enableUser))
	r.Post("/users/{id}/delete", s.signedIn(s.deleteUser))
	r.Post("/users/{id}/reset", s.signedIn(s.resetUser))
	r.Post("/users/{id}/sessions/revoke", s.signedIn(s.endUserSessions))
	r.Post("/users/{id}/sessions/{session}/revoke", s.signedIn(s.endUserSession))
	r.Post("/users/{id}/tokens/{token}/revoke", s.signedIn(s.revokeUserToken))
}

func cached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=300")
		next.ServeHTTP(w, r)
	})
}
