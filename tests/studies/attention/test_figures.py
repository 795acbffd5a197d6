"""Figures of attention are read back: what is in them, not how they look."""

import numpy as np
import pytest
from svg import texts

from cloud_jax.studies.attention.figures import heat_map, share_plot
from cloud_jax.studies.attention.statistics import measure

WORDS = ["[CLS]", "0", "2", "|", "Na", "4a", "|", "Na", "$1", "[SEP]"]
PARTS = [("space group", 1, 2), ("Wyckoff", 4, 5), ("composition", 7, 8)]


@pytest.mark.parametrize(("layers", "heads"), [(2, 3), (12, 12)])
def test_a_heat_map_names_tokens_heads_layers_and_parts(tmp_path, layers, heads):
    weights = np.random.default_rng(0).dirichlet(np.ones(10), (layers, heads))
    heat_map(
        tmp_path / "a.svg", weights, WORDS, strongest=[[4, 5, 7]] * layers, marked=1,
        parts=PARTS, title="NaI_$.cif",
    )  # fmt: skip
    expected = {"[CLS]", "4a", "$1", "[SEP]", "head", "attention from [CLS]"}
    expected |= {"1", str(heads), "layer 1", f"layer {layers}", "space group"}
    assert expected | {"Wyckoff", "composition", "NaI_$.cif"} <= texts(
        tmp_path / "a.svg"
    )


def test_shares_have_a_row_of_panels_a_way_and_the_null_beside(tmp_path):
    candidate = np.ones((20, 8), bool)
    space_group = np.tile(np.arange(8) < 5, (20, 1))
    scores = np.random.default_rng(0).random((20, 3, 8))
    found = measure(scores, candidate, space_group, list(range(20)), draws=99)
    share_plot(tmp_path / "a.svg", {"counted": found, "left out": found})
    expected = {"counted", "left out", "k = 1", "k = 3", "by token share", "layer"}
    expected |= {"p1: a space-group token in the top k"}
    assert expected | {"p2: space-group share of the top k"} <= texts(
        tmp_path / "a.svg"
    )
