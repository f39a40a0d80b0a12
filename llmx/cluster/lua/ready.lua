-- Whether this server can be written to.
redis.call('SET', key('ready'), text(clock()))
return 1
