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
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#&~$])")  # to Markdown, or to HTML within it


def to_html(sections: Sequence[Section], title: str, lead: str) -> str:
    """Return one page: style and images inside, no script, nothing loaded."""
    style = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    words = {"title": title, "lead": lead, "style": Markup(style)}
    return _render("report.html.jinja", sections, **words)


def to_markdown(
    sections: Sequence[Section], title: str, lead: str, html_name: str
) -> str:
    """Return the same text and tables; figures are named, with the page they are on."""
    words = {"title": title, "lead": lead, "html_name": html_name}
    return _render("report.md.jinja", sections, **words)


def _render(template: str, sections: Sequence[Section], **words: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=".html" in template,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    environment.filters |= {"md": _escape, "md_entry": _escape_entry}
    return environment.get_template(template).render(sections=sections, **words)


def _escape(value: Any) -> str:
    """Return text on one line in which Markdown sees nothing special."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(value).split()))


def _escape_entry(entry: Entry) -> str:
    text = _escape(entry.text)
    text = f"**{text}**" if entry.mark == "best" else text
    mark = f" ({entry.mark})" if entry.mark else ""
    detail = f"; {_escape(entry.detail)}" if entry.detail else ""
    return f"{text}{mark}{detail}"
