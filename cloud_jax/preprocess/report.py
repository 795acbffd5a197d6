"""What is in a dataset: counts per source, reasons, symmetry, lengths, vocabulary."""

import csv
import textwrap
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cloud_jax.preprocess.dataset import source_counts
from cloud_jax.preprocess.selection import SPLITS
from cloud_jax.preprocess.statistics import Counts
from cloud_jax.scope import Vocabulary
from cloud_jax.scope.crystal_systems import LAST_GROUP, crystal_system
from cloud_jax.scope.space_groups import hermann_mauguin
from cloud_jax.structures.source import EXCLUDED, Source

_ROLES = {  # of a token, as a crystallographer would call them
    "inversion": "generators", "generators": "generators", "matrix": "generators",
    "translation": "generators", "origin": "generators",
    "wyckoff": "Wyckoff symbols", "element": "elements",
    "count": "counts", "fraction": "fractions",
}  # fmt: skip


def make_report(
    counts: Counts, sources: Sequence[Source], vocabulary: Vocabulary, rejects: Path
) -> dict:
    """Put the counts of a dataset together as `report.json` holds them.

    Args:
        counts: see `statistics`.
        sources: in order.
        vocabulary: of the dialect.
        rejects: the finished `rejects.csv`, for an example of each reason.
    """
    topics: dict[str, Counter] = defaultdict(Counter)
    for (topic, *key), n in counts.items():
        topics[topic][tuple(key)] += n
    groups = _sum(topics["space_group"], 1)
    lengths = _sum(topics["n_tokens"], 1)
    return {
        "dialect": vocabulary.dialect,
        "records": sum(topics["split"].values()),
        "splits": {
            split: {"records": counts["split", split], **_lengths(topics, split)}
            for split in SPLITS
        },
        "sources": [
            entry | _of_source(i, topics, sources)
            for i, entry in enumerate(source_counts(counts, sources))
        ],
        "reasons": _reasons(topics["rejected"], rejects),
        "crystal_systems": _crystal_systems(groups),
        "space_groups": [
            {"number": number, "symbol": hermann_mauguin(number), "records": n}
            for number, n in sorted(groups.items())
            if number
        ],
        "tokens_a_crystal": _summary(lengths),
        "primitive_cell_atoms": _summary(_sum(topics["n_atoms"], 0)),
        "vocabulary": _coverage(_sum(topics["token"], 0), vocabulary),
    }


def _sum(counts: Counter, place: int) -> Counter:
    """Add up what agrees in one place of the key."""
    total: Counter = Counter()
    for key, n in counts.items():
        total[key[place]] += n
    return total


def _lengths(topics: dict[str, Counter], split: str) -> dict:
    own = Counter({k[1]: n for k, n in topics["n_tokens"].items() if k[0] == split})
    return {"tokens": sum(k * n for k, n in own.items()), "lengths": _histogram(own)}


def _of_source(
    index: int, topics: dict[str, Counter], sources: Sequence[Source]
) -> dict:
    """Return the facts on a source that the manifest does not state."""
    rejected = Counter(
        {k[1]: n for k, n in topics["rejected"].items() if k[0] == index}
    )
    del rejected[EXCLUDED]
    merged = Counter({k[1]: n for k, n in topics["merged"].items() if k[0] == index})
    groups = {k[1]: n for k, n in topics["space_group"].items() if k[0] == index}
    return {
        "reasons": dict(sorted(rejected.items(), key=lambda item: (-item[1], item[0]))),
        "merged_into": {sources[i].name: n for i, n in sorted(merged.items())},
        "crystal_systems": _crystal_systems(Counter(groups)),
    }


