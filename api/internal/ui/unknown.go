package ui

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// finish lists what is not known by why: what could have been known first, what the host does not have last. What a
// collector noted about facts that are there all the same, because they were carried over from an earlier report, or
// about metrics, is named too.
func (b *builder) finish(unavailable map[string]string) {
	if b.Table != "" || b.Search != "" {
		return
	}
	for _, path := range slices.Sorted(maps.Keys(unavailable)) {
		if reason := unavailable[path]; reason != "not_applicable" && !b.named(reason, path) {
			b.note(reason, path)
		}
	}
	for _, u := range b.unknown {
		b.view.Unknown = append(b.view.Unknown, *u)
	}
	slices.SortFunc(b.view.Unknown, func(a, b unknown) int {
		return cmp.Or(a.rank()-b.rank(), strings.Compare(a.Reason, b.Reason))
	})
}

// named reports whether the path, or something below it, is already said to be unknown for that reason.
func (b *builder) named(reason, path string) bool {
	u := b.unknown[reason]
	return u != nil && slices.ContainsFunc(u.Paths, func(p string) bool { return p == path || strings.HasPrefix(p, path+".") })
}

// Calm reports whether nobody has to do anything about it.
func (u unknown) Calm() bool { return u.rank() > 0 }

func (u unknown) rank() int {
	switch u.Reason {
	case "not_applicable", "os_unsupported", "unsettled":
		return 1
	case "":
		return 2
	}
	return 0
}

// Remedy returns what to do about it, if anything can be done.
func (u unknown) Remedy() string {
	switch u.Reason {
	case "no_permission", "denied":
		return "Let the account read it, or give the host a way to become root (ssh.become)."
	case "tool_missing":
		return "Install the tool on the host if you need it."
	case "timed_out":
		return "Find out what is slow on the host, or collect with a longer deadline."
	case "truncated":
		return "Find out why the host has so much to tell about it."
	case "parse_failed":
		return "Report it with a recording of the section; everything else is stored."
	}
	return ""
}
