"""Command lines: a parser that says what was meant, and words that can be pasted."""

import argparse
import difflib
import re
import shlex
import sys
from collections.abc import Iterable
from typing import NoReturn

# What --checkpoint takes, as `cloud_jax.load` does.
MODEL_HELP = (
    "Folder of a model, work directory of a finished run, `encoder`, or OWNER/NAME of "
    "the Hugging Face Hub (default: `thermal`, the model in the package)."
)
# The names of types in argparse's own messages, for people.
_KINDS = {"int": "a whole number", "float": "a number"}


def nearest(word: str, words: Iterable[str], least: float = 0.6) -> str:
    """Return the word that is most like a misspelt one; empty if none is like it."""
    known = {each.lower(): each for each in words}
    found = difflib.get_close_matches(word.lower(), list(known), 1, least)
    return known[found[0]] if found else ""


class Parser(argparse.ArgumentParser):
    """An argument parser whose messages name what was found, expected and near it.

    Attributes:
        example: a command that works, first in the help and last in messages about
            arguments that are missing.
    """

    def __init__(self, *, example: str = "", **options):
        options = {"formatter_class": _formatter, "allow_abbrev": False} | options
        super().__init__(add_help=False, **options)
        self.example = example
        self.add_argument(
            "-h", "--help", action="help", help="Show this help and exit."
        )

    def parse_args(self, args=None, namespace=None):
        """Parse arguments; unknown ones end the program with the nearest known one."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.refuse(unknown[0])
        return found

    def refuse(self, word: str, near: str = "") -> NoReturn:
        """End the program because of an argument that the command does not have."""
        flag = word.partition("=")[0]
        near = near or nearest(flag, _flags_of(self))
        if word.startswith("-"):
            hint = near and f"; did you mean {near}?"
            self.error(f"unknown argument {flag}{hint}")
        self.error(f"unexpected argument {command_line([word])}")

    def error(self, message: str) -> NoReturn:
        """Print the usage and a message, and end with code 2."""
        if found := re.match(r"the following arguments are required: (.*)", message):
            example = self.example and f", as in: {self.example}"
            message = f"{found[1]} is missing{example}"
        elif found := re.match(
            r"argument (\S+): invalid (\w+) value: (.*)", message, re.DOTALL
        ):
            expected = _KINDS.get(found[2], "a number")
            message = f"argument {found[1]}: found {found[3]}, expected {expected}"
        self.print_usage(sys.stderr)
        more = f"`{self.prog} --help` describes the arguments"
        self.exit(2, f"{self.prog}: error: {message}\n{more}\n")

    def _check_value(self, action, value) -> None:
        """Name the nearest choice; argparse lists all of them alone."""
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        near = nearest(str(value), choices)
        hint = f"did you mean {near}? Expected" if near else "expected"
        message = f"found {value!r}; {hint} one of {', '.join(choices)}"
        raise argparse.ArgumentError(action, message)

    def format_help(self) -> str:
        """Return the usage, an example, the description and the arguments."""
        if not self.example:
            return super().format_help()
        said = self.description
        try:
            self.description = f"example: {self.example}\n\n{said or ''}".rstrip()
            return super().format_help()
        finally:
            self.description = said


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=30)


def _flags_of(parser: argparse.ArgumentParser) -> list[str]:
    """Return the flags of a parser and of its commands."""
    found = []
    for action in parser._actions:
        found += action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                found += _flags_of(child)
    return found


def command_line(words: Iterable[str]) -> str:
    """Return a command that can be pasted into a shell, each word quoted if it must be.

    `--flag=` stays outside the quotes, and what holds single quotes is put in double
    ones where that is safe, as a person would type it.
    """
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    flag, value = re.fullmatch(r"(?s)(--?[\w.-]+=|)(.*)", word).groups()
    if "'" in value and not re.search(r'["$`\\!]', value):
        return f'{flag}"{value}"'
    return flag + (shlex.quote(value) if value or not flag else "")
