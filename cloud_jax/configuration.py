"""The former name of `cloud_jax.config`, which configurations of users still import."""

from cloud_jax.config import *  # noqa: F403
