"""One preprocessing run: what was asked, what is there already, and the way between."""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Protocol

import cloud_jax
from cloud_jax.files import lock
from cloud_jax.preprocess.dataset import (
    MANIFEST,
    REJECTS,
    REPORT,
    EngineOutput,
    check_exclude_ids,
    find_damage,
    publish,
    source_counts,
    split_entries,
)
from cloud_jax.preprocess.report import make_report, report_text
from cloud_jax.preprocess.shards import TABLES, write_metadata
from cloud_jax.preprocess.versions import fingerprint, versions
from cloud_jax.scope import Vocabulary
from cloud_jax.scope.options import Options, Request
from cloud_jax.scope.pipeline import vocabulary_of
from cloud_jax.scope.pool import LIMITED, Limits
from cloud_jax.structures.source import Source, SourceError
from cloud_jax.structures.strings import StringsSource

WORK = ".work"
_OWN_FILES = ("cloud_scope-", "dataset_info", "features.json", "records.parquet",
              "rejects.csv", "report", "vocabulary.json", WORK)  # fmt: skip


class Engine(Protocol):
    """Brings all crystals of the sources into shards, tables and counts."""

    def __call__(
        self,
        request: Request,
        sources: Sequence[Source],
        work: Path,
        scratch: Path,
        *,
        fingerprint: str,
        limits: Limits,
    ) -> EngineOutput:
        """Write shards, their tables and `rejects.csv` into `scratch`.

        Args:
            request: what decides the bytes.
            sources: in order.
            work: an existing folder for what a resumed run takes up.
            scratch: an existing folder for the files of the dataset.
            fingerprint: what else decides what becomes of a crystal.
            limits: of one crystal.
        """


class OutputError(ValueError):
    """The output folder cannot be used; the message says why and what to do."""


def asked(request: Request, sources: Sequence[Source]) -> dict:
    """What a second run is compared with: all that decides the bytes of a dataset."""
    return {
        **request.options.to_dict(),
        "seed": request.seed,
        "validation_fraction": request.validation_fraction,
        "sources": {source.name: _describe(source) for source in sources},
    }


def _describe(source: Source) -> dict:
    """A source's fields without folders, and the hash of its bytes."""
    values = {f.name: getattr(source, f.name) for f in fields(source) if f.compare}
    del values["name"]
    values.pop("paths", None)
    ids = "\n".join(sorted(source.exclude_ids))
    values["exclude_ids"] = ids and hashlib.sha256(ids.encode()).hexdigest()
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
    return {k: v for k, v in values.items() if v} | {"sha256": source.sha256()}


def build(
    request: Request,
    sources: Sequence[Source],
    output: Path,
    *,
    engine: Engine,
    limits: Limits,
) -> tuple[dict, dict, bool]:
    """Build the dataset, or find that it is there and intact.

    Args:
        request: what decides the bytes.
        sources: in the order in which they are read.
        output: the dataset folder; an interrupted run of the same request resumes.
        engine: brings the crystals into shards.
        limits: of one crystal.

    Returns:
        The manifest, the report, and whether they were there already.

    Raises:
        OutputError: the folder holds something else.
        LockedError: another run writes it.
        SourceError: a source cannot be had or read.
        EmptyDatasetError: nothing is left to write.
        OSError: a file cannot be written, for instance on a full disk.
    """
    _check_dialect(request.options.dialect, sources)
    for kind in dict.fromkeys(map(type, sources)):
        kind.fetch_all([source for source in sources if type(source) is kind])
    description = asked(request, sources)
    if existing := _existing(output, description, request.options, limits):
        return *existing, True
    work = output / WORK
    work.mkdir(parents=True, exist_ok=True)
    with lock(work):
        if existing := _existing(output, description, request.options, limits):
            return *existing, True  # another process was faster
        scratch = work / "dataset"
        shutil.rmtree(scratch, ignore_errors=True)
        (scratch / TABLES).mkdir(parents=True)
        written = engine(
            request,
            sources,
            work,
            scratch,
            fingerprint=fingerprint(request.options),
            limits=limits,
        )
        check_exclude_ids(scratch, sources)
        write_metadata(scratch, written.shards)
        vocabulary = vocabulary_of(request.options.dialect)
        vocabulary.save(scratch / "vocabulary.json")
        report = make_report(written.counts, sources, vocabulary, scratch / REJECTS)
        (scratch / REPORT).write_text(json.dumps(report, indent=1), encoding="utf-8")
        text = report_text(report)
        (scratch / REPORT).with_suffix(".txt").write_text(text, encoding="utf-8")
        manifest = _manifest(request, description, vocabulary, written, sources, limits)
        publish(scratch, output, manifest)
        shutil.rmtree(work)
    return manifest, report, False


