"""What Redis does in one step: it brings one key's counts up to date, sees whether there is enough, and takes it.

A key's counts are one hash. `requests` and `tokens` are buckets, each "limit level time"; `s:<worker>` is how many of
the key's streams a worker has, and until when it is held to live. A hash that says nothing any more expires.
"""

from __future__ import annotations

from typing import Final

from tailrace.streamlog.redis.scripts import Script

PASSED: Final = 0
TOO_MANY: Final = 1
LACKING: Final = 2

TAKE: Final = Script("""-- Take from a key's limits; where it is asked to check, only if there is enough.
-- ARGV: time or '', lease in seconds, worker, how many streams it has or '', '1' to check,
-- requests a minute or '', tokens a minute or '', most streams or '', requests to take, tokens to take.
-- Answers how it went, and the levels of requests and tokens, '' for what has no limit.
local key = KEYS[1]
local clock = redis.call('TIME')
local real = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local now = tonumber(ARGV[1]) or real
local worker, check, most = 's:' .. ARGV[3], ARGV[5] == '1', tonumber(ARGV[8])

local held, others, own, until_ = {}, 0, 0, 0
local fields = redis.call('HGETALL', key)
for i = 1, #fields, 2 do
  local name, value = fields[i], fields[i + 1]
  if name:sub(1, 2) ~= 's:' then
    held[name] = value
  else
    local count, ends = value:match('(%S+) (%S+)')
    count, ends = tonumber(count), tonumber(ends)
    if name == worker then
      own = count
    elseif ends > real then
      others = others + count
      until_ = math.max(until_, ends)
    else
      redis.call('HDEL', key, name)
    end
  end
end
own = tonumber(ARGV[4]) or own

local function refill(name, limit)
  if not held[name] then
    return limit and {name = name, limit = limit, level = limit}
  end
  local was, level, at = held[name]:match('(%S+) (%S+) (%S+)')
  was, level, at = tonumber(was), tonumber(level), tonumber(at)
  if check and not limit then
    redis.call('HDEL', key, name)
    return nil
  end
  if not check or limit == was then
    limit = was
  else
    level = level * limit / was
  end
  level = math.min(limit, level + math.max(0, now - at) * limit / 60)
  return {name = name, limit = limit, level = level}
end

local function lacks(bucket, amount)
  return bucket and (math.min(amount, bucket.limit) - bucket.level) * 60 / bucket.limit > 0.000001
end

local function put(bucket, amount)
  if not bucket then return 0 end
  bucket.level = math.min(bucket.limit, bucket.level - amount)
  redis.call('HSET', key, bucket.name, string.format('%.17g %.17g %.17g', bucket.limit, bucket.level, now))
  return (bucket.limit - bucket.level) * 60 / bucket.limit
end

local function shown(bucket)
  return bucket and string.format('%.17g', bucket.level) or ''
end

local requests, tokens = tonumber(ARGV[9]), tonumber(ARGV[10])
local of_requests, of_tokens = refill('requests', tonumber(ARGV[6])), refill('tokens', tonumber(ARGV[7]))
if check then
  if most and others + own >= most then return {1, shown(of_requests), shown(of_tokens)} end
  if lacks(of_requests, requests) or lacks(of_tokens, tokens) then
    return {2, shown(of_requests), shown(of_tokens)}
  end
  own = own + 1
end
local full_in = math.max(put(of_requests, requests), put(of_tokens, tokens))
if own > 0 then
  local ends = real + tonumber(ARGV[2])
  redis.call('HSET', key, worker, string.format('%d %.17g', own, ends))
  until_ = math.max(until_, ends)
else
  redis.call('HDEL', key, worker)
end
redis.call('PEXPIRE', key, math.ceil(math.max(full_in, until_ - real) * 1000) + 1000)
return {0, shown(of_requests), shown(of_tokens)}
""")
