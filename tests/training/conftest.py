"""The tiny data set that the tests of training share."""

import pytest
from synthetic_dataset import write_dataset

from cloud_jax.data.token_store import TokenStore


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("training") / "dataset")


@pytest.fixture(scope="session")
def stores(dataset):
    return tuple(TokenStore.open(dataset, split) for split in ("train", "validation"))
