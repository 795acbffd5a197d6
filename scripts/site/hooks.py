"""Hooks of `python -m mkdocs build --strict`: pages made elsewhere, links, formulas.

Material's built-in pieces would do none of this: pages outside docs/, the reference of
the commands from their parsers, the Python reference from docs/design.md, notebooks run
as they are built, and formulas as MathML, which needs neither fonts nor a script.
"""

import logging
import os
import posixpath
import re
import sys
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, os.fspath(ROOT))

from scripts.site import commands, data_card, notebooks, python_reference  # noqa: E402

log = logging.getLogger("mkdocs.hooks.cloud_jax")

# Pages that stay where people look for them in a repository.
ELSEWHERE = {
    "README.md": "index.md",
    "RESULTS.md": "results.md",
    "CHANGELOG.md": "changelog.md",
    "cloud_jax/weights/MODEL_CARD.md": "model_card.md",
}
_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<to>[^)\s]+)\)")
_FENCE = re.compile(r"(```.*?```|`[^`\n]*`)", re.S)
_FORMULA = re.compile(
    r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.S
)
# What a browser would fetch from another host when it opens a page.
_FETCHED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?(?:https?:)?//"
    r"|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|icon|preconnect|preload))"
    r"[^>]*\bhref=[\"']?(?:https?:)?//"
    r"|@import|url\(\s*[\"']?(?:https?:)?//"
)


def on_files(files, config):
    """Add the pages that are not files of docs/."""
    for source, page in ELSEWHERE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    generated = {"reference/commands.md": commands.page(), **python_reference.pages()}
    for page, text in generated.items():
        files.append(File.generated(config, page, content=text))
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        text, pictures = notebooks.page(path)
        name = f"notebooks/{path.stem}"
        files.append(File.generated(config, f"{name}.md", content=text))
        for picture, data in pictures.items():
            file = File.generated(config, f"notebooks/{picture}", content=data)
            files.append(file)
    return files


def on_page_markdown(markdown, page, config, files):
    """Turn links between files of the repository into links between pages."""
    uri = page.file.src_uri
    sources = {page: source for source, page in ELSEWHERE.items()}
    source = sources.get(uri, f"docs/{uri}")

    def follow(match: re.Match) -> str:
        target, mark, anchor = match["to"].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        to = ELSEWHERE.get(path) or path.removeprefix("docs/")
        if files.get_file_from_path(to) and (to != path or path in ELSEWHERE):
            here = posixpath.relpath(to, posixpath.dirname(uri) or ".")
            return f"{match['image']}[{match['text']}]({here}{mark}{anchor})"
        if (ROOT / path).exists() and not match["image"]:
            return match["text"]  # a file of the repository that is no page
        log.warning("%s: no file %s, linked as %s", source, path, match["to"])
        return match[0]

    parts = _FENCE.split(markdown)
    parts[::2] = [_LINK.sub(follow, part) for part in parts[::2]]
    return data_card.fill("".join(parts))


def on_page_content(html, page, config, files):
    """Write formulas as MathML, which browsers draw themselves."""
    from html import unescape

    from latex2mathml.converter import convert

    def formula(match: re.Match) -> str:
        display = "block" if match[2] == "[" else "inline"
        return convert(unescape(match[3]), display=display)

    return _FORMULA.sub(formula, html)


def on_post_build(config):
    """Refuse a site whose pages would fetch something from another host."""
    for path in sorted(Path(config["site_dir"]).rglob("*")):
        if path.suffix in {".html", ".css"}:
            found = _FETCHED.search(path.read_text(encoding="utf-8"))
            if found:
                raise PluginError(f"{path}: fetches from another host: {found[0]}")
