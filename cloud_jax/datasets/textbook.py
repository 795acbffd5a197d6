"""Tabulated values of 104 well-known solids, installed with the program.

Entropy, heat capacity at constant pressure and H(T) - H(0) at 298.15 K and 1 bar, per
mol of formula units, and whether the solid is a metal. scripts/textbook.toml says
where each value is from; scripts/make_textbook_table.py made the file.
"""

from dataclasses import dataclass
from pathlib import Path

from cloud_jax.structures.source import Listing, refuse_rest
from cloud_jax.structures.table import TableSource

PATH = Path(__file__).with_name("textbook.csv")


@dataclass(frozen=True)
class TextbookSource(TableSource):
    """Read the table in the package, as crystals or with its labels."""

    licence: str = "MIT (compiled from published tables)"
    citation: str = "NASA/TP-2002-211556 and the column source"
    paths: tuple[str, ...] = (str(PATH),)

    @classmethod
    def from_word(cls, text: str, data_dir: str) -> "TextbookSource":
        """Return the source; nothing may follow the word."""
        refuse_rest("textbook", text)
        return cls(name="textbook")

    @classmethod
    def listings(cls, data_dir: str) -> list[Listing]:
        """Return the listing of the only data set."""
        return [
            Listing(
                "textbook",
                "S, C_p, H at 298.15 K and metal or not, of well-known solids",
                f"104 structures, {PATH.stat().st_size // 1000} kB",
                cls.licence,
                cls.citation,
                "in the package",
            )
        ]
