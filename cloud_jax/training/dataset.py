"""The data set of a run: built where it is missing, checked against the settings.

Another process builds it, so that training loads no pymatgen.
"""

import hashlib
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cloud_jax.cli import Exit, ResumableStop
from cloud_jax.data.token_store import DatasetError, TokenStore


def ensure(
    path: Path, *, build: Sequence[str], dialect: str, timeout_s: int, active: bool
) -> None:
    """Build a data set unless it is there.

    Args:
        path: its folder, relative to the current one.
        build: arguments of `cloud-jax preprocess`, with `{path}` and `{dialect}` to
            fill in; empty if it cannot be built.
        dialect: `canonical` or `paper`.
        timeout_s: seconds that the other processes wait for the first, which builds.
        active: False on all processes but the first.

    Raises:
        DatasetError: it is missing and was not built.
    """
    manifest = path / "manifest.json"
    if manifest.exists():
        return
    if not build:
        raise DatasetError(
            f"there is no data set at {path} (no {manifest}). Make one with "
            "`cloud-jax preprocess`, or give --config.data.path=FOLDER"
        )
    if active:
        arguments = [word.format(path=str(path), dialect=dialect) for word in build]
        words = " ".join(arguments)
        print(f"building {path}: cloud-jax preprocess {words}", flush=True)
        command = [sys.executable, "-m", "cloud_jax.preprocess", *arguments]
        try:
            code = subprocess.run(command).returncode
        except KeyboardInterrupt as stop:
            raise ResumableStop from stop  # preprocessing keeps its work and said so
        if code == Exit.RESUMABLE:
            raise ResumableStop
        if code or not manifest.exists():
            raise DatasetError(f"building {path} failed, see above")
    deadline = time.monotonic() + timeout_s
    while not manifest.exists():
        if time.monotonic() > deadline:
            raise DatasetError(
                f"{manifest} did not appear within {timeout_s} s; is the folder on a "
                "file system that all hosts share?"
            )
        time.sleep(1)


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
