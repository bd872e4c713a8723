package fleet

import "time"

// A Site is a network location as it is now: the hosts in it, the workers that reach them, and what they are at.
type Site struct {
	Name    string
	Hosts   int // not retired
	Enabled int // of those, collected from
	Workers int // alive
	Slots   int // of those workers, which may serve other sites with them as well
	Busy    int // of the slots, at work for whichever site
	Queued  int // tasks that wait
	Running int
	Oldest  time.Duration // how long the task has waited that has waited longest; zero where none does
}

// Served reports whether a worker that is alive collects from the site's hosts.
func (s Site) Served() bool { return s.Workers > 0 }

// A SiteWait is how many tasks wait for a site.
type SiteWait struct {
	Site  string
	Tasks int
}
