"""The command line: `python -m cloud_jax.preprocess --output DIR SOURCE...`."""

import argparse
import importlib.util
import shlex
import sys
from functools import partial
from pathlib import Path

from cloud_jax.cores import usable_cores

_SOURCES = """\
sources:
  embedded       1,369 crystals inside pymatgen and jarvis-tools, nothing to download
  cif:PATH       a CIF, POSCAR or JSON file, a folder, a quoted pattern, a zip or tar
  table:PATH     rows with structures: CSV, Parquet, JSON, JSON lines, npz, an ASE
                 database, extended XYZ (text also .gz or .bz2)
  strings:PATH   a CSV with a column of ready paper-dialect strings
  optimade:NAME  a provider of the OPTIMADE network, a URL, or a folder of its pages
  matbench:TASK, discovery:SET, unconvbench:TASK, phonon
                 public data sets, looked for in --data-dir, else downloaded to it
  corpus.toml    a list of such sources with names, licences and columns, for instance
                   [[source]]
                   kind = "table"
                   name = "mp"
                   path = ["mp/*.csv.gz"]    # relative to corpus.toml
                   licence = "CC-BY-4.0"
                   column = "cif"            # id_column, splits, citation ...
                   exclude_ids = "ids.txt"   # a list, or a file with one id a line
                   reserved = false          # true: keep these crystals, and all that
                                             # equal them, out of the dataset
--list-sources says of each public data set what it is and whether it is here.

exit status: 0 built or already there, 1 failed, 2 wrong usage, 3 built but more than
--max-reject-fraction of the crystals were rejected
"""


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected at least 0 and below 1")
    return value


