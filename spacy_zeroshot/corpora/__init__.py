"""Files in and out: a corpus is read, cut into shards, scored, and written so that a kill loses at most a shard."""
