"""Formats, layouts and refusals of the importer.

That its parameters give Hugging Face's numbers is tested in test_bert_golden.py.
"""

import io
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cloud_jax.hf.bert import HuggingFaceError, import_bert
from cloud_jax.hf.torch_zip import read_torch_zip

GOLDEN = Path(__file__).parents[1] / "models/golden/bert_tiny"
N_TOKENS = 219
WORDS = "bert.embeddings.word_embeddings.weight"


@pytest.fixture(scope="module")
def expected():
    return import_bert(GOLDEN, n_tokens=N_TOKENS)


@pytest.fixture
def state():
    return load_file(GOLDEN / "model.safetensors")


@pytest.fixture
def folder(tmp_path):
    """A checkpoint whose weights are still to be written."""
    shutil.copy(GOLDEN / "config.json", tmp_path)
    return tmp_path


def assert_equal(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found.params, expected.params)


def repack(path, change):
    """Write a torch zip anew, each entry as `change(name, content)` returns it."""
    source = GOLDEN / "pytorch_model.bin"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.infolist():
            new.writestr(entry.filename, change(entry.filename, old.read(entry)))


def test_both_formats_hold_the_same(expected, folder):
    shutil.copy(GOLDEN / "pytorch_model.bin", folder)
    found = import_bert(folder, n_tokens=N_TOKENS)
    assert found.files[1].name == "pytorch_model.bin"
    assert_equal(found, expected)


def test_rows_beyond_the_tokenizer_are_cut_and_the_notes_say_so(expected, state):
    table = expected.params["encoder"]["token_embedding"]
    assert table.shape == (256, 8)
    np.testing.assert_array_equal(table[:N_TOKENS], state[WORDS][:N_TOKENS])
    assert not table[N_TOKENS:].any()
    assert expected.params["mlm_head"]["bias"].shape == (256,)
    assert "219 of 233 embedding rows" in expected.notes[0]


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards_are_put_together(expected, folder, state, suffix):
    if suffix == "safetensors":
        name, shards = "model.safetensors", ["a.safetensors", "b.safetensors"]
        names = sorted(state)
        halves = names[::2], names[1::2]
        for file, half in zip(shards, halves, strict=True):
            save_file({n: state[n] for n in half}, folder / file)
    else:
        name, shards = "pytorch_model.bin", ["pytorch_model-00001-of-00001.bin"]
        halves = [list(state)]
        shutil.copy(GOLDEN / name, folder / shards[0])
    where = {n: f for f, half in zip(shards, halves, strict=True) for n in half}
    index = folder / f"{name}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    assert_equal(import_bert(folder, n_tokens=N_TOKENS), expected)

    index.write_text(json.dumps({"weight_map": where | {"more": shards[0]}}))
    with pytest.raises(HuggingFaceError, match=f"{shards[0]}: lacks more"):
        import_bert(folder, n_tokens=N_TOKENS)
    (folder / shards[0]).unlink()
    with pytest.raises(HuggingFaceError, match=f"expected {shards[0]}"):
        import_bert(folder, n_tokens=N_TOKENS)
    index.write_text(json.dumps({"weight_map": {"x": "../../secret.bin"}}))
    with pytest.raises(HuggingFaceError, match="weight_map"):
        import_bert(folder, n_tokens=N_TOKENS)


def test_an_encoder_alone_has_no_prefix_and_no_head(expected, folder, state):
    bare = {
        name.removeprefix("bert."): array
        for name, array in state.items()
        if name.startswith("bert.")
    }
    pooler = {"pooler.dense.weight": np.zeros((8, 8), np.float32)}
    positions = {"embeddings.position_ids": np.arange(64)[None]}
    save_file(bare | pooler | positions, folder / "model.safetensors")
    found = import_bert(folder, n_tokens=N_TOKENS)
    assert "mlm_head" not in found.params
    assert any("pooler" in note for note in found.notes)
    encoder = found._replace(params=found.params["encoder"])
    assert_equal(encoder, expected._replace(params=expected.params["encoder"]))


