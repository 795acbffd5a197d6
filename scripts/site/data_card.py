"""The parts of docs/data_card.md that other files say: data sets and notices."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def fill(markdown: str) -> str:
    """Return a page with the two comments that name a part replaced by it."""
    for name, make in (("datasets", _datasets), ("notices", _notices)):
        comment = f"<!-- {name} -->"
        if comment in markdown:
            markdown = markdown.replace(comment, make())
    return markdown


def _datasets() -> str:
    from cloud_jax.datasets.command import list_datasets

    lines = ["| word | what | size | licence | cite |", "|---|---|---|---|---|"]
    for item in list_datasets("data"):
        cells = (item.what, item.size, item.licence, item.citation)
        words = (" ".join(str(cell).split()).replace("|", "\\|") for cell in cells)
        lines.append(f"| `{item.word}` | {' | '.join(words)} |")
    return "\n".join(lines)


def _notices() -> str:
    paths = sorted((ROOT / "cloud_jax").rglob("NOTICE"))
    return "\n\n".join(
        f"### {path.parent.relative_to(ROOT)}\n\n"
        f"```text\n{path.read_text(encoding='utf-8').strip()}\n```"
        for path in paths
    )
