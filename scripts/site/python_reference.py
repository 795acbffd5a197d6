"""The Python reference: the modules that docs/design.md names, by room."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Rooms of commands, which nothing imports.
_COMMANDS = ("studies", "web")
_ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|", re.M)

_INTRODUCTION = """\
# Python

What `import cloud_jax` offers, then the modules to begin with in each room of
[the design](../design.md), from their docstrings. Everything else is internal and may
change in any version.

## cloud_jax

"""


def page() -> str:
    """Return the page, whose `:::` lines mkdocstrings fills.

    Raises:
        ValueError: the table of docs/design.md was not found.
    """
    import cloud_jax

    names = [name for name in cloud_jax.__all__ if name not in ("__version__", "scope")]
    parts = [_INTRODUCTION, *(f"::: cloud_jax.{name}\n" for name in names)]
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
            parts.append(f"## {room}\n\n{question.strip().capitalize()}\n")
            parts += [f"::: cloud_jax.{room}.{module}\n" for module in modules]
    return "\n".join(parts)
