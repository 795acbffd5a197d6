"""Prepared datasets to batches: token store, packing, prefetch."""
