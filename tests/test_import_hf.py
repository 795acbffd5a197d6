"""The command that imports released weights (files: models/golden/make_bert.py)."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cloud_jax.import_hf import main
from cloud_jax.models.bert import Encoder
from cloud_jax.models.folder import encoder_config, load_model

GOLDEN = Path(__file__).parent / "models/golden/bert_tiny"


def test_the_model_folder_gives_hugging_faces_states_of_sentences(tmp_path, capsys):
    assert main([str(GOLDEN), "--output", str(tmp_path / "model")]) == 0
    out = capsys.readouterr().out
    assert "219 of 233 embedding rows are kept" in out
    assert "id 0 is [CLS] and also what config.json calls padding" in out

    model = load_model(tmp_path / "model")
    assert model.description["kind"] == "encoder"
    assert model.description["dialect"] == "paper"
    assert model.description["max_tokens"] == 64
    with np.load(GOLDEN / "expected.npz") as golden:
        sentence, hidden = str(golden["sentences"][0]), golden["hidden/2"][0]
    tokens = np.array([model.vocabulary.encode(sentence)])
    found = Encoder(encoder_config(model.description)).apply(
        {"params": model.params["encoder"]},
        tokens,
        np.arange(tokens.shape[1])[None],
        np.ones_like(tokens),
        features=model.vocabulary.features,
        deterministic=True,
    )
    np.testing.assert_allclose(found[0], hidden[: tokens.shape[1]], atol=1e-5)


def test_the_tokenizer_may_lie_elsewhere_and_unspelled_words_are_listed(
    tmp_path, capsys
):
    weights, words = tmp_path / "weights", tmp_path / "words"
    weights.mkdir()
    words.mkdir()
    for name in ("config.json", "pytorch_model.bin"):
        shutil.copy(GOLDEN / name, weights)
    for name in ("vocab.txt", "added_tokens.json", "tokenizer_config.json"):
        shutil.copy(GOLDEN / name, words)
    text = (words / "vocab.txt").read_text().replace("\n##p\n", "\n##@\n")
    (words / "vocab.txt").write_text(text)
    out = tmp_path / "out"
    assert main([str(weights), "--output", str(out), "--tokenizer", str(words)]) == 0
    assert "element:Np" in capsys.readouterr().out
    imported = json.loads((out / "model.json").read_text())["provenance"]
    assert set(imported["imported_from"]) == {"config.json", "pytorch_model.bin"}


@pytest.mark.parametrize("name", ["model.safetensors", "vocab.txt", "config.json"])
def test_a_refusal_writes_nothing_and_never_touches_what_is_there(
    tmp_path, capsys, name
):
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(GOLDEN, source)
    (source / "pytorch_model.bin").unlink()
    (source / name).unlink()
    assert main([str(source), "--output", str(out)]) == 1
    error = capsys.readouterr().err
    assert name in error
    assert "nothing was written" in error
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    assert main([str(GOLDEN), "--output", str(source)]) == 1
    assert "exists: give another name" in capsys.readouterr().err
    assert (source / "expected.npz").exists()


def test_help_is_fast_and_needs_nothing():
    code = (
        "import sys, cloud_jax.import_hf as m\n"
        "try: m.main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'jax', 'numpy', 'pymatgen'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--tokenizer" in done.stdout
