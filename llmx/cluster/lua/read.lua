-- What a step begins with. ARGV: job, then numbers of shards, or 'all'.
local found = redis.call('HMGET', key('job', ARGV[1]), 'document', 'revision', 'unknown')
if not found[1] then return false end
local shards = {}
if ARGV[2] == 'all' then
  shards = redis.call('HVALS', key('shards', ARGV[1]))
elseif ARGV[2] then
  shards = redis.call('HMGET', key('shards', ARGV[1]), unpack(ARGV, 2))
end
return {text(clock()), found[1], found[2], found[3], shards}
