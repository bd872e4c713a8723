package ephemeral

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Charge is one event that counts against one limit.
type Charge struct {
	// Key says whose limit it is. As that of Allow it may be of any length and content.
	Key   string
	Limit Limit
}

// AllowAll counts one event against several limits at once, in one exchange with Redis: against all of them, or, if one
// of them has nothing left, against none, so that who is refused for one limit does not use up the others. Group names
// what the limits have in common, such as an account: in a cluster they are kept on one node. The answer is that of the
// limit which leaves the least; with no charges it is the zero Allowance. Errors are those of Allow.
func (s *Store) AllowAll(ctx context.Context, group string, charges ...Charge) (Allowance, error) {
	if len(charges) == 0 {
		return Allowance{}, nil
	}
	keys, args := make([]string, 0, len(charges)), make([]any, 0, 2*len(charges))
	for _, c := range charges {
		if !c.Limit.valid() {
			return Allowance{}, fleet.Errorf(fleet.Invalid, "a rate limit of %d events per %s cannot be kept", c.Limit.Events, c.Limit.Period)
		}
		keys = append(keys, keyPrefix+"limit:{"+limitKey(group)+"}:"+limitKey(c.Key))
		args = append(args, c.Limit.Events, c.Limit.Period.Microseconds())
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	found, err := chargeScript().Run(ctx, s.client, keys, args...).Int64Slice()
	if err == nil && len(found) != 3*len(charges) {
		err = fmt.Errorf("%d numbers about %d limits", len(found), len(charges))
	}
	if err != nil {
		return Allowance{}, unavailable(err)
	}
	return tightest(charges, found), nil
}

// tightest returns the answer of the limit that decides: of those that refuse the one that does so the longest, or else
// the one that has the least left.
func tightest(charges []Charge, found []int64) Allowance {
	var decides Allowance
	for i, c := range charges {
		a := Allowance{
			Limit: c.Limit.Events, Remaining: int(found[3*i]),
			RetryAfter: time.Duration(found[3*i+1]) * time.Microsecond, ResetAfter: time.Duration(found[3*i+2]) * time.Microsecond,
		}
		a.Allowed = a.RetryAfter == 0
		if i == 0 || a.RetryAfter > decides.RetryAfter || a.RetryAfter == decides.RetryAfter && a.Remaining < decides.Remaining {
			decides = a
		}
	}
	return decides
}

// chargeScript counts one event against all of KEYS or none: ARGV has, for each, events and period in microseconds. It
// returns for each what is left, the wait until the next event is allowed, 0 if this one is, and the wait until nothing
// is used, in microseconds. What is kept is when nothing would be used any more (a generic cell rate algorithm), by the
// clock of Redis, so that those of the replicas do not matter.
func chargeScript() *redis.Script {
	return redis.NewScript(`
redis.replicate_commands()
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local free, refused = {}, false
for i, key in ipairs(KEYS) do
  local kept = tonumber(redis.call('GET', key) or '') or now
  local period = tonumber(ARGV[2 * i])
  free[i] = math.min(math.max(kept, now), now + period)
  if free[i] + period / tonumber(ARGV[2 * i - 1]) > now + period then refused = true end
end
local out = {}
for i, key in ipairs(KEYS) do
  local period = tonumber(ARGV[2 * i])
  local each = period / tonumber(ARGV[2 * i - 1])
  local wait = math.ceil(math.max(0, free[i] + each - now - period))
  if not refused then
    free[i] = free[i] + each
    redis.call('SET', key, string.format('%.3f', free[i]), 'PX', math.ceil((free[i] - now) / 1000) + 1)
  end
  out[#out + 1] = math.max(0, math.floor((now + period - free[i]) / each + 0.0001))
  out[#out + 1] = wait
  out[#out + 1] = math.ceil(free[i] - now)
end
return out`)
}
