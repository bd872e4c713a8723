package rpc

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// maxHostName is the longest name that a host can have.
const maxHostName = 255

// required returns what is wrong with a request that must have both a host and a report type, if anything.
func (s *server) required(ctx context.Context, host, reportType string) error {
	var missing []fleet.FieldError
	if host == "" {
		missing = append(missing, fleet.FieldError{Field: "host", Code: "required", Message: "say which host, by name or ID"})
	}
	if reportType == "" {
		missing = append(missing, fleet.FieldError{Field: "report_type", Code: "required", Message: "say which report type, such as os"})
	}
	if len(missing) > 0 {
		return fleet.Errorf(fleet.Invalid, "%s: %s", missing[0].Field, missing[0].Message).WithFields(missing...)
	}
	return s.knownType(ctx, reportType)
}

// knownType refuses a report type that does not exist, and never did: the reports of a collector that was removed stay.
func (s *server) knownType(ctx context.Context, name string) error {
	known, err := collection.CheckReportTypes(nil)
	if err != nil || slices.Contains(known, name) {
		return err
	}
	if _, err := s.Store.Collector(ctx, name, 0); fleet.KindOf(err) != fleet.NotFound {
		return err
	}
	const code = "unknown_report_type"
	message := "there is no such report type; there are " + strings.Join(known, ", ")
	return fleet.Errorf(fleet.Invalid, "report_type: %s", message).WithCode(code).
		WithFields(fleet.FieldError{Field: "report_type", Code: code, Message: message})
}

// host returns the host that text names by name or ID, if the scope sees it.
func (s *server) host(ctx context.Context, scope fleet.Scope, text string) (fleet.Host, error) {
	if len(text) > maxHostName || strings.ContainsFunc(text, unicode.IsControl) {
		return fleet.Host{}, fleet.InvalidField("host", "this cannot be a host's name or ID")
	}
	if id, err := uuid.Parse(text); err == nil {
		h, err := s.Store.Host(ctx, scope, id)
		if fleet.KindOf(err) != fleet.NotFound {
			return h, err
		}
	}
	return s.Store.HostByName(ctx, scope, text)
}

func idOf(field, text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return uuid.Nil, fleet.InvalidField(field, "this is not an ID")
	}
	return id, nil
}

// timeOf returns the time of a field; zero if it is unset.
func timeOf(field string, t *timestamppb.Timestamp) (time.Time, error) {
	if t == nil {
		return time.Time{}, nil
	}
	if err := t.CheckValid(); err != nil {
		return time.Time{}, fleet.InvalidField(field, "must be between the years 1 and 9999, with nanoseconds below a second")
	}
	return t.AsTime(), nil
}

// ageOf returns the duration of a field; zero if it is unset.
func ageOf(field string, d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	if err := d.CheckValid(); err != nil || d.AsDuration() < 0 {
		return 0, fleet.InvalidField(field, "must be a duration of zero or more")
	}
	return min(d.AsDuration(), forever), nil
}

// forever is longer than anything is kept.
const forever = 100 * 365 * 24 * time.Hour
