"""The data set of a run: built where it is missing, checked against the settings.

Another process builds it, so that training loads no pymatgen.
"""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cloud_jax.arguments import command_line
from cloud_jax.cli import Exit, ResumableStop
from cloud_jax.data.token_store import DatasetError, TokenStore
from cloud_jax.training import processes


def ensure(path: Path, *, build: Sequence[str], dialect: str, active: bool) -> None:
    """Build a data set unless it is there.

    Args:
        path: its folder, relative to the current one.
        build: arguments of `cloud-jax preprocess`, with `{path}` and `{dialect}` to
            fill in; empty if it cannot be built.
        dialect: `canonical` or `paper`.
        active: False on all processes but the first, which builds; they wait for it.

    Raises:
        DatasetError: it is missing and was not built.
    """
    manifest = path / "manifest.json"
    if not active:
        processes.hear("data set")
        if not processes.appears(manifest):
            raise DatasetError(
                f"there is no {manifest} here, but there is where process 0 runs: put "
                "the data set on a file system that all processes share"
            )
        return
    if not manifest.exists():
        make(path, build=build, dialect=dialect)
    processes.tell("data set", "complete")


def make(path: Path, *, build: Sequence[str], dialect: str) -> None:
    """Build a data set in another process.

    Raises:
        DatasetError: it cannot be built.
        ResumableStop: a signal stopped the other process, which keeps its work.
    """
    manifest = path / "manifest.json"
    if not build:
        raise DatasetError(
            f"there is no data set at {path} (no {manifest}). Make one with "
            "`cloud-jax preprocess`, or give --config.data.path=FOLDER"
        )
    arguments = [word.format(path=str(path), dialect=dialect) for word in build]
    words = command_line(["cloud-jax", "preprocess", *arguments])
    print(f"building {path}: {words}", flush=True)
    command = [sys.executable, "-m", "cloud_jax.preprocess", *arguments]
    try:
        code = subprocess.run(command).returncode
    except KeyboardInterrupt as stop:
        raise ResumableStop from stop  # preprocessing keeps its work and said so
    if code == Exit.RESUMABLE:
        raise ResumableStop
    if code or not manifest.exists():
        raise DatasetError(f"building {path} failed, see above")


def open_splits(
    path: Path, *, dialect: str, row_length: int
) -> tuple[TokenStore, TokenStore, dict[str, str]]:
    """Return both splits of a data set, and the hashes of its manifest and vocabulary.

    Raises:
        DatasetError: the data set is damaged or in another dialect, a split is empty,
            or a sentence is longer than `row_length` tokens.
    """
    train, validation = (TokenStore.open(path, s) for s in ("train", "validation"))
    manifest = train.manifest
    if manifest["dialect"] != dialect:
        raise DatasetError(
            f"{path} is in the {manifest['dialect']} dialect, the configuration asks "
            f"for {dialect}: give --config.data.dialect={manifest['dialect']}, or "
            "prepare the data set again"
        )
    if manifest["max_tokens"] > row_length:
        raise DatasetError(
            f"{path} holds sentences of up to {manifest['max_tokens']} tokens, which "
            f"do not fit rows of {row_length}: give "
            f"--config.data.row_length={manifest['max_tokens']}"
        )
    for split, store in (("train", train), ("validation", validation)):
        if not len(store):
            raise DatasetError(
                f"{path}: the {split} split holds no crystal; prepare the data set "
                "again with another --validation-fraction, such as 0.2, or more "
                "crystals"
            )
    content = (path / "manifest.json").read_bytes()
    hashes = {
        "dataset": hashlib.sha256(content).hexdigest(),
        "vocabulary": train.vocabulary.sha256,
    }
    return train, validation, hashes
