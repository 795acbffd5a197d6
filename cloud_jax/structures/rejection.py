"""The exception that sets a single crystal aside."""


class Rejection(ValueError):
    """A crystal that cannot become a sentence.

    Attributes:
        code: machine-readable reason. Codes of this package: `unreadable`, `no_atoms`,
            `bad_lattice`, `bad_coordinates`, `bad_symmetry`, `unknown_species`,
            `occupancy`, `ambiguous`, `too_many_sites`, `disordered`, `binary`,
            `too_large`, `not_periodic`, `unknown_positions`, `overlapping_sites`,
            `symmetry_failed`, `timeout`, `crashed`, `vocabulary`; later
            stages have codes of their own.
        message: what was found, what was expected, in words; long ones are cut.
    """

    LONGEST = 400  # characters: a file may hold a word of megabytes

    def __init__(self, code: str, message: str):
        if len(message) > self.LONGEST:
            message = message[: self.LONGEST - 3] + "..."
        super().__init__(code, message)
        self.code = code
        self.message = message

    @classmethod
    def of_error(cls, kind: str, error: Exception) -> "Rejection":
        """Return the `unreadable` rejection of text that a parser failed on.

        Args:
            kind: what was expected, with its article ("a POSCAR").
            error: the parser's.
        """
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return cls("unreadable", f"not {kind}: {reason}")

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"
