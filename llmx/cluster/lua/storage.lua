-- The folder that the jobs' files are in: the first that was told. ARGV: the one that is told now.
redis.call('SET', key('storage'), ARGV[1], 'NX')
return redis.call('GET', key('storage'))
