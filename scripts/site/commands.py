"""The reference of the commands, written by their own parsers."""

import argparse
from importlib import import_module

from cloud_jax import cli

_INTRODUCTION = """\
# Commands

Written from the parsers of this version: `--help` of each command prints the same.
Every command also takes `--quiet`, which shows no progress and no notes, and those that
train take settings as `--config.KEY=VALUE`.

```text
{exit_codes}```
"""


def page() -> str:
    """Return the page: of each command its summary, usage, arguments and notes."""
    parts = [_INTRODUCTION.format(exit_codes=cli.EXIT_CODES)]
    for name, command in cli.COMMANDS.items():
        parser = argparse.ArgumentParser(
            prog=f"cloud-jax {name}",
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
                prog, width=88
            ),
            add_help=False,
        )
        import_module(command.module).configure(parser)
        parts.append(_section(name, command, parser))
    return "\n".join(parts)


def _section(name: str, command: cli.Command, parser: argparse.ArgumentParser) -> str:
    extra = (
        f'\nNeeds `pip install "cloud-jax[{command.extra}]"`.\n'
        if command.extra
        else ""
    )
    lines = [
        f"## cloud-jax {name}\n",
        f"{_text(parser.description or command.summary)}\n{extra}",
        f"```text\n{parser.format_usage()}```\n",
        "| argument | |\n|---|---|",
        *(_row(parser, action) for action in parser._actions),
    ]
    if parser.epilog:
        lines += ["", f"```text\n{parser.epilog.strip()}\n```"]
    return "\n".join(lines) + "\n"


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    formatter = parser._get_formatter()
    words = formatter._format_action_invocation(action)
    text = formatter._expand_help(action) if action.help else ""
    return f"| `{_cell(words)}` | {_text(_cell(text))} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _text(text: str) -> str:
    """Return plain text for Markdown: `*`, `_` and `<` stand for themselves."""
    parts = text.split("`")
    for mark in "\\*_<[":
        parts[::2] = [part.replace(mark, f"\\{mark}") for part in parts[::2]]
    return "`".join(parts).replace("\\\\|", "\\|")
