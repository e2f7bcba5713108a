"""Lua scripts that Redis runs atomically on sessions.

A session is a hash `<prefix>:session:<digest of its token>` with `data` (JSON, never changed), `id`, `family`,
`seen`, and later `rotated`, `key`, `ended` and `reason`. The set `<prefix>:sessions:<digest of the owner>` has the
digests of the tokens of an owner.
"""

_STORE = """
local function store(prefix, owner, first)
  for _, digest in ipairs(redis.call('SMEMBERS', owner)) do
    if redis.call('EXISTS', prefix .. digest) == 0 then
      redis.call('SREM', owner, digest)
    end
  end
  for i = first, #ARGV, 6 do
    local session, ttl = prefix .. ARGV[i], tonumber(ARGV[i + 5])
    redis.call('HSET', session, 'data', ARGV[i + 1], 'seen', ARGV[i + 2], 'id', ARGV[i + 3], 'family', ARGV[i + 4])
    redis.call('PEXPIRE', session, ttl)
    redis.call('SADD', owner, ARGV[i])
    if redis.call('PTTL', owner) < ttl then
      redis.call('PEXPIRE', owner, ttl)
    end
  end
end
"""

CREATE = (
    _STORE
    + """
store(ARGV[1], KEYS[1], 2)
return 1
"""
)
"""Keys: the owner's set. Arguments: the prefix of sessions; for each session the digest, data, the time of its last
use, id, family (or empty) and the TTL in milliseconds."""

EXCHANGE = (
    _STORE
    + """
local former = ARGV[1] .. ARGV[2]
local state = redis.call('HMGET', former, 'data', 'rotated', 'ended')
if not state[1] or state[2] or state[3] then
  return 0
end
redis.call('HSET', former, 'rotated', ARGV[3], 'seen', ARGV[3], 'key', ARGV[4])
store(ARGV[1], KEYS[1], 5)
return 1
"""
)
"""Keys: the owner's set. Arguments: the prefix; the digest of the token; the time; the key of the exchange; the
successors as for `CREATE`. Returns 1 if the token was exchanged now."""

TOUCH = """
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 'seen', ARGV[1])
end
return 1
"""
"""Keys: the session. Arguments: the time."""

END = """
local ended = 0
for _, digest in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local session = ARGV[1] .. digest
  local state = redis.call('HMGET', session, 'data', 'ended', 'id', 'family')
  local chosen = ARGV[5] == 'all' or (ARGV[5] == 'id' and state[3] == ARGV[6])
      or (ARGV[5] == 'family' and state[4] == ARGV[6])
  if state[1] and not state[2] and chosen then
    redis.call('HSET', session, 'ended', ARGV[2], 'reason', ARGV[3])
    if redis.call('PTTL', session) > tonumber(ARGV[4]) then
      redis.call('PEXPIRE', session, ARGV[4])
    end
    ended = ended + 1
  end
end
return ended
"""
"""Keys: the owner's set. Arguments: the prefix; the time; the reason; the TTL in milliseconds of a session that has
ended; `all`, `id` or `family`; the id or the family. Returns how many were ended."""

DELETE = """
local found = redis.call('SMEMBERS', KEYS[1])
for _, digest in ipairs(found) do
  redis.call('DEL', ARGV[1] .. digest)
end
redis.call('DEL', KEYS[1])
return #found
"""
"""Keys: the owner's set. Arguments: the prefix. Returns how many sessions the set had."""
