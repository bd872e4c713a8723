package doctor

import (
	"context"
	"time"
)

// JudgeClock and JudgeFiles say what readings mean that a test cannot bring about.
func JudgeClock(skew, took time.Duration) (Finding, error) { return judgeClock(skew, took) }

// JudgeFiles judges open files.
func JudgeFiles(used int, limit uint64) (Finding, error) { return judgeFiles(used, limit) }

// Older compares versions.
func Older(version string, major, minor int) bool { return older(version, major, minor) }

// One makes a check of the test's own, as Diagnose makes its own.
func (d *Doctor) One(ctx context.Context, look func(context.Context) (Finding, error)) Finding {
	return d.one(ctx, check{name: "own", look: look, cure: "Do something."})
}
