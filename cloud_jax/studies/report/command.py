"""Gather finished runs into one page, beside the numbers of the paper.

    python -m cloud_jax.report runs --output report.html

Writes report.html, which needs nothing else, and report.md beside it, which has the
same tables and text and leaves the figures out.
"""

import argparse
import sys
from pathlib import Path

_EPILOG = """\
WORKDIR is the folder of a run (of finetune, pretrain, discovery, phonon, scaling,
attention), or a folder of such folders. What is unfinished, damaged or unknown is
listed at the end of the page with the reason.

exit codes
  0  written, with one run at least
  1  something to correct: no such folder, no finished run, the disk
  2  wrong arguments
"""
_TITLE = b"results beside the paper"  # on top of both files
_ABOUT = (
    "Numbers of the paper (CLOUD, arXiv 2506.17345) are those of its tables and text; "
    "ours are those of the runs' results.json. Nothing else was computed."
)


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line without importing anything heavy."""
    parser = argparse.ArgumentParser(
        prog="python -m cloud_jax.report",
        description="Gather finished runs into one page, beside the paper's numbers.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("workdirs", nargs="+", type=Path, metavar="WORKDIR", help="see below")
    add(
        "--output",
        type=_html,
        default=Path("report.html"),
        metavar="X.html",
        help="the page (default: report.html); X.md goes beside it",
    )
    return parser.parse_args(argv)


def _html(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != ".html":
        raise argparse.ArgumentTypeError(f"{text}: expected a name in .html")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: there is no folder {path.parent}")
    return path


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    arguments = parse_arguments(argv)
    try:
        return run(arguments)
    except KeyboardInterrupt:
        print("stopped: the page was not written", file=sys.stderr)
        return 130


def run(arguments: argparse.Namespace) -> int:
    """Gather, write both files, and say what is not shown."""
    from cloud_jax.config import finetuning, pretraining
    from cloud_jax.files import atomic_write
    from cloud_jax.studies.report.gather import gather
    from cloud_jax.studies.report.page import to_html, to_markdown
    from cloud_jax.studies.report.sections import sections

    defaults = {
        "finetune": finetuning().to_dict(),
        "pretrain": pretraining().to_dict(),
    }
    page = arguments.output
    markdown = page.with_suffix(".md")
    try:
        runs, problems = gather(arguments.workdirs)
        listed = "".join(f"\n  {name}: {reason}" for name, reason in problems)
        for path in (page, markdown):
            _refuse_foreign(path)
        if not runs:
            raise OSError(f"there is no finished run in these folders{listed}")
        parts = sections(runs, problems, defaults)
        lead = f"Finished runs: {len(runs)}. Not shown, or not whole: {len(problems)}."
        about = f"{lead} {_ABOUT}"
        html, text = to_html(parts, about), to_markdown(parts, about, page.name)
        atomic_write(page, html)
        atomic_write(markdown, text)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{page}, {markdown}\n{lead}{listed}")
    return 0


def _refuse_foreign(path: Path) -> None:
    """Refuse to replace a file that this command did not write."""
    if path.exists() and _TITLE not in path.read_bytes()[:2000]:
        raise OSError(f"{path}: is there and is no report: give another --output")


if __name__ == "__main__":
    sys.exit(main())
