"""The work directory of one run: its settings, its environment, its results."""

import hashlib
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from cloud_jax import __version__
from cloud_jax.config import flatten
from cloud_jax.files import lock, read_json, write_json
from cloud_jax.training.errors import RunMismatchError

COMPUTING = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
PACKAGES = (*COMPUTING, "ml_collections", "tensorboardX")

# Keys that may change when a run resumes: where things are and how often they are
# written, not what is computed. A run knows its data, folds and checkpoint by their
# hashes, wherever they are.
RESUMABLE_KEYS = (
    "benchmark", "checkpoint", "data.build", "data.dataset", "data.folder", "data.path",
    "data.table", "distributed", "evaluate.every_steps", "folds.file", "log",
    "members_at_once", "mesh", "model.checkpoint", "note", "workdir",
)  # fmt: skip

# Settings of earlier versions that this one lacks, at the value that changes nothing.
DROPPED_KEYS = {"model.scan_layers": False}

# Where a run describes a loss that was not finite.
DIVERGED = "nonfinite.json"


def refuse_object_store(workdir: Path) -> None:
    """Raise ValueError for an address that cannot hold a growing log."""
    if "://" in str(workdir) or ":/" in str(workdir):
        raise ValueError(
            f"workdir {workdir}: must be a folder; mount the bucket (gcsfuse, s3fs) "
            "and give the mounted path"
        )


@contextmanager
def claim(workdir: Path, config: dict[str, Any], *, active: bool) -> Iterator[None]:
    """Lock a folder for a run, after checking that it is this run's.

    A run that has saved nothing, stopped by a wrong setting for instance, is replaced
    by one with other settings. One that diverged may resume with a lower learning rate.

    Args:
        workdir: the folder; made if it is missing.
        config: what defines the run: its settings and the hashes of its data.
        active: False on all processes but the first, which rely on it.

    Raises:
        OSError: another process writes the folder, or its config.json is damaged.
        RunMismatchError: with the lines that differ.
    """
    if not active:
        yield
        return
    workdir.mkdir(parents=True, exist_ok=True)
    with lock(workdir):
        path = workdir / "config.json"
        config = json.loads(json.dumps(config))  # tuples become lists, as in the file
        if path.exists() and has_saved(workdir):
            old = read_json(path)
            if lowers_rate(workdir, old, config):
                accept_rate(workdir, old, config)
            elif lines := differences(old, config):
                raise RunMismatchError(
                    f"{workdir} holds a run with other settings (there -> here):\n  "
                    + "\n  ".join(lines)
                    + "\nUse those settings to resume it, or another --workdir for a "
                    "new run"
                )
        else:
            start_over(workdir)
            write_json(path, config)
        yield


def differences(
    old: dict[str, Any], new: dict[str, Any], *, free: Sequence[str] = RESUMABLE_KEYS
) -> list[str]:
    """Return `key: old -> new` for each key that differs and may not.

    A setting that the old ones lack came with a later version of this program. While
    it is empty, it changes nothing.

    Args:
        old: nested settings.
        new: nested settings.
        free: keys, or groups of keys, that may differ.
    """
    old, new = flatten(old), flatten(new)
    for key, value in DROPPED_KEYS.items():
        if old.get(key) == value:
            old.pop(key)
    return [
        f"{key}: {old.get(key, 'absent')} -> {new.get(key, 'absent')}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
        and (key in old or new[key])
        and not f"{key}.".startswith(tuple(f"{word}." for word in free))
    ]


