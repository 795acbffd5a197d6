"""Opening a prepared dataset, and every way in which it can be wrong."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from tiny_dataset import make_crystals, write_dataset

from cloud_jax.data.token_store import DatasetError, TokenStore
from cloud_jax.tfrecord import example_class


@pytest.fixture
def folder(tmp_path):
    crystals = make_crystals([12, 20, 31, 15, 18])
    return write_dataset(tmp_path / "dataset", {"train": crystals, "validation": []})


def edit_manifest(folder, edit):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))


def test_crystals_come_back_as_written(store, crystals):
    assert len(store) == len(crystals)
    assert store.tokens.dtype == np.uint16
    for i in (0, 1, 700, len(crystals) - 1):
        name, tokens = crystals[i]
        assert store.ids[i] == name
        assert store.tokens[store.offsets[i] : store.offsets[i + 1]].tolist() == tokens
    assert store.lengths.tolist() == [len(tokens) for _, tokens in crystals]
    assert [store.ids[-1], len(store.ids)] == [crystals[-1][0], len(crystals)]
    with pytest.raises(IndexError):
        store.ids[len(crystals)]


def test_example_parser_reads_what_tensorflow_writes():
    # tf.train.Example(features={"id": b"mp-1", "tokens": [1, 300, 2]}), serialised by
    # TensorFlow 2.21: a map entry each, packed varints.
    data = bytes.fromhex(
        "0a240a120a06746f6b656e7312081a060a0401ac02020a0e0a02696412080a060a046d702d31"
    )
    feature = example_class().FromString(data).features.feature
    assert feature["id"].bytes_list.value[0] == b"mp-1"
    assert list(feature["tokens"].int64_list.value) == [1, 300, 2]


def test_second_opening_maps_the_cache(folder):
    first = TokenStore.open(folder, "train")
    second = TokenStore.open(folder, "train")
    assert isinstance(second.tokens, np.memmap)
    np.testing.assert_array_equal(first.tokens, second.tokens)
    assert len(list((folder / "cache").iterdir())) == 1


@pytest.mark.parametrize("name", ["tokens.npy", "id_offsets.npy", "sha256.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_cache_is_made_again(folder, capsys, name, damage):
    first = TokenStore.open(folder, "train")
    expected = first.tokens.tolist(), list(first.ids)
    (cached,) = (folder / "cache").glob(f"*/{name}")
    content = cached.read_bytes()
    cached.unlink()  # the file that `first` maps stays as it is
    if damage == "flip":
        cached.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "truncate":
        cached.write_bytes(content[: len(content) // 2])
    for noted in (True, False):
        store = TokenStore.open(folder, "train")
        assert (store.tokens.tolist(), list(store.ids)) == expected
        assert ("is damaged" in capsys.readouterr().err) == noted
    assert cached.read_bytes() == content


def test_an_empty_split_opens(folder):
    for _ in range(2):  # decoded, then from the cache
        assert len(TokenStore.open(folder, "validation")) == 0


def test_a_dataset_where_nothing_can_be_written_is_read_from_memory(folder):
    (folder / "cache").write_text("in the way of the folder")
    store = TokenStore.open(folder, "train")
    assert len(store) == 5
    assert not isinstance(store.tokens, np.memmap)


def test_a_flipped_byte_in_a_shard_is_found_even_after_caching(folder):
    TokenStore.open(folder, "train")
    shard = next(folder.glob("*-train*"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DatasetError, match=rf"{shard.name}.*changed or damaged"):
        TokenStore.open(folder, "train")


def test_missing_shard(folder):
    shard = next(folder.glob("*-train*"))
    shard.unlink()
    with pytest.raises(DatasetError, match=rf"{shard.name} does not exist"):
        TokenStore.open(folder, "train")


def test_missing_manifest_and_missing_split(folder):
    with pytest.raises(DatasetError, match=r"no split 'test'.*train.*validation"):
        TokenStore.open(folder, "test")
    (folder / "manifest.json").unlink()
    with pytest.raises(DatasetError, match=r"manifest.json does not exist"):
        TokenStore.open(folder, "train")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": "other"}'])
def test_a_file_that_is_not_a_manifest(folder, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(DatasetError, match=r"not a dataset manifest"):
        TokenStore.open(folder, "train")


def test_manifest_of_another_version(folder):
    edit_manifest(folder, lambda manifest: manifest.update(version=2))
    with pytest.raises(DatasetError, match=r"version 2.*reads.*version 1"):
        TokenStore.open(folder, "train")


@pytest.mark.parametrize(
    ("field", "edit"),
    [
        ("dialect", lambda manifest: manifest.update(dialect="paper")),
        ("sha256", lambda manifest: manifest["vocabulary"].update(sha256="0" * 64)),
        ("size", lambda manifest: manifest["vocabulary"].update(size=7)),
    ],
)
def test_a_vocabulary_other_than_the_manifest_states(folder, field, edit):
    edit_manifest(folder, edit)
    with pytest.raises(DatasetError, match=rf"vocabulary.json: its {field} is"):
        TokenStore.open(folder, "train")


def test_changed_vocabulary_file(folder):
    path = folder / "vocabulary.json"
    path.write_text(path.read_text().replace("count:7", "count:777"))
    with pytest.raises(DatasetError, match=r"vocabulary.json.*hash"):
        TokenStore.open(folder, "train")
    path.unlink()
    with pytest.raises(DatasetError, match=r"vocabulary.json"):
        TokenStore.open(folder, "train")


def test_record_count_and_token_ids_must_fit(folder):
    def more(manifest):
        manifest["splits"]["train"]["shards"][0]["n_records"] += 1

    edit_manifest(folder, more)
    with pytest.raises(DatasetError, match=r"found 2 records, the manifest states 3"):
        TokenStore.open(folder, "train")
    write_dataset(folder, {"train": [("a", [1, 100, 2])]})
    with pytest.raises(DatasetError, match=r"token id 100.*has 100 tokens"):
        TokenStore.open(folder, "train")


def test_truncated_shard_with_a_matching_hash(folder):
    shard = sorted(folder.glob("*-train*"))[0]
    shard.write_bytes(shard.read_bytes()[:-3])

    def accept(manifest):
        digest = hashlib.sha256(shard.read_bytes()).hexdigest()
        manifest["splits"]["train"]["shards"][0]["sha256"] = digest

    edit_manifest(folder, accept)
    with pytest.raises(ValueError, match=r"truncated"):
        TokenStore.open(folder, "train")


def test_data_imports_neither_tensorflow_nor_pymatgen():
    code = (
        "import sys, cloud_jax.data.batches, cloud_jax.data.prefetch;"
        "print([m for m in ('tensorflow', 'pymatgen', 'spglib', 'flax', 'optax',"
        " 'orbax') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
