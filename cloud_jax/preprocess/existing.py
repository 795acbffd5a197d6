"""The check of an output folder: the dataset asked for, another one, or other files."""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from cloud_jax.preprocess.dataset import MANIFEST, REPORT, find_damage
from cloud_jax.preprocess.versions import versions
from cloud_jax.scope.options import Options, Request
from cloud_jax.scope.pool import Limits
from cloud_jax.structures.source import Source

WORK = ".work"
_OWN_FILES = ("cloud_scope-", "dataset_info", "features.json", "records.parquet",
              "rejects.csv", "report", "vocabulary.json", WORK)  # fmt: skip


class OutputError(ValueError):
    """The output folder cannot be used; the message says why and what to do."""


def describe_request(request: Request, sources: Sequence[Source]) -> dict:
    """Return all that decides the bytes of a dataset; a second run compares it."""
    return {
        **request.options.to_dict(),
        "seed": request.seed,
        "validation_fraction": request.validation_fraction,
        "sources": {source.name: _describe(source) for source in sources},
    }


def _describe(source: Source) -> dict:
    """Return a source's fields without folders, and the hash of its bytes."""
    values = {f.name: getattr(source, f.name) for f in fields(source) if f.compare}
    del values["name"]
    values.pop("paths", None)
    ids = "\n".join(sorted(source.exclude_ids))
    values["exclude_ids"] = ids and hashlib.sha256(ids.encode()).hexdigest()
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
    return {k: v for k, v in values.items() if v} | {"sha256": source.sha256()}


def find_finished(
    output: Path, asked: dict, options: Options, limits: Limits
) -> tuple[dict, dict] | None:
    """Return manifest and report if the folder holds the dataset that is asked for.

    None if it holds nothing, a stopped run, or the dataset in a damaged state; all
    three are built (again).

    Raises:
        OutputError: the folder holds a dataset of another request or of other
            versions of the libraries that decide it, or other files.
    """
    if output.exists() and not output.is_dir():
        raise OutputError(f"{output}: found a file, expected a folder or nothing")
    path = output / MANIFEST
    if not path.is_file():
        _refuse_other_files(output)
        return None
    try:
        manifest = json.loads(path.read_text("utf-8"))
        found, made = manifest["request"], manifest["versions"]
        made_limits = dict(manifest["limits"])
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"{path}: is damaged ({error}); remove the folder and run the command again"
        ) from error
    difference = list(_differences(found, json.loads(json.dumps(asked))))
    if difference:
        raise OutputError(
            f"{output}: holds a dataset of another request; choose another folder or "
            "remove it. found -> asked:\n  " + "\n  ".join(difference)
        )
    # The first versions of dialects had no number.
    changed = [
        f"made with {name} {made.get(name, '1')}, this is {now}"
        for name, now in versions(options).items()
        if made.get(name, "1") != now
    ]
    if made_limits.pop("n_rejected") and made_limits != limits._asdict():
        changed.append(f"made with limits {made_limits}, which rejected crystals")
    if changed:
        raise OutputError(
            f"{output}: holds a dataset {'; '.join(changed)}: choose another folder or "
            "remove it"
        )
    if problem := find_damage(output, manifest):
        print(f"{output}: {problem}; building it again", file=sys.stderr)
        return None
    shutil.rmtree(output / WORK, ignore_errors=True)
    return manifest, json.loads((output / REPORT).read_text("utf-8"))


def _refuse_other_files(output: Path) -> None:
    """Raise OutputError if the folder holds files that no run of ours leaves."""
    others = [p.name for p in output.glob("*") if not p.name.startswith(_OWN_FILES)]
    if others:
        raise OutputError(
            f"{output}: found {', '.join(sorted(others)[:5])}, expected an empty "
            "folder, a dataset or a stopped run"
        )


def _differences(found: object, asked: object, name: str = "") -> Iterator[str]:
    """Yield `key: found -> asked` for each difference, nested keys joined by dots."""
    if isinstance(found, dict) and isinstance(asked, dict):
        for key in [*found, *(k for k in asked if k not in found)]:
            yield from _differences(
                found.get(key), asked.get(key), f"{name}.{key}" if name else key
            )
    elif found != asked:
        yield f"{name}: {_short(found)} -> {_short(asked)}"


def _short(value: object) -> str:
    text = "absent" if value is None else json.dumps(value)
    return text if len(text) < 80 else text[:77] + "..."
