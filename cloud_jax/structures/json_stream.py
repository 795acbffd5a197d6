"""JSON files larger than memory, read one value at a time.

The published sets are single JSON objects: `{"index": [], "columns": [], "data": []}`
(MatBench, UnconvBench; pandas calls it split) and `{"material_id": {}, "entry": {}}`
(MatBench Discovery). Values are decoded by the standard library, which also takes the
NaN that Python writes.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from cloud_jax.files import cause
from cloud_jax.structures.columns import refuse_twins
from cloud_jax.structures.compressed import DAMAGED, open_text
from cloud_jax.structures.source import MAX_ITEM_BYTES, SourceError

_BLOCK = 2**18
_SPACE = re.compile(r"[ \t\r\n]*")
_AFTER_VALUE = frozenset(",]}: \t\r\n")


class JsonStream:
    """A position in a JSON text, of which only a few values are held.

    Attributes:
        file: the text.
    """

    def __init__(self, file: TextIO, path: Path):
        self.file, self._path = file, path
        self._text, self._at = "", 0
        self._decode = json.JSONDecoder().raw_decode

    def peek(self) -> str:
        """Return the next character that is not white space; empty at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(_BLOCK):
                return ""

    def value(self) -> Any:
        """Decode the next value.

        Raises:
            SourceError: the text is damaged, ends, or has a value longer than any
                structure.
        """
        self.peek()
        size = _BLOCK
        while True:
            problem = "it ends in the middle of a value"
            try:
                value, end = self._decode(self._text, self._at)
                if self._text[end : end + 1] in _AFTER_VALUE:
                    self._at = end
                    return value
            except json.JSONDecodeError as error:
                end, problem = 0, error.msg
            except RecursionError:
                raise self._damaged("a value is nested too deeply") from None
            if len(self._text) - self._at > MAX_ITEM_BYTES:
                raise self._damaged(f"{problem}, or a value is too long")
            if not self._more(size):
                if not end:
                    raise self._damaged(problem)
                self._at = end
                return value
            size *= 2

    def elements(self) -> Iterator[None]:
        """Yield before each element of a list; the caller reads it with `value`."""
        self._take("[")
        if self.peek() == "]":
            self._at += 1
            return
        yield
        while self._take("],") == ",":
            yield

    def members(self) -> Iterator[str]:
        """Yield each key of an object; the caller then reads its value."""
        self._take("{")
        if self.peek() == "}":
            self._at += 1
            return
        while True:
            key = self.value()
            self._take(":")
            yield key
            if self._take("},") == "}":
                return

    def _take(self, expected: str) -> str:
        found = self.peek()
        if not found or found not in expected:
            raise self._damaged(
                f"found {found or 'its end'}, expected {' or '.join(expected)}"
            )
        self._at += 1
        return found

    def _more(self, size: int) -> bool:
        block = self.file.read(size)
        self._text, self._at = self._text[self._at :] + block, 0
        return bool(block)

    def _damaged(self, why: str) -> SourceError:
        return SourceError(
            f"{self._path}: is damaged or not JSON of this form ({why}): get it again"
        )


@contextmanager
def open_json(path: Path) -> Iterator[JsonStream]:
    """Open a JSON file, compressed or not.

    Raises:
        SourceError: the file cannot be read, at its start or later.
    """
    try:
        with open_text(path) as file:
            yield JsonStream(file, path)
    except (*DAMAGED, UnicodeDecodeError) as error:
        raise SourceError(
            f"{path}: cannot be read ({cause(error)}): get it again"
        ) from error


def split_rows(path: Path) -> Iterator[dict[str, Any] | ValueError]:
    """Yield the rows of `{columns, data}`, or of a list of objects.

    Yields:
        {column: value}, or a ValueError that says what is wrong with a row.

    Raises:
        SourceError: the file is damaged, or of another form.
    """
    with open_json(path) as stream:
        if stream.peek() == "[":
            for _ in stream.elements():
                row = stream.value()
                problem = ValueError(f"found {str(row)[:40]!r}, expected an object")
                yield row if isinstance(row, dict) else problem
            return
        head: dict[str, Any] = {}
        for key in stream.members() if stream.peek() == "{" else ():
            if key == "data":
                yield from data_rows(stream, head, path)
                return
            head[key] = stream.value()
        raise _no_split(head, path)


def data_rows(
    stream: JsonStream, head: dict[str, Any], path: Path
) -> Iterator[dict[str, Any] | ValueError]:
    """Yield the rows of `data`, which is the next value.

    Args:
        stream: that is read.
        head: what came before: `columns`, and perhaps `index`, a column of that name.
        path: for messages.

    Raises:
        SourceError: there are no columns, or no rows.
    """
    columns, index = head.get("columns"), head.get("index", ())
    names = isinstance(columns, list) and all(isinstance(c, str) for c in columns)
    if not names or stream.peek() != "[":
        raise _no_split(head, path)
    refuse_twins(columns, columns, path)  # of two values of a row one would be lost
    for number, _ in enumerate(stream.elements()):
        values = stream.value()
        if isinstance(values, list) and len(values) == len(columns):
            first = {"index": index[number]} if number < len(index) else {}
            yield first | dict(zip(columns, values, strict=True))
        else:
            problem = f"found {str(values)[:80]}, expected {len(columns)} values"
            yield ValueError(problem)


def _no_split(head: dict[str, Any], path: Path) -> SourceError:
    return SourceError(
        f"{path}: found {', '.join(head) or 'no key'} first; expected columns, a list "
        "of names, and then data, a list of rows"
    )


def line_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the number of each JSON line and what it holds.

    Yields:
        The number, from 1, and the value, or a ValueError that says what is wrong.

    Raises:
        SourceError: the file cannot be read.
    """
    number = 0
    with open_json(path) as stream:
        while line := stream.file.readline(MAX_ITEM_BYTES):
            number += 1
            if len(line) == MAX_ITEM_BYTES:
                while line and not line.endswith("\n"):
                    line = stream.file.readline(MAX_ITEM_BYTES)
                limit = f"{MAX_ITEM_BYTES} characters"
                yield number, ValueError(f"line {number} is longer than {limit}")
            elif not line.isspace():
                try:
                    value = json.loads(line)
                except (json.JSONDecodeError, RecursionError) as error:
                    value = ValueError(f"line {number} is not JSON: {error}")
                yield number, value


def column_pairs(path: Path, names: str, values: str) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of `{names: {row: name}, values: {row: value}}`.

    Raises:
        SourceError: the file is damaged, or of another form.
    """
    ids: dict[str, str] = {}
    for _ in range(2):  # a second pass if the values come before the names
        began = bool(ids)
        with open_json(path) as stream:
            for key in stream.members():
                if key == names and not ids:
                    ids = {row: stream.value() for row in stream.members()}
                elif key == values and ids:
                    for row in stream.members():
                        value = stream.value()
                        if row not in ids:
                            raise SourceError(
                                f"{path}: row {row} of {values} has no {names}"
                            )
                        yield ids[row], value
                    return
                elif stream.peek() == "{":
                    for _ in stream.members():
                        stream.value()
                else:
                    stream.value()
        if began or not ids:
            break
    raise SourceError(f"{path}: expected an object with {names} and {values}")
