-- An event that has not arrived. ARGV: event, attempts by now, seconds.
if redis.call('HEXISTS', key('events'), ARGV[1]) == 0 then return end
redis.call('HSET', key('tries'), ARGV[1], ARGV[2])
redis.call('ZADD', key('outbox'), text(clock() + tonumber(ARGV[3])), ARGV[1])
