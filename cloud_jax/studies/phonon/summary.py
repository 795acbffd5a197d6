"""The printed summary of the phonon study."""

from pathlib import Path
from typing import Any


def format_summary(found: dict[str, Any], folder: Path) -> str:
    """Return Table 1, ours beside the paper's, and the deviations as text.

    Args:
        found: content of results.json.
        folder: folder of what was written.
    """
    table, lines = found["table_1"], []
    for column in dict.fromkeys(row["column"] for row in table["ours"]):
        lines += [f"{column}, MAE/MAD", f"{'':44}ensemble{'single':>18}"]
        for row in table["ours"]:
            if row["column"] == column:
                folds = f"{row['folds']} fold" + "s" * (row["folds"] > 1)
                name = f"{row['label']} ({row['protocol']}, {folds})"
                ensemble, single = map(_number, (row["ensemble"], row["single"]))
                lines.append(f"  {name:42}{ensemble:18}{single:18}")
        for model, cells in table["paper"].items():
            if model.startswith("CLOUD"):
                lines.append(f"  {'paper: ' + model:42}{cells[column]['text']}")
    for label, materials in found.get("heat_capacities", {}).items():
        lines.append(f"{label}: C_v against measured C_p to 300 K")
        for name, row in materials.items():
            if row["temperature_k"]:
                lines.append(
                    f"  {name:8}{len(row['cv_model']):3} points, mean relative "
                    f"deviation {row['mean_relative_deviation']:6.1%}"
                    + (f", {row['role']}" if row["role"] else "")
                )
    for label, errors in found.get("other_temperatures", {}).items():
        lines.append(f"{label}: MAE/MAD on {errors['measured_on']} test rows")
        lines += [
            f"  {own['property']:16}{own['temperature_k']:5.0f} K "
            f"{own['mae_over_mad_train_mean']:8.4f}; Debye law at best "
            f"{best['mae_over_mad_train_mean']:.4f}"
            for own, best in zip(
                errors["model"], errors["debye_law_at_best"], strict=True
            )
        ]
    figures = (figure["file"] for figure in found["figures"])
    lines.append(f"\n{folder}/: {', '.join(['results.json', *figures])}")
    return "\n".join(lines)


def _number(errors: dict[str, dict]) -> str:
    """Format mean and deviation of MAE/MAD by the mean of the training rows."""
    found = errors["mae_over_mad_train_mean"]
    if found["mean"] is None:
        return "none"
    spread = "" if found["std"] is None else f" ± {found['std']:.4f}"
    return f"{found['mean']:.4f}{spread}"
