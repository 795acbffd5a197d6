"""One preprocessing run: what was asked, what is there already, and the way between."""

import hashlib
import json
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

import cloud_jax
from cloud_jax.lock import lock
from cloud_jax.preprocess import local, pipeline
from cloud_jax.preprocess.chunks import CHUNK_ITEMS, chunks
from cloud_jax.preprocess.dataset import MANIFEST, damage, publish, write_dataset
from cloud_jax.preprocess.pipeline import Options, vocabulary_of
from cloud_jax.preprocess.sources.source import Source, SourceError
from cloud_jax.preprocess.sources.strings import StringsSource

WORK = ".work"
_OWN_FILES = ("cloud_scope-", "dataset_info", "features.json", "records.parquet",
              "rejects.csv", "vocabulary.json", WORK)  # fmt: skip


class OutputError(ValueError):
    """The output folder cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Request:
    """Everything that decides the bytes of a dataset, apart from the sources.

    Attributes:
        options: what becomes of one crystal.
        deduplicate: see `selection.DEDUPLICATE`.
        seed: of the split.
        validation_fraction: share of the formulas in the validation split.
    """

    options: Options
    deduplicate: str
    seed: int
    validation_fraction: float

    def to_dict(self, sources: Sequence[Source]) -> dict:
        """Return what a second run is compared with."""
        return {
            **self.options.to_dict(),
            "deduplicate": self.deduplicate,
            "seed": self.seed,
            "validation_fraction": self.validation_fraction,
            "sources": {source.name: _describe(source) for source in sources},
        }


def _describe(source: Source) -> dict:
    """A source's fields without folders, and the hash of its bytes."""
    values = {f.name: getattr(source, f.name) for f in fields(source)}
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
    workers: int,
    time_limit_s: float,
) -> tuple[dict, bool]:
    """Build the dataset, or find that it is there and intact.

    Args:
        request: what decides the bytes.
        sources: in the order in which they are read.
        output: the dataset folder; an interrupted run of the same request resumes.
        workers: number of processes.
        time_limit_s: longest time for one record.

    Returns:
        The manifest, and whether it was there already.

    Raises:
        OutputError: the folder holds something else.
        LockedError: another run writes it.
        SourceError: a source cannot be read.
        EmptyDatasetError: nothing is left to write.
        OSError: a file cannot be written, for instance on a full disk.
    """
    _check_dialect(request.options.dialect, sources)
    asked = request.to_dict(sources)
    existing = _existing(output, asked)
    if existing:
        return existing, True
    work = output / WORK
    (work / "parts").mkdir(parents=True, exist_ok=True)
    with lock(work):
        parts = _process_all(request, sources, work / "parts", workers, time_limit_s)
        scratch = work / "dataset"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TensorFlow's own
            written = write_dataset(
                parts,
                sources,
                scratch,
                deduplicate=request.deduplicate,
                seed=request.seed,
                validation_fraction=request.validation_fraction,
            )
        vocabulary = vocabulary_of(request.options.dialect)
        vocabulary.save(scratch / "vocabulary.json")
        manifest = _manifest(request, asked, vocabulary, written)
        publish(scratch, output, manifest)
    shutil.rmtree(work)
    return manifest, False


def _process_all(
    request: Request,
    sources: Sequence[Source],
    directory: Path,
    workers: int,
    time_limit_s: float,
) -> list[Path]:
    """Bring every crystal through the engine; return the part files in order."""
    total = sum(sum(1 for _ in source.items()) for source in sources)
    if not total:
        raise SourceError("the sources hold no crystal at all")
    salt = json.dumps([request.options.to_dict(), _versions(), _code_hash()])
    with tqdm(total=total, unit=" crystals", smoothing=0.05) as bar:

        def progress(n_items: int, done_before: bool) -> None:
            if done_before:  # shown, but not counted in the rate
                bar.initial += n_items
            bar.update(n_items)

        names = local.run(
            chunks(sources, salt),
            directory=directory,
            source_names=[source.name for source in sources],
            options=request.options,
            workers=min(workers, -(-total // CHUNK_ITEMS)),
            time_limit_s=time_limit_s,
            progress=progress,
        )
    return [directory / name for name in names]


def _manifest(request: Request, asked: dict, vocabulary, written: dict) -> dict:
    options = request.options
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
        "symprec": options.symprec,
        "angle_tolerance": options.angle_tolerance,
        "disorder": options.disorder,
        "max_tokens": options.max_tokens,
        "deduplicate": request.deduplicate,
        "split": {
            "seed": request.seed,
            "validation_fraction": request.validation_fraction,
            "group": "formula",
        },
        **written,
        "versions": _versions(),
        "request": asked,
    }


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("spglib", "pymatgen", "gemmi", "numpy")}


def _code_hash() -> str:
    """Hash of the code that makes records: parts of an older one are not taken up."""
    package = Path(cloud_jax.__file__).parent
    files = [*sorted((package / "scope").glob("*.py")), Path(pipeline.__file__)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _check_dialect(dialect: str, sources: Sequence[Source]) -> None:
    strings = [s.name for s in sources if isinstance(s, StringsSource)]
    if strings and dialect != "paper":
        raise SourceError(
            f"source {', '.join(strings)} holds ready strings of the paper dialect, "
            f"which cannot become {dialect}: add --dialect paper"
        )


def _existing(output: Path, asked: dict) -> dict | None:
    """Return the manifest of the same request if the folder holds it, intact.

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
            for name, now in _versions().items()
            if made.get(name) != now
        ]
        if changed:
            raise OutputError(
                f"{output}: holds a dataset {'; '.join(changed)}: choose another "
                "folder or remove it"
            )
        if problem := damage(output, manifest):
            print(f"{output}: {problem}; building it again", file=sys.stderr)
            return None
        shutil.rmtree(output / WORK, ignore_errors=True)
        return manifest
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
