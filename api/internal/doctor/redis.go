package doctor

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// oldestRedis is the oldest version that has all that is used of it (GETDEL).
const oldestRedisMajor, oldestRedisMinor = 6, 2

const mib = 1 << 20

func (d *Doctor) redis(ctx context.Context) (Finding, error) {
	if _, err := d.Redis.Health(ctx); err != nil {
		return Finding{}, err
	}
	v, err := d.Redis.ServerState(ctx)
	switch {
	case err != nil:
		return Finding{}, err
	case v.Version == "":
		return well("Redis takes writes; it does not tell its version.")
	case older(v.Version, oldestRedisMajor, oldestRedisMinor):
		return bad("Upgrade Redis.", "Redis %s is older than %d.%d.", v.Version, oldestRedisMajor, oldestRedisMinor)
	}
	return well("Redis %s takes writes.", v.Version)
}

// older reports whether a version is below major.minor; one that cannot be read is not.
func older(version string, major, minor int) bool {
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	a, err := strconv.Atoi(first)
	b, err2 := strconv.Atoi(second)
	return err == nil && err2 == nil && (a < major || a == major && b < minor)
}

// persistence looks at what is left of Redis' data after a restart. Without any nothing is lost for good: PostgreSQL
// has it all.
func (d *Doctor) persistence(ctx context.Context) (Finding, error) {
	reason, err := d.Redis.Health(ctx)
	if err != nil {
		return Finding{}, err
	}
	v, err := d.Redis.ServerState(ctx)
	const lost = "a restart signs everybody out and has every waiting task rung for anew"
	switch {
	case err != nil:
		return Finding{}, err
	case v.AOF == "":
		return warn("Install redis-server, which rollcall up then uses, or give REDIS_URL a Redis with appendonly yes.",
			"Redis runs inside of a process or does not tell how it keeps its data; if it does not keep any, %s.", lost)
	case v.AOF == "off":
		return warn("Set appendonly yes, with appendfsync everysec.", "Redis' append-only file is off: %s.", lost)
	case reason != "":
		return warn("Look at Redis' log and at its disk.", "Redis: %s.", reason)
	}
	return well("Redis' append-only file is on.")
}

func (d *Doctor) memory(ctx context.Context) (Finding, error) {
	v, err := d.Redis.ServerState(ctx)
	if err != nil {
		return Finding{}, err
	}
	used := fmt.Sprintf("%d MiB", (v.Used+mib-1)/mib)
	const cure = "Set maxmemory-policy noeviction."
	switch {
	case v.Policy == "":
		return well("Redis does not tell what it does when its memory is full.")
	case v.Policy != "noeviction" && v.Max > 0:
		return bad(cure, "Redis forgets sessions and messages when its memory is full (maxmemory-policy is %s).", v.Policy)
	case v.Policy != "noeviction":
		return warn(cure, "Redis would forget sessions and messages if its memory were bounded (maxmemory-policy is %s).", v.Policy)
	case v.Max > 0 && v.Used*10 >= v.Max*9:
		return warn("Raise maxmemory.", "Redis uses %s of the %d MiB that it may; when it is full nobody can sign in.", used, v.Max/mib)
	}
	return well("Redis uses %s and forgets nothing when it is full.", used)
}