def _manifest(
    request: Request,
    description: dict,
    vocabulary: Vocabulary,
    written: EngineOutput,
    sources: Sequence[Source],
    limits: Limits,
) -> dict:
    options = request.options
    n_limited = sum(
        n
        for key, n in written.counts.items()
        if key[0] == "rejected" and key[2] in LIMITED
    )
    return {
        "format": "cloud_jax.dataset",
        "version": 1,
        "cloud_jax": cloud_jax.__version__,
        "dialect": options.dialect,
        "vocabulary": {
            "file": "vocabulary.json",
            "size": len(vocabulary),
            "sha256": vocabulary.sha256,
        },
        "symmetry": options.symmetry,
        "symprec": options.symprec,
        "angle_tolerance": options.angle_tolerance,
        "disorder": options.disorder,
        "max_tokens": options.max_tokens,
        "deduplicate": options.deduplicate,
        "split": {
            "seed": request.seed,
            "validation_fraction": request.validation_fraction,
            "group": "formula",
        },
        "splits": split_entries(written),
        "sources": source_counts(written.counts, sources),
        "versions": versions(options),
        "limits": {**limits._asdict(), "n_rejected": n_limited},
        "request": description,
    }


def _check_dialect(dialect: str, sources: Sequence[Source]) -> None:
    strings = [s.name for s in sources if isinstance(s, StringsSource)]
    if strings and dialect != "paper":
        raise SourceError(
            f"source {', '.join(strings)} holds ready strings of the paper dialect, "
            f"which cannot become {dialect}: add --dialect paper"
        )


def _existing(
    output: Path, asked: dict, options: Options, limits: Limits
) -> tuple[dict, dict] | None:
    """Return manifest and report of the same request if the folder holds it, intact.

    A damaged dataset of the same request is built again: its files are replaced.

    Raises:
        OutputError: the folder holds a dataset of another request or of other
            versions of the libraries that decide it, or other files.
    """
    if output.exists() and not output.is_dir():
        raise OutputError(f"{output}: found a file, expected a folder or nothing")
    path = output / MANIFEST
    if path.is_file():
        try:
            manifest = json.loads(path.read_text("utf-8"))
            found, made = manifest["request"], manifest["versions"]
        except (ValueError, KeyError, TypeError) as error:
            raise OutputError(
                f"{path}: is damaged ({error}); remove the folder and run the "
                "command again"
            ) from error
        difference = list(_differences(found, json.loads(json.dumps(asked))))
        if difference:
            raise OutputError(
                f"{output}: holds a dataset of another request; choose another folder "
                "or remove it. found -> asked:\n  " + "\n  ".join(difference)
            )
        changed = [
            f"made with {name} {made.get(name)}, this is {now}"
            for name, now in versions(options).items()
            if made.get(name) != now
        ]
        made = dict(manifest["limits"])
        if made.pop("n_rejected") and made != limits._asdict():
            changed.append(f"made with limits {made}, which rejected crystals")
        if changed:
            raise OutputError(
                f"{output}: holds a dataset {'; '.join(changed)}: choose another "
                "folder or remove it"
            )
        if problem := find_damage(output, manifest):
            print(f"{output}: {problem}; building it again", file=sys.stderr)
            return None
        shutil.rmtree(output / WORK, ignore_errors=True)
        return manifest, json.loads((output / REPORT).read_text("utf-8"))
    others = [p.name for p in output.glob("*") if not p.name.startswith(_OWN_FILES)]
    if others:
        raise OutputError(
            f"{output}: found {', '.join(sorted(others)[:5])}, expected an empty "
            "folder, a dataset or an interrupted run"
        )
    return None


def _differences(found: object, asked: object, name: str = "") -> Iterator[str]:
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
