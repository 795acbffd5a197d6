"""`cloud-jax datasets`: list public data sets, and download them."""

import argparse
import json
from collections.abc import Sequence

from cloud_jax.arguments import nearest
from cloud_jax.cli import Exit, UsageError, run_command

# By kind, the configurations that read its data sets.
CONFIGURATIONS = {
    "embedded": ("quickstart.py",),
    "textbook": ("thermal.py:textbook", "debye.py:textbook"),
    "matbench": ("matbench.py:{task}",),
    "unconvbench": ("unconvbench.py:{task}",),
    "discovery": ("discovery.py",),
    "phonon": ("debye.py",),
    "thermal": ("thermal.py", "elastic.py"),
}
_EPILOG = """\
Each WORD is a source of `cloud-jax preprocess`; one with labels is also a
config.data.table of fine-tuning. Files are looked for in --data-dir first; found
or downloaded, they are checked against the published hash. Harvest optimade:NAME with
`cloud-jax preprocess --output DIR optimade:NAME`.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = "List public data sets, or download some of them."
    parser.epilog = _EPILOG
    add = parser.add_argument
    add(
        "words",
        nargs="*",
        metavar="WORD",
        help="Data set, such as matbench:phonons (default: all).",
    )
    add("--download", action="store_true", help="Download the files that are missing.")
    add(
        "--data-dir",
        default="data",
        metavar="DIR",
        help="Folder of public data (default: data).",
    )
    add("--json", action="store_true", help="Print one JSON object per data set.")


def execute(arguments: argparse.Namespace) -> int:
    """Download if asked to, list the data sets, and return the exit code."""
    listings = list_datasets(arguments.data_dir)
    known = [listing.word for listing in listings]
    unknown = [word for word in arguments.words if word not in known]
    if unknown:
        near = nearest(unknown[0], known)
        hint = f"did you mean {near}? " if near else ""
        raise UsageError(
            f"there is no public data set {unknown[0]!r}: {hint}"
            "`cloud-jax datasets` lists all"
        )
    if arguments.download:
        if not arguments.words:
            raise UsageError("--download: name the data sets to download")
        from cloud_jax.datasets.benchmark import Benchmark
        from cloud_jax.datasets.corpus import read_sources

        for source in read_sources(arguments.words, arguments.data_dir):
            # With the files of labels, where there are any.
            source.fetch(*[source.columns] if isinstance(source, Benchmark) else [])
        listings = list_datasets(arguments.data_dir)
    wanted = arguments.words or known
    for listing in listings:
        if listing.word in wanted:
            files, used = files_of(listing.word), configurations_of(listing.word)
            found = listing._asdict() | {"files": files, "configurations": used}
            print(json.dumps(found) if arguments.json else describe(listing))
            if arguments.words and not arguments.json:
                print("".join(f"  {file}\n" for file in files), end="")
            if used and not arguments.json:
                print(f"  used by {', '.join(used)}")
    return Exit.DONE


def files_of(word: str) -> list[str]:
    """Return name, address and hash of each published file of a labelled data set."""
    from cloud_jax.datasets.benchmark import Benchmark
    from cloud_jax.datasets.corpus import read_sources

    (source,) = read_sources([word])
    if not isinstance(source, Benchmark):
        return []
    files = (files[0] for files in source.wanted(source.columns))
    return [f"{file.name}: {file.published}" for file in files]


def configurations_of(word: str) -> list[str]:
    """Return the configurations that read a data set."""
    kind, _, task = word.partition(":")
    of_kind = CONFIGURATIONS.get(kind, ())
    return [f"configs/{name.format(task=task)}" for name in of_kind]


def list_datasets(data_dir: str) -> list:
    """Return a `Listing` per public data set, with its path in `data_dir`."""
    from cloud_jax.datasets.corpus import KINDS

    return [listing for kind in KINDS.values() for listing in kind.listings(data_dir)]


def describe(listing) -> str:
    """Return three lines of text that describe a data set."""
    return (
        f"{listing.word}  [{listing.here or 'not here'}]\n"
        f"  {listing.what}\n  {listing.size}; "
        f"licence: {listing.licence}; cite: {listing.citation}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run `cloud-jax datasets`; return the exit code."""
    return run_command("datasets", configure, execute, argv)
