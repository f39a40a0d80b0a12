-- Shards that nobody runs: owners with fewer running ones first, then older jobs. ARGV: how many.
local limit, now = tonumber(ARGV[1]), clock()
local waits, owners = {}, {}

local function waits_of(owner)
  if not waits[owner] then
    waits[owner] = {}
    owners[#owners + 1] = {name = owner, busy = redis.call('ZCOUNT', key('busy', owner), '(' .. text(now), '+inf')}
  end
  return waits[owner]
end

for _, name in ipairs(redis.call('ZRANGEBYSCORE', key('leases'), '-inf', text(now), 'LIMIT', 0, 1000)) do
  local job = redis.call('HMGET', key('job', (split(name))), 'owner', 'state')
  if not job[1] then
    redis.call('ZREM', key('leases'), name)
  elseif ENDED[job[2]] then
    release(job[1], name)
  else
    table.insert(waits_of(job[1]), name)
  end
end
for _, owner in ipairs(redis.call('SMEMBERS', key('owners'))) do waits_of(owner) end
table.sort(owners, function(one, other) return one.busy < other.busy end)

local found, first = {}, 1
while first <= #owners and #found < limit do
  local peers = {}
  local last = first
  while owners[last] and owners[last].busy == owners[first].busy do
    local mine = waits[owners[last].name]
    local open = redis.call('ZRANGEBYLEX', key('open', owners[last].name), '-', '+', 'LIMIT', 0, limit)
    for _, names in ipairs({mine, open}) do
      for _, name in ipairs(names) do peers[#peers + 1] = name end
    end
    last = last + 1
  end
  table.sort(peers)
  for _, name in ipairs(peers) do
    if #found < limit then found[#found + 1] = name end
  end
  first = last
end
if #found == 0 then redis.call('DEL', key('wake')) end
return found
