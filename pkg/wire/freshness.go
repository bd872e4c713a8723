package wire

import (
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A FreshnessChange is a host that became more or less fresh, or that began to fail for another reason.
type FreshnessChange struct {
	ID     uuid.UUID `json:"id" format:"uuid"`
	HostID uuid.UUID `json:"host_id" format:"uuid"`
	Host   string    `json:"host" example:"web-1"`
	Before string    `json:"before" enum:"fresh,stale,failing,never,disabled"`
	After  string    `json:"after" enum:"fresh,stale,failing,never,disabled" doc:"the same as before where only the code is another"`
	Code   *string   `json:"code" example:"auth_failed" doc:"why it fails; null unless it does"`
	SeenAt time.Time `json:"seen_at"`
}

// A FreshnessList is a page of the feed of what became of hosts. NextCursor is set whenever the page has items, because a
// feed has no last page; Position is where to go on later in either case.
type FreshnessList struct {
	Items      []FreshnessChange `json:"items" nullable:"false"`
	NextCursor *string           `json:"next_cursor" doc:"give it as cursor to read on; null on an empty page"`
	Position   string            `json:"position" doc:"where the feed was read up to: give it as cursor, now or later, to go on after all that was looked at"`
}

// FreshnessChangeView returns c as the API shows it.
func FreshnessChangeView(c fleet.FreshnessChange) FreshnessChange {
	return FreshnessChange{
		ID: c.ID, HostID: c.HostID, Host: c.Host, Before: string(c.Before), After: string(c.After), Code: orNull(string(c.Code)), SeenAt: utc(c.SeenAt),
	}
}
