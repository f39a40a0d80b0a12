-- Jobs, the newest first. ARGV: index, the id before which, or '', how many.
local most = ARGV[2] == '' and '+' or '(' .. ARGV[2]
local documents = {}
for _, id in ipairs(redis.call('ZREVRANGEBYLEX', prefix .. ARGV[1], most, '-', 'LIMIT', 0, ARGV[3])) do
  documents[#documents + 1] = redis.call('HGET', key('job', id), 'document')
end
return documents
