"""Discovery, phonons, scaling and attention: our runs beside the paper's numbers."""

from collections.abc import Sequence
from typing import Any

from cloud_jax.studies import paper
from cloud_jax.studies.discovery.summary import SET_NAMES
from cloud_jax.studies.report.benchmarks import theirs
from cloud_jax.studies.report.gather import Run
from cloud_jax.studies.report.grids import Entry, Grid, Section, format_number, number
from cloud_jax.studies.report.records import (
    AtTemperature,
    Errors,
    LawRow,
    Metrics,
    Number,
    Spread,
    decode,
)

_RATIO = "mae_over_mad_train_mean"
_HEADS = {
    "f1": "F1", "daf": "DAF", "precision": "precision", "accuracy": "accuracy",
    "tpr": "TPR", "tnr": "TNR", "mae": "MAE", "rmse": "RMSE", "r2": "R2",
    "roc_auc": "ROC-AUC",
}  # fmt: skip
_PROPORTIONS = {
    "p1": "at least one of the k tokens with the highest scores",
    "p2": "share of those k tokens",
}
_CONSTANTS = ("A", "B", "E", "alpha", "beta", "a", "b")


def discovery(runs: Sequence[Run]) -> Section:
    """Return Tables S4 and S5 with rows of ours."""
    table = paper.table("S4")
    best = [
        (min if better == "lower" else max)(cell.value for cell in table.column(name))
        for name, better in zip(table.columns, table.better, strict=True)
    ]
    rows = []
    for model, cells in table.cells.items():
        auc = paper.read_paper()["discovery"]["roc_auc"] if model == "CLOUD" else None
        rows.append(
            [Entry(model, cells[0].kind), *map(theirs, cells, best), _said(auc)]
        )
    columns = [*table.columns, "roc_auc"]
    rows += [row for run in runs for row in _discovery_rows(run, columns)]
    head = ["model", *map(_HEADS.get, columns)]
    notes = [
        *table.remarks,
        "MAE, RMSE in eV/atom. Rows of ours are not ranked: see which hull and which "
        "crystals each had. ROC-AUC of CLOUD: Figure 2d.",
    ]
    grids = [Grid(f"Table S4. {table.caption}", head, rows, notes), _thresholds(runs)]
    absent = [f"{run.name}: {line}" for run in runs for line in run.results.absent]
    return Section("discovery", "Discovery (Tables S4, S5)", absent, grids)


def _discovery_rows(run: Run, columns: Sequence[str]) -> list[list]:
    energy, reference = run.results.formation_energy, run.results.reference
    # Without a hull, errors of the formation energy are those of the distance to it.
    only = {"full": {key: energy.get(key) for key in ("mae", "rmse", "n")}}
    hull = "published hull" if reference.get("hull_is_published") else "another hull"
    hull = hull if reference.get("hull") else "no hull"
    rows = []
    for name, metrics in (run.results.stability or only).items():
        detail = f"{run.name}; {hull}; {format_number(metrics.get('n'))} crystals"
        first = Entry(f"ours: {SET_NAMES.get(name, name)}", detail, link=run.anchor)
        rows.append([first, *map(metrics.get, columns)])
    return rows


def _thresholds(runs: Sequence[Run]) -> Grid:
    table = paper.table("S5")
    rows = []
    for threshold, cells in table.cells.items():
        numbers = [Entry(cell.text, numeric=True) for cell in cells]
        rows.append([threshold, "paper's CLOUD", *numbers])
        rows += [
            [threshold, f"ours: {run.name}", *map(metrics.get, table.columns)]
            for run in runs
            for metrics in run.results.thresholds
            if metrics.get("threshold_ev") == float(threshold)
        ]
    head = ["threshold (eV/atom)", "model", *map(_HEADS.get, table.columns)]
    return Grid(f"Table S5. {table.caption}", head, rows, table.remarks)