def first_release(name):
    name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
    return name.replace("LayerNorm.bias", "LayerNorm.beta")


@pytest.mark.parametrize(
    "rename",
    [
        first_release,
        lambda name: f"module.{name}",
        lambda name: f"_orig_mod.module.{name}",
        lambda name: f"model.{first_release(name)}",
        lambda name: name.replace("predictions.bias", "predictions.decoder.bias"),
        lambda name: name.replace(WORDS, "cls.predictions.decoder.weight"),
    ],
    ids=["gamma", "module", "compiled", "model_gamma", "decoder_bias", "decoder_words"],
)
def test_other_names_of_the_same_weights_give_the_same_model(
    expected, folder, state, rename
):
    renamed = {rename(name): array for name, array in state.items()}
    assert renamed.keys() != state.keys()
    save_file(renamed, folder / "model.safetensors")
    found = import_bert(folder, n_tokens=N_TOKENS)
    assert_equal(found, expected)
    assert found.notes == expected.notes


def test_a_decoder_bias_that_differs_is_used_and_noted(expected, folder, state):
    bias = state["cls.predictions.bias"]
    state["cls.predictions.decoder.bias"] = bias + 1
    save_file(state, folder / "model.safetensors")
    found = import_bert(folder, n_tokens=N_TOKENS)
    np.testing.assert_array_equal(
        found.params["mlm_head"]["bias"][:N_TOKENS], bias[:N_TOKENS] + 1
    )
    assert "decoder.bias differs from" in found.notes[0]
    encoder = found._replace(params=found.params["encoder"])
    assert_equal(encoder, expected._replace(params=expected.params["encoder"]))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_float_types_become_float32(folder, state, dtype):
    cast = {name: array.astype(dtype) for name, array in state.items()}
    save_file(cast, folder / "model.safetensors")
    table = import_bert(folder, n_tokens=N_TOKENS).params["encoder"]["token_embedding"]
    assert table.dtype == np.float32
    np.testing.assert_array_equal(table[:N_TOKENS], cast[WORDS][:N_TOKENS])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model_type", "roberta", "found 'roberta', expected 'bert'"),
        ("hidden_act", "gelu_new", "found 'gelu_new', expected 'gelu'"),
        ("position_embedding_type", "relative_key", "found .*, expected 'absolute'"),
        ("layer_norm_eps", 1e-5, "found 1e-05, expected 1e-12"),
        ("is_decoder", True, "found True, expected False"),
        ("hidden_size", None, "found None, expected an integer"),
        ("hidden_size", 9, "found 9, expected a multiple of 2"),
        ("num_hidden_layers", "2", "found '2', expected an integer"),
        ("vocab_size", 30, "found 30, expected at least the 219 tokens"),
        ("hidden_dropout_prob", 1.5, "found 1.5, expected"),
    ],
)
def test_what_our_encoder_does_not_do_is_refused(folder, field, value, message):
    shutil.copy(GOLDEN / "model.safetensors", folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(HuggingFaceError, match=f"field {field}: {message}") as caught:
        import_bert(folder, n_tokens=N_TOKENS)
    assert str(path) in str(caught.value)


def drop(state, name):
    del state[name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: drop(s, WORDS), f"{WORDS}: not among"),
        (
            lambda s: drop(s, "cls.predictions.transform.dense.bias"),
            r"transform.dense.bias: not among .* shape \[8\]",
        ),
        (lambda s: s.update({WORDS: s[WORDS][:9]}), r"shape \[9, 8\], .*\[233, 8\]"),
        (lambda s: s.update({WORDS: s[WORDS] * np.inf}), "NaN or infinite"),
        (
            lambda s: s.update({"bert.encoder.layer.2.x": s[WORDS]}),
            "a BERT of 2 layers does not have.*layer.2.x",
        ),
        (
            lambda s: s.update({"cls.predictions.decoder.weight": s[WORDS] + 1}),
            "expected the same",
        ),
        (
            lambda s: s.update({f"module.{WORDS}": s[WORDS]}),
            f"weight module.{WORDS}: found {WORDS} too",
        ),
        (
            lambda s: s.update({"cls.predictions.decoder.scale": s[WORDS]}),
            "does not have.*decoder.scale",
        ),
        (lambda s: drop(s, "cls.predictions.bias"), "predictions.bias: not among"),
    ],
)
def test_weights_that_do_not_fit_are_named(folder, state, change, message):
    change(state)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(HuggingFaceError, match=message) as caught:
        import_bert(folder, n_tokens=N_TOKENS)
    assert str(folder / "model.safetensors") in str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("kept", [0, 100, 20_000])
