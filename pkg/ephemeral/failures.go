package ephemeral

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Backoff is how long somebody is kept waiting who fails again and again at a secret.
type Backoff struct {
	Free   int           // failures that cost no wait; 0 to 10,000
	First  time.Duration // the wait after the first failure beyond those; every further one doubles it; from 1 ms
	Most   time.Duration // where doubling ends; First to 24 h
	Forget time.Duration // one failure is forgotten after each such time without a wait; 1 ms to 24 h
}

func (b Backoff) valid() bool {
	return b.Free >= 0 && b.Free <= 10_000 && b.First >= time.Millisecond && b.Most >= b.First && b.Most <= 24*time.Hour &&
		b.Forget >= time.Millisecond && b.Forget <= 24*time.Hour
}

// A Tally counts the failures of somebody or at something.
type Tally struct {
	// Key says whose failures they are. It may be of any length and content: what is kept of it is a hash, because people
	// type passwords where names belong.
	Key     string
	Backoff Backoff
}

// A Guess is an attempt at a secret that was counted as a failure before anybody looked whether it is one, so that many
// at once are not all made before the first of them has failed. The zero value was refused nothing and counts nothing.
type Guess struct {
	// Refused says that one of the tallies has a wait. Nothing was counted then, so that asking does not prolong it.
	Refused bool
	// Wait is until the next guess is allowed: after a refused one that of the tally with the longest, otherwise the longest
	// that this one has begun.
	Wait time.Duration
	// Free is of the tally that decided about Wait; 0 where there is no wait.
	Free int
	// Waits is for each tally, in their order, what it makes others wait from this guess on; 0 is nothing.
	Waits []time.Duration

	keys   []string
	counts []guessCount
}

// A guessCount is what a guess has changed in a tally.
type guessCount struct {
	added, until, wait int64 // until in Unix milliseconds, wait in milliseconds
}

// Guess counts an attempt at a secret in all of the tallies or, if one of them has a wait at now, in none, in one exchange
// with Redis. Group names what the tallies have in common, such as an account: in a cluster they are kept on one node. A
// backoff outside its bounds is an error of kind Invalid. When Redis does not answer the error is of kind Unavailable and
// CodeSessionStoreUnavailable: there is no guessing without counting.
func (s *Store) Guess(ctx context.Context, now time.Time, group string, tallies ...Tally) (Guess, error) {
	g := Guess{Waits: make([]time.Duration, len(tallies)), keys: make([]string, len(tallies))}
	args := make([]any, 0, 2+4*len(tallies))
	args = append(args, now.UnixMilli(), uuid.NewString())
	for i, t := range tallies {
		if b := t.Backoff; !b.valid() {
			return Guess{}, fleet.Errorf(fleet.Invalid, "a wait of %s to %s after %d failures cannot be kept", b.First, b.Most, b.Free)
		}
		g.keys[i] = failuresKey(group, t.Key)
		args = append(args, t.Backoff.Free, t.Backoff.First.Milliseconds(), t.Backoff.Most.Milliseconds(), t.Backoff.Forget.Milliseconds())
	}
	if len(tallies) == 0 {
		return g, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	found, err := guessScript().Run(ctx, s.client, g.keys, args...).Int64Slice()
	if err == nil && len(found) != 1+3*len(tallies) {
		err = fmt.Errorf("%d numbers about %d tallies", len(found), len(tallies))
	}
	if err != nil {
		return Guess{}, sessionsUnavailable(err)
	}
	g.read(tallies, found)
	return g, nil
}

// read takes in what the script has said: whether the guess was refused, then for each tally what was added, until when
// it has a wait and how long that is.
func (g *Guess) read(tallies []Tally, found []int64) {
	g.Refused = found[0] == 1
	for i, t := range tallies {
		c := guessCount{added: found[3*i+1], until: found[3*i+2], wait: found[3*i+3]}
		g.counts = append(g.counts, c)
		g.Waits[i] = time.Duration(c.wait) * time.Millisecond
		if g.Waits[i] > g.Wait {
			g.Wait, g.Free = g.Waits[i], t.Backoff.Free
		}
	}
}

// Waits returns for each of the tallies, in their order, how long it makes guesses wait at now; 0 is not at all. It counts
// nothing and changes nothing, and is cheaper than a Guess that is refused.
func (s *Store) Waits(ctx context.Context, now time.Time, group string, tallies ...Tally) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	until := make([]*redis.StringCmd, len(tallies))
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, t := range tallies {
			until[i] = p.HGet(ctx, failuresKey(group, t.Key), "until")
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, sessionsUnavailable(err)
	}
	waits := make([]time.Duration, len(tallies))
	for i, t := range tallies {
		ms, err := until[i].Int64()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return nil, sessionsUnavailable(err)
		}
		waits[i] = min(max(0, time.Duration(ms-now.UnixMilli())*time.Millisecond), t.Backoff.Most)
	}
	return waits, nil
}

