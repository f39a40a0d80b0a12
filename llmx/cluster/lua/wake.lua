-- Wake workers that sleep. ARGV: how many shards wait.
for _ = 1, math.min(100, tonumber(ARGV[1])) do redis.call('RPUSH', key('wake'), 1) end
redis.call('LTRIM', key('wake'), -100, -1)
