"""The printed table: our rows beside the published ones of potentials."""

from typing import Any

# Mean absolute errors of C_v, J/(mol K) per cell, on the whole benchmark of 1,170
# crystals: MatPES (github.com/materialyzeai/matpes), pages/, matcalc-benchmark-pbe.csv.
PUBLISHED = {
    "TensorNet, OMat24": 5.97,
    "TensorNet, MatPES": 13.27,
    "TensorNet, MPF": 18.23,
    "CHGNet, MatPES": 22.83,
    "CHGNet, MPtrj": 23.57,
    "M3GNet, MatPES": 27.25,
    "M3GNet, MPF": 30.42,
}


def format_summary(found: dict[str, Any]) -> str:
    """Return the errors of a model, its weakest groups among them, beside potentials.

    Args:
        found: result of `run`.
    """
    lines = [
        f"C_v at 300 K of {found['n']:,} crystals, {found['benchmark']['file']}; "
        f"{len(found['rejected'])} rejected; "
        f"{found['seconds_per_crystal']:.3f} s per crystal",
        "",
        f"{'J/(mol K)':34}{'n':>6}{'per cell':>10}{'per atom':>10}{'in interval':>13}",
        _row("this model, all", found["all"]["total"]),
    ]
    if "not_learned" in found:
        for name in ("no_heat_capacity_learned", "not_learned"):
            lines.append(_row(f"  {name.replace('_', ' ')}", found[name]["total"]))
    else:
        lines.append("  (the model does not say which sentences it has learned from)")
    shown = found.get("no_heat_capacity_learned", found["all"])
    if shown["total"] is None:
        shown = found["all"]
    for kind in ("by_class", "by_size"):
        lines += [_row(f"    {name}", one) for name, one in shown[kind].items()]
    scale = shown["total"] | {"inside": None}
    lines.append(_row("3R per atom", scale, "mae_dulong_petit"))
    lines += [f"{name:40}{mae:10.2f}" for name, mae in PUBLISHED.items()]
    better = [name for name, mae in PUBLISHED.items() if mae < shown["total"]["mae"]]
    lines += ["", f"better than this model: {', '.join(better) or 'none'}"]
    return "\n".join(lines)


def _row(name: str, one: dict[str, Any] | None, mae: str = "mae") -> str:
    if one is None:
        return f"{name:34}{0:6}"
    per_atom = f"{one['mae_per_atom']:10.3f}" if mae == "mae" else " " * 10
    held = "" if one["inside"] is None else f"{one['inside']:13.1%}"
    return f"{name:34}{one['n']:6,}{one[mae]:10.2f}{per_atom}{held}"
