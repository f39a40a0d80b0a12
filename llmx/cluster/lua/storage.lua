-- The folder that the jobs' files are in: the first that was told. ARGV: the one that is told now, '' for none.
if ARGV[1] ~= '' then redis.call('SET', key('storage'), ARGV[1], 'NX') end
return redis.call('GET', key('storage'))
