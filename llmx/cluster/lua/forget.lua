-- Remove what is known of a job that has ended and that nobody runs. ARGV: token, job.
if redis.call('EXISTS', key('did', ARGV[1])) == 1 then return 1 end
local id = ARGV[2]
local job = redis.call('HMGET', key('job', id), 'owner', 'state', 'key')
if not job[1] or not ENDED[job[2]] then return 0 end
local now, names = clock(), {}
for _, number in ipairs(redis.call('HKEYS', key('shards', id))) do
  local name = member(id, number)
  local expires = redis.call('ZSCORE', key('leases'), name)
  if expires and tonumber(expires) > now then return 0 end
  names[#names + 1] = name
end
done_before(ARGV[1])
for _, name in ipairs(names) do release(job[1], name) end
for _, index in ipairs(listed(id, job[1], job[2])) do redis.call('ZREM', index, id) end
if job[3] then redis.call('DEL', key('keys', job[3])) end
redis.call('DEL', key('job', id), key('shards', id))
redis.call('PUBLISH', key('news'), id)
return 1
