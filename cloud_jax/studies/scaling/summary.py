"""The printed summary of a scaling law."""

from pathlib import Path
from typing import Any


def format_summary(found: dict[str, Any], folder: Path | None, *others: str) -> str:
    """Return the constants, optima and warnings of results.json as text.

    Args:
        found: content of results.json.
        folder: folder of what was written, None for nothing.
        others: names of files in it besides results.json and the figures.
    """
    lines = [
        f"L(N, D) = A/N^alpha + B/D^beta + E fitted to {found['points']} points, "
        f"r.m.s. error {found['rms_log_error']:.2%}; {found['confidence']:.0%} "
        "intervals\n"
    ]
    for name, (low, high) in found["intervals"].items():
        lines.append(f"{name:6}{found[name]:12.5g}   {low:.5g} to {high:.5g}")
    lines += ["", f"{'FLOPs':>10}{'best N':>12}{'best D':>12}{'loss':>9}"]
    for best in found["optima"]:
        low, high = best["loss_interval"]
        lines.append(
            f"{best['flops']:10.3g}{best['parameters']:12.4g}{best['tokens']:12.4g}"
            f"{best['loss']:9.4f}   {low:.4f} to {high:.4f}"
        )
    lines += [f"\nwarning: {warning}" for warning in found["warnings"]]
    lines.append(f"\n{found['note']}")
    if folder:
        names = [*others, "results.json", *(own["file"] for own in found["figures"])]
        lines.append(f"\n{folder}/: {', '.join(names)}")
    return "\n".join(lines)