def lowers_rate(workdir: Path, old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Return whether a run that diverged is resumed with just a lower learning rate."""
    if not (workdir / DIVERGED).exists():
        return False
    # It may have passed that step since, by another device for instance.
    passed = read_json(workdir / DIVERGED)["step"] <= max(
        saved_steps(workdir), default=0
    )
    before, rate = (config["optimizer"]["learning_rate"] for config in (old, new))
    return not passed and rate < before and len(differences(old, new)) == 1


def accept_rate(workdir: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Bind a folder to a lower learning rate; keep the report that asked for it."""
    report = read_json(workdir / DIVERGED)
    before, rate = (config["optimizer"]["learning_rate"] for config in (old, new))
    report |= {"learning_rate": before, "lowered_to": rate}
    write_json(workdir / f"nonfinite-{report['step']}.json", report)
    write_json(workdir / "config.json", new)
    (workdir / DIVERGED).unlink()
    print(f"note: {workdir} resumes with the learning rate {rate} instead of {before}")


def way_forward(workdir: Path) -> str:
    """Return what may be done after a loss that was not finite."""
    steps = saved_steps(workdir)
    advice = "Run the same command with a lower --config.optimizer.learning_rate"
    if not steps:
        return f"{advice}. Nothing is saved, so that it begins at step 0"
    earlier = f"step {steps[-2]}" if steps[1:] else "step 0"
    return (
        f"{advice}: it resumes from step {steps[-1]}, which is finite. If that is not "
        f"enough, remove {workdir}/checkpoints/{steps[-1]} to resume from {earlier}"
    )


def saved_steps(workdir: Path) -> list[int]:
    """Return the steps of the complete checkpoints of pretraining, in order."""
    names = [path.name for path in workdir.glob("checkpoints/*")]
    return sorted(int(name) for name in names if name.isdecimal())


def has_saved(workdir: Path) -> bool:
    """Return whether there is a complete checkpoint, or a finished run's results."""
    found = [
        *workdir.glob("checkpoints/*"),
        *workdir.glob("members/*/checkpoints/*"),  # of fine-tuning
    ]
    complete = any(path.name.isdecimal() for path in found)
    return complete or (workdir / "results.json").exists()


def start_over(workdir: Path) -> None:
    """Remove the logs of a run without a saved state: it begins at step 0 again."""
    log = workdir / "metrics.jsonl"
    if log.exists() and not has_saved(workdir):
        print(f"note: {workdir} holds no checkpoint: the run begins at step 0")
        for path in (log, workdir / DIVERGED):
            path.unlink(missing_ok=True)
        shutil.rmtree(workdir / "tensorboard", ignore_errors=True)


def git_commit() -> str | None:
    """Return the commit of this checkout, `+changes` if it was edited.

    None where the package is installed, even if inside another project's checkout.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=10
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("diff", "HEAD") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def versions(packages: Sequence[str]) -> dict[str, str | None]:
    """Return the version of each package; None where it is not installed."""
    found: dict[str, str | None] = dict.fromkeys(packages)
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def program() -> dict[str, Any]:
    """Return what decides the compiled programs, apart from settings and devices."""
    package = Path(__file__).resolve().parents[1]
    sources = (path.read_bytes() for path in sorted(package.rglob("*.py")))
    flags = ("jax_enable_x64", "jax_default_matmul_precision", "jax_default_prng_impl",
             "jax_threefry_partitionable")  # fmt: skip
    return {
        "cloud_jax": __version__,
        "sources": hashlib.sha256(b"".join(sources)).hexdigest(),
        **versions(COMPUTING),
        **{flag: getattr(jax.config, flag) for flag in flags},
    }


def devices() -> dict[str, Any]:
    """Return the kinds of this process's devices, and the number of all devices."""
    kinds = sorted({device.device_kind for device in jax.local_devices()})
    return {"devices": {"kinds": kinds, "number": jax.device_count()}}


def environment(hashes: dict[str, str]) -> dict[str, Any]:
    """Return versions, devices, commit and data hashes of this process's run."""
    return {
        "cloud_jax": __version__,
        "commit": git_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "command": sys.argv,
        "versions": versions(PACKAGES),
        "processes": jax.process_count(),
        "devices": [device.device_kind for device in jax.devices()],
        "hashes": hashes,
    }
