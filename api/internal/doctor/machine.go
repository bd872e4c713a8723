package doctor

import (
	"context"
	"time"
)

// How far apart clocks may be: sessions and deadlines end by them.
const (
	skewWarning = time.Second
	skewFailed  = 30 * time.Second
)

// clocks compares this machine's clock with the database's, which is everybody's: workers go by it, whatever their own
// clocks say.
func (d *Doctor) clocks(ctx context.Context) (Finding, error) {
	before := time.Now()
	there, err := d.Store.Now(ctx)
	if err != nil {
		return Finding{}, err
	}
	took := time.Since(before)
	return judgeClock(there.Sub(before.Add(took/2)), took)
}

// judgeClock says what it means that the database's clock is so far ahead, as asked in so long.
func judgeClock(skew, took time.Duration) (Finding, error) {
	const cure = "Set the clocks by NTP."
	text := "ahead of"
	if skew > 0 {
		text = "behind"
	}
	switch off := max(skew.Abs()-took/2, 0); {
	case off >= skewFailed:
		return bad(cure, "The api's clock is %s %s the database's: sessions end at the wrong time.", skew.Abs().Round(time.Millisecond), text)
	case off >= skewWarning:
		return warn(cure, "The api's clock is %s %s the database's.", skew.Abs().Round(time.Millisecond), text)
	}
	return well("The clocks of the api and the database agree to %s.", (skew.Abs() + took/2).Round(time.Millisecond))
}

// fewFiles is the limit below which a busy api runs out: each caller takes one, and so does each connection to a database.
const fewFiles = 2048

func (d *Doctor) files(context.Context) (Finding, error) {
	used, limit, known := openFiles()
	if !known {
		return well("This system does not tell how many files the api may open.")
	}
	return judgeFiles(used, limit)
}

// judgeFiles says what it means that so many files of so many are open; used is negative where it is unknown.
func judgeFiles(used int, limit uint64) (Finding, error) {
	const cure = "Raise the limit of open files: LimitNOFILE in systemd, ulimits in compose, ulimit -n in a shell."
	switch {
	case used > 0 && uint64(used)*10 >= limit*8:
		return bad(cure, "The api has %d of %d files open, and refuses callers when it has all.", used, limit)
	case limit < fewFiles:
		return warn(cure, "The api may open %d files; each caller and each connection takes one.", limit)
	case used < 0:
		return well("The api may open %d files.", limit)
	}
	return well("The api has %d of %d files open.", used, limit)
}
