"""Discovery, phonons, scaling and attention: our runs beside the paper's words."""

from collections.abc import Sequence
from typing import Any

from cloud_jax.studies import paper
from cloud_jax.studies.discovery.summary import SET_NAMES
from cloud_jax.studies.report.gather import Run, dig, fields, many, number
from cloud_jax.studies.report.grids import (
    NOT_RUN,
    Entry,
    Grid,
    Section,
    figure_of,
    measured,
)

_RATIO = "mae_over_mad_train_mean"
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
        rows.append([Entry(model, cells[0].kind), *entries, _said(auc)])
    for run in runs:
        rows += _discovery_rows(run, columns, anchors)
    head = ["model", *map(_HEADS.get, columns)]
    notes = [
        *table.remarks,
        "MAE, RMSE in eV/atom. Rows of ours are not ranked: see which hull and which "
        "crystals each had. ROC-AUC of CLOUD: Figure 2d.",
    ]
    grids = [Grid(f"Table S4. {table.caption}", head, rows, notes), _thresholds(runs)]
    absent = left_out(runs, "absent")
    return Section("discovery", "Discovery (Tables S4, S5)", absent, grids)


def left_out(runs: Sequence[Run], key: str) -> list[str]:
    """What runs say that they could not do."""
    return [f"{run.name}: {line}" for run in runs for line in many(run.results, key)]


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
    reference = fields(run.results, "reference")
    word = "published hull" if reference.get("hull_is_published") else "another hull"
    word = word if reference.get("hull") else "no hull"
    rows = []
    for name, metrics in sets.items():
        n = figure_of(number(metrics, "n"))
        first = Entry(
            f"ours: {SET_NAMES.get(name, name)}",
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


def add_phonon(section: Section, runs: Sequence[Run]) -> Section:
    """Add errors by crystal, at other temperatures, and beside measurement."""
    grids = list(section.grids)
    for run in runs:
        grids.append(_laws(run))
        for quantity in fields(run.results, "errors"):
            labels = fields(run.results, "errors", quantity)
            grids += _errors_by_crystal(run, quantity, labels)
        grids += [_other_temperatures(run), _measured(run)]
    return section._replace(
        paragraphs=left_out(runs, "missing"),
        grids=[grid for grid in grids if grid.rows],
    )


def _laws(run: Run) -> Grid:
    """The rows of Table 1 that are ours, a law and a start each."""
    rows = []
    for row in many(run.results, "table_1", "ours"):
        column = paper.benchmarks().get(str(dig(row, "column")))
        ratios = (
            measured(*(number(row, of, _RATIO, what) for what in ("mean", "std")))
            for of in ("ensemble", "single")
        )
        folds, tested = (figure_of(number(row, key)) for key in ("folds", "test_rows"))
        how = f"{dig(row, 'protocol')} protocol, folds: {folds}, {tested} test rows"
        first = Entry(str(dig(row, "label")), str(dig(row, "note") or ""))
        name = Entry(column.short if column else "-")
        numbers = (Entry(ratio or "-", numeric=True) for ratio in ratios)
        rows.append([first, name, *numbers, Entry(how)])
    head = ("model", "property", "MAE/MAD", "single members", "how")
    return Grid(f"Ours in the terms of Table 1: {run.name}", head, rows)


def _errors_by_crystal(run: Run, quantity: str, labels: dict) -> list[Grid]:
    """Mean absolute errors of each model, in crystal systems and bins of volume."""
    name = quantity.replace("_", " ")
    unit = next((dig(one, "unit") for one in labels.values()), "")
    head = ["", *labels]
    systems = [fields(one, "crystal_systems") for one in labels.values()]
    bins = [many(one, "volume_bins") for one in labels.values()]
    by_system = [
        [Entry(system), *(_of_some(dig(one, system)) for one in systems)]
        for system in dict.fromkeys(key for one in systems for key in one)
    ]
    by_volume = [
        [Entry(_between(dig(bins, 0, i))), *(_of_some(dig(one, i)) for one in bins)]
        for i in range(max(map(len, bins), default=0))
    ]
    return [
        Grid(f"{name} ({unit}), mean absolute error by {what}: {run.name}", head, rows)
        for what, rows in (
            ("crystal system", by_system),
            ("volume of the primitive cell (\u00c5\u00b3)", by_volume),
        )
    ]


def _of_some(found: Any) -> Entry:
    mean, n = number(found, "mean_absolute_error"), number(found, "n")
    return _number(mean, "-")._replace(detail=f"{figure_of(n)} rows" if n else "")


def _between(found: Any) -> str:
    ends = (figure_of(number(found, key), 3) for key in ("from_a3", "to_a3"))
    return " to ".join(ends)


def _other_temperatures(run: Run) -> Grid:
    rows = []
    for label, found in fields(run.results, "other_temperatures").items():
        for i, model in enumerate(many(found, "model")):
            quantity = str(dig(model, "property")).replace("_", " ")
            kelvin = figure_of(number(model, "temperature_k"), 3)
            law = number(found, "debye_law_at_best", i, _RATIO)
            ours = number(model, _RATIO)
            first = Entry(label, f"{figure_of(number(model, 'n'))} test rows")
            what = Entry(f"{quantity}, {kelvin} K")
            rows.append([first, what, _number(ours, "-"), _number(law, "-")])
    head = ("run", "property", "model, MAE/MAD", "Debye law at its best, MAE/MAD")
    title = (
        "Other temperatures than that of the labels, beside phonon densities of states"
    )
    notes = ("At the temperature of the labels the law of the last column is exact.",)
    return Grid(f"{title}: {run.name}", head, rows, notes)


def _measured(run: Run) -> Grid:
    rows = []
    for label, crystals in fields(run.results, "heat_capacities").items():
        for name in crystals if isinstance(crystals, dict) else {}:
            found = crystals[name]
            deviation = number(found, "mean_relative_deviation")
            percent = None if deviation is None else 100 * deviation
            n = len(many(found, "temperature_k"))
            inside = number(found, "points_inside_the_interval")
            share = f"{figure_of(inside)} of {n}"
            cells = [_number(percent, "-"), Entry(share, numeric=True)]
            role = str(dig(found, "role") or "-")
            rows.append([Entry(name), Entry(label), Entry(role), *cells])
    head = ("crystal", "model", "for it", "mean deviation (%)", "inside the interval")
    title = "C_v of the model beside measured C_p up to 300 K"
    return Grid(f"{title}: {run.name}", head, rows)


def attention(runs: Sequence[Run], anchors: dict[str, str]) -> Section:
    """p1 and p2 of the first layer, with their null, beside the paper's."""
    said = paper.read_paper()["attention"]
    rows = []
    for name, what in _PROPORTIONS.items():
        for k, numbers in said[name].items():
            first = Entry(f"{name}, k = {k}", what)
            theirs = _said(numbers.get("value"))
            theirs = theirs._replace(detail="({low:g}, {high:g})".format(**numbers))
            null = _said(said["null"])._replace(detail="of their t-test")
            blank = Entry("-", numeric=True)
            rows.append([first, Entry("paper's CLOUD"), theirs, null, blank, blank])
            for run in runs:
                for layer, found in _of_layers(run, int(k)):
                    model = Entry(run.name, layer, link=anchors[run.name])
                    rows.append([first, model, *_beside_null(dig(found, name))])
    head = ("", "model", "value", "null", "difference", "p, greater than the null")
    notes = (
        f"The paper: {said['where']}; its space-group tokens are "
        f"{said['token_share']} of a sentence on average.",
        "In brackets 95 % intervals, of ours with the space group as the unit. The "
        "null of ours is the token share: the scores of each sentence permuted.",
    )
    title = "Attention of [CLS] to space-group tokens"
    grid = Grid(title, head, rows, notes)
    verdicts = [line for run in runs for line in _verdicts(run)]
    return Section("attention", "Attention (Figure S2 and text)", verdicts, [grid])


_PROPORTIONS = {
    "p1": "at least one of the k tokens with the highest scores",
    "p2": "share of those k tokens",
}


def _of_layers(run: Run, k: int) -> list[tuple[str, Any]]:
    """(how measured, its numbers at k) of the layer that was asked for."""
    asked = number(run.results, "layer")
    return [
        (f"layer {figure_of(asked)}, {way.replace('_', ' ')}", found)
        for way in fields(run.results, "measured")
        for layer in many(run.results, "measured", way, "layers")
        for found in many(layer, "top")
        if number(layer, "layer") == asked and number(found, "k") == k
    ]


def _verdicts(run: Run) -> list[str]:
    """Whether the paper's finding holds for ours, in the words of the command."""
    return [
        f"{run.name}, {way.replace('_', ' ')}: do space-group tokens come first more "
        "often than their share of the tokens, "
        f"{figure_of(number(run.results, 'measured', way, 'share'), 3)}, gives by "
        f"chance? Verdict: {said}."
        for way, said in fields(run.results, "verdict").items()
    ]


def _beside_null(found: Any) -> list[Entry]:
    return [
        _interval(number(found, key), *_ends(found, interval))
        for key, interval in (
            ("value", "interval"),
            ("null", "null_interval"),
            ("difference", "difference_interval"),
        )
    ] + [Entry(figure_of(number(found, "p_greater"), 2) or "-", numeric=True)]


def _ends(found: Any, key: str) -> tuple[float | None, float | None]:
    return number(found, key, 0), number(found, key, 1)


def _said(value: float | None) -> Entry:
    """A number of the paper, with the digits that it has there."""
    return Entry("-" if value is None else f"{value:g}", numeric=True)


def _interval(value: float | None, low: float | None, high: float | None) -> Entry:
    ends = ", ".join(figure_of(end) for end in (low, high) if end is not None)
    text = "-" if value is None else figure_of(value)
    return Entry(text, f"({ends})" if ends else "", numeric=True)


def scaling(runs: Sequence[Run], anchors: dict[str, str]) -> Section:
    """The constants of the scaling law, with intervals, beside the paper's."""
    said = paper.read_paper()["scaling"]
    theirs = (_said(said[key]) for key in _CONSTANTS)
    rows = [[Entry("paper's CLOUD"), *theirs]]
    for run in runs:
        points = figure_of(number(run.results, "points"))
        first = Entry(run.name, f"{points} points", link=anchors[run.name])
        intervals = fields(run.results, "intervals")
        ours = (
            _interval(number(run.results, key), *_ends(intervals, key))
            for key in _CONSTANTS
        )
        rows.append([first, *ours])
    notes = (
        f"The paper: {said['where']}.",
        "In brackets 95 % intervals of the bootstrap. With compute C the best N grows "
        "as C^a and the best D as C^b. Losses of other corpora, dialects and masks "
        "have other constants: the exponents are what can be compared.",
    )
    law = Grid("L(N, D) = A/N^alpha + B/D^beta + E", ("", *_CONSTANTS), rows, notes)
    grids = [grid for grid in (law, _optima(runs)) if grid.rows]
    warnings = left_out(runs, "warnings")
    return Section("scaling", "Scaling law (Figure 3)", warnings, grids)


_CONSTANTS = ("A", "B", "E", "alpha", "beta", "a", "b")


def _optima(runs: Sequence[Run]) -> Grid:
    rows = []
    for run in runs:
        for best in many(run.results, "optima"):
            flops = Entry(figure_of(number(best, "flops"), 3), numeric=True)
            ours = (
                _interval(number(best, name), *_ends(best, f"{name}_interval"))
                for name in ("parameters", "tokens", "loss")
            )
            rows.append([Entry(run.name), flops, *ours])
    head = ("run", "FLOPs, 6 N D", "best N", "best D", "loss (nats a masked token)")
    return Grid("The best a compute budget buys, by the fitted law", head, rows)
