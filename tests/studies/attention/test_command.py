import csv
import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from property_model import write_model

import cloud_jax
from cloud_jax.datasets.embedded import EmbeddedSource
from cloud_jax.files import lock
from cloud_jax.import_hf import main as import_hf
from cloud_jax.models.cls_attention import attention_by_head
from cloud_jax.models.folder import load_model
from cloud_jax.studies.attention.cls_attention import mean_attention
from cloud_jax.studies.attention.command import main
from cloud_jax.studies.attention.sentences import Sentence

ROOT = Path(__file__).resolve().parents[3]
ENCODER = Path(cloud_jax.__file__).parent / "weights" / "encoder"
GOLDEN = ROOT / "tests/models/golden/bert_tiny"
OF_SPACE_GROUPS = {"inversion", "generators", "matrix", "translation", "origin"}
SALT = "1 6 a O D D a D O D b O O O c O O O d O O O e O O O 0 | "
CANONICAL = SALT + "Na 4a Cl 4b | Na 1 Cl 1"
PAPER = SALT + "4a 4b | Na 0.5 Cl 0.5"
N_CRYSTALS = 16


pytestmark = pytest.mark.usefixtures("compile_quickly")


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """Some embedded crystals and one that is none, as a table."""
    path = tmp_path_factory.mktemp("table") / "some.jsonl"
    rows = [
        {"id": item.id, "structure": item.payload}
        for item in islice(EmbeddedSource("embedded").items(), N_CRYSTALS)
    ]
    rows.append({"id": "none", "structure": "data_x"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"table:{path}"


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def attend(checkpoint, *words):
    return main(["--checkpoint", str(checkpoint), *map(str, words)])


def test_a_set_of_embedded_crystals(embedded, tmp_path, capsys):
    out = tmp_path / "out"
    assert attend(ENCODER, embedded, "--output", out, "--layer", 2) == 0
    found = json.loads((out / "results.json").read_text())
    screen = capsys.readouterr()
    assert "1 of 17 rejected" in screen.err
    assert [r["id"] for r in read(out / "rejects.csv")] == ["none"]
    assert (found["kind"], found["crystals"], found["layers"]) == (
        "attention", N_CRYSTALS, 3,
    )  # fmt: skip
    rows = read(out / "tokens.csv")
    columns = {"special_counted": "top_tokens"}
    columns["special_left_out"] = "top_tokens_without_special"
    for way, column in columns.items():
        tops = [row[column].split("; ") for row in rows]
        hits = [[t.partition(":")[0] in OF_SPACE_GROUPS for t in top] for top in tops]
        layer = found["measured"][way]["layers"][1]
        for test in layer["top"]:
            first = np.array(hits)[:, : test["k"]]
            assert test["p1"]["value"] == pytest.approx(first.any(axis=1).mean())
            assert test["p2"]["value"] == pytest.approx(first.mean())
        assert "The paper's finding " in screen.out
    shares = [float(row["space_group_attention"]) for row in rows]
    mass = found["measured"]["special_counted"]["layers"][1]["mass"]
    assert np.mean(shares) == pytest.approx(mass, abs=1e-4)
    (figure,) = found["figures"]
    assert (out / figure["file"]).stat().st_size > 10_000


def test_one_ready_sentence_of_an_imported_model_becomes_a_heat_map(tmp_path, capsys):
    """Its vocabulary has no roles; the bars say where the space group ends."""
    import_hf([str(GOLDEN), "--output", str(tmp_path / "model")])
    table = tmp_path / "salt.csv"
    table.write_text(f"sentence\n{PAPER}\n")
    out = tmp_path / "out"
    assert attend(tmp_path / "model", f"strings:{table}", "--output", out) == 0
    found = json.loads((out / "results.json").read_text())
    assert found["sentence"] == PAPER
    assert "measured" not in found
    assert len(found["strongest"][0]) == 3
    (row,) = read(out / "tokens.csv")
    assert row["space_group_tokens"] == str(len(SALT.split()) - 1)
    assert (out / "attention.png").stat().st_size > 10_000
    assert PAPER in capsys.readouterr().out


@pytest.mark.parametrize("member", [0, 1])
def test_a_member_of_an_ensemble_and_what_its_tokens_are(tmp_path, member):
    model = load_model(write_model(tmp_path / "m"))
    other = CANONICAL.replace("Cl 1", "Cl 2").replace("Cl 4b", "Cl 4b Cl 8c")
    sentences = [Sentence(t, t, model.vocabulary.encode(t)) for t in (CANONICAL, other)]
    attention = mean_attention(model, sentences, member=member)
    weights = attention_by_head(model, [s.tokens for s in sentences], member=member)
    for i, sentence in enumerate(sentences):
        n = len(sentence.tokens)
        assert weights[i].shape == (2, 2, n)
        np.testing.assert_allclose(weights[i].sum(axis=-1), 1, atol=1e-5)
        np.testing.assert_allclose(attention.scores[i, :, :n], weights[i].mean(axis=1))
        names = [model.vocabulary.tokens[token] for token in sentence.tokens]
        roles = [name.partition(":")[0] for name in names]
        assert attention.is_space_group[i, :n].tolist() == [
            r in OF_SPACE_GROUPS for r in roles
        ]
        assert attention.is_special[i, :n].tolist() == [
            r in ("|", "[SEP]") for r in roles
        ]
        assert attention.is_token[i, :n].tolist() == [False, *[True] * (n - 1)]
        assert not attention.is_token[i, n:].any()
    (otherwise,) = attention_by_head(model, [sentences[0].tokens], member=1 - member)
    assert np.abs(otherwise - weights[0]).max() > 1e-3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.cif", "--layer", "4"], "--layer 4: "),
        (["a.cif", "--member", "2"], "there is no member 2, the model has 1"),
        (["table:gone.csv"], "found no file gone.csv"),
        (["gone.toml"], "gone.toml: cannot be read as TOML"),
    ],
)
def test_what_is_to_correct_is_said(words, message, tmp_path, capsys):
    assert attend(ENCODER, *words, "--output", tmp_path / "out") == 1
    assert message in capsys.readouterr().err


