-- One job. ARGV: its id.
return redis.call('HGET', key('job', ARGV[1]), 'document')
