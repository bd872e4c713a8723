package ui

import (
	"net/url"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// auditFilters returns the parameters that choose entries of the audit log.
func auditFilters() []string {
	return []string{"actor", "action", "resource", "outcome", "address", "since", "until"}
}

// An auditForm is what the page of the audit log was asked for, as its form shows it.
type auditForm struct {
	Actor, Action, Resource, Outcome, Address string
	Since, Until                              string // as a field of a form has it
}

// Filtered reports whether anything is asked for in particular.
func (f auditForm) Filtered() bool { return f != auditForm{} }

// readAuditForm reads the filters of an address. What cannot be read is an error of kind Invalid.
func readAuditForm(q url.Values) (auditForm, store.AuditFilter, error) {
	form := auditForm{
		Actor: q.Get("actor"), Action: q.Get("action"), Resource: q.Get("resource"), Outcome: q.Get("outcome"), Address: q.Get("address"),
		Since: q.Get("since"), Until: q.Get("until"),
	}
	f := store.AuditFilter{Actor: form.Actor, Action: form.Action, Resource: form.Resource, Outcome: form.Outcome, Address: form.Address}
	for _, name := range auditFilters() {
		if len(q.Get(name)) > maxAuditText {
			return form, f, fleet.InvalidField(name, "it is longer than 300 bytes")
		}
	}
	if f.Outcome != "" && f.Outcome != "ok" && f.Outcome != "denied" {
		return form, f, fleet.InvalidField("outcome", "it is ok or denied")
	}
	var err error
	if f.Since, err = readTime("since", form.Since); err != nil {
		return form, f, err
	}
	if f.Until, err = readTime("until", form.Until); err != nil {
		return form, f, err
	}
	form.Since, form.Until = fieldOf(f.Since), fieldOf(f.Until)
	return form, f, nil
}

// fieldOf returns t as a field of a form has it; empty for the zero time.
func fieldOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(fieldTime)
}

// exportLink returns the address of all entries that the filter selects, in a format for programs.
func exportLink(f store.AuditFilter, format string) string {
	q := url.Values{"format": {format}}
	if !f.Since.IsZero() {
		q.Set("since", iso(f.Since))
	}
	if !f.Until.IsZero() {
		q.Set("until", iso(f.Until))
	}
	return link("/api/v1/audit", q, "actor", f.Actor, "action", f.Action, "resource", f.Resource, "outcome", f.Outcome, "address", f.Address)
}
