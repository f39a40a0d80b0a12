"""What a ledger in Redis does in one step each, as Lua: what `embedded` does in a transaction.

All go by the server's clock. Amounts are whole numbers below 2^53, which Lua's numbers hold exactly; `%.0f` writes them
without an exponent. Every key of a script has the same hash tag, so that a cluster keeps them together.
"""

from __future__ import annotations

from llmx.quotas.ledger import ALIVE, CELL, DAY, KEPT, WANTED
from llmx.quotas.slots import ACTIVE, CHUNK, FORGOTTEN

__all__ = ["LEND", "MEET", "PAUSE", "SLOTS", "STANDING"]

_NOW = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local function whole(number) return string.format('%.0f', number) end
local function exact(number) return string.format('%.6f', number) end
"""

_STATE = f"""
local function state(budget, leases, owner)
  local first, old = math.floor((now - {DAY}) / {CELL}), math.floor((now - {KEPT}) / {CELL})
  local sums, oldest = {{c = 0, t = 0}}, {{}}
  local fields = redis.call('HGETALL', budget)
  for i = 1, #fields, 2 do
    local kind, cell = string.sub(fields[i], 1, 1), tonumber(string.sub(fields[i], 2))
    local amount = tonumber(fields[i + 1])
    if cell < old then
      redis.call('HDEL', budget, fields[i])
    elseif cell >= first and amount > 0 then
      sums[kind] = sums[kind] + amount
      if oldest[kind] == nil or cell < oldest[kind] then oldest[kind] = cell end
    end
  end
  local held, alive = {{0, 0}}, {{0, 0}}
  local rows = redis.call('HGETALL', leases)
  for i = 1, #rows, 2 do
    local row = cjson.decode(rows[i + 1])
    local changed = tonumber(row[1])
    if changed < now - {KEPT} then
      redis.call('HDEL', leases, rows[i])
    elseif rows[i] ~= owner and changed >= now - {DAY + CELL} then
      for kind = 1, 2 do
        local amount = tonumber(row[3 + kind])
        held[kind] = held[kind] + amount
        if changed >= now - {ALIVE} then alive[kind] = alive[kind] + amount end
      end
    end
  end
  return {{sums.c, sums.t}}, held, alive, {{oldest.c or -1, oldest.t or -1}}
end
"""

LEND = (
    _NOW
    + _STATE
    + f"""
local budget, leases, wanted = KEYS[1], KEYS[2], KEYS[3]
local owner = ARGV[1]
local n = {{}}
for i = 2, #ARGV do n[i] = tonumber(ARGV[i]) end
local known = redis.call('HGET', leases, owner)
local row = known and cjson.decode(known) or {{'0', '0', '0', '0', '0'}}
for kind, letter in ipairs({{'c', 't'}}) do
  local more = n[1 + kind] - tonumber(row[1 + kind])
  if more > 0 then
    redis.call('HINCRBY', budget, letter .. whole(math.floor(now / {CELL})), whole(more))
  end
end
local spent, held, alive, oldest = state(budget, leases, owner)
local function fits(c, t)
  local cost, tokens = spent[1] + held[1] + n[4] + c, spent[2] + held[2] + n[5] + t
  return (n[10] < 0 or cost <= n[10]) and (n[11] < 0 or tokens <= n[11])
end
local lent = {{0, 0}}
if n[6] + n[7] > 0 and fits(n[6], n[7]) then
  lent = {{n[6], n[7]}}
elseif n[8] + n[9] > 0 and fits(n[8], n[9]) then
  lent = {{n[8], n[9]}}
end
local holds = {{n[4] + lent[1], n[5] + lent[2]}}
redis.call('HSET', leases, owner, cjson.encode({{exact(now), ARGV[2], ARGV[3], whole(holds[1]), whole(holds[2])}}))
redis.call('EXPIRE', budget, {KEPT})
redis.call('EXPIRE', leases, {KEPT})
local by = redis.call('GET', wanted)
local is_wanted = by and by ~= owner
if n[8] + n[9] > 0 and lent[1] + lent[2] == 0 then
  redis.call('SET', wanted, owner, 'PX', {int(WANTED * 1000)})
