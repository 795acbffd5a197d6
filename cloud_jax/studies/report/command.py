"""`cloud-jax study report`: gather finished runs on one page, beside the paper.

cloud-jax study report runs/ --output report.html
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cloud_jax.cli import Exit, run_command

DESCRIPTION = """\
Gather finished runs on one page: your own first, then beside the numbers of the paper.

WORKDIR is the folder of a run (of finetune, pretrain, discovery, phonon, scaling or
attention), or a folder of such folders. Writes report.html, which needs no other file,
and report.md beside it with the same text and tables, without the figures. Runs that
are unfinished, damaged or unknown are listed at the end with the reason.
"""
_SUBJECT = "results beside the paper"  # on top of both files


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = DESCRIPTION
    add = parser.add_argument
    add("workdirs", nargs="+", type=Path, metavar="WORKDIR", help="Folders of runs.")
    add(
        "--output",
        type=_html_path,
        default=Path("report.html"),
        metavar="X.html",
        help="File of the page (default: report.html); X.md is written beside it.",
    )
    add("--json", action="store_true", help="Print paths and counts as JSON.")


def _html_path(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != ".html":
        raise argparse.ArgumentTypeError(f"{text}: expected a name ending in .html")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: there is no folder {path.parent}")
    return path


def execute(arguments: argparse.Namespace) -> int:
    """Gather the runs, write both files, and print what is not shown."""
    import json

    from cloud_jax.config import finetuning, pretraining
    from cloud_jax.files import atomic_write
    from cloud_jax.studies.report.gather import gather
    from cloud_jax.studies.report.page import render
    from cloud_jax.studies.report.sections import sections

    page = arguments.output
    markdown = page.with_suffix(".md")
    runs, problems = gather(arguments.workdirs)
    listed = "".join(f"\n  {name}: {reason}" for name, reason in problems)
    if not runs:
        raise ValueError(f"there is no finished run in these folders{listed}")
    for path in (page, markdown):
        _refuse_foreign(path)
    defaults = {"finetune": finetuning(), "pretrain": pretraining()}
    parts = sections(runs, problems, {k: c.to_dict() for k, c in defaults.items()})
    counts = f"Finished runs: {len(runs)}."
    if problems:
        counts += f" Not shown, or only in part: {len(problems)}."
    words = {"title": f"CLOUD: your runs, and their {_SUBJECT}", "lead": counts}
    words["html_name"] = page.name
    html, text = (render(suffix, parts, **words) for suffix in (".html", ".md"))
    atomic_write(page, html)
    atomic_write(markdown, text)
    if arguments.json:
        written = {"html": str(page), "markdown": str(markdown), "runs": len(runs)}
        print(json.dumps(written | {"problems": [p._asdict() for p in problems]}))
    else:
        print(f"{page}, {markdown}\n{counts}{listed}")
    return Exit.DONE


def _refuse_foreign(path: Path) -> None:
    """Refuse to replace a file that this command did not write."""
    if path.exists() and _SUBJECT.encode() not in path.read_bytes()[:2000]:
        raise ValueError(f"{path}: exists and is not a report: give another --output")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `cloud-jax study report`; return the exit code."""
    return run_command("study report", configure, execute, argv)


if __name__ == "__main__":
    sys.exit(main())
