package ephemeral

import "github.com/redis/go-redis/v9"

// Each script touches one key, so that it runs in a cluster, and may run twice, because the client library
// repeats a call whose answer was lost.

// indexScript enters a session into its user's index: KEYS[1] index; ARGV ID, expiry and now in Unix
// milliseconds, most entries. It drops expired entries and returns the IDs of those that were too many.
func indexScript() *redis.Script {
	return redis.NewScript(`
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
local surplus = {}
local over = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[4])
if over > 0 then
  for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, over)) do
    if id ~= ARGV[1] and #surplus < over then
      surplus[#surplus + 1] = id
      redis.call('ZREM', KEYS[1], id)
    end
  end
end
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', tonumber(last[2])))
return surplus`)
}

// createScript writes a session: KEYS[1] session; ARGV expiry in Unix milliseconds, then fields and values.
func createScript() *redis.Script {
	return redis.NewScript(`
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('PEXPIREAT', KEYS[1], ARGV[1])
return 'ok'`)
}

// epochScript sets the epoch of a living session: KEYS[1] session; ARGV epoch.
func epochScript() *redis.Script {
	return redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], '` + fieldEpoch + `', ARGV[1]) end
return 'ok'`)
}

// rotateScript exchanges the refresh hash: KEYS[1] session; ARGV old and new hash, 64 hex digits each.
func rotateScript() *redis.Script {
	return redis.NewScript(`
local h = redis.call('HMGET', KEYS[1], '` + fieldRefresh + `', '` + fieldSpent + `')
local current, spent = h[1], h[2] or ''
if not current then return 'ended' end
if current == ARGV[1] then
  spent = string.sub(spent .. ARGV[1] .. ',', -65 * 32)
  redis.call('HSET', KEYS[1], '` + fieldRefresh + `', ARGV[2], '` + fieldSpent + `', spent)
  return 'ok'
end
if current == ARGV[2] and string.sub(spent, -65) == ARGV[1] .. ',' then return 'ok' end
if string.find(spent, ARGV[1] .. ',', 1, true) then
  redis.call('DEL', KEYS[1])
  return 'reused'
end
return 'unknown'`)
}
