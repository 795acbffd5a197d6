"""What an SVG figure says."""

from pathlib import Path


def texts(path: Path) -> set[str]:
    """Return the texts of an SVG, which matplotlib notes beside their outlines."""
    lines = path.read_text().splitlines()
    return {line.strip()[5:-4] for line in lines if line.strip().startswith("<!-- ")}
