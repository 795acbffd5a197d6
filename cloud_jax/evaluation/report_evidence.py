"""Discovery, scaling and attention: our runs beside what the paper says of its."""

from collections.abc import Sequence

from cloud_jax.evaluation import paper
from cloud_jax.evaluation.report import Run, dig, many, number
from cloud_jax.evaluation.report_grids import NOT_RUN, Entry, Grid, Section, figure_of

_SETS = {
    "full": "full test set",
    "unique_prototypes": "unique prototypes",
    "most_stable_10k": "10,000 most stable",
}
_HEADS = {
    "f1": "F1", "daf": "DAF", "precision": "precision", "accuracy": "accuracy",
    "tpr": "TPR", "tnr": "TNR", "mae": "MAE", "rmse": "RMSE", "r2": "R2",
    "roc_auc": "ROC-AUC",
}  # fmt: skip


def discovery(runs: Sequence[Run], anchors: dict[str, str]) -> Section:
    """Tables S4 and S5 with rows of ours."""
    table = paper.table("S4")
    columns = [*table.columns, "roc_auc"]
    best = {
        name: (min if better == "lower" else max)(c.value for c in table.column(name))
        for name, better in zip(table.columns, table.better, strict=True)
    }
    rows = []
    for model, cells in table.cells.items():
        marks = [
            "best" if c.value == best[n] else ""
            for n, c in zip(best, cells, strict=True)
        ]
        entries = [
            Entry(c.text, "", m, True) for c, m in zip(cells, marks, strict=True)
        ]
        auc = paper.read_paper()["discovery"]["roc_auc"] if model == "CLOUD" else None
        rows.append([Entry(model, cells[0].kind), *entries, _number(auc, "-")])
    for run in runs:
        rows += _discovery_rows(run, columns, anchors)
    head = ["model", *map(_HEADS.get, columns)]
    notes = [
        *table.remarks,
        "MAE, RMSE in eV/atom. Rows of ours are not ranked: see which hull and which "
        "crystals each had. ROC-AUC of CLOUD: Figure 2d.",
    ]
    grids = [Grid(f"Table S4. {table.caption}", head, rows, notes), _thresholds(runs)]
    absent = [
        f"{run.name}: {line}" for run in runs for line in many(run.results, "absent")
    ]
    return Section("discovery", "Discovery (Tables S4, S5)", absent, grids)


def _discovery_rows(
    run: Run, columns: Sequence[str], anchors: dict[str, str]
) -> list[list[Entry]]:
    sets = dig(run.results, "stability")
    if (
        not isinstance(sets, dict) or not sets
    ):  # no hull: the errors of the formation energy are those of the hull's
        energy = {
            k: number(run.results, "formation_energy", k) for k in ("mae", "rmse")
        }
        sets = {"full": energy | {"n": number(run.results, "formation_energy", "n")}}
    hull = dig(run.results, "hull", "published")
    word = {True: "published hull", False: "another hull"}.get(hull, "no hull")
    rows = []
    for name, metrics in sets.items():
        n = figure_of(number(metrics, "n"))
        first = Entry(
            f"ours: {_SETS.get(name, name)}",
            f"{run.name}; {word}; {n} crystals",
            link=anchors[run.name],
        )
        rows.append([first, *(_number(number(metrics, c), "-") for c in columns)])
    return rows


def _thresholds(runs: Sequence[Run]) -> Grid:
    table = paper.table("S5")
    rows = []
    for threshold, cells in table.cells.items():
        entries = [Entry(cell.text, numeric=True) for cell in cells]
        rows.append([Entry(threshold), Entry("paper's CLOUD"), *entries])
        for run in runs:
            for found in many(run.results, "thresholds"):
                if number(found, "threshold_ev") == float(threshold):
                    entries = [_number(number(found, c), "-") for c in table.columns]
                    rows.append(
                        [Entry(threshold), Entry(f"ours: {run.name}"), *entries]
                    )
    head = ["threshold (eV/atom)", "model", *map(_HEADS.get, table.columns)]
    return Grid(f"Table S5. {table.caption}", head, rows, table.remarks)


def _number(value: float | None, otherwise: str = NOT_RUN) -> Entry:
    text = figure_of(value) if value is not None else otherwise
    return Entry(text, numeric=True)
