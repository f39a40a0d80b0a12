"""Jobs: long work in the background, cut into shards that are ordinary runs with journals of their own.

`types` says what a job is, `store` what is known of jobs and who may write that, `queue` who is given which shard, `folder`
where a job's files lie, `splitting` makes shards of rows, `shard` runs one, `worker` takes them one after another,
`results` reads what has come of them. Nothing here knows HTTP, and nothing but the implementations knows where things are kept.
"""
