package wire

import (
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A SealCount is how many credentials are sealed to a key of a site.
type SealCount struct {
	Site    string `json:"site" example:"default"`
	KeyID   string `json:"key_id" example:"hk-0a1b2c3d4e5f6071"`
	Current bool   `json:"current" doc:"whether it is the key that the api seals to"`
	Seals   int    `json:"seals" doc:"credentials that are sealed to it"`
	Workers int    `json:"workers" doc:"that serve the site, are alive and can open it"`
}

// A ResealInput says which credentials to seal anew.
type ResealInput struct {
	Sites []string `json:"sites,omitempty" nullable:"true" maxItems:"64" doc:"whose seals; the default is every site that the api has a seal key for"`
}

// A Reseal is what became of one seal that is sealed anew.
type Reseal struct {
	CredentialID uuid.UUID  `json:"credential_id" format:"uuid"`
	Credential   *string    `json:"credential" doc:"its name; null if it has been deleted"`
	Site         string     `json:"site"`
	FromKey      string     `json:"from_key" doc:"what it was sealed to when this was asked for"`
	KeyID        string     `json:"key_id" doc:"the key that the api seals to"`
	State        string     `json:"state" enum:"queued,succeeded,failed,cancelled"`
	Code         *string    `json:"code" doc:"of a failed or cancelled one, such as no_open_key"`
	WorkerID     *uuid.UUID `json:"worker_id" format:"uuid" nullable:"true" doc:"who did it; null where nothing was to be done any more"`
	FinishedAt   *time.Time `json:"finished_at"`
}

// SealCountView returns c as the API shows it.
func SealCountView(c fleet.SealCount) SealCount { return SealCount(c) }

// ResealView returns r as the API shows it.
func ResealView(r fleet.Reseal) Reseal {
	view := Reseal{
		CredentialID: r.CredentialID, Credential: orNull(r.Credential), Site: r.Site, FromKey: r.FromKey, KeyID: r.KeyID,
		State: string(r.State), Code: orNull(string(r.Code)), WorkerID: r.WorkerID,
	}
	if r.FinishedAt != nil {
		view.FinishedAt = new(utc(*r.FinishedAt))
	}
	return view
}
