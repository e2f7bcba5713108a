"""Lua scripts that Redis runs atomically: begin writing a log, append to it under its fence, and read a page.

A log is a hash (`fence`; `last`: all events up to this number are stored; `rows`: the number of entries in the stream;
`ended`) and a stream. The id of an entry is the number of its last event; the end is an entry with the id
`<last number>-1`. Numbers are below 2^53, up to which Lua is exact.
"""

BEGIN = """
local fence, jump = tonumber(ARGV[1]), tonumber(ARGV[2])
local log = redis.call('HMGET', KEYS[1], 'fence', 'last', 'ended')
if tonumber(log[1] or '-1') > fence then
  return {-1, 0, 0}
end
local last = tonumber(log[2] or '0')
if jump > 0 then
  last = (math.floor(last / jump) + 1) * jump
end
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'last', string.format('%.0f', last))
if not log[3] then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
local event = newest[1] and tonumber(string.match(newest[1][1], '^%d+')) or 0
return {event, last, log[3] and 1 or 0}
"""
"""Keys: hash, stream. Arguments: the fence; the number to a multiple of which numbering jumps, or 0; the TTL in
milliseconds of a log whose run has not ended. Returns the number of the last event (-1: fenced), the number after which
numbering continues, and whether the run has ended."""

PAGE = """
local log = redis.call('HMGET', KEYS[1], 'fence', 'last', 'rows', 'ended')
if not log[1] then
  return false
end
local complete = redis.call('XLEN', KEYS[2]) == tonumber(log[3] or '0')
local entries = redis.call('XRANGE', KEYS[2], ARGV[1] .. '-1', '+', 'COUNT', ARGV[2])
return {tonumber(log[2]), complete and 1 or 0, log[4] and 1 or 0, entries}
"""
"""Keys: hash, stream. Arguments: a number; the most entries to return. Returns the number up to which all events are
stored, whether no entry of the stream is lost, whether the run has ended, and the entries after the given number;
nothing if there is no such log."""

APPEND = """
local fence, start, base = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local log = redis.call('HMGET', KEYS[1], 'fence', 'last', 'rows', 'ended')
local current = tonumber(log[1] or '-1')
if current > fence then
  return -1
end
local last, rows = tonumber(log[2] or '0'), tonumber(log[3] or '0')
if current < fence or redis.call('XLEN', KEYS[2]) ~= rows then
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'last', 0)
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
  last, rows, log[4] = 0, 0, false
end
if last < base and base > start then
  return last
end
for i = 8, #ARGV, 5 do
  if tonumber(ARGV[i]) > last then
    local id, head, text = ARGV[i] .. '-0', ARGV[i + 1], ARGV[i + 2]
    if ARGV[i + 3] == '' then
      redis.call('XADD', KEYS[2], id, 'h', head, 'p', ARGV[i + 4])
    else
      redis.call('XADD', KEYS[2], id, 'h', head, 'p', ARGV[i + 4], 't', text, 'e', ARGV[i + 3])
    end
    rows = rows + 1
  end
end
if tonumber(ARGV[4]) > last then
  last = tonumber(ARGV[4])
end
if ARGV[5] == '1' and not log[4] then
  redis.call('XADD', KEYS[2], string.format('%.0f-1', last), 'end', '1')
  redis.call('HSET', KEYS[1], 'ended', '1')
  rows = rows + 1
end
redis.call('HSET', KEYS[1], 'last', string.format('%.0f', last), 'rows', rows)
if not log[4] then
  local ttl = ARGV[5] == '1' and ARGV[7] or ARGV[6]
  redis.call('PEXPIRE', KEYS[1], ttl)
  redis.call('PEXPIRE', KEYS[2], ttl)
end
return last
"""
"""Keys: hash, stream. Arguments: the fence; the number after which the writer began; the number up to which its events
were stored before; the number of the last event; 1 if the run ends; the TTLs in milliseconds of a log whose run has not
ended and of one whose run has; then for each segment the number of its last event, head, text, the ends of its deltas
(empty: no text), 1 if plain. Returns the number up to which all events are stored, -1 if fenced.

A log with a smaller fence than the writer's, or with missing entries, was lost, and perhaps created again by a stale
writer. It is replaced by an empty one, to which the writer sends its events again."""