end
return {{whole(lent[1]), whole(lent[2]), alive[1] + alive[2] > 0 and 1 or 0, is_wanted and 1 or 0,
  whole(spent[1] + held[1] + holds[1]), whole(spent[2] + held[2] + holds[2]),
  whole(alive[1] + holds[1]), whole(alive[2] + holds[2]), whole(oldest[1]), whole(oldest[2])}}
"""
)
"""KEYS: cells, leases, who wanted more. ARGV: owner; nano-dollars and tokens that are used, held, wanted, of use; limits
or -1. Returns those that are lent; whether others hold some, and want some; taken, held by the living, oldest cells."""

STANDING = (
    _NOW
    + _STATE
    + """
local spent, held, alive, oldest = state(KEYS[1], KEYS[2], '')
return {whole(spent[1] + held[1]), whole(spent[2] + held[2]), whole(alive[1]), whole(alive[2]),
  whole(oldest[1]), whole(oldest[2])}
"""
)
"""KEYS: cells, leases. Returns the last six of `LEND`."""

SLOTS = (
    _NOW
    + f"""
local rate, askers, pauses = KEYS[1], KEYS[2], KEYS[3]
local worker, account = ARGV[1], ARGV[2]
local limit, span, wants = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local least, biggest = tonumber(ARGV[6]), tonumber(ARGV[7])
local function known(field) return tonumber(redis.call('HGET', rate, field) or '0') end
redis.call('ZREMRANGEBYSCORE', askers, '-inf', now - {ACTIVE})
redis.call('ZADD', askers, exact(now), worker)
local sharing = redis.call('ZCARD', askers)
local set_back = math.max(0, known('at') - now)
local seen = known('largest_at') - set_back
local before = now - seen <= {FORGOTTEN} and known('largest') or 0
local largest = math.max(before, biggest)
local per_second = math.max(limit - largest, limit / 2) / span
local amount = math.max(least, math.min(wants, per_second * {CHUNK} / sharing))
if biggest == 0 then amount = math.floor(amount) end
local start = math.max(now, known('next') - set_back)
if before > 0 then start = start + (largest - before) / per_second end
if biggest >= before then seen = now end
local after = start + amount / per_second
redis.call('HSET', rate, 'next', exact(after), 'largest', tostring(largest), 'largest_at', exact(seen), 'at', exact(now))
redis.call('ZADD', askers, exact(after), worker)
redis.call('EXPIRE', rate, 3600)
redis.call('EXPIRE', askers, 3600)
local held = tonumber(redis.call('HGET', pauses, account) or '0') - now
return {{exact(start - now), tostring(amount), tostring(1 / per_second), exact(math.max(0, held))}}
"""
)
"""See `slots.given`. KEYS: rate, those who share it, pauses. ARGV: worker, account, limit, span, wants, least, largest row."""

MEET = (
    _NOW
    + """
redis.call('ZADD', KEYS[1], exact(now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
local held = {}
local pauses = redis.call('HGETALL', KEYS[2])
for i = 1, #pauses, 2 do
  local left = tonumber(pauses[i + 1]) - now
  if left > 0 then
    table.insert(held, pauses[i])
    table.insert(held, exact(left))
  else
    redis.call('HDEL', KEYS[2], pauses[i])
  end
end
return {exact(now), redis.call('ZRANGE', KEYS[1], 0, -1), held}
"""
)
"""KEYS: workers, pauses. ARGV: worker, seconds after which one that says nothing is none."""

PAUSE = (
    _NOW
    + """
local ends = now + tonumber(ARGV[2])
if ends > tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0') then
  redis.call('HSET', KEYS[1], ARGV[1], exact(ends))
end
"""
)
"""KEYS: pauses. ARGV: account, seconds."""
