-- What a step comes to, if the job is as it was when the step began. ARGV: token, revision, job, shards, event or ''.
if redis.call('EXISTS', key('did', ARGV[1])) == 1 then return 1 end
local job = cjson.decode(ARGV[3])
local before = redis.call('HMGET', key('job', job.id), 'revision', 'state')
if before[1] ~= ARGV[2] then return 0 end
done_before(ARGV[1])
write_job(job, before[2])
write_shards(job, cjson.decode(ARGV[4]))
if ENDED[job.state] and not ENDED[before[2]] then withdraw_all(job.owner, job.id) end
if ARGV[5] ~= '' then announce(cjson.decode(ARGV[5])) end
return 1
