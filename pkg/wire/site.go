package wire

import (
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Site is a network location as it is now. Hosts and tasks are counted as far as the caller may see them.
type Site struct {
	Name                 string  `json:"name" example:"eu"`
	Status               string  `json:"status" enum:"served,unserved" doc:"whether a worker that is alive collects from its hosts"`
	Hosts                int     `json:"hosts" doc:"not retired"`
	Enabled              int     `json:"enabled" doc:"of the hosts, collected from"`
	Workers              int     `json:"workers" doc:"alive"`
	Slots                int     `json:"slots" doc:"of those workers, which may serve other sites with them as well"`
	Busy                 int     `json:"busy" doc:"of the slots, at work for whichever site"`
	Queued               int     `json:"queued" doc:"tasks that wait"`
	Running              int     `json:"running" doc:"tasks that run"`
	OldestWaitingSeconds float64 `json:"oldest_waiting_seconds" doc:"how long the task has waited that has waited longest; 0 where none does"`
}

// A Worker is a worker process, as its heartbeat describes it.
type Worker struct {
	ID        uuid.UUID `json:"id" format:"uuid"`
	Host      string    `json:"host" doc:"the machine it runs on"`
	Version   string    `json:"version"`
	Sites     []string  `json:"sites" nullable:"false" doc:"that it serves, as far as the caller may see a host of them"`
	Slots     int       `json:"slots" doc:"hosts it talks to at once"`
	StartedAt time.Time `json:"started_at"`
	SeenAt    time.Time `json:"seen_at"`
}

// A SiteWait is how many tasks wait for a site.
type SiteWait struct {
	Site  string `json:"site"`
	Tasks int    `json:"tasks"`
}

// SiteView returns s as the API shows it.
func SiteView(s fleet.Site) Site {
	view := Site{
		Name: s.Name, Status: "unserved", Hosts: s.Hosts, Enabled: s.Enabled, Workers: s.Workers, Slots: s.Slots, Busy: s.Busy, Queued: s.Queued,
		Running: s.Running, OldestWaitingSeconds: s.Oldest.Round(time.Millisecond).Seconds(),
	}
	if s.Served() {
		view.Status = "served"
	}
	return view
}

// WorkerView returns w as the API shows it.
func WorkerView(w fleet.Worker) Worker {
	view := Worker{
		ID: w.ID, Host: w.Host, Version: w.Version, Sites: w.Sites, Slots: w.Slots, StartedAt: utc(w.StartedAt), SeenAt: utc(w.SeenAt),
	}
	if view.Sites == nil {
		view.Sites = []string{}
	}
	return view
}
