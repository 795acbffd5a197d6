"""Flax Linen modules: the BERT encoder and its heads."""
