"""The printed summary of MatBench Discovery: our rows beside the paper's."""

from pathlib import Path
from typing import Any

from cloud_jax.studies.paper import benchmarks, cloud, read_paper, table

SET_NAMES = {  # of the sets of crystals
    "full": "full test set",
    "unique_prototypes": "unique prototypes",
    "most_stable_10k": "10,000 most stable",
}
_COLUMNS = ("f1", "daf", "precision", "recall", "accuracy", "tnr")
_COLUMNS += ("mae", "rmse", "r2", "roc_auc", "prevalence")
_WIDTH = 11


def format_summary(results: dict[str, Any], output: Path) -> str:
    """Return the metrics beside the paper's, what is absent, and what to do next.

    Args:
        results: content of results.json.
        output: folder of what was written.
    """
    energy = results["formation_energy"]
    paper = {
        column: cell.value
        for column, cell in zip(
            table("S4").columns, table("S4").cells["CLOUD"], strict=True
        )
    }
    lines = [
        f"\nMatBench Discovery: {energy['n']:,} crystals of WBM predicted, "
        f"{energy['missing']:,} missing. Formation energy: MAE {energy['mae']:.4f}, "
        f"RMSE {energy['rmse']:.4f} eV/atom (the paper's CLOUD: "
        f"{cloud(benchmarks()['discovery']).text})"
    ]
    if results["note"]:
        lines.append(f"NOTE: {results['note']}")
    if "stability" in results:
        rows = {SET_NAMES[name]: row for name, row in results["stability"].items()}
        paper |= {
            "recall": paper["tpr"],
            "roc_auc": read_paper()["discovery"]["roc_auc"],
        }
        rows |= {"the paper's CLOUD (S4)": paper}
        lines += [
            "",
            f"{'threshold 0':24}" + "".join(f"{c:>{_WIDTH}}" for c in _COLUMNS),
        ]
        lines += [_row(name, row, _COLUMNS) for name, row in rows.items()]
        columns = ("f1", "daf", "precision", "accuracy", "tpr", "tnr")
        lines += [
            "",
            f"{'by threshold (S5)':24}" + "".join(f"{c:>{_WIDTH}}" for c in columns),
        ]
        for point in results["thresholds"]:
            value = point["threshold_ev"]
            lines.append(_row(f"{value:+.2f} eV/atom", point, columns))
            cells = table("S5").cells[str(value)]
            theirs = {c: cell.value for c, cell in zip(columns, cells, strict=True)}
            lines.append(_row("  the paper's CLOUD", theirs, columns))
    lines += ["", *results["absent"]] if results["absent"] else []
    submission = results["submission"]
    lines += ["", f"results, figures and submission: {output}"]
    lines += [f"submission, fill in: {line}" for line in submission["to_fill_in"]]
    if submission["null"]:
        lines.append(f"submission, null so far: {', '.join(submission['null'])}")
    return "\n".join(lines)


def _row(name: str, row: dict[str, Any], columns: tuple[str, ...]) -> str:
    values = (row.get(column) for column in columns)
    return f"{name:24}" + "".join(
        f"{'-' if value is None else f'{value:.3f}':>{_WIDTH}}" for value in values
    )
