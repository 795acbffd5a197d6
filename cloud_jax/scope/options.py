"""Settings that decide the sentence of a crystal; importing them loads no parser."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Options:
    """Settings that decide the record of one crystal.

    Attributes:
        dialect: `paper` or `canonical`.
        symprec: distance tolerance of the symmetry search, angstrom.
        angle_tolerance: degrees.
        disorder: policy for partial occupancy, see `scope.encode`.
        max_tokens: longest sentence, [CLS] and [SEP] included.
        symmetry: package that searches, `spglib` or `moyopy`.
        deduplicate: key by which crystals are equal: `canonical` (sentence),
            `formula+spacegroup` or `none`.
    """

    dialect: str = "canonical"
    symprec: float = 0.01
    angle_tolerance: float = 5.0
    disorder: str = "majority"
    max_tokens: int = 128
    symmetry: str = "spglib"
    deduplicate: str = "canonical"

    def to_dict(self) -> dict:
        """Return the fields for a manifest."""
        return asdict(self)


@dataclass(frozen=True)
class Request:
    """Settings that decide the bytes of a dataset, apart from its sources.

    Attributes:
        options: settings of parsing.
        seed: seed of the split.
        validation_fraction: share of the formulas in the validation split.
    """

    options: Options
    seed: int = 0
    validation_fraction: float = 0.2
