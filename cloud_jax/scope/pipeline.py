"""The way of one crystal, as a pure function: parse, encode, tokenise.

Every engine runs `process` and nothing else on each raw item, so the result does not
depend on how the work was distributed.
"""

import ast
import json
import re
from dataclasses import dataclass, field
from functools import cache, partial

from cloud_jax.scope import (
    Cell,
    Rejection,
    Vocabulary,
    build_vocabulary,
    encode,
    sentence,
)
from cloud_jax.scope.options import Options
from cloud_jax.structures import readers
from cloud_jax.structures.source import RawItem, writable

_POSCAR_LINES = 8  # the fewest, with one atom
_CIF = re.compile(r"_cell[._]length_a|^[ \t]*data_", re.IGNORECASE | re.MULTILINE)
_XYZ = re.compile(r"\d+\s*\n.*\bLattice=")  # a count of atoms, and the keys of a frame


@dataclass(frozen=True)
class Record:
    """One crystal ready for a shard; fields that a ready string lacks are None.

    Attributes:
        id: source name, slash, id inside the source.
        formula: reduced formula, alphabetical; for a ready string its fractions.
        space_group: number, 1 to 230.
        n_atoms: atoms in the primitive cell.
        volume_per_atom: angstrom^3.
        flags: see `Scope`.
        paper: sentence in the paper dialect.
        canonical: sentence in the canonical dialect.
        tokens: ids in the chosen dialect's vocabulary.
    """

    id: str
    formula: str
    space_group: int | None
    n_atoms: int | None
    volume_per_atom: float | None
    flags: list[str]
    paper: str
    canonical: str | None
    tokens: list[int] = field(repr=False)


@dataclass(frozen=True)
class Reject:
    """One rejected crystal: id, stage (`read`, `encode`, ...), code, message."""

    id: str
    stage: str
    code: str
    message: str


@cache
def vocabulary_of(dialect: str) -> Vocabulary:
    """Return the dialect's vocabulary, built once per process."""
    return build_vocabulary(dialect)


def process(item: RawItem, source: str, options: Options) -> Record | Reject:
    """Turn one raw item into a record, or into a reject that says why not.

    Args:
        item: a crystal as its source yields it.
        source: name of its source.
        options: dialect, tolerances and limits.

    Raises:
        ImportError: a required package is not installed.
    """
    stage, name = "read", f"{source}/{item.id}"
    try:
        if item.kind == "sentence":
            fields = _from_sentence(item.payload)
        else:
            cell = read_cell(item)
            stage = "encode"
            fields = _from_cell(cell, options)
        stage = "tokenise"
        tokens = vocabulary_of(options.dialect).encode(fields[options.dialect])
        if len(tokens) > options.max_tokens:
            raise Rejection(
                "too_long",
                f"found {len(tokens)} tokens, expected at most {options.max_tokens}",
            )
    except Rejection as rejection:
        return Reject(name, stage, rejection.code, writable(rejection.message))
    except MemoryError:
        why = "needs more memory than --memory-limit allows per crystal"
        return Reject(name, stage, "out_of_memory", why)
    except ImportError:  # this installation cannot read any such crystal
        raise
    except Exception as error:  # one odd crystal must not stop a run of thousands
        why = writable(f"{type(error).__name__}: {error}")
        return Reject(name, stage, "unexpected", why)
    return Record(id=name, tokens=tokens, **fields)


def read_cell(item: RawItem) -> Cell:
    """Parse a raw item into a cell.

    Raises:
        Rejection: the item cannot be read; its code says why.
    """
    payload = item.payload
    if item.kind == "reject":
        raise Rejection(*payload)
    if item.kind == "cell":
        return payload
    if item.kind == "arrays":
        lattice, fractional, numbers = payload
        return Cell.from_arrays(lattice, fractional, numbers)
    if isinstance(payload, bytes):
        payload = readers.decode(payload)
    if not isinstance(payload, str):
        return readers.read_json(payload)
    payload = payload.removeprefix("\ufeff")  # the byte order mark of some editors
    if item.kind in readers.READERS:
        return readers.READERS[item.kind](payload)
    text = payload.lstrip()
    if text.startswith("{"):
        return readers.read_json(_parse_object(text))
    if _CIF.search(text):
        return readers.read_cif(payload)
    if _XYZ.match(text):
        return readers.read_extxyz(payload)
    if text.count("\n") < _POSCAR_LINES - 1:
        name = " ".join(text.split()).endswith((".cif", ".vasp", ".json", ".xyz"))
        more = ": the text itself, not the name of its file" if name else ""
        raise Rejection(
            "unreadable", f"found {text[:40]!r}, expected CIF, POSCAR or JSON{more}"
        )
    return readers.read_poscar(payload)


def _parse_object(text: str) -> dict:
    """Read JSON, or the literal that Python prints for the same object."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise Rejection(
                "unreadable", "expected JSON or a Python literal after '{'"
            ) from None


def _from_cell(cell: Cell, options: Options) -> dict:
    encode_as = partial(
        encode,
        cell,
        symprec=options.symprec,
        angle_tolerance=options.angle_tolerance,
        disorder=options.disorder,
        symmetry=options.symmetry,
    )
    scope = given = encode_as()
    if "symmetry_uncertain" in scope.flags:
        given = encode_as(as_given=True)
    return {
        "formula": scope.formula,
        "space_group": scope.space_group,
        "n_atoms": scope.n_atoms,
        "volume_per_atom": float(scope.volume_per_atom),
        "flags": list(scope.flags),
        "paper": sentence(given, "paper"),
        "canonical": sentence(scope, "canonical"),
    }


def _from_sentence(text: str) -> dict:
    """Return the fields of a ready paper-dialect string."""
    parts = [part.split() for part in text.split("|")]
    if len(parts) != 3 or not all(parts) or len(parts[2]) % 2:
        raise Rejection(
            "unreadable",
            f"found {text[:80]!r}, expected generators | Wyckoff symbols | element "
            "fraction pairs",
        )
    pairs = sorted(zip(parts[2][::2], parts[2][1::2], strict=True))
    return {
        "formula": " ".join(element + fraction for element, fraction in pairs),
        "space_group": None,
        "n_atoms": None,
        "volume_per_atom": None,
        "flags": ["string"],
        "paper": " | ".join(" ".join(part) for part in parts),
        "canonical": None,
    }
