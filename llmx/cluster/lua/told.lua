-- An event that has arrived, or was given up. ARGV: event.
redis.call('ZREM', key('outbox'), ARGV[1])
redis.call('HDEL', key('events'), ARGV[1])
redis.call('HDEL', key('tries'), ARGV[1])
