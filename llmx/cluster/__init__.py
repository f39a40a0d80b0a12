"""What many machines share by Redis: the store of jobs and the queue of shards. Needs the extra `redis`."""
