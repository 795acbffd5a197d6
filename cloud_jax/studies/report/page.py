"""The report as one HTML page that needs nothing else, and as Markdown."""

import base64
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cloud_jax.studies.report.grids import Section

_TEMPLATES = Path(__file__).parent / "templates"
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#&~$])")  # to Markdown, or to HTML within it


def render(suffix: str, sections: Sequence[Section], **words: str) -> str:
    """Return the report as a page with everything inside, or as Markdown.

    Args:
        suffix: `.html` or `.md`; Markdown names the figures and the page they are on.
        sections: all parts.
        words: `title`, `lead`, and `html_name` of the page.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=suffix == ".html",
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    environment.filters["md"] = _escape
    template = environment.get_template(f"report{suffix}.jinja")
    return template.render(sections=sections, **words)


def _escape(value: Any) -> str:
    """Return text on one line in which Markdown sees nothing special."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(value).split()))
