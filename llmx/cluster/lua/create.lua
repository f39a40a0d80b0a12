-- A new job, or the one that the same idempotency key has made. ARGV: token, job, shards, name of the key or '', digest.
local job, shards = cjson.decode(ARGV[2]), cjson.decode(ARGV[3])
local known = ARGV[4] ~= '' and redis.call('GET', key('keys', ARGV[4]))
if known then
  local found = cjson.decode(known)
  if found.digest ~= ARGV[5] then return {'conflict'} end
  local document = redis.call('HGET', key('job', found.job), 'document')
  if document then return {'found', document} end
end
if done_before(ARGV[1]) then return {'made'} end
if ARGV[4] ~= '' then
  redis.call('SET', key('keys', ARGV[4]), cjson.encode({job = job.id, digest = ARGV[5]}), 'EX', 86400)
  redis.call('HSET', key('job', job.id), 'key', ARGV[4])
end
write_job(job, false)
write_shards(job, shards)
return {'made'}
