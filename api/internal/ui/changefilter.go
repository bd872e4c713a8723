package ui

import (
	"net/http"
	"net/url"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// A changeForm is what a page of changes was asked for, as its form shows it.
type changeForm struct {
	Host     string // a name or an ID
	Selector string
	Type     string
	Path     string
	Since    string // as a field of a form has it
	Until    string
	Group    bool
}

// readChangeForm reads the filters of an address. What cannot be read is an error of kind Invalid, and a host that is not
// there one of kind NotFound.
func (s *Server) readChangeForm(r *http.Request) (changeForm, store.ChangeFilter, error) {
	q := r.URL.Query()
	form := changeForm{Host: q.Get("host"), Selector: q.Get("selector"), Type: q.Get("type"), Path: q.Get("path"), Since: q.Get("since"), Until: q.Get("until")}
	form.Group = q.Get("group") == "true" || q.Get("group") == "" && form.Host == ""
	var f store.ChangeFilter
	var err error
	if f.Since, err = readTime("since", form.Since); err != nil {
		return form, f, err
	}
	if f.Until, err = readTime("until", form.Until); err != nil {
		return form, f, err
	}
	if !f.Since.IsZero() {
		form.Since = f.Since.Format(fieldTime)
	}
	if !f.Until.IsZero() {
		form.Until = f.Until.Format(fieldTime)
	}
	if f.Path, err = facts.ParsePattern(form.Path); err != nil {
		return form, f, err
	}
	if form.Selector != "" {
		selector, err := fleet.ParseSelector(form.Selector)
		if err != nil {
			return form, f, err
		}
		f.Selector = &selector
	}
	f.Type = form.Type
	if form.Host != "" {
		h, err := s.Store.HostByName(r.Context(), s.Actor(r.Context()).Scope(), form.Host)
		if fleet.KindOf(err) == fleet.NotFound {
			return form, f, fleet.InvalidField("host", "there is no host of that name; to choose several, use a selector such as name~\"web-*\"")
		}
		if err != nil {
			return form, f, err
		}
		f.HostID = &h.ID
	}
	return form, f, nil
}

// Filtered reports whether anything is asked for in particular.
func (f changeForm) Filtered() bool { return f != changeForm{Group: f.Group} }

// events returns the address of the stream of the changes that the filter selects.
func events(f store.ChangeFilter) string {
	q := url.Values{}
	if f.HostID != nil {
		q.Set("host_id", f.HostID.String())
	}
	if f.Selector != nil {
		q.Set("selector", f.Selector.String())
	}
	if f.Type != "" {
		q.Set("type", f.Type)
	}
	if !f.Path.All() {
		q.Set("path", f.Path.String())
	}
	return link("/api/v1/changes/events", q)
}
