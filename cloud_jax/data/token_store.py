"""A prepared dataset as one flat array of tokens in memory.

The corpus is small (6.3 million crystals are about 0.4 GB as uint16), so a split is one
memory-mapped array and the offsets of its crystals. The array is made from the TFRecord
shards at the first opening and kept beside them, with hashes; shards and cache are
verified at every opening.
"""

import hashlib
import json
import os
import shutil
import sys
import uuid
from array import array
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Int, UInt8, UInt16

from cloud_jax.files import file_sha256
from cloud_jax.progress import progress
from cloud_jax.scope.vocabulary import Vocabulary
from cloud_jax.scope.vocabulary_file import load_vocabulary
from cloud_jax.tfrecord import example_class, read_records

FORMAT, VERSION = "cloud_jax.dataset", 1
_AGAIN = "prepare the dataset again with `cloud-jax preprocess`"
_ARRAYS = ("tokens", "offsets", "id_text", "id_offsets")
_HASHES = "sha256.json"  # of the files of a cache folder


class DatasetError(ValueError):
    """A dataset folder that is incomplete, changed or inconsistent."""


@dataclass(frozen=True, eq=False)
class Strings:
    """Many strings in two arrays: indexable, and as small as their text.

    Attributes:
        text: the UTF-8 bytes of all strings.
        offsets: where each string begins, and the end of the last.
    """

    text: UInt8[np.ndarray, " bytes"]
    offsets: Int[np.ndarray, " N+1"]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:
        index = range(len(self))[index]
        return bytes(self.text[self.offsets[index] : self.offsets[index + 1]]).decode()


@dataclass(frozen=True, eq=False)
class TokenStore:
    """The crystals of one split.

    Attributes:
        tokens: ids of all crystals, end to end, with [CLS] and [SEP].
        offsets: where each crystal begins in `tokens`, and the end of the last.
        ids: name of each crystal.
        vocabulary: of the token ids.
        manifest: content of manifest.json.
    """

    tokens: UInt16[np.ndarray, " tokens"]
    offsets: Int[np.ndarray, " N+1"]
    ids: Strings
    vocabulary: Vocabulary
    manifest: dict

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> Int[np.ndarray, " N"]:
        """Number of tokens of each crystal, [CLS] and [SEP] included."""
        return np.diff(self.offsets)

    @classmethod
    def open(cls, dataset_dir: str | os.PathLike, split: str) -> "TokenStore":
        """Verify a dataset and open one of its splits.

        Raises:
            DatasetError: no dataset there, or one whose manifest, vocabulary and
                shards do not agree; the message names the file and what to do.
        """
        folder = Path(dataset_dir)
        manifest, key = _read_manifest(folder)
        vocabulary = _read_vocabulary(folder, manifest)
        if split not in manifest["splits"]:
            raise DatasetError(
                f"{folder}/manifest.json: there is no split {split!r}; it has "
                f"{sorted(manifest['splits'])}"
            )
        entry = manifest["splits"][split]
        for shard in entry["shards"]:
            _verify(folder / shard["file"], shard["sha256"])
        cache = folder / "cache" / f"{split}-{key[:16]}"
        if (arrays := _read_cache(cache)) is None:
            arrays = _read_shards(folder, entry, len(vocabulary))
            _write_cache(cache, arrays)
            arrays = _read_cache(cache) or arrays
        ids = Strings(arrays["id_text"], arrays["id_offsets"])
        return cls(arrays["tokens"], arrays["offsets"], ids, vocabulary, manifest)


def _read_manifest(folder: Path) -> tuple[dict, str]:
    """Return the manifest and the SHA-256 of its bytes."""
    path = folder / "manifest.json"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DatasetError(
            f"{path} does not exist: {folder} is not a dataset, or its preparation was "
            f"interrupted (the manifest is written last); {_AGAIN}"
        ) from None
    try:
        manifest = json.loads(data)
        found = (manifest["format"], manifest["version"])
        fields = ("dialect", "vocabulary", "splits")
        missing = [field for field in fields if field not in manifest]
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: not a dataset manifest ({error!r}); {_AGAIN}"
        ) from error
    if found != (FORMAT, VERSION) or missing:
        raise DatasetError(
            f"{path}: found format {found[0]!r} version {found[1]!r}, missing fields "
            f"{missing}; this program reads {FORMAT!r} version {VERSION}: {_AGAIN}"
        )
    return manifest, hashlib.sha256(data).hexdigest()


