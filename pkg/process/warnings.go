package process

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

// CodeSiteUnserved is the code of the warning that hosts wait for workers that are not there.
const CodeSiteUnserved = "site_unserved"

// CodeAuditUnsealed is the code of the warning that entries of the audit log are not sealed.
const CodeAuditUnsealed = "audit_unsealed"

// namedSites is how many sites a warning names.
const namedSites = 5

// Warnings returns the function that looks what there is to warn of: sites with hosts to collect from that no worker
// serves, and entries of the audit log that wait for their seal for longer than fleet.SealLate. A worker not seen for
// longer than silence is not alive.
func (b *Backends) Warnings(silence time.Duration) func(context.Context) ([]telemetry.Warning, error) {
	return func(ctx context.Context) ([]telemetry.Warning, error) {
		var found []telemetry.Warning
		sites, err := b.Store.UnservedSites(ctx, silence)
		if err != nil {
			return nil, err
		}
		if len(sites) > 0 {
			found = append(found, telemetry.Warning{Code: CodeSiteUnserved, Message: unserved(sites)})
		}
		age, err := b.Store.AuditBacklog(ctx)
		if err != nil {
			return nil, err
		}
		if age > fleet.SealLate {
			found = append(found, telemetry.Warning{Code: CodeAuditUnsealed, Message: unsealed(age)})
		}
		return found, nil
	}
}

// unsealed says that the oldest entry of the audit log without a seal is so old.
func unsealed(age time.Duration) string {
	return fmt.Sprintf("Entries of the audit log are not sealed since %s: the housekeeping job seal does not come through. "+
		"Its state in rollcall system storage says why.", age.Truncate(time.Minute))
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
