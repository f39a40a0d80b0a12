-- What an idempotency key has made within a day. ARGV: its name.
return redis.call('GET', key('keys', ARGV[1]))