def test_nothing_read_and_no_model_are_failures(tmp_path, capsys):
    table = tmp_path / "x.csv"
    table.write_text("sentence\n1 2 3\n" + f"{SALT} Na 4a | Na 1 {'Cl 1 ' * 60}\n")
    out = tmp_path / "out"
    words = [f"strings:{table}", tmp_path / "gone.cif", "--output", out]
    out.mkdir()
    (out / "results.json").write_text('{"kind": "attention"}')
    assert attend(ENCODER, *words) == 1
    printed = capsys.readouterr().err
    assert "3 of 3 rejected\n" in printed
    places = [
        printed.index(f": {c}: ") for c in ("not_found", "vocabulary", "too_long")
    ]
    assert places == sorted(places)
    assert [path.name for path in out.iterdir() if path.name != ".lock"] == [
        "results.json"
    ], "what an earlier run found is still there"
    with lock(out):
        assert attend(ENCODER, *words) == 1
    assert "another run is writing it" in capsys.readouterr().err
    assert attend(tmp_path, "a.cif", "--output", out) == 1
    assert "is not a model folder" in capsys.readouterr().err


def test_the_folder_of_another_run_is_refused(tmp_path, capsys):
    (tmp_path / "results.json").write_text('{"kind": "discovery"}')
    assert attend(ENCODER, "a.cif", "--output", tmp_path) == 1
    assert "give another folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_slips_on_the_command_line(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["a.cif", "--layer", "0"])
    assert stop.value.code == 2
    assert "found '0', expected 1, 2" in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from cloud_jax.studies.attention.command import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'jax', 'flax', 'pymatgen', 'scipy', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
