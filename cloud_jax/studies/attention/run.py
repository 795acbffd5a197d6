"""One run of `python -m cloud_jax.attention`: files in, a folder out."""

import csv
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from cloud_jax.cores import usable_cores
from cloud_jax.evaluation.results import refuse_other_results
from cloud_jax.files import atomic_open, atomic_write, lock
from cloud_jax.inference.outputs import write_rejects
from cloud_jax.inference.predictor import load
from cloud_jax.models.folder import Model
from cloud_jax.scope.pipeline import Reject
from cloud_jax.studies.attention.crystals import (
    ClsAttention,
    Sentence,
    check_member,
    cls_attention,
    look,
    read_sentences,
)
from cloud_jax.studies.attention.statistics import ALPHA, measure, strongest, verdict

_STRONGEST = 3  # tokens marked in a heat map, and listed for each crystal
_SHOWN = 10  # rejects on the terminal
_WAYS = {
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
_FIGURES = ("attention.png", "shares.png")
_CSV = (
    "id", "sentence", "tokens", "space_group_tokens", "space_group_attention",
    "top_tokens", "top_tokens_without_special",
)  # fmt: skip


def run(
    words: Sequence[str],
    *,
    checkpoint: str | None,
    output: Path,
    layer: int = 1,
    member: int = 1,
) -> int:
    """Read, look, measure, write; returns the exit status.

    Args:
        words: files and sources, see `read_sentences`.
        checkpoint: folder of the model; None for the packaged one.
        output: folder of what is written; an earlier run's gives way at the end.
        layer: that the verdict and the marked tokens are of, from 1.
        member: of an ensemble, from 1.

    Raises:
        ValueError: the model, a source, the folder or an argument is unusable.
        EngineError, OSError: the machine is in the way.
    """
    model = load(checkpoint).model
    n_layers = model.description["encoder"]["layers"]
    if layer > n_layers:
        raise ValueError(f"--layer {layer}: {model.directory} has {n_layers} layers")
    check_member(model, member - 1)
    refuse_other_results(output, "attention")
    output.mkdir(parents=True, exist_ok=True)
    with lock(output):
        with tqdm(desc="reading", unit=" crystals", leave=False, disable=None) as bar:
            sentences, rejects = read_sentences(
                words,
                model,
                workers=usable_cores(),
                progress=lambda n, _: bar.update(n),
            )
        _say_rejects(len(sentences), rejects, output / "rejects.csv")
        if not sentences:
            return 1
        looks = look(model, sentences, member=member - 1)
        found = {"checkpoint": str(checkpoint or model.directory)}
        found |= _describe(model, sentences, rejects, layer, member)
        _write(output, model, sentences, looks, rejects, found)
    print(_screen(found, output))
    return 0


def _write(
    folder: Path,
    model: Model,
    sentences: Sequence[Sentence],
    looks: ClsAttention,
    rejects: Sequence[Reject],
    found: dict[str, Any],
) -> None:
    """Replace what an earlier run left: results.json goes first and comes last."""
    layer, member = found["layer"] - 1, found["member"] - 1
    measured = {} if found["distinct_sentences"] == 1 else _measure(sentences, looks)
    for name in ("results.json", *_FIGURES):
        (folder / name).unlink(missing_ok=True)
    write_rejects(folder / "rejects.csv", rejects)
    _write_tokens(folder / "tokens.csv", model, sentences, looks, layer)
    if measured:
        found |= _draw_set(folder, measured, layer)
    else:
        found |= _draw_one(folder, model, sentences[0], looks, layer, member)
    text = json.dumps(found, indent=2, allow_nan=False)
    atomic_write(folder / "results.json", text + "\n")


def _say_rejects(n: int, rejects: Sequence[Reject], path: Path) -> None:
    if not rejects:
        return
    total, see = n + len(rejects), f", see {path}" if n else ""
    lines = [f"warning: {len(rejects):,} of {total:,} rejected{see}"]
    lines += [f"  {r.id}: {r.code}: {r.message}" for r in rejects[:_SHOWN]]
    if len(rejects) > _SHOWN:
        lines.append(f"  and {len(rejects) - _SHOWN:,} more")
    print("\n".join(lines), file=sys.stderr)


def _candidates(looks: ClsAttention) -> dict[str, np.ndarray]:
    """Which tokens may be among the first k, both ways."""
    return {
        "special_counted": looks.token,
        "special_left_out": looks.token & ~looks.special,
    }


def _write_tokens(
    path: Path,
    model: Model,
    sentences: Sequence[Sentence],
    looks: ClsAttention,
    layer: int,
) -> None:
    """Write a row a crystal: its sentence, and where [CLS] looks in one layer."""
    names = model.vocabulary.tokens
    with atomic_open(path, "w", newline="", encoding="utf-8", errors="replace") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(_CSV)
        for i, sentence in enumerate(sentences):
            scores = looks.scores[i, layer]
            tops = [
                "; ".join(
                    f"{names[sentence.tokens[place]]}@{place} {scores[place]:.4f}"
                    for place in strongest(scores[None], candidate[i], _STRONGEST)[0]
                )
                for candidate in _candidates(looks).values()
            ]
            share = scores[looks.space_group[i]].sum() / scores[looks.token[i]].sum()
            counts = len(sentence.tokens), int(looks.space_group[i].sum())
            rows.writerow((sentence.id, sentence.text, *counts, f"{share:.4f}", *tops))


def _describe(
    model: Model,
    sentences: Sequence[Sentence],
    rejects: Sequence[Reject],
    layer: int,
    member: int,
) -> dict[str, Any]:
    """What was looked at with what."""
    description = model.description
    lines = "\n".join(f"{s.id}\t{s.text}" for s in sentences)
    distinct = {s.text for s in sentences}
    groups = {_group(text) for text in distinct}
    members = description.get("members", 1)
    note = "Heads are averaged; [CLS] itself does not count."
    if members > 1:
        note += f" Member {member} of {members}."
    if len(distinct) > 1:
        note += (
            " Each sentence counts once; intervals and p-values take the space group "
            "(its generator string) as the unit, the paper's t-test the sentence."
        )
        if 2 ** -len(groups) > ALPHA:
            note += (
                f" {len(groups)} space groups are too few for any p < {ALPHA:g}: no "
                f'verdict but "not shown" is possible.'
            )
    return {
        "kind": "attention",
        "benchmark": "attention",
        "model": description["kind"],
        "dialect": model.vocabulary.dialect,
        "layers": description["encoder"]["layers"],
        "heads": description["encoder"]["heads"],
        "layer": layer,
        "member": member,
        "members": members,
        "crystals": len(sentences),
        "distinct_sentences": len(distinct),
        "distinct_space_groups": len(groups),
        "rejected": len(rejects),
        "note": note,
        "hashes": {
            "weights": description["weights_sha256"],
            "vocabulary": model.vocabulary.sha256,
            "sentences": hashlib.sha256(lines.encode()).hexdigest(),
        },
    }


def _group(text: str) -> str:
    """What sentences of one space group have in common, in every dialect."""
    return text.partition("|")[0].strip()


def _draw_one(
    folder: Path,
    model: Model,
    sentence: Sentence,
    looks: ClsAttention,
    layer: int,
    member: int,
) -> dict[str, Any]:
    """Draw the heat map of one crystal."""
    from cloud_jax.studies.attention.figures import heat_map

    vocabulary = model.vocabulary
    (weights,) = cls_attention(model, [sentence.tokens], member=member)
    top = strongest(looks.scores[0], looks.token[0], _STRONGEST)
    names = [vocabulary.tokens[token] for token in sentence.tokens]
    ends = [i for i, t in enumerate(sentence.tokens) if t == vocabulary.bar_id]
    ends = [0, *ends, len(names) - 1]
    parts = ("space group", "Wyckoff", "composition")
    heat_map(
        folder / "attention.png",
        weights,
        [name.rpartition(":")[2] for name in names],
        strongest=top,
        marked=layer,
        parts=[(p, ends[i] + 1, ends[i + 1] - 1) for i, p in enumerate(parts)],
        title=Path(sentence.id).name,
    )
    caption = (
        f"Attention from [CLS] by layer and head, {sentence.text}. Triangles: the "
        f"{_STRONGEST} most attended tokens of a layer, heads averaged; those of layer "
        f"{layer + 1} are coloured below."
    )
    return {
        "sentence": sentence.text,
        "strongest": [[f"{names[i]}@{i}" for i in places] for places in top],
        "figures": [{"file": "attention.png", "caption": caption}],
    }


def _measure(
    sentences: Sequence[Sentence], looks: ClsAttention
) -> dict[str, dict[str, Any]]:
    """Measure a set both ways, each sentence once."""
    first = {s.text: i for i, s in reversed(list(enumerate(sentences)))}
    places = sorted(first.values())
    once = ClsAttention(*(of_all[places] for of_all in looks))
    groups = [_group(sentences[i].text) for i in places]
    return {
        way: measure(once.scores, candidate, once.space_group, groups)
        for way, candidate in _candidates(once).items()
    }


def _draw_set(
    folder: Path, measured: dict[str, dict[str, Any]], layer: int
) -> dict[str, Any]:
    """Draw what was measured of a set, and judge one layer."""
    from cloud_jax.studies.attention.figures import share_plot

    share_plot(
        folder / "shares.png", {_WAYS[way]: found for way, found in measured.items()}
    )
    caption = (
        "p1 and p2 with 95 % intervals (space groups drawn with replacement) by layer; "
        "broken lines: expected where the scores of each sentence are permuted."
    )
    return {
        "measured": measured,
        "verdict": {
            way: verdict(found["layers"][layer]) for way, found in measured.items()
        },
        "figures": [{"file": "shares.png", "caption": caption}],
    }


def _screen(found: dict[str, Any], folder: Path) -> str:
    """What a person sees last."""
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
            f"\nLayer {layer['layer']}, {_WAYS[way]}: space-group tokens are "
            f"{measured['share']:.3f} of the tokens and receive {layer['mass']:.3f} of "
            "the attention",
            f"  k      value  [95 % interval]   by share  {'more: p':>9}"
            f"{'less: p':>9}  t-test against 0.5: p",
        ]
        for row in layer["top"]:
            lines += [_line(row["k"], name, row[name]) for name in ("p1", "p2")]
        others = ", ".join(
            f"{other['layer']}: {verdict(other)}" for other in measured["layers"]
        )
        lines.append(
            f"The paper's finding {_MEANING[found['verdict'][way]]}. By layer: {others}"
        )
    written = ["results.json", "tokens.csv", "rejects.csv"]
    written += [figure["file"] for figure in found["figures"]]
    return "\n".join([*lines, f"\n{folder}/: {', '.join(written)}"])


def _line(k: int, name: str, test: dict[str, Any]) -> str:
    low, high = test["interval"]
    t_test = "all are equal"
    if test["t_test"]:
        p = test["t_test"]["p"]
        t_test = f"{p:.2g}" if p > 0 else "< 1e-300"
    return (
        f"  {k}  {name} {test['value']:6.3f}  [{low:.3f}, {high:.3f}]"
        f"{test['null']:11.3f}{test['p_greater']:11.4f}{test['p_less']:9.4f}  {t_test}"
    )