def _positive(kind: type) -> type:
    def convert(text: str):
        if (value := kind(text)) <= 0:
            raise argparse.ArgumentTypeError(f"{text}: expected more than 0")
        return value

    convert.__name__ = kind.__name__  # for argparse's message
    return convert


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line without importing anything heavy."""
    parser = argparse.ArgumentParser(
        prog="python -m cloud_jax.preprocess",
        description="Turn crystal structures into deduplicated, split, tokenised "
        "TFRecord shards.",
        epilog=_SOURCES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("sources", nargs="*", metavar="SOURCE", help="see below")
    add("--output", type=Path, help="dataset folder; resumes if cut off")
    add("--list-sources", action="store_true", help="describe all public data sets")
    add("--dialect", choices=("canonical", "paper"), default="canonical")
    add("--max-tokens", type=_positive(int), default=128, help="longest sentence (128)")
    add(
        "--deduplicate",
        choices=("canonical", "formula+spacegroup", "none"),
        default="canonical",
        help="crystals equal in this are one; the least volume per atom stays",
    )
    add("--validation-fraction", type=_fraction, default=0.2, help="of formulas (0.2)")
    add("--seed", type=int, default=0, help="of the split (0)")
    add("--symprec", type=_positive(float), default=0.01, help="angstrom (0.01)")
    add("--angle-tolerance", type=float, default=5.0, help="degrees (5)")
    add("--symmetry", choices=("spglib", "moyopy"), default="spglib")
    add("--disorder", choices=("majority", "reject"), default="majority")
    add("--workers", type=_positive(int), default=usable_cores())
    add("--time-limit", type=_positive(float), default=60.0, help="s a crystal (60)")
    add(
        "--memory-limit", type=_positive(int), default=2048, help="MiB a crystal (2048)"
    )
    add("--data-dir", default="data", help="folder of public data sets (data)")
    add(
        "--without",
        action="append",
        default=[],
        metavar="NAME",
        help="leave a source of a corpus.toml out; may be given several times",
    )
    add("--max-reject-fraction", type=_fraction, default=0.05, help="(0.05)")
    add("--engine", choices=("local", "beam"), default="local", help="beam: clusters")
    add(
        "--beam-options",
        type=shlex.split,
        default=[],
        metavar="'NAME=VALUE ...'",
        help="of Apache Beam, for instance 'runner=FlinkRunner flink_master=HOST:8081'",
    )
    arguments = parser.parse_args(words)
    if arguments.symmetry == "moyopy" and not importlib.util.find_spec("moyopy"):
        parser.error(
            "--symmetry moyopy needs the package moyopy, which is not installed: "
            "pip install moyopy"
        )
    if arguments.engine == "beam" and not importlib.util.find_spec("apache_beam"):
        parser.error(
            "--engine beam needs Apache Beam, which is not installed: "
            "pip install -r requirements-cluster.txt"
        )
    if not arguments.list_sources and not (arguments.sources and arguments.output):
        parser.error("expected --output DIR and at least one SOURCE, or --list-sources")
    return arguments


def _engine(arguments: argparse.Namespace):
    if arguments.engine == "local":
        from cloud_jax.preprocess import local

        return partial(local.run, workers=arguments.workers)
    from cloud_jax.preprocess import beam

    return partial(beam.run, pipeline_options=arguments.beam_options)


def main(words: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    arguments = parse_arguments(words)
    if arguments.list_sources:
        print(list_sources(arguments.data_dir))
        return 0
    from cloud_jax.datasets.corpus import read_sources
    from cloud_jax.files import LockedError
    from cloud_jax.preprocess.build import OutputError, build
    from cloud_jax.preprocess.dataset import EmptyDatasetError
    from cloud_jax.scope.pool import EngineError, Limits
    from cloud_jax.structures.source import SourceError

    try:
        manifest, report, existed = build(
            _request(arguments),
            read_sources(
                arguments.sources, arguments.data_dir, without=arguments.without
            ),
            arguments.output,
            engine=_engine(arguments),
            limits=Limits(arguments.time_limit, arguments.memory_limit),
        )
    except (
        SourceError, OutputError, EmptyDatasetError, EngineError, LockedError
    ) as error:  # fmt: skip
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"error: {error}. No dataset was written; what is done is kept in "
            f"{arguments.output}: the same command goes on from there",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    print(summary(manifest, arguments.output, existed))
    page = arguments.output / "report.png"
    if not existed or not page.exists():
        draw(report, page)
    read = sum(entry["n_read"] for entry in manifest["sources"])
    rejected = sum(entry["n_rejected"] for entry in manifest["sources"])
    if rejected > arguments.max_reject_fraction * read:
        print(
            f"too much was rejected: {rejected} of {read} crystals, expected at most "
            f"{arguments.max_reject_fraction:.1%}; see {arguments.output}/rejects.csv "
            "(--max-reject-fraction)",
            file=sys.stderr,
        )
        return 3
    return 0


def _request(arguments: argparse.Namespace):
    from cloud_jax.scope.options import Options, Request

    return Request(
        Options(
            dialect=arguments.dialect,
            symprec=arguments.symprec,
            angle_tolerance=arguments.angle_tolerance,
            disorder=arguments.disorder,
            max_tokens=arguments.max_tokens,
            symmetry=arguments.symmetry,
            deduplicate=arguments.deduplicate,
        ),
        seed=arguments.seed,
        validation_fraction=arguments.validation_fraction,
    )


def draw(report: dict, page: Path) -> None:
    """Draw the report; a page that cannot be drawn costs no dataset."""
    try:
        from cloud_jax.evaluation.figures_dataset import dataset_page

        dataset_page(page, report)
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        print(f"warning: {page}: was not drawn ({problem})", file=sys.stderr)


def list_sources(data_dir: str) -> str:
    """Describe every public data set, and say which are in `data_dir`."""
    from cloud_jax.datasets.corpus import KINDS

    blocks = []
    for kind in KINDS.values():
        for listing in kind.listings(data_dir):
            blocks.append(
                f"{listing.word}  [{listing.here or 'not here'}]\n"
                f"  {listing.what}\n  {listing.size}; "
                f"licence: {listing.licence}; cite: {listing.citation}"
            )
    return "\n".join(blocks)


def summary(manifest: dict, output: Path, existed: bool) -> str:
    """Say in words what is in a dataset."""
    columns = ("n_read", "n_rejected", "n_reserved", "n_duplicates", "n_kept")
    width = max(len(entry["name"]) for entry in manifest["sources"]) + 2
    lines = [f"{output}: already there, nothing to do" if existed else f"{output}:"]
    heads = ("read", "rejected", "reserved", "duplicates", "kept")
    lines.append(" " * width + "".join(f"{head:>12}" for head in heads))
    for entry in manifest["sources"]:
        numbers = "".join(f"{entry[column]:>12,}" for column in columns)
        lines.append(f"{entry['name']:<{width}}{numbers}")
    for entry in manifest["sources"]:
        if entry["n_repeated_ids"]:
            lines.append(
                f"warning: {entry['name']} gives {entry['n_repeated_ids']:,} kept "
                "crystals the id of another: name its id column in a corpus file"
            )
    for name, split in manifest["splits"].items():
        mean = split["n_tokens"] / max(split["n_records"], 1)
        lines.append(
            f"{name}: {split['n_records']:,} crystals, {split['n_tokens']:,} tokens "
            f"({mean:.1f} each), {len(split['shards'])} shard(s)"
        )
        if not split["n_records"]:
            way = "lower" if name == "train" else "raise"
            lines.append(
                f"warning: the {name} split is empty, and pretraining needs one: {way} "
                "--validation-fraction, or add crystals of other formulas"
            )
    vocabulary = manifest["vocabulary"]
    lines.append(
        f"{manifest['dialect']} dialect, vocabulary of {vocabulary['size']} tokens; "
        "report.txt and report.png say what is in it, records.parquet and rejects.csv "
        "list every crystal"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
