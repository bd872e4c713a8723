package wire

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A QueryRow is what was asked for of one host.
type QueryRow struct {
	Host        string                     `json:"host" example:"web-1"`
	HostID      uuid.UUID                  `json:"host_id" format:"uuid"`
	Values      map[string]json.RawMessage `json:"values" doc:"by the paths that were asked for, each of any JSON type; null also where there was nothing"`
	Since       time.Time                  `json:"since" doc:"when the facts of the type became what they are; that of one value may be earlier"`
	ConfirmedAt time.Time                  `json:"confirmed_at" doc:"when they were last seen to hold"`
	ReportID    uuid.UUID                  `json:"report_id" format:"uuid" doc:"the report that saw them first"`
}

// QueryRowView returns r as the API shows it, with its values under the names of what was asked for.
func QueryRowView(r fleet.FactRow, names []string) QueryRow {
	row := QueryRow{
		Host: r.Host, HostID: r.HostID, Since: utc(r.Since), ConfirmedAt: utc(r.ConfirmedAt), ReportID: r.ReportID,
		Values: make(map[string]json.RawMessage, len(names)),
	}
	for i, name := range names {
		row.Values[name] = rawJSON(r.Values[i])
	}
	return row
}
