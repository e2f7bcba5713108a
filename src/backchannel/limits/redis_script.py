"""The Lua script that counts a request in all its quotas at once. It computes what `windows` does."""

TAKE = """
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function divide(a, b)
  return (a - a % b) / b
end

local function fits_after(former, room, length)
  return length - divide((room + 1) * length - 1, former)
end

local stored = redis.call('MGET', unpack(KEYS))
local windows, accepted = {}, 1
for i = 1, #KEYS do
  local amount, length = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local start, former, current = now, 0, 0
  if stored[i] then
    local a, b, c = string.match(stored[i], '(%d+):(%d+):(%d+)')
    a, b, c = tonumber(a), tonumber(b), tonumber(c)
    -- The clock of a replica that was promoted may be behind.
    if a > now then a = now end
    if now - a < length then
      start, former, current = a, b, c
    elseif now - a < 2 * length then
      start, former = a + length, c
    end
  end
  local weighted = divide(former * (length - (now - start)), length)
  if weighted + current >= amount then accepted = 0 end
  windows[i] = {amount, length, start, former, current, weighted}
end

local reply = {accepted}
for i = 1, #KEYS do
  local amount, length, start, former, current, weighted = unpack(windows[i])
  if accepted == 1 then
    current = current + 1
    local value = string.format('%d:%d:%d', start, former, current)
    redis.call('SET', KEYS[i], value, 'PX', start + 2 * length - now)
  end
  local wait = 0
  if weighted + current >= amount then
    local room = amount - 1 - current
    if room >= 0 then
      wait = start + fits_after(former, room, length) - now
    else
      wait = start + length + fits_after(current, amount - 1, length) - now
    end
  end
  reply[#reply + 1] = math.max(0, amount - weighted - current)
  reply[#reply + 1] = start + length - now
  reply[#reply + 1] = wait
end
return reply
"""
"""Keys: one for each quota, with `<start of the window>:<requests before it>:<requests in it>`. Arguments: the time in
milliseconds, or 0 for the server's own, so that clocks of replicas do not matter; for each quota its amount and the
length of its window in milliseconds. Returns whether the request was accepted, and for each quota the requests that
remain, the milliseconds until the window ends, and those until one more request is accepted. Numbers stay below 2^53,
up to which Lua's are exact."""
