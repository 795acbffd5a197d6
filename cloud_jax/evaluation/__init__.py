"""Predictions to numbers and figures; never jax, so that any file can be judged."""
