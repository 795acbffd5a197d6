"""Draw the learning curves of runs, by part of the sentence.

    python -m scripts.plot_learning_curve OUT.png RUN [RUN ...]

RUN is a folder with metrics.jsonl and, for the baselines, results.json.
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter

# Okabe and Ito's colours: told apart by colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
PARTS = (
    ("loss", "all masked tokens"),
    ("loss_symmetry", "symmetry"),
    ("loss_wyckoff", "Wyckoff positions"),
    ("loss_composition", "composition"),
)
BASELINES = (("unigram", ":"), ("bigram", "--"))


def read(run: Path, split: str) -> list[dict]:
    """Return the logged events of a split."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["split"] == split]


def main(arguments: list[str]) -> None:
    """Draw one panel a part of the sentence."""
    if len(arguments) < 2:
        sys.exit(__doc__)
    out, *runs = map(Path, arguments)
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.4), layout="constrained")
    for axis, (key, title) in zip(axes, PARTS, strict=True):
        for run, colour in zip(runs, COLOURS, strict=False):
            train, validation = read(run, "train"), read(run, "validation")
            axis.plot(
                *zip(*((e["epoch"], e[key]) for e in train), strict=True),
                color=colour, alpha=0.4, lw=1, label=f"{run.name}, training",
            )  # fmt: skip
            axis.plot(
                *zip(*((e["epoch"], e[key]) for e in validation), strict=True),
                "o-", color=colour, ms=3, lw=1.2, label=f"{run.name}, validation",
            )  # fmt: skip
        results = runs[0] / "results.json"
        if results.exists():
            found = json.loads(results.read_text())
            for name, style in BASELINES:
                level = found[f"{name}_{key}"]
                axis.axhline(level, color="0.35", ls=style, lw=1, label=name)
        axis.set(title=title, xlabel="epoch", yscale="log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.grid(alpha=0.3, which="both")
    axes[0].set_ylabel("cross-entropy a masked token / nat")
    axes[0].legend(fontsize=7)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150)
    print(out)


if __name__ == "__main__":
    main(sys.argv[1:])
