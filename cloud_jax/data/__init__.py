"""From token shards to batches: token store, packing, prefetch."""