def phonon(runs: Sequence[Run], table_1: Grid) -> Section:
    """Return Table 1, then errors by crystal, temperature, and beside measurement."""
    grids = [table_1]
    head = ("model", "property", "MAE/MAD", "single members", "how")
    for run in runs:
        rows = list(map(_law_row, run.results.table_1.get("ours", [])))
        grids.append(Grid(f"Ours in the terms of Table 1: {run.name}", head, rows))
        for quantity, models in run.results.errors.items():
            grids += _errors_by_crystal(run, quantity.replace("_", " "), models)
        grids += [_other_temperatures(run), _measured(run)]
    missing = [f"{run.name}: {line}" for run in runs for line in run.results.missing]
    title = "Heat capacity and internal energy (Table 1)"
    return Section("thermal", title, missing, grids)


def _law_row(row: LawRow) -> list:
    benchmark = paper.benchmarks().get(row.column)
    folds, tested = format_number(row.folds), format_number(row.test_rows)
    how = f"{row.protocol} protocol, folds: {folds}, {tested} test rows"
    ratios = [of.get(_RATIO, Spread()) for of in (row.ensemble, row.single)]
    name = benchmark.short if benchmark else "-"
    return [Entry(row.label, row.note), name, *ratios, how]


def _errors_by_crystal(run: Run, name: str, models: dict[str, Errors]) -> list[Grid]:
    """Return mean absolute errors of each model by crystal system and by volume."""
    found = [model.crystal_systems for model in models.values()]
    systems = dict.fromkeys(system for one in found for system in one)
    by_system = [
        [system, *(_group(one.get(system, {})) for one in found)] for system in systems
    ]
    # The bins of volume are the same for all models.
    bins = zip(*(model.volume_bins for model in models.values()), strict=False)
    by_volume = []
    for row in bins:
        ends = [format_number(row[0].get(key), 3) for key in ("from_a3", "to_a3")]
        by_volume.append([" to ".join(ends), *map(_group, row)])
    unit = next((model.unit for model in models.values()), "")
    title, head = f"{name} ({unit}), mean absolute error by", ["", *models]
    volume = f"{title} volume of the primitive cell (Å³): {run.name}"
    return [
        Grid(f"{title} crystal system: {run.name}", head, by_system),
        Grid(volume, head, by_volume),
    ]


def _group(metrics: Metrics) -> Entry:
    n = metrics.get("n")
    rows = f"{format_number(n)} rows" if n else ""
    return number(metrics.get("mean_absolute_error"), rows)


def _other_temperatures(run: Run) -> Grid:
    rows = []
    for label, found in run.results.other_temperatures.items():
        models, laws = found.get("model", []), found.get("debye_law_at_best", [])
        laws = [*laws, *[AtTemperature()] * len(models)]
        for model, law in zip(models, laws, strict=False):
            first = Entry(label, f"{format_number(model.n)} test rows")
            kelvin = format_number(model.temperature_k, 3)
            what = f"{model.property.replace('_', ' ')}, {kelvin} K"
            ratios = model.mae_over_mad_train_mean, law.mae_over_mad_train_mean
            rows.append([first, what, *ratios])
    head = ("run", "property", "model, MAE/MAD", "Debye law at its best, MAE/MAD")
    title = (
        "Other temperatures than that of the labels, beside phonon densities of states"
    )
    notes = ("At the temperature of the labels the law of the last column is exact.",)
    return Grid(f"{title}: {run.name}", head, rows, notes)


def _measured(run: Run) -> Grid:
    rows = []
    for label, crystals in run.results.heat_capacities.items():
        for name, found in crystals.items():
            deviation = found.mean_relative_deviation
            percent = None if deviation is None else 100 * deviation
            inside = format_number(found.points_inside_the_interval)
            share = Entry(f"{inside} of {len(found.temperature_k)}", numeric=True)
            rows.append([name, label, found.role or "-", percent, share])
    head = ("crystal", "model", "for it", "mean deviation (%)", "inside the interval")
    title = "C_v of the model beside measured C_p up to 300 K"
    return Grid(f"{title}: {run.name}", head, rows)


