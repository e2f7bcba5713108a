"""What Redis does by itself, in one step: taking over a log, and adding to it if the writer is still the right one.

A log is a hash (`fence`, `last`: the number up to which everything is kept, `rows`: how many entries the stream has,
`ended`) and a stream. The id of an entry is the number of its last event; the end is an entry with the id
`<last number>-1`. Numbers are below 2^53, up to which Lua counts exactly.
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
"""Keys: hash, stream. Arguments: the fence, what to jump to a multiple of or 0, milliseconds that a log is kept that
nobody ends. Gives the last event's number (-1: refused), the number to go on after, and whether the run has ended."""

PAGE = """
local log = redis.call('HMGET', KEYS[1], 'fence', 'last', 'rows', 'ended')
if not log[1] then
  return false
end
local there = redis.call('XLEN', KEYS[2]) == tonumber(log[3] or '0')
local entries = redis.call('XRANGE', KEYS[2], ARGV[1] .. '-1', '+', 'COUNT', ARGV[2])
return {tonumber(log[2]), there and 1 or 0, log[4] and 1 or 0, entries}
"""
"""Keys: hash, stream. Arguments: a number, and how many entries to give at most. Gives the number up to which
everything is kept, whether the stream is all there, whether the run has ended, and the entries after the number;
nothing if there is no such log."""

APPEND = """
local fence, start, base = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local log = redis.call('HMGET', KEYS[1], 'fence', 'last', 'rows', 'ended')
local known = tonumber(log[1] or '-1')
if known > fence then
  return -1
end
local last, rows = tonumber(log[2] or '0'), tonumber(log[3] or '0')
if known < fence or redis.call('XLEN', KEYS[2]) ~= rows then
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'last', 0)
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
  last, rows, log[4] = 0, 0, false
end
if last < base and base > start then
  return last
end
for at = 8, #ARGV, 5 do
  if tonumber(ARGV[at]) > last then
    local id, head, text = ARGV[at] .. '-0', ARGV[at + 1], ARGV[at + 2]
    if ARGV[at + 3] == '' then
      redis.call('XADD', KEYS[2], id, 'h', head, 'p', ARGV[at + 4])
    else
      redis.call('XADD', KEYS[2], id, 'h', head, 'p', ARGV[at + 4], 't', text, 'e', ARGV[at + 3])
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
  local kept = ARGV[5] == '1' and ARGV[7] or ARGV[6]
  redis.call('PEXPIRE', KEYS[1], kept)
  redis.call('PEXPIRE', KEYS[2], kept)
end
return last
"""
"""Keys: hash, stream. Arguments: the fence, where the writer began, the number up to which it had everything kept, the
number of the last event, 1 if the run ends, milliseconds that a log is kept that nobody ends, and one that has ended;
then for each row the number of its last event, head, text, where the deltas end (empty: no text), 1 if plain. Gives
the number up to which everything is kept, -1 if refused.

A log that is not this writer's, though nobody with a larger fence has begun, or whose stream is not all there, has been
lost and perhaps begun anew by a stale writer: it is made anew, and the writer tells it what it knows."""
