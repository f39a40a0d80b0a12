-- What every script begins with. KEYS[1] is the prefix with its hash tag: all other keys begin with it, so that
-- they lie in one slot of a cluster. Times are seconds since 1970 by this server's clock.
local prefix = KEYS[1]
local ENDED = {succeeded = true, failed = true, stopped = true, cancelled = true}

local function key(...) return prefix .. ':' .. table.concat({...}, ':') end

local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1e6
end

local function text(seconds) return string.format('%.6f', seconds) end

-- A shard's name in the indexes; of one job they sort by number.
local function member(id, number) return string.format('%s:%08d', id, number) end

local function split(name) return string.sub(name, 1, -10), tonumber(string.sub(name, -8)) end

-- A command that was sent again, for its answer was lost on the way, must not be done again.
local function done_before(token)
  return not redis.call('SET', key('did', token), 1, 'NX', 'EX', 600)
end

local function listed(id, owner, state)
  return {key('jobs'), key('jobs', 'owner', owner), key('jobs', 'state', state),
          key('jobs', 'both', state, owner)}
end

local function offer(owner, id, numbers)
  if #numbers == 0 then return end
  for _, number in ipairs(numbers) do
    redis.call('ZADD', key('open', owner), 0, member(id, number))
    redis.call('RPUSH', key('wake'), 1)
  end
  redis.call('SADD', key('owners'), owner)
  redis.call('LTRIM', key('wake'), -100, -1)
end

local function withdraw(owner, name)
  redis.call('ZREM', key('open', owner), name)
  if redis.call('EXISTS', key('open', owner)) == 0 then redis.call('SREM', key('owners'), owner) end
end

local function withdraw_all(owner, id)
  redis.call('ZREMRANGEBYLEX', key('open', owner), '[' .. id .. ':', '[' .. id .. ';')
  if redis.call('EXISTS', key('open', owner)) == 0 then redis.call('SREM', key('owners'), owner) end
end

local function hold(owner, name, expires)
  redis.call('ZADD', key('leases'), expires, name)
  redis.call('ZADD', key('busy', owner), expires, name)
end

local function release(owner, name)
  redis.call('ZREM', key('leases'), name)
  redis.call('ZREM', key('busy', owner), name)
end

-- job: {id, owner, state, version, unknown, document}
local function write_job(job, before)
  if before ~= job.state then
    if before then
      for _, index in ipairs(listed(job.id, job.owner, before)) do redis.call('ZREM', index, job.id) end
    end
    for _, index in ipairs(listed(job.id, job.owner, job.state)) do redis.call('ZADD', index, 0, job.id) end
  end
  redis.call('HSET', key('job', job.id), 'document', job.document, 'owner', job.owner, 'state', job.state,
    'version', job.version, 'unknown', job.unknown)
  redis.call('HINCRBY', key('job', job.id), 'revision', 1)
  redis.call('PUBLISH', key('news'), job.id)
end

-- shards: a list of {number, state, expires, document}
local function write_shards(job, shards)
  local offered = {}
  for _, shard in ipairs(shards) do
    local name = member(job.id, shard.number)
    redis.call('HSET', key('shards', job.id), shard.number, shard.document)
    if shard.state == 'running' then hold(job.owner, name, shard.expires) else release(job.owner, name) end
    if shard.state == 'waiting' and not ENDED[job.state] then
      offered[#offered + 1] = shard.number
    else
      withdraw(job.owner, name)
    end
  end
  offer(job.owner, job.id, offered)
end

local function announce(event)
  redis.call('HSET', key('events'), event.id, event.document)
  redis.call('ZADD', key('outbox'), event.due, event.id)
end
