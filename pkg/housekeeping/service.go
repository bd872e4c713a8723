package housekeeping

import (
	"context"
	"log/slog"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/settings"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// Audit entries are kept as long as reports are, and never shorter than leastAuditMonths.
const (
	leastAuditMonths = 13
	metricsDays      = 30
)

// Retention is how long things are kept.
type Retention struct {
	Reports settings.Period // reports, changes, firings, ended tasks and collections
	Metrics settings.Period
}

// DefaultRetention is how long things are kept where nobody says otherwise.
func DefaultRetention() Retention {
	return Retention{Reports: settings.Months(leastAuditMonths), Metrics: settings.Days(metricsDays)}
}

// withDefaults returns r with what it leaves out: keeping nothing at all is nobody's wish.
func (r Retention) withDefaults() Retention {
	def := DefaultRetention()
	if r.Reports == (settings.Period{}) {
		r.Reports = def.Reports
	}
	if r.Metrics == (settings.Period{}) {
		r.Metrics = def.Metrics
	}
	return r
}

// Config is what a Service needs.
type Config struct {
	Store     *store.Store
	Retention Retention // what is zero takes the default
	Log       *slog.Logger
}

// A Service answers how full the database is, and sets how long types of report are kept.
type Service struct {
	Config
}

// New returns a Service.
func New(c Config) *Service {
	c.Retention = c.Retention.withDefaults()
	return &Service{Config: c}
}

// kept returns how long the rows of a partitioned table are kept, and the part of the database that it is.
func (r Retention) kept(table string) (settings.Period, store.Part) {
	switch table {
	case "report_metrics":
		return r.Metrics, store.PartMetrics
	case "audit_logs":
		return r.audit(), store.PartAudit
	case "changes":
		return r.Reports, store.PartChanges
	case "firings":
		return r.Reports, store.PartFirings
	case "task_history":
		return r.Reports, store.PartTasks
	case "collection_history":
		return r.Reports, store.PartCollections
	}
	return r.Reports, store.PartReports
}

// audit returns how long audit entries are kept.
func (r Retention) audit() settings.Period {
	least := settings.Months(leastAuditMonths)
	now := time.Now()
	if r.Reports.Before(now).Before(least.Before(now)) {
		return r.Reports
	}
	return least
}

// Types returns the types of report that are kept shorter than the others, by name.
func (s *Service) Types(ctx context.Context) ([]fleet.TypeRetention, error) {
	return s.Store.TypeRetentions(ctx)
}

// SetType keeps a type of report for that many days only, on behalf of actor, an admin: at least one, and not longer than
// reports are kept anyway. What is older is removed by the next round.
func (s *Service) SetType(ctx context.Context, actor fleet.Actor, reportType string, days int) (fleet.TypeRetention, error) {
	if err := s.mayRemove(ctx, actor, reportType); err != nil {
		return fleet.TypeRetention{}, err
	}
	now := time.Now()
	if longest := wholeDays(now.Sub(s.Retention.Reports.Before(now))); days < 1 || days > longest {
		return fleet.TypeRetention{}, fleet.InvalidField("days", "must be 1 to %d, which is how long reports are kept (ROLLCALL_RETENTION)", longest)
	}
	var set fleet.TypeRetention
	err := s.Store.InTx(ctx, func(tx *store.Store) error {
		var err error
		if set, err = tx.SetTypeRetention(ctx, reportType, days, actor.String()); err != nil {
			return err
		}
		return tx.Audit(ctx, actor, fleet.AuditEntry{
			Action: "retention.update", ResourceType: "retention", ResourceID: reportType, Details: map[string]any{"days": days},
		})
	})
	return set, err
}

// UnsetType keeps a type of report as long as all others again, on behalf of actor, an admin. A type that is not kept
// shorter is NotFound.
func (s *Service) UnsetType(ctx context.Context, actor fleet.Actor, reportType string) error {
	if err := s.mayRemove(ctx, actor, reportType); err != nil {
		return err
	}
	return s.Store.InTx(ctx, func(tx *store.Store) error {
		if err := tx.UnsetTypeRetention(ctx, reportType); err != nil {
			return err
		}
		return tx.Audit(ctx, actor, fleet.AuditEntry{Action: "retention.delete", ResourceType: "retention", ResourceID: reportType})
	})
}

// mayRemove returns an error unless actor is an admin of all hosts: retention removes everybody's reports. A refusal is
// written to the audit log.
func (s *Service) mayRemove(ctx context.Context, actor fleet.Actor, reportType string) error {
	err := actor.Require(fleet.Admin)
	if err == nil && actor.Selector != nil {
		err = fleet.Errorf(fleet.Forbidden, "retention is for all hosts, and you may see only some").WithCode("outside_scope")
	}
	if fleet.KindOf(err) != fleet.Forbidden {
		return err
	}
	denied := s.Store.Audit(ctx, actor, fleet.AuditEntry{Action: "retention.update", Denied: true, ResourceType: "retention", ResourceID: reportType})
	if denied != nil {
		s.Log.ErrorContext(ctx, "refusal not audited", "error", denied)
	}
	return err
}

func wholeDays(d time.Duration) int { return int(d / (24 * time.Hour)) }
