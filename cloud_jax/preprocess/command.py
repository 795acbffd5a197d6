"""`cloud-jax preprocess`: turn crystal structures into token shards."""

import argparse
import importlib.util
import json
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from cloud_jax.cli import Exit, UsageError, run_command, sigterm_as_interrupt
from cloud_jax.cores import usable_cores
from cloud_jax.files import reason

_SOURCES = """\
sources
  embedded       1,369 crystals of this package and of pymatgen: nothing to download
  cif:PATH       a CIF, POSCAR, XYZ or JSON file (also .gz, .bz2 or .xz), a folder, a
                 quoted pattern, a zip or tar
  table:PATH     rows with structures: CSV, Parquet, JSON, JSON lines, npz, an ASE
                 database, extended XYZ (text also .gz, .bz2 or .xz)
  strings:PATH   a CSV with a column of ready paper-dialect strings
  optimade:NAME  a provider of the OPTIMADE network, a URL, or a folder of its pages
  matbench:TASK, discovery:SET, unconvbench:TASK, phonon
                 public data sets: read from --data-dir, downloaded to it if missing
  corpus.toml    a list of such sources with names, licences and columns, for instance
                   [[source]]
                   kind = "table"
                   name = "mp"
                   path = ["mp/*.csv.gz"]    # relative to corpus.toml
                   licence = "CC-BY-4.0"
                   column = "cif"            # id_column, splits, citation ...
                   exclude_ids = "ids.txt"   # a list, or a file with one id per line
                   reserved = false          # true: keep these crystals, and all that
                                             # equal them, out of the dataset
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


def _installed(choice: str, package: str, install: str):
    """Return an argparse type that refuses `choice` while its package is missing."""

    def check(text: str) -> str:
        if text == choice and not importlib.util.find_spec(package):
            raise argparse.ArgumentTypeError(
                f"{text} needs the package {package}, which is not installed: {install}"
            )
        return text

    return check


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.description = (
        "Turn crystal structures into deduplicated, split, tokenised TFRecord shards."
    )
    parser.epilog = _SOURCES
    add = parser.add_argument
    add("sources", nargs="*", metavar="SOURCE", help="Crystals, as listed below.")
    add(
        "--output",
        type=Path,
        metavar="DIR",
        help="Folder of the data set; a stopped run resumes in it.",
    )
    add(
        "--data-dir",
        default="data",
        metavar="DIR",
        help="Folder of public data sets (default: data).",
    )
    add("--list-sources", action="store_true", help="List the public data sets.")
    add("--json", action="store_true", help="Print the summary as JSON.")
    add(
        "--without",
        action="append",
        default=[],
        metavar="NAME",
        help="Leave out a source of a corpus.toml; may be given several times.",
    )
    add(
        "--max-reject-fraction",
        type=_fraction,
        default=0.05,
        metavar="SHARE",
        help="Share of rejected crystals above which the exit code is 3 (default: "
        "0.05).",
    )
    _configure_crystals(parser.add_argument_group("crystals"))
    _configure_work(parser.add_argument_group("work"))


def _configure_crystals(group) -> None:
    """Add the arguments that decide the bytes of the dataset."""
    add = group.add_argument
    add(
        "--dialect",
        choices=("canonical", "paper"),
        default="canonical",
        help="Language of the sentences (default: canonical).",
    )
    add(
        "--max-tokens",
        type=_positive(int),
        default=128,
        metavar="N",
        help="Length of the longest sentence, [CLS] and [SEP] included (default: 128).",
    )
    add(
        "--deduplicate",
        choices=("canonical", "formula+spacegroup", "none"),
        default="canonical",
        help="What makes crystals equal; of equal ones that with the least volume per "
        "atom stays (default: canonical, equal sentences).",
    )
    add(
        "--validation-fraction",
        type=_fraction,
        default=0.2,
        metavar="SHARE",
        help="Share of the formulas in the validation split (default: 0.2).",
    )
    add(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="Seed of the split (default: 0).",
    )
    add(
        "--symprec",
        type=_positive(float),
        default=0.01,
        metavar="A",
        help="Tolerance of the symmetry search in angstrom (default: 0.01).",
    )
    add(
        "--angle-tolerance",
        type=_positive(float),
        default=5.0,
        metavar="DEG",
        help="Tolerance of angles in the symmetry search in degrees (default: 5).",
    )
    add(
        "--symmetry",
        choices=("spglib", "moyopy"),
        default="spglib",
        type=_installed("moyopy", "moyopy", "pip install moyopy"),
        help="Library that searches the symmetry; moyopy is faster (default: spglib).",
    )
    add(
        "--disorder",
        choices=("majority", "reject"),
        default="majority",
        help="Name a mixed site by its main element, or reject the crystal (default: "
        "majority).",
    )


def _configure_work(group) -> None:
    """Add the arguments that say who does the work, and what a crystal may cost."""
    add = group.add_argument
    add(
        "--workers",
        type=_positive(int),
        default=usable_cores(),
        metavar="N",
        help="Number of processes (default: one per core).",
    )
    add(
        "--time-limit",
        type=_positive(float),
        default=60.0,
        metavar="S",
        help="Most seconds that a crystal may take (default: 60).",
    )
    add(
        "--memory-limit",
        type=_positive(int),
        default=2048,
        metavar="MIB",
        help="Most memory that a crystal may take in MiB, enforced on Linux only "
        "(default: 2048).",
    )
    add(
        "--engine",
        choices=("local", "beam"),
        default="local",
        type=_installed(
            "beam", "apache_beam", "pip install -r requirements-cluster.txt"
        ),
        help="What does the work: local, or beam, Apache Beam for clusters (default: "
        "local).",
    )
    add(
        "--beam-options",
        type=shlex.split,
        default=[],
        metavar="'NAME=VALUE ...'",
        help="Options of Apache Beam, for instance 'runner=FlinkRunner "
        "flink_master=HOST:8081'.",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_command("preprocess", configure, execute, argv)


def execute(arguments: argparse.Namespace) -> int:
    """Build the dataset, or list the public data sets; return the exit code."""
    if arguments.list_sources:
        from cloud_jax.datasets.command import describe, list_datasets

        print("\n".join(map(describe, list_datasets(arguments.data_dir))))
        return Exit.DONE
    if not (arguments.sources and arguments.output):
        raise UsageError("expected --output DIR and at least one SOURCE")
    from cloud_jax.files import LockedError
    from cloud_jax.scope.pool import EngineError

    sources = _sources(arguments)
    try:
        with sigterm_as_interrupt():
            manifest, report, existed = _build(arguments, sources)
    except (EngineError, LockedError):
        raise
    except OSError as error:
        kept = f"; what is done is kept in {arguments.output}: run it again to resume"
        kept = kept if arguments.output.is_dir() else ""
        raise OSError(f"{reason(error)}. No dataset was written{kept}") from error
    except KeyboardInterrupt:
        if arguments.engine == "beam":  # it keeps nothing
            raise
        kept = f"what is done is kept in {arguments.output}"
        print(f"stopped; {kept}: run it again to resume", file=sys.stderr)
        return Exit.RESUMABLE
    from cloud_jax.preprocess.summary import facts, summary

    if arguments.json:
        print(json.dumps(facts(manifest, arguments.output, existed), indent=2))
    else:
        print(summary(manifest, arguments.output, existed))
    if not arguments.quiet:
        _report_skipped(sources)
    page = arguments.output / "report.png"
    if not existed or not page.exists():
        draw(report, page)
    return _judge(manifest, arguments)


def _sources(arguments: argparse.Namespace):
    """Return the sources that the command line names."""
    from cloud_jax.datasets.corpus import read_sources

    return read_sources(
        arguments.sources, arguments.data_dir, without=arguments.without
    )


def _report_skipped(sources) -> None:
    """Print which files in folders and archives were not read."""
    from cloud_jax.structures.source import skipped_line

    for source in sources:
        if names := source.skipped():
            print(f"{source.name}: {skipped_line(names)}", file=sys.stderr)


def _build(arguments: argparse.Namespace, sources) -> tuple[dict, dict, bool]:
    """Build the dataset; return what `build.build` does."""
    from cloud_jax.preprocess.build import build
    from cloud_jax.scope.pool import Limits

    return build(
        _request(arguments),
        sources,
        arguments.output,
        engine=_engine(arguments),
        limits=Limits(arguments.time_limit, arguments.memory_limit),
    )


def _engine(arguments: argparse.Namespace):
    """Return the engine that was asked for, with its own arguments bound."""
    if arguments.engine == "local":
        from cloud_jax.preprocess import local

        return partial(local.run, workers=arguments.workers)
    from cloud_jax.preprocess import beam

    return partial(beam.run, options=beam.pipeline_options(arguments.beam_options))


def _request(arguments: argparse.Namespace):
    """Return everything that decides the bytes of the dataset."""
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


def _judge(manifest: dict, arguments: argparse.Namespace) -> Exit:
    """Return `DOUBTFUL`, and say why, if too many crystals were rejected."""
    read = sum(entry["n_read"] for entry in manifest["sources"])
    rejected = sum(entry["n_rejected"] for entry in manifest["sources"])
    if rejected <= arguments.max_reject_fraction * read:
        return Exit.DONE
    print(
        f"too much was rejected: {rejected} of {read} crystals, expected at most "
        f"{arguments.max_reject_fraction:.1%}; see {arguments.output}/rejects.csv "
        "(--max-reject-fraction)",
        file=sys.stderr,
    )
    return Exit.DOUBTFUL


def draw(report: dict, page: Path) -> None:
    """Draw the report; warn if it cannot be drawn: the dataset is there already."""
    try:
        from cloud_jax.evaluation.figures_dataset import dataset_page

        dataset_page(page, report)
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        print(f"warning: {page}: was not drawn ({problem})", file=sys.stderr)
