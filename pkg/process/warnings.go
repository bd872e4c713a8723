package process

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

// CodeSiteUnserved is the code of the warning that hosts wait for workers that are not there.
const CodeSiteUnserved = "site_unserved"

// namedSites is how many sites a warning names.
const namedSites = 5

// Warnings returns the function that looks what there is to warn of: sites with hosts to collect from that no worker
// serves. A worker not seen for longer than silence is not alive.
func (b *Backends) Warnings(silence time.Duration) func(context.Context) ([]telemetry.Warning, error) {
	return func(ctx context.Context) ([]telemetry.Warning, error) {
		sites, err := b.Store.UnservedSites(ctx, silence)
		if err != nil || len(sites) == 0 {
			return nil, err
		}
		return []telemetry.Warning{{Code: CodeSiteUnserved, Message: unserved(sites)}}, nil
	}
}

// unserved says that no worker serves the sites.
func unserved(sites []string) string {
	named := sites[:min(len(sites), namedSites)]
	more := ""
	if rest := len(sites) - len(named); rest > 0 {
		more = fmt.Sprintf(" and %d more", rest)
	}
	word := "site"
	if len(sites) > 1 {
		word = "sites"
	}
	return fmt.Sprintf("No worker serves the %s %s%s: hosts there are not collected from. Start a worker with it in ROLLCALL_SITES.",
		word, strings.Join(named, ", "), more)
}