def _read_vocabulary(folder: Path, manifest: dict) -> Vocabulary:
    """Return the dataset's vocabulary if it is the one the manifest states."""
    stated = manifest["vocabulary"]
    path = folder / stated["file"]
    try:
        vocabulary = load_vocabulary(path)
    except (FileNotFoundError, ValueError) as error:
        raise DatasetError(str(error)) from error
    for field, found, expected in (
        ("dialect", vocabulary.dialect, manifest["dialect"]),
        ("sha256", vocabulary.sha256, stated["sha256"]),
        ("size", len(vocabulary), stated["size"]),
    ):
        if found != expected:
            raise DatasetError(
                f"{path}: its {field} is {found!r}, but {folder}/manifest.json states "
                f"{expected!r}; the files are of different datasets: {_AGAIN}"
            )
    return vocabulary


def _verify(path: Path, expected: str) -> None:
    """Raise DatasetError unless the file is there and has the SHA-256."""
    try:
        digest = file_sha256(path)
    except FileNotFoundError:
        raise DatasetError(
            f"{path} does not exist, but the manifest lists it; copy the whole "
            f"dataset, or {_AGAIN}"
        ) from None
    if digest != expected:
        raise DatasetError(
            f"{path}: SHA-256 is {digest}, the manifest states {expected}; "
            f"the shard was changed or damaged: copy it anew, or {_AGAIN}"
        )


def _read_shards(folder: Path, entry: dict, vocab_size: int) -> dict[str, np.ndarray]:
    """Return the arrays of a store, decoded from the shards of a split in order."""
    example = example_class()
    tokens, lengths, ids = array("H"), array("I"), []
    total = entry["n_records"]
    large = total > 100_000  # half a second
    with progress("reading shards", total=total, unit="crystals", show=large) as bar:
        for shard in entry["shards"]:
            before = len(ids)
            for record in read_records(folder / shard["file"]):
                feature = example.FromString(record).features.feature
                values = feature["tokens"].int64_list.value
                tokens.extend(values)
                lengths.append(len(values))
                ids.append(feature["id"].bytes_list.value[0])
            if len(ids) - before != shard["n_records"]:
                raise DatasetError(
                    f"{folder / shard['file']}: found {len(ids) - before} records, the "
                    f"manifest states {shard['n_records']}; {_AGAIN}"
                )
            bar.update(shard["n_records"])
    flat = np.array(tokens, np.uint16)
    if len(flat) and flat.max() >= vocab_size:
        raise DatasetError(
            f"{folder}: a shard holds token id {flat.max()}, but the vocabulary has "
            f"{vocab_size} tokens; {_AGAIN}"
        )
    return {
        "tokens": flat,
        "offsets": _offsets(lengths),
        "id_text": np.frombuffer(b"".join(ids), np.uint8),
        "id_offsets": _offsets([len(name) for name in ids]),
    }


def _offsets(lengths) -> Int[np.ndarray, " N+1"]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def _read_cache(cache: Path) -> dict[str, np.ndarray] | None:
    """Map the arrays of a cache folder; remove a damaged one and return None."""
    if not cache.is_dir():
        return None
    try:
        hashes = json.loads((cache / _HASHES).read_text())
        if hashes == {name: file_sha256(cache / f"{name}.npy") for name in _ARRAYS}:
            return {n: np.load(cache / f"{n}.npy", mmap_mode="r") for n in _ARRAYS}
    except (OSError, ValueError):
        pass
    print(f"note: {cache} is damaged; it is made again", file=sys.stderr)
    shutil.rmtree(cache, ignore_errors=True)
    return None


def _write_cache(cache: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write the arrays and their hashes into a folder, whole or not at all.

    On a read-only or full disk nothing is written, and the arrays are used from memory.
    """
    partial = cache.with_name(f"{cache.name}.{uuid.uuid4().hex}.partial")
    try:
        partial.mkdir(parents=True)
        hashes = {}
        for name, values in arrays.items():
            with (partial / f"{name}.npy").open("wb") as file:
                np.save(file, values)
                _sync(file)
            hashes[name] = file_sha256(partial / f"{name}.npy")
        with (partial / _HASHES).open("w") as file:
            json.dump(hashes, file)
            _sync(file)
        os.replace(partial, cache)
    except OSError:  # no room, or another process was faster with the same arrays
        shutil.rmtree(partial, ignore_errors=True)


def _sync(file: IO) -> None:
    """Force a file's content onto the disk, so that a rename cannot come before it."""
    file.flush()
    os.fsync(file.fileno())
