"""The one exception that sets a single crystal aside."""


class Rejection(ValueError):
    """A crystal that cannot become a sentence.

    Attributes:
        code: machine-readable reason. Of this package: `unreadable`, `no_atoms`,
            `bad_lattice`, `bad_coordinates`, `unknown_species`, `occupancy`,
            `disordered`, `overlapping_sites`, `symmetry_failed`, `composition`,
            `vocabulary`; later stages have codes of their own.
        message: what was found, what was expected, in words.
    """

    def __init__(self, code: str, message: str):
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"
