"""The folder of one run: what was asked, where it ran, and what came out."""

import json
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from cloud_jax import __version__
from cloud_jax.training.logging import write_json

PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "ml_collections",
    "tensorboardX",
)


class RunMismatchError(ValueError):
    """The folder belongs to a run with another configuration or other data."""


def open_workdir(
    workdir: Path,
    config: dict[str, Any],
    *,
    differences: Callable[[dict[str, Any], dict[str, Any]], list[str]],
    active: bool,
) -> None:
    """Claim a folder for a run, or check that it is this run's.

    Args:
        workdir: made where it is missing.
        config: what defines the run: its configuration and the hashes of its data.
        differences: lines that say how two of those differ.
        active: False on all processes but the first, which only check.

    Raises:
        RunMismatchError: with the lines that differ.
        ValueError: an object-store address, which cannot hold a growing log.
    """
    if "://" in str(workdir) or ":/" in str(workdir):
        raise ValueError(
            f"workdir {workdir}: must be a folder; mount the bucket (gcsfuse, s3fs) "
            "and give the mounted path"
        )
    path = workdir / "config.json"
    config = json.loads(json.dumps(config))  # tuples become lists, as in the file
    if not path.exists():
        if active:
            workdir.mkdir(parents=True, exist_ok=True)
            write_json(path, config)
        return
    lines = differences(json.loads(path.read_text()), config)
    if lines:
        raise RunMismatchError(
            f"{workdir} holds a run with other settings (there -> here):\n  "
            + "\n  ".join(lines)
            + "\nUse those settings to resume it, or another --workdir for a new run"
        )


def git_commit() -> str | None:
    """Commit of the checkout this runs from, `+changes` if it was edited."""
    root = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=10
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("diff", "HEAD") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def environment(hashes: dict[str, str]) -> dict[str, Any]:
    """Versions, devices, commit and data hashes of this process's run."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "cloud_jax": __version__,
        "commit": git_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "command": sys.argv,
        "versions": versions,
        "processes": jax.process_count(),
        "devices": [device.device_kind for device in jax.devices()],
        "hashes": hashes,
    }
