import gzip
import json
from importlib import resources

import pytest


@pytest.fixture(scope="session")
def aflow_prototypes() -> list[dict]:
    """The 288 AFLOW prototypes that pymatgen ships, as pymatgen dictionaries."""
    path = resources.files("pymatgen.analysis") / "prototypes/aflow_prototypes.json.gz"
    return [row["snl"] for row in json.loads(gzip.decompress(path.read_bytes()))]
