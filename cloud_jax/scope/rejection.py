"""The one exception that sets a single crystal aside."""

CODES = {
    "unreadable": "the text is not a structure file we can read",
    "no_atoms": "the structure has no atoms",
    "bad_lattice": "cell lengths, angles or vectors do not span a volume",
    "bad_coordinates": "a coordinate is missing or not a finite number",
    "unknown_species": "a site holds something that is not an element up to Lr",
    "occupancy": "the occupancies of a site are not in (0, 1]",
    "disordered": "a site is partially occupied and the policy is to reject",
    "overlapping_sites": "two atoms lie on the same point",
    "symmetry_failed": "spglib finds no space group at any tolerance tried",
    "composition": "the amounts are not a ratio of small integers",
    "vocabulary": "the sentence needs a word that the vocabulary does not have",
}


class Rejection(ValueError):
    """A crystal that cannot become a sentence.

    Attributes:
        code: machine-readable reason, a key of `CODES` or of a later stage.
        message: what was found, what was expected, in words.
    """

    def __init__(self, code: str, message: str):
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"