def test_a_truncated_file_is_named(folder, name, kept):
    (folder / name).write_bytes((GOLDEN / name).read_bytes()[:kept])
    with pytest.raises(HuggingFaceError, match=name):
        import_bert(folder, n_tokens=N_TOKENS)


def test_missing_files_are_named_with_what_was_found(folder):
    with pytest.raises(HuggingFaceError, match=r"found config.json; expected model.s"):
        import_bert(folder, n_tokens=N_TOKENS)
    (folder / "config.json").unlink()
    with pytest.raises(HuggingFaceError, match=r"an empty folder; expected config"):
        import_bert(folder, n_tokens=N_TOKENS)
    with pytest.raises(HuggingFaceError, match=r"does not exist; expected config"):
        import_bert(folder / "none", n_tokens=N_TOKENS)


class Hostile:
    """Its pickle makes a folder when it is loaded."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("call", [os.mkdir, exec])
def test_a_hostile_pickle_does_not_run(folder, protocol, call):
    mark = folder / "ran"
    code = f"import os; os.mkdir({str(mark)!r})"
    argument = code if call is exec else str(mark)
    hostile = pickle.dumps({"weight": Hostile(call, argument)}, protocol)
    pickle.loads(hostile)
    assert mark.exists()  # it would have
    mark.rmdir()

    path = folder / "pytorch_model.bin"
    repack(path, lambda name, old: hostile if name.endswith("data.pkl") else old)
    with pytest.raises(HuggingFaceError, match=r"it asks for .*(mkdir|exec)"):
        import_bert(folder, n_tokens=N_TOKENS)
    assert not mark.exists()

    path.write_bytes(hostile)  # the format before zip
    with pytest.raises(HuggingFaceError, match="not a zip archive"):
        import_bert(folder, n_tokens=N_TOKENS)
    assert not mark.exists()


def test_torch_names_outside_the_list_are_refused(folder):
    code = b"\x80\x02ctorch.hub\nload\nX\x01\x00\x00\x00a\x85R."
    path = folder / "pytorch_model.bin"
    repack(path, lambda name, old: code if name.endswith("data.pkl") else old)
    with pytest.raises(ValueError, match=r"it asks for torch\.hub\.load"):
        read_torch_zip(path)


def test_a_tensor_beyond_its_storage_is_refused(folder):
    path = folder / "pytorch_model.bin"
    repack(path, lambda name, old: old[:4] if "/data/" in name else old)
    with pytest.raises(ValueError, match=r"pytorch_model.bin: not read \(ValueError"):
        read_torch_zip(path)


def test_a_compressed_entry_is_refused(folder):
    path = folder / "pytorch_model.bin"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}))
    with pytest.raises(ValueError, match="is compressed"):
        read_torch_zip(path)


@pytest.mark.parametrize("content", [[1], {"epoch": 3}, {1: None}])
def test_what_is_not_a_state_dict_is_refused(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps(content))
    with pytest.raises(ValueError, match="expected a"):
        read_torch_zip(file)
