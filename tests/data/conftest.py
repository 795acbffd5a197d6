"""A prepared dataset and its opened training split."""

import pytest
from tiny_dataset import make_crystals, write_dataset

from cloud_jax.data.token_store import TokenStore


@pytest.fixture(scope="session")
def crystals():
    return make_crystals()


@pytest.fixture(scope="session")
def store(tmp_path_factory, crystals):
    folder = tmp_path_factory.mktemp("prepared") / "dataset"
    write_dataset(folder, {"train": crystals, "validation": crystals[:7]})
    return TokenStore.open(folder, "train")
