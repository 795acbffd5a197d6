"""The printed summary of the attention study."""

from pathlib import Path
from typing import Any

from cloud_jax.studies.attention.statistics import ALPHA, verdict

WAYS = {
    "special_counted": "special tokens counted",
    "special_left_out": "special tokens left out",
}
_MEANING = {
    "holds": "holds: space-group tokens come first more often than by their share "
    f"(p < {ALPHA:g} for p1 and p2 at every k)",
    "in part": f"holds in part: some of p1 and p2 exceed the share (p < {ALPHA:g})",
    "not shown": "is not shown: neither p1 nor p2 exceeds what the share gives "
    f"(p < {ALPHA:g} at no k)",
    "reversed": "does not hold: space-group tokens come first less often than by "
    f"their share (p < {ALPHA:g} for p1 and p2 at every k)",
}


def format_summary(found: dict[str, Any], folder: Path) -> str:
    """Return the strongest tokens of a crystal, or the tests of a set, as text.

    Args:
        found: content of results.json.
        folder: folder of what was written.
    """
    lines = [
        f"{found['crystals']:,} crystals, {found['distinct_sentences']:,} different "
        f"sentences, {found['distinct_space_groups']} space groups; "
        f"{found['layers']} layers of {found['heads']} heads, {found['dialect']} "
        f"dialect. {found['note']}"
    ]
    if "sentence" in found:
        lines += ["", found["sentence"], "most attended tokens (@place), by layer:"]
        lines += [
            f"  {i}: {', '.join(names)}"
            for i, names in enumerate(found["strongest"], 1)
        ]
    for way, measured in found.get("measured", {}).items():
        layer = measured["layers"][found["layer"] - 1]
        lines += [
            f"\nLayer {layer['layer']}, {WAYS[way]}: space-group tokens are "
            f"{measured['share']:.3f} of the tokens and receive {layer['mass']:.3f} of "
            "the attention",
            f"  k      value  [95 % interval]   by share  {'more: p':>9}"
            f"{'less: p':>9}  t-test against 0.5: p",
        ]
        for row in layer["top"]:
            lines += [_row(row["k"], name, row[name]) for name in ("p1", "p2")]
        others = ", ".join(
            f"{other['layer']}: {verdict(other)}" for other in measured["layers"]
        )
        lines.append(
            f"The paper's finding {_MEANING[found['verdict'][way]]}. By layer: {others}"
        )
    figures = (figure["file"] for figure in found["figures"])
    names = ["results.json", "tokens.csv", "rejects.csv", *figures]
    return "\n".join([*lines, f"\n{folder}/: {', '.join(names)}"])


def _row(k: int, name: str, test: dict[str, Any]) -> str:
    low, high = test["interval"]
    t_test = "all are equal"
    if test["t_test"]:
        p = test["t_test"]["p"]
        t_test = f"{p:.2g}" if p > 0 else "< 1e-300"
    return (
        f"  {k}  {name} {test['value']:6.3f}  [{low:.3f}, {high:.3f}]"
        f"{test['null']:11.3f}{test['p_greater']:11.4f}{test['p_less']:9.4f}  {t_test}"
    )
