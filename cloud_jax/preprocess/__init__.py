"""Structures to token shards: `cloud-jax preprocess --output DIR SOURCE...`.

Sources yield raw items cheaply in one process, workers parse and encode them
(`scope.pipeline.process`, a pure function of one item), and the results are
deduplicated, split by formula, and written as TFRecord shards with a manifest.
"""
