"""The report: what was counted, in JSON and in words."""

import json
from collections import Counter

import pytest
from crystals import run, write_strings

from cloud_jax.datasets.embedded import EmbeddedSource
from cloud_jax.preprocess import command
from cloud_jax.preprocess.report import make_report, report_text
from cloud_jax.scope import build_vocabulary

VOCABULARY = build_vocabulary("canonical")
ID = {token: i for i, token in enumerate(VOCABULARY.tokens)}
SOURCES = [EmbeddedSource("cod"), EmbeddedSource("test", reserved=True)]
COUNTS = Counter(
    {
        ("read", 0): 110,
        ("read", 1): 7,
        ("rejected", 0, "too_long"): 2,
        ("rejected", 0, "disordered"): 3,
        ("rejected", 0, "excluded"): 4,
        ("reserved", 0): 6,
        ("reserved", 1): 7,
        ("merged", 0, 0): 4,
        ("kept", 0): 100,
        ("split", "train"): 80,
        ("split", "validation"): 20,
        ("space_group", 0, 225): 51,
        ("space_group", 0, 194): 9,
        ("space_group", 0, 195): 10,
        ("space_group", 0, 14): 30,
        ("n_atoms", 2): 60,
        ("n_atoms", 12): 40,
        ("n_tokens", "train", 21): 50,
        ("n_tokens", "train", 30): 30,
        ("n_tokens", "validation", 21): 20,
        ("token", ID["[CLS]"]): 100,
        ("token", ID["matrix:n"]): 51,
        ("token", ID["wyckoff:4a"]): 80,
        ("token", ID["element:O"]): 100,
        ("token", ID["element:Ti"]): 60,
        ("token", ID["count:2"]): 60,
    }
)
REJECTS = """id,source,stage,code,message
cod/7,cod,read,excluded,named in exclude_ids
cod/9,cod,encode,disordered,"site 3, half full"
cod/8,cod,encode,disordered,site 1
cod/3,cod,tokenise,too_long,"found 200 tokens, expected at most 128"
cod/1,cod,select,reserved,equals a crystal of a reserved source
"""


@pytest.fixture
def report(tmp_path):
    (tmp_path / "rejects.csv").write_text(REJECTS)
    return make_report(COUNTS, SOURCES, VOCABULARY, tmp_path / "rejects.csv")


def test_each_crystal_of_a_source_has_one_fate(report):
    cod, test = report["sources"]
    fates = ("n_rejected", "n_reserved", "n_duplicates", "n_kept")
    assert [cod[fate] for fate in fates] == [5, 6, 4, 100]
    assert cod["n_read"] == sum(cod[fate] for fate in fates) == 115
    assert cod["n_excluded"] == 4
    assert test["n_read"] == test["n_reserved"] == 7
    assert cod["reasons"] == {"disordered": 3, "too_long": 2}
    assert cod["merged_into"] == {"cod": 4}


def test_each_reason_has_its_first_example_and_exclusions_are_none(report):
    assert report["reasons"] == [
        {
            "code": "disordered",
            "count": 3,
            "id": "cod/9",
            "message": "site 3, half full",
        },
        {
            "code": "too_long",
            "count": 2,
            "id": "cod/3",
            "message": "found 200 tokens, expected at most 128",
        },
    ]


def test_groups_194_and_195_are_of_two_crystal_systems(report):
    systems = {name: n for name, n in report["crystal_systems"].items() if n}
    assert systems == {"monoclinic": 30, "hexagonal": 9, "cubic": 61}
    assert report["space_groups"][0] == {
        "number": 14,
        "symbol": "P2_1/c",
        "records": 30,
    }
    assert [group["number"] for group in report["space_groups"]] == [14, 194, 195, 225]


def test_quantiles_are_of_crystals_not_of_lengths(report):
    entry = report["tokens_a_crystal"]
    numbers = ("min", "median", "mean", "percentile_95", "max")
    assert [entry[name] for name in numbers] == [21, 21, 23.7, 30, 30]
    assert report["splits"]["train"]["tokens"] == 50 * 21 + 30 * 30
    assert report["splits"]["validation"]["lengths"] == {"values": [21], "counts": [20]}
    assert report["primitive_cell_atoms"]["median"] == 2


def test_special_tokens_are_no_words_of_the_vocabulary(report):
    words = report["vocabulary"]
    assert words["used"] == 5
    assert words["total"] == len(VOCABULARY) - 5
    assert words["roles"]["elements"] == {"used": 2, "total": 103}
    assert words["roles"]["generators"]["used"] == 1
    assert "element:H" in words["unused"]
    assert not {"element:O", "[CLS]", "[PAD]"} & {*words["unused"]}


def test_the_text_says_what_the_json_says(report):
    text = report_text(json.loads(json.dumps(report)))
    for line in (
        "100 crystals kept of 122 read (82.0 %), canonical dialect",
        "  cod  " + "".join(f"{n:>12}" for n in (115, 5, 4, 6, 4, 100)),
        "  kept out with all that equal its crystals: test",
        "           3  disordered",
        "              cod/9: site 3, half full",
        "           4  cod into itself",
        "  hexagonal              9    9.0 %  #####",
        "    Fm-3m 51.0 %, P2_1/c 30.0 %, P23 10.0 %, P6_3/mmc 9.0 %",
        "  tokens, [CLS] and [SEP] too       21       21     23.7       30       30",
        "  elements            2 of  103",
    ):
        assert line in text.splitlines()
    assert max(map(len, text.splitlines())) <= 88


def test_of_many_pairs_of_sources_the_rest_is_added_up(report):
    report["sources"][0]["merged_into"] = {f"s{i}": 100 - i for i in range(20)}
    lines = report_text(report).splitlines()
    assert "         100  cod into s0" in lines
    assert f"{sum(range(81, 89)):>12,}  in 8 other pairs of sources" in lines


def test_a_dataset_has_its_report_and_a_lost_page_is_drawn_again(tmp_path, capsys):
    words = (f"strings:{write_strings(tmp_path / 's.csv')}", "--dialect", "paper")
    output = tmp_path / "out"
    assert run(output, *words, page=True) == 0
    text = (output / "report.txt").read_text()
    assert "132 crystals kept of 132 read (100.0 %), paper dialect" in text
    assert "not known            132  100.0 %" in text
    page = (output / "report.png").read_bytes()
    (output / "report.png").unlink()
    assert run(output, *words, page=True) == 0
    assert (output / "report.png").read_bytes() == page
    assert "warning" not in capsys.readouterr().err


def test_a_page_that_cannot_be_drawn_costs_no_dataset(tmp_path, capsys):
    command.draw({}, tmp_path / "report.png")
    assert "was not drawn (KeyError: 'sources')" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
