package rest

import (
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// ByID is the path of one thing. What is embedded in an input has to be exported for huma to see it.
type ByID struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

// Paged bounds a list.
type Paged struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor string `query:"cursor" maxLength:"1024" doc:"next_cursor of the page before"`
}

func (in Paged) page() fleet.Page { return fleet.Page{Limit: in.Limit, After: in.Cursor} }

// selectorOf returns the selector of that text; nil for the empty one.
func selectorOf(text string) (*fleet.Selector, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no selector was asked for
	}
	selector, err := fleet.ParseSelector(text)
	if err != nil {
		return nil, err
	}
	return &selector, nil
}

// orZero returns the zero value for nil.
func orZero[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// utc returns the time in UTC, nil for none.
func utc(at *time.Time) *time.Time {
	if at == nil {
		return nil
	}
	return new(at.UTC())
}

func secondsOf(n *int) time.Duration { return time.Duration(orZero(n)) * time.Second }

// unsupported refuses the first of the named values that is given.
func unsupported(named ...any) error {
	for i := 0; i+1 < len(named); i += 2 {
		field, isName := named[i].(string)
		if given, isBool := named[i+1].(bool); isName && isBool && given {
			return fleet.NotSupportedYet(field)
		}
	}
	return nil
}
