-- Events whose time has come, each kept from others for a while. ARGV: seconds, how many.
local now, found = clock(), {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('outbox'), '-inf', text(now), 'LIMIT', 0, ARGV[2])) do
  redis.call('ZADD', key('outbox'), text(now + tonumber(ARGV[1])), id)
  found[#found + 1] = {redis.call('HGET', key('events'), id), redis.call('HGET', key('tries'), id) or '0'}
end
return {text(now), found}
