package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Former is where a host stands for one type of report before the next one is stored.
type Former struct {
	ReportID      uuid.UUID // the newest report
	CreatedAt     time.Time // of the newest report
	Unavailable   map[string]string
	ContentHash   []byte // of the facts that hold; nil if none do
	SchemaVersion int
	Facts         []byte // nil where they were known to the asker already
}

// Formers returns by type where the host stands. known maps each type asked for to the hash of facts that need not be
// read; nil reads them whatever they are. A type without a report has no entry.
func (s *Store) Formers(ctx context.Context, scope fleet.Scope, host uuid.UUID, known map[string][]byte) (map[string]Former, error) {
	types, hashes := make([]string, 0, len(known)), make([][]byte, 0, len(known))
	for name, hash := range known {
		types, hashes = append(types, name), append(hashes, hash)
	}
	w := newWhere()
	w.add("h.id = @host", "host", host)
	w.and("(l.host_id is not null or p.host_id is not null)")
	w.scope(scope)
	w.args["types"], w.args["hashes"] = types, hashes
	rows, _ := s.db.Query(ctx, `
		select k.type, coalesce(l.report_id, p.report_id), coalesce(l.created_at, p.valid_from),
			(select r.unavailable from report_rows r where r.id = l.report_id and r.created_at = l.created_at), p.content_hash,
			coalesce((select c.schema_version from report_contents c where c.content_hash = p.content_hash), 0),
			(select c.facts::text from report_contents c where c.content_hash = p.content_hash and (k.hash is null or k.hash <> p.content_hash))
		from unnest(@types::text[], @hashes::bytea[]) as k(type, hash)
		join hosts h on true
		join report_types t on t.name = k.type
		left join latest_reports l on l.host_id = @host and l.report_type = t.id
		left join fact_periods p on p.host_id = @host and p.report_type = t.id and p.valid_to is null
		where `+w.String(), w.args)
	formers := make(map[string]Former, len(known))
	var name string
	var f Former
	var text *string
	_, err := pgx.ForEachRow(rows, []any{&name, &f.ReportID, &f.CreatedAt, &f.Unavailable, &f.ContentHash, &f.SchemaVersion, &text}, func() error {
		if text != nil {
			f.Facts = []byte(*text)
		}
		formers[name] = f
		f, text = Former{}, nil
		return nil
	})
	return formers, fail(err, "reading what holds for a host")
}

// FactSinces returns since when the facts of a host's type hold, as they stood at that time; the zero time means now.
func (s *Store) FactSinces(ctx context.Context, scope fleet.Scope, host uuid.UUID, reportType string, at time.Time) (facts.Sinces, error) {
	return s.sinces(ctx, scope, host, reportType, at, nil)
}

// FactSincesOf is FactSinces for these paths only, now.
func (s *Store) FactSincesOf(ctx context.Context, scope fleet.Scope, host uuid.UUID, reportType string, paths []facts.Path) (facts.Sinces, error) {
	return s.sinces(ctx, scope, host, reportType, time.Time{}, paths)
}

func (s *Store) sinces(ctx context.Context, scope fleet.Scope, host uuid.UUID, reportType string, at time.Time, paths []facts.Path) (facts.Sinces, error) {
	w := newWhere()
	w.add("x.host_id = @host", "host", host)
	w.add("x.report_type = (select id from report_types where name = @type)", "type", reportType)
	w.scope(scope)
	w.args["at"] = "infinity"
	if !at.IsZero() {
		w.args["at"] = at
	}
	related := relatedPaths(w, paths)
	from := " x join hosts h on h.id = x.host_id where " + w.String()
	rows, _ := s.db.Query(ctx, `
		select '', min(x.valid_from), 'period' from fact_periods`+from+` and x.valid_from <= @at::timestamptz
		union all select x.pattern, x.known_since, 'baseline' from fact_baselines`+from+` and x.known_since <= @at::timestamptz
		union all select x.path, max(x.seen_at), 'change' from changes`+from+" and x.seen_at <= @at::timestamptz"+related+" group by x.path", w.args)
	var first time.Time
	changes, baselines := map[string]time.Time{}, map[string]time.Time{}
	var path, kind string
	var since *time.Time
	_, err := pgx.ForEachRow(rows, []any{&path, &since, &kind}, func() error {
		switch {
		case since == nil: // there is no period
		case kind == "period":
			first = *since
		case kind == "baseline":
			baselines[path] = *since
		default:
			changes[path] = *since
		}
		return nil
	})
	return facts.NewSinces(first, changes, baselines), fail(err, "reading since when facts hold")
}

// indexedPath is how much of a path the index of changes holds.
const indexedPath = 200

// relatedPaths returns a condition that keeps the changes of the paths, of their ancestors and of what lies below them;
// none for no paths.
func relatedPaths(w *where, paths []facts.Path) string {
	if len(paths) == 0 {
		return ""
	}
	const maxRelated = 200 // beyond, reading all of the host's changes is no dearer
	if len(paths) > maxRelated {
		return ""
	}
	var exact, heads, below []string
	for _, p := range paths {
		for n := range p {
			name := p[:n+1].String()
			exact, heads = append(exact, name), append(heads, firstRunes(name, indexedPath))
		}
		below = append(below, p.String()+".")
	}
	w.args["exact"], w.args["heads"], w.args["below"] = exact, heads, below
	return ` and (left(x.path, 200) collate "C" = any(@heads) and x.path = any(@exact)
		or exists (select from unnest(@below::text[]) b where starts_with(x.path, b)))`
}

func firstRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}
