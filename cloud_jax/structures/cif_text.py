"""The text of a CIF to gemmi's data blocks, and the values of their tags."""

import re

import gemmi

from cloud_jax.structures.rejection import Rejection

_MAX_REMARKS = 20  # lines passed over, since each costs another reading
# A file may say these only once; of all else the first is taken.
_ONCE = ("_cell_", "_atom_site_", "_symmetry_", "_space_group_")
# Core CIF 3 and mmCIF write _cell.length_a for _cell_length_a. Upper case is named too,
# since a search that ignores case takes four times as long.
_CATEGORIES = "cell|atom_site|symmetry|space_group|chemical_formula"
_DOTTED = re.compile(rf"_(?<!\S_)(?:{_CATEGORIES}|{_CATEGORIES.upper()})\w*\.[\w.-]+")
_BARRED = re.compile("(\\d)[\N{COMBINING MACRON}\N{COMBINING OVERLINE}]")
_ASCII = {0x2080 + digit: str(digit) for digit in range(10)} | {0x2212: "-"}
_SYNTAX = re.compile(r"^string:(\d+)(?::\d+\(\d+\))?: ?(.*)", re.DOTALL)
_ADVICE = {
    "expected block header": "a CIF begins with data_ and a name",
    "Wrong number of values": "rows must be whole: a value is missing or one too many, "
    "or text with spaces lacks quotes",
    "unterminated": "the closing quote or semicolon is missing",
    "parse error": "expected a tag, one value (text with spaces in quotes) or loop_",
}


def parse(text: str) -> gemmi.cif.Document:
    """Return the data blocks of a CIF; lines that nothing depends on may be damaged.

    Raises:
        Rejection: not a CIF, or a tag of the structure given twice.
    """
    text = text.removeprefix("\ufeff")  # some editors put it in front of a text
    if not text.strip():
        raise Rejection("no_atoms", "the text is empty")
    if text.lstrip()[:1] == "<":
        found = text.lstrip()[:40]
        raise Rejection("unreadable", f"not a CIF but a web page or XML: {found!r}")
    if not text.isascii():
        text = _in_ascii(text)
    if "\r" in text:  # alone it ends a line on old Macs, but for gemmi no comment
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _DOTTED.sub(lambda tag: tag[0].replace(".", "_"), text)
    lines: list[str] = []
    for _ in range(_MAX_REMARKS):
        try:
            return gemmi.cif.read_string(text)
        except RuntimeError:  # a tag without a value, or twice: it need not matter
            return _checked(gemmi.cif.read_string(text, check_level=0))
        except ValueError as error:
            found = _SYNTAX.match(str(error))
            number, problem = int(found[1]), found[2][:80]
            lines = lines or text.split("\n")
            line = lines[number - 1].strip() if number <= len(lines) else ""
            remark = line.startswith("_") and not line.lower().startswith(_ONCE)
            if not remark or problem != "parse error" or len(line.split()) < 3:
                break
            lines[number - 1] = ""  # text without quotes that nothing here depends on
            text = "\n".join(lines)
    advice = next((a for key, a in _ADVICE.items() if key in problem), "")
    raise Rejection(
        "unreadable",
        f"not a CIF: line {number} {line[:60]!r}: {problem}; {advice}",
    )


def _in_ascii(text: str) -> str:
    """Return a text in ASCII; minus signs, subscripts and barred digits are kept."""
    text = _BARRED.sub(r"-\1", text).translate(_ASCII)
    return text.encode("ascii", "replace").decode()


def _checked(document: gemmi.cif.Document) -> gemmi.cif.Document:
    """Reject what is said twice of a structure, unless it is the same."""
    for block in document:
        said: dict[str, str | None] = {}
        for item in block:
            pairs = [item.pair] if item.pair else []
            if item.loop:
                pairs = [(tag, None) for tag in item.loop.tags]
            for tag, value in pairs:
                tag = tag.lower()
                if not tag.startswith(_ONCE):
                    continue
                if tag in said and (value is None or said[tag] != value):
                    raise Rejection(
                        "ambiguous",
                        f"{tag} is given twice, first as {said[tag] or 'a loop'}, then "
                        f"as {value or 'a loop'}; expected one",
                    )
                said[tag] = value
    return document


def strings(block: gemmi.cif.Block, tag: str) -> list[str]:
    """Return the values of a tag, in a loop or alone; none where all are ? or a dot."""
    values = block.find_values(tag)
    if not len(values) or all(map(gemmi.cif.is_null, values)):
        return []
    return [gemmi.cif.as_string(value) for value in values]


def string(block: gemmi.cif.Block, tag: str) -> str:
    """Return the value of a tag, the first of a loop; empty if there is none."""
    return next(iter(strings(block, tag)), "")


def number(block: gemmi.cif.Block, tag: str) -> float:
    """Return the number that a tag gives, in quotes or not; NaN if there is none."""
    return gemmi.cif.as_number(gemmi.cif.as_string(block.find_value(tag) or "?"))
