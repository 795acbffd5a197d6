"""The report as one HTML page that needs nothing else, and as Markdown."""

import base64
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cloud_jax.studies.report.grids import Entry, Section

_TEMPLATES = Path(__file__).parent / "templates"
# What Markdown or HTML would take as more than a letter.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#&~$])")
_TITLE = "cloud_jax: results beside the paper"


def to_html(sections: Sequence[Section], lead: str) -> str:
    """One page: style and images inside, no script, nothing loaded."""
    environment = _environment(autoescape=True)
    style = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    template = environment.get_template("report.html.jinja")
    text = template.render(
        sections=sections, lead=lead, title=_TITLE, style=Markup(style)
    )
    return f"{text}\n"


def to_markdown(sections: Sequence[Section], lead: str, html_name: str) -> str:
    """The same text and tables; for figures it names the HTML page."""
    template = _environment(autoescape=False).get_template("report.md.jinja")
    text = template.render(
        sections=sections, lead=lead, title=_TITLE, html_name=html_name
    )
    return f"{text}\n"


def _environment(autoescape: bool) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=autoescape,
        undefined=StrictUndefined,
    )
    filters = {"md": _escape, "md_entry": _entry, "base64": _base64}
    environment.filters |= filters
    return environment


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _escape(value: Any) -> str:
    """Text of one line in which Markdown sees nothing special."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(value).split()))


def _entry(entry: Entry) -> str:
    text = _escape(entry.text)
    if entry.mark == "best":
        text = f"**{text}**"
    mark = f" ({entry.mark})" if entry.mark else ""
    detail = f"; {_escape(entry.detail)}" if entry.detail else ""
    return f"{text}{mark}{detail}"
