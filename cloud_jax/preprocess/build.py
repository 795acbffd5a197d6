"""One preprocessing run: check what is there, run an engine, publish the dataset."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import cloud_jax
from cloud_jax.files import lock
from cloud_jax.preprocess.dataset import (
    REJECTS,
    REPORT,
    EngineOutput,
    check_exclude_ids,
    publish,
    source_counts,
    split_entries,
)
from cloud_jax.preprocess.existing import WORK, describe_request, find_finished
from cloud_jax.preprocess.report import make_report, report_text
from cloud_jax.preprocess.shards import TABLES, write_metadata
from cloud_jax.preprocess.versions import fingerprint, versions
from cloud_jax.scope import Vocabulary
from cloud_jax.scope.options import Request
from cloud_jax.scope.pipeline import vocabulary_of
from cloud_jax.scope.pool import LIMITED, Limits
from cloud_jax.structures.source import Source, SourceError
from cloud_jax.structures.strings import StringsSource


class Engine(Protocol):
    """Turns all crystals of the sources into shards, tables and counts."""

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
            limits: per crystal.
        """


def build(
    request: Request,
    sources: Sequence[Source],
    output: Path,
    *,
    engine: Engine,
    limits: Limits,
) -> tuple[dict, dict, bool]:
    """Build the dataset, unless it is there and intact.

    Args:
        request: what decides the bytes.
        sources: in the order in which they are read.
        output: the dataset folder; a stopped run of the same request resumes in it.
        engine: turns the crystals into shards.
        limits: per crystal.

    Returns:
        The manifest, the report, and whether they were there already.

    Raises:
        OutputError: the folder holds something else.
        LockedError: another run writes it.
        SourceError: a source cannot be fetched or read.
        EmptyDatasetError: nothing is left to write.
        OSError: a file cannot be written, for instance on a full disk.
    """
    _check_dialect(request.options.dialect, sources)
    for kind in dict.fromkeys(map(type, sources)):
        kind.fetch_all([source for source in sources if type(source) is kind])
    description = describe_request(request, sources)
    if found := find_finished(output, description, request.options, limits):
        return *found, True
    work = output / WORK
    work.mkdir(parents=True, exist_ok=True)
    with lock(work):
        # Another process may have built it since.
        if found := find_finished(output, description, request.options, limits):
            return *found, True
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
        _write_report(scratch, report)
        manifest = _manifest(request, description, vocabulary, written, sources, limits)
        publish(scratch, output, manifest)
    shutil.rmtree(work)  # unlocked: Windows removes no open file
    return manifest, report, False


def _write_report(scratch: Path, report: dict) -> None:
    """Write `report.json` and, for people, `report.txt`."""
    path = scratch / REPORT
    path.write_text(json.dumps(report, indent=1), encoding="utf-8")
    path.with_suffix(".txt").write_text(report_text(report), encoding="utf-8")


def _manifest(
    request: Request,
    description: dict,
    vocabulary: Vocabulary,
    written: EngineOutput,
    sources: Sequence[Source],
    limits: Limits,
) -> dict:
    """Return the manifest: provenance, counts, and the hash of every shard."""
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
    """Raise SourceError if ready strings would need another dialect."""
    strings = [s.name for s in sources if isinstance(s, StringsSource)]
    if strings and dialect != "paper":
        raise SourceError(
            f"source {', '.join(strings)} holds ready strings of the paper dialect, "
            f"which cannot become {dialect}: add --dialect paper"
        )
