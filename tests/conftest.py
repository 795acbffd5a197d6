"""Eight CPU devices, chosen before jax is imported by any test; shared crystals."""

import gzip
import json
import os
from importlib import resources

import pytest

os.environ["JAX_PLATFORMS"] = "cpu"
# Tests leave nothing in the home of whoever runs them.
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)


@pytest.fixture(scope="session")
def aflow_prototypes() -> list[dict]:
    """The 288 AFLOW prototypes that pymatgen ships, as pymatgen dictionaries."""
    path = resources.files("pymatgen.analysis") / "prototypes/aflow_prototypes.json.gz"
    return [row["snl"] for row in json.loads(gzip.decompress(path.read_bytes()))]


@pytest.fixture(autouse=True)
def _quiet_ends_with_its_test(monkeypatch):
    monkeypatch.setenv("CLOUD_JAX_QUIET", "")


@pytest.fixture(scope="module")
def compile_quickly():
    """Skip optimisation: most programs of tests run once, and half the time is that."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