// Take takes back what a guess has counted, because it was right or never looked at: the waits that it has begun end.
// What others have counted since stays. A refused guess has counted nothing.
func (s *Store) Take(ctx context.Context, g Guess) error {
	if g.Refused || len(g.keys) == 0 {
		return nil
	}
	args := make([]any, 0, 3*len(g.keys))
	for _, c := range g.counts {
		args = append(args, c.added, c.until, c.wait)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := takeScript().Run(ctx, s.client, g.keys, args...).Err(); err != nil {
		return sessionsUnavailable(err)
	}
	return nil
}

// ForgetFailures forgets all that was counted under a key of a group.
func (s *Store) ForgetFailures(ctx context.Context, group, key string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := s.client.Del(ctx, failuresKey(group, key)).Err(); err != nil {
		return sessionsUnavailable(err)
	}
	return nil
}

// SetKnown notes for a while, up to 90 days, that somebody of the group is known under a key.
func (s *Store) SetKnown(ctx context.Context, group, key string, period time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := s.client.Set(ctx, knownKey(group, key), 1, min(max(period, time.Millisecond), 90*24*time.Hour)).Err(); err != nil {
		return sessionsUnavailable(err)
	}
	return nil
}

// Known reports whether SetKnown has noted it.
func (s *Store) Known(ctx context.Context, group, key string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	n, err := s.client.Exists(ctx, knownKey(group, key)).Result()
	if err != nil {
		return false, sessionsUnavailable(err)
	}
	return n > 0, nil
}

func failuresKey(group, key string) string {
	return keyPrefix + "failures:{" + digest(group) + "}:" + digest(key)
}

func knownKey(group, key string) string {
	return keyPrefix + "known:{" + digest(group) + "}:" + digest(key)
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// guessScript counts a guess: KEYS tallies of one slot; ARGV now in Unix milliseconds and a name for this guess, by which
// a repeated call is recognized, then for each tally free, first, most and forget, times in milliseconds. A tally is a
// hash of count, until (when its wait ends, 0 for none), since (from when it forgets) and, of the last guess, its name and
// what it has added. The count stops growing where the wait does, or else it would take days to forget.
func guessScript() *redis.Script {
	return redis.NewScript(`
local now, name = tonumber(ARGV[1]), ARGV[2]
local tallies, refused = {}, 0
for i, key in ipairs(KEYS) do
  local h = redis.call('HMGET', key, 'count', 'until', 'since', 'name', 'added')
  local most, forget = tonumber(ARGV[4 * i + 1]), tonumber(ARGV[4 * i + 2])
  local t = {count = tonumber(h[1] or '') or 0, till = tonumber(h[2] or '') or 0, since = tonumber(h[3] or '') or now,
    again = h[4] == name, added = tonumber(h[5] or '') or 0}
  t.till = math.min(t.till, now + most)
  if not t.again then
    t.added = 0
    if t.till > now then
      refused = 1
    else
      local forgotten = math.floor(math.max(0, now - t.since) / forget)
      t.count = math.max(0, t.count - forgotten)
      if t.count == 0 then t.since = now else t.since = math.min(now, t.since + forgotten * forget) end
    end
  end
  tallies[i] = t
end
local out = {refused}
for i, key in ipairs(KEYS) do
  local t = tallies[i]
  if refused == 0 and not t.again then
    local free, first, most, forget = tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i]), tonumber(ARGV[4 * i + 1]), tonumber(ARGV[4 * i + 2])
    local function wait(count)
      if count <= free then return 0 end
      return math.min(most, first * 2 ^ math.min(count - free - 1, 40))
    end
    if wait(t.count) < most then t.count, t.added = t.count + 1, 1 end
    local w = wait(t.count)
    t.till = 0
    if w > 0 then t.till = now + w end
    t.since = t.since + w
    redis.call('HSET', key, 'count', t.count, 'until', string.format('%.0f', t.till), 'since', string.format('%.0f', t.since),
      'name', name, 'added', t.added)
    redis.call('PEXPIRE', key, string.format('%.0f', math.max(0, t.since - now) + t.count * forget + 1000))
  end
  out[#out + 1] = t.added
  out[#out + 1] = t.till
  out[#out + 1] = math.max(0, t.till - now)
end
return out`)
}

// takeScript takes a guess back: KEYS its tallies; ARGV for each what it has added, until when it has made others wait and
// how long, in milliseconds.
func takeScript() *redis.Script {
	return redis.NewScript(`
for i, key in ipairs(KEYS) do
  local h = redis.call('HMGET', key, 'count', 'until', 'since')
  if h[1] then
    local count = math.max(0, tonumber(h[1]) - tonumber(ARGV[3 * i - 2]))
    redis.call('HSET', key, 'count', count)
    if tonumber(ARGV[3 * i - 1]) > 0 and tonumber(h[2]) == tonumber(ARGV[3 * i - 1]) then
      redis.call('HSET', key, 'until', 0, 'since', string.format('%.0f', tonumber(h[3]) - tonumber(ARGV[3 * i])))
      h[2] = '0'
    end
    if count == 0 and tonumber(h[2]) == 0 then redis.call('DEL', key) end
  end
end
return 'ok'`)
}
