"""One run in several processes: an owner, which has the input, the journal and the output, and workers, which ask.

A worker is the ordinary engine with its share of all limits, forked before the run begins. Rows whose prompts are
alike go to the same worker, so that what is done for rows that are alike holds for all of them. Nothing is written by
a worker but the cache: answers go to the owner, which puts each into the journal before anything is made of it.
"""
