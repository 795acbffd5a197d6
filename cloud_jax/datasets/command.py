"""`cloud-jax datasets`: list public data sets, and download them."""

import argparse
import json
from collections.abc import Sequence

from cloud_jax.arguments import nearest
from cloud_jax.cli import Exit, UsageError, run_command

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
        from cloud_jax.datasets.corpus import read_sources

        for source in read_sources(arguments.words, arguments.data_dir):
            source.fetch()
        listings = list_datasets(arguments.data_dir)
    wanted = arguments.words or known
    for listing in listings:
        if listing.word in wanted:
            as_json = json.dumps(listing._asdict())
            print(as_json if arguments.json else describe(listing))
    return Exit.DONE


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