def _reasons(rejected: Counter, path: Path) -> list[dict]:
    """Each reason of rejection with its first example, the most frequent first."""
    examples: dict[str, dict] = {}
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            examples.setdefault(row["code"], row)
    counts = _sum(rejected, 1)
    del counts[EXCLUDED]
    return [
        {
            "code": code,
            "count": n,
            "id": examples[code]["id"],
            "message": examples[code]["message"],
        }
        for code, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _crystal_systems(groups: Counter) -> dict[str, int]:
    """Count the crystals of each crystal system; not known of ready strings."""
    total = dict.fromkeys(LAST_GROUP, 0)
    for number, n in groups.items():
        if number:
            total[crystal_system(number)] += n
    return total | ({"not known": groups[0]} if groups[0] else {})


def _histogram(counts: Counter) -> dict[str, list[int]]:
    values = sorted(counts)
    return {"values": values, "counts": [counts[value] for value in values]}


def _summary(counts: Counter) -> dict:
    """Histogram and its quantiles; 0 stands for what is not known."""
    counts = Counter({value: n for value, n in counts.items() if value})
    histogram, n = _histogram(counts), counts.total()
    if not n:
        return histogram

    def quantile(share: float) -> int:
        """Return the least value that this share of the crystals has at most."""
        at = np.searchsorted(np.cumsum(histogram["counts"]), share * n)
        return histogram["values"][at]

    return {
        "min": histogram["values"][0],
        "median": quantile(0.5),
        "mean": round(sum(k * n for k, n in counts.items()) / n, 2),
        "percentile_95": quantile(0.95),
        "max": histogram["values"][-1],
        **histogram,
    }


def _coverage(tokens: Counter, vocabulary: Vocabulary) -> dict:
    """Return which tokens occur, by role; special tokens have none."""
    roles: dict[str, dict] = {}
    names = {}
    for i, token in enumerate(vocabulary.tokens):
        role = _ROLES.get(token.partition(":")[0])
        if role:
            names[i] = token
            entry = roles.setdefault(role, {"used": 0, "total": 0})
            entry["used"] += i in tokens
            entry["total"] += 1
    return {
        "used": sum(entry["used"] for entry in roles.values()),
        "total": len(names),
        "roles": roles,
        "occurrences": {names[i]: tokens[i] for i in names if i in tokens},
        "unused": [name for i, name in names.items() if i not in tokens],
    }


def report_text(report: dict) -> str:
    """Return the report as lines of a terminal's width."""
    kept, read = report["records"], sum(s["n_read"] for s in report["sources"])
    lines = [
        f"{kept:,} crystals kept of {read:,} read ({_percent(kept, read)}), "
        f"{report['dialect']} dialect"
    ]
    for name, split in report["splits"].items():
        lines.append(
            f"  {name:<11}{split['records']:>12,} crystals{split['tokens']:>16,} tokens"
        )
    lines += ["", *_source_lines(report["sources"])]
    if report["reasons"]:
        lines += ["", "REJECTED, and one example each (rejects.csv lists all)"]
    for reason in report["reasons"]:
        lines.append(f"{reason['count']:>12,}  {reason['code']}")
        example = f"{reason['id']}: {reason['message']}"
        lines += textwrap.wrap(
            example, 88, initial_indent=" " * 14, subsequent_indent=" " * 14
        )
    lines += _merged_lines(report["sources"])
    lines += ["", *_symmetry_lines(report)]
    lines += ["", f"SIZES{'least':>32}{'median':>9}{'mean':>9}{'95 %':>9}{'most':>9}"]
    for title, key in (
        ("tokens, [CLS] and [SEP] too", "tokens_a_crystal"),
        ("atoms in the primitive cell", "primitive_cell_atoms"),
    ):
        entry = report[key]
        if entry["values"]:
            names = ("min", "median", "mean", "percentile_95", "max")
            numbers = "".join(f"{entry[name]:>9,.4g}" for name in names)
            lines.append(f"  {title:<26}{numbers}")
    return "\n".join([*lines, "", *_vocabulary_lines(report["vocabulary"])]) + "\n"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.1f} %"


def _source_lines(sources: Sequence[dict]) -> list[str]:
    columns = ("read", "rejected", "excluded", "reserved", "duplicates", "kept")
    width = max(len("SOURCES"), *(len(s["name"]) + 2 for s in sources))
    lines = [f"{'SOURCES':<{width}}" + "".join(f"{name:>12}" for name in columns)]
    total = {f"n_{name}": sum(s[f"n_{name}"] for s in sources) for name in columns}
    rows = [*sources, {"name": "all", **total}] if len(sources) > 1 else sources
    for row in rows:
        numbers = "".join(f"{row[f'n_{name}']:>12,}" for name in columns)
        lines.append(f"{'  ' + row['name']:<{width}}{numbers}")
    if any(source["reserved"] for source in sources):
        names = ", ".join(source["name"] for source in sources if source["reserved"])
        lines.append(f"  kept out with all that equal its crystals: {names}")
    return lines


def _merged_lines(sources: Sequence[dict], longest: int = 12) -> list[str]:
    """Return which source stands for duplicates of which, frequent pairs first."""
    pairs = sorted(
        (-n, source["name"], representative)
        for source in sources
        for representative, n in source["merged_into"].items()
    )
    lines = ["", "DUPLICATES, and whose crystal stands for them"] if pairs else []
    for n, name, representative in pairs[:longest]:
        into = "itself" if name == representative else representative
        lines.append(f"{-n:>12,}  {name} into {into}")
    if rest := pairs[longest:]:
        n = -sum(pair[0] for pair in rest)
        lines.append(f"{n:>12,}  in {len(rest)} other pairs of sources")
    return lines


def _symmetry_lines(report: dict) -> list[str]:
    lines = ["CRYSTAL SYSTEMS"]
    most = max(report["crystal_systems"].values())
    for name, n in report["crystal_systems"].items():
        share = _percent(n, report["records"])
        bar = "#" * -(-30 * n // max(most, 1))
        lines.append(f"  {name:<13}{n:>11,}{share:>9}  {bar}".rstrip())
    groups = report["space_groups"]
    lines.append(f"  {len(groups)} of the 230 space groups occur; the most frequent:")
    often = sorted(groups, key=lambda group: (-group["records"], group["number"]))[:10]
    for start in range(0, len(often), 5):
        names = (
            f"{g['symbol']} {_percent(g['records'], report['records'])}"
            for g in often[start : start + 5]
        )
        lines.append("    " + ", ".join(names))
    return lines if groups else lines[:-1]


def _vocabulary_lines(vocabulary: dict) -> list[str]:
    lines = [f"VOCABULARY: {vocabulary['used']} of {vocabulary['total']} words occur"]
    for role, entry in vocabulary["roles"].items():
        lines.append(f"  {role:<16}{entry['used']:>5} of {entry['total']:>4}")
    elements = [
        token.partition(":")[2]
        for token in vocabulary["unused"]
        if token.startswith("element:")
    ]
    if elements:
        text = f"  no {' '.join(elements)}"
        lines += textwrap.wrap(text, 88, subsequent_indent=" " * 5)
    return lines
