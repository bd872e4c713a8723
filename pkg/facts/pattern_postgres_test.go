package facts_test

import (
	"math/rand/v2"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

func TestPostgreSQLMatchesExactlyWhatThePatternCovers(t *testing.T) {
	t.Parallel()
	_, pool := storetest.Pool(t)
	r := rand.New(rand.NewPCG(11, 12))
	var regexps, paths []string
	var covers []bool
	for range 1_500 {
		path := randomPath(r)
		text := randomPattern(r, path)
		if len(text) > 512 {
			continue
		}
		p := pattern(t, text)
		for _, path := range []facts.Path{path, randomPath(r), append(path, randomName(r))} {
			regexps, paths, covers = append(regexps, p.Regexp()), append(paths, path.String()), append(covers, p.Covers(path))
		}
	}
	var agreed int
	err := pool.QueryRow(t.Context(), `
		select count(*) filter (where (path ~ re) = covers) from unnest($1::text[], $2::text[], $3::bool[]) as c(re, path, covers)`,
		regexps, paths, covers).Scan(&agreed)
	if err != nil {
		t.Fatal(err)
	}
	if agreed != len(paths) {
		t.Errorf("of %d paths they agree about %d", len(paths), agreed)
	}
}

func TestPostgreSQLWritesNamesAsPathsDo(t *testing.T) {
	t.Parallel()
	_, pool := storetest.Pool(t)
	var names, want []string
	for _, name := range randomNames {
		name += "." // so that it stands in quotes
		names, want = append(names, name), append(want, facts.Path{name}.String())
	}
	var agreed int
	err := pool.QueryRow(t.Context(), `
		select count(*) from unnest($1::text[], $2::text[]) as c(name, want) where to_json(name)::text = want`, names, want).Scan(&agreed)
	if err != nil {
		t.Fatal(err)
	}
	if agreed != len(names) {
		t.Errorf("of %d names they write %d the same", len(names), agreed)
	}
}