def attention(runs: Sequence[Run]) -> Section:
    """Return p1 and p2 of the layer that was asked for, beside the paper's."""
    said = paper.read_paper()["attention"]
    null = _said(said["null"], "of their t-test")
    rows = []
    for name, what in _PROPORTIONS.items():
        for k, numbers in said[name].items():
            first = Entry(f"{name}, k = {k}", what)
            value = _said(numbers.get("value"), "({low:g}, {high:g})".format(**numbers))
            rows.append([first, "paper's CLOUD", value, null, None, None])
            for run in runs:
                rows += [[first, *row] for row in _attention_rows(run, name, int(k))]
    head = ("", "model", "value", "null", "difference", "p, greater than the null")
    notes = (
        f"The paper: {said['where']}; its space-group tokens are "
        f"{said['token_share']} of a sentence on average.",
        "In brackets 95 % intervals, of ours with the space group as the unit. The "
        "null of ours is the token share: the scores of each sentence permuted.",
    )
    verdicts = [
        f"{run.name}, {way.replace('_', ' ')}: do space-group tokens come first more "
        f"often than their share of the tokens, {_share(run, way)}, gives by chance? "
        f"Verdict: {verdict}."
        for run in runs
        for way, verdict in run.results.verdict.items()
    ]
    grid = Grid("Attention of [CLS] to space-group tokens", head, rows, notes)
    return Section("attention", "Attention (Figure S2 and text)", verdicts, [grid])


def _attention_rows(run: Run, name: str, k: int) -> list[list[Entry]]:
    """Return a row for each way of measuring a proportion of the top k tokens."""
    asked, rows = run.numbers.get("layer"), []
    for way, measured in run.results.measured.items():
        layers = [layer for layer in measured.layers if layer.layer == asked]
        for found in (
            top for layer in layers for top in layer.top if top.get("k") == k
        ):
            detail = f"layer {format_number(asked)}, {way.replace('_', ' ')}"
            model = Entry(run.name, detail, link=run.anchor)
            found = decode(dict[str, Any], found.get(name))
            entries = [
                _interval(found, "value", "interval"),
                _interval(found, "null", "null_interval"),
                _interval(found, "difference", "difference_interval"),
            ]
            p_value = decode(Number, found.get("p_greater"))
            rows.append([model, *entries, number(p_value, digits=2)])
    return rows


def _share(run: Run, way: str) -> str:
    found = run.results.measured.get(way)
    return format_number(found.share, 3) if found else ""


def _said(value: float | None, detail: str = "") -> Entry:
    """Return a number of the paper with the digits that it has there."""
    return Entry("-" if value is None else f"{value:g}", detail, numeric=True)


def _interval(found: dict[str, Any], key: str, ends_key: str) -> Entry:
    """Return a number with the ends of its interval below it."""
    ends = decode(list[Number], found.get(ends_key))
    known = ", ".join(format_number(end) for end in ends if end is not None)
    return number(decode(Number, found.get(key)), f"({known})" if known else "")


def scaling(runs: Sequence[Run]) -> Section:
    """Return the constants of the scaling law, with intervals, beside the paper's."""
    said = paper.read_paper()["scaling"]
    rows: list[list] = [["paper's CLOUD", *(_said(said[key]) for key in _CONSTANTS)]]
    optima = []
    for run in runs:
        points = f"{format_number(run.numbers.get('points'))} points"
        known = run.numbers | {f"{k}_ends": v for k, v in run.results.intervals.items()}
        ours = [_interval(known, key, f"{key}_ends") for key in _CONSTANTS]
        rows.append([Entry(run.name, points, link=run.anchor), *ours])
        for best in run.results.optima:
            flops = number(decode(Number, best.get("flops")), digits=3)
            names = ("parameters", "tokens", "loss")
            ours = [_interval(best, name, f"{name}_interval") for name in names]
            optima.append([run.name, flops, *ours])
    notes = (
        f"The paper: {said['where']}.",
        "In brackets 95 % intervals of the bootstrap. With compute C the best N grows "
        "as C^a and the best D as C^b. Losses of other corpora, dialects and masks "
        "have other constants: the exponents are what can be compared.",
    )
    law = Grid("L(N, D) = A/N^alpha + B/D^beta + E", ("", *_CONSTANTS), rows, notes)
    head = ("run", "FLOPs, 6 N D", "best N", "best D", "loss (nats per masked token)")
    budget = Grid("The best per compute budget, by the fitted law", head, optima)
    warnings = [f"{run.name}: {line}" for run in runs for line in run.results.warnings]
    return Section("scaling", "Scaling law (Figure 3)", warnings, [law, budget])
