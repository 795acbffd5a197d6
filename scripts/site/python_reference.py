"""The Python reference: the modules that docs/design.md names, a page per room."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Rooms of commands, which nothing imports.
_COMMANDS = ("studies", "web")
_ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|", re.M)

_INTRODUCTION = """\
# Python

What `import cloud_jax` offers. The pages below have the modules to begin with in each
room of [the design](../design.md). Everything else is internal and may change in any
version.
"""


def pages() -> dict[str, str]:
    """Return pages by address, with `:::` lines that mkdocstrings fills.

    Raises:
        ValueError: the table of docs/design.md was not found.
    """
    import cloud_jax

    names = [name for name in cloud_jax.__all__ if name not in ("__version__", "scope")]
    found = {"reference/python.md": _page(_INTRODUCTION, "cloud_jax", names)}
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rooms = _ROW.findall(design)
    if not rooms:
        raise ValueError("docs/design.md: found no table of rooms: | `room` | ... |")
    for room, question, files in rooms:
        modules = [
            name
            for name in re.findall(r"`([\w/]+)`", files)
            if (ROOT / "cloud_jax" / room / f"{name}.py").is_file()
            and name not in ("command", "run")
        ]
        if modules and room not in _COMMANDS:
            question = question.strip()
            top = f"# cloud_jax.{room}\n\n{question[0].upper()}{question[1:]}\n"
            found[f"reference/{room}.md"] = _page(top, f"cloud_jax.{room}", modules)
    return found


def _page(top: str, package: str, names: list[str]) -> str:
    return "\n".join([top, *(f"::: {package}.{name}\n" for name in names)])
