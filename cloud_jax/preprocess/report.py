"""What is in a dataset: counts a source, reasons, symmetry, lengths, vocabulary."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence

from cloud_jax.preprocess.selection import SPLITS
from cloud_jax.preprocess.sources.source import Source
from cloud_jax.preprocess.tally import Tally
from cloud_jax.scope import Vocabulary

CRYSTAL_SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "tetragonal",
                   "trigonal", "hexagonal", "cubic")  # fmt: skip
_LAST_GROUP = (2, 15, 74, 142, 167, 194, 230)  # of each crystal system


def make_report(
    counts: Tally, sources: Sequence[Source], vocabulary: Vocabulary
) -> dict:
    """Put the counts of a dataset together as `report.json` holds them.

    Args:
        counts: see `tally`.
        sources: in order.
        vocabulary: of the dialect.
    """
    topics: dict[str, Counter] = defaultdict(Counter)
    for (topic, *key), n in counts.items():
        topics[topic][tuple(key)] += n
    groups = topics["space_group"]
    tokens = {i: n for (i,), n in topics["token"].items()}
    return {
        "sources": [
            _source_entry(i, source, topics, sources)
            for i, source in enumerate(sources)
        ],
        "splits": {
            split: {
                "records": counts["split", split],
                "lengths": _histogram(topics["n_tokens"], split),
            }
            for split in SPLITS
        },
        "space_groups": _total(groups),
        "crystal_systems": _crystal_systems(groups),
        "primitive_cell_atoms": _histogram(topics["n_atoms"]),
        "vocabulary": {
            "size": len(vocabulary),
            "used": len(tokens),
            "tokens": {vocabulary.tokens[i]: n for i, n in sorted(tokens.items())},
            "unused": [t for i, t in enumerate(vocabulary.tokens) if i not in tokens],
        },
    }


def _source_entry(
    index: int, source: Source, topics: dict[str, Counter], sources: Sequence[Source]
) -> dict:
    merged = topics["merged"]
    own = Counter({k[1:]: n for k, n in topics["space_group"].items() if k[0] == index})
    rejected = {k[1]: n for k, n in topics["rejected"].items() if k[0] == index}
    return {
        "name": source.name,
        "licence": source.licence,
        "citation": source.citation,
        "records": topics["read"][index,],
        "rejected": dict(sorted(rejected.items(), key=lambda kv: (-kv[1], kv[0]))),
        "reserved": topics["reserved"][index,],
        "merged_into": {
            sources[k[1]].name: n for k, n in sorted(merged.items()) if k[0] == index
        },
        "kept": topics["kept"][index,],
        "crystal_systems": _crystal_systems(
            Counter({(index, *k): n for k, n in own.items()})
        ),
    }


def _total(groups: Counter) -> dict[int, int]:
    """Kept crystals of each space group over all sources."""
    total: Counter[int] = Counter()
    for (_, number), n in groups.items():
        total[number] += n
    return dict(sorted(total.items()))


def _crystal_systems(groups: Counter) -> dict[str, int]:
    total = dict.fromkeys(CRYSTAL_SYSTEMS, 0)
    for number, n in _total(groups).items():
        system = CRYSTAL_SYSTEMS[bisect_left(_LAST_GROUP, number)] if number else "?"
        total[system] = total.get(system, 0) + n
    return total


def _histogram(counts: Counter, *prefix: str) -> dict[int, int]:
    found = {k[-1]: n for k, n in counts.items() if k[:-1] == prefix}
    return dict(sorted(found.items()))
