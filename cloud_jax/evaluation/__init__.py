"""Predictions to numbers and figures; without jax, so that any table can be scored."""
