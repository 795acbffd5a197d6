"""Read crystals, measure the attention from [CLS], draw it and write results.json."""

import csv
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cloud_jax.cores import usable_cores
from cloud_jax.evaluation.results import refuse_other_results
from cloud_jax.files import atomic_open, lock, write_json
from cloud_jax.inference.outputs import write_rejects
from cloud_jax.inference.predictor import load
from cloud_jax.models.cls_attention import attention_by_head, check_member
from cloud_jax.models.folder import Model
from cloud_jax.progress import progress
from cloud_jax.scope.pipeline import Reject
from cloud_jax.studies.attention.cls_attention import ClsAttention, mean_attention
from cloud_jax.studies.attention.sentences import Sentence, read_sentences
from cloud_jax.studies.attention.statistics import ALPHA, measure, strongest, verdict
from cloud_jax.studies.attention.summary import WAYS

_N_STRONGEST = 3  # tokens marked in a heat map, and listed for each crystal
_MAX_SHOWN = 10  # rejects on the terminal
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
    layer: int,
    member: int,
) -> dict[str, Any] | None:
    """Measure the attention from [CLS] in one crystal or a set.

    Args:
        words: files and sources, see `read_sentences`.
        checkpoint: folder of the model; None for the packaged one.
        output: folder of what is written; results of an earlier run are replaced only
            when the new ones are complete.
        layer: layer of the verdict and of the marked tokens, from 1.
        member: member of an ensemble, from 1.

    Returns:
        The content of results.json; None where no crystal could be read.

    Raises:
        ValueError: the model, a source, the folder or an argument is unusable.
        EngineError: the worker processes failed.
    """
    model = load(checkpoint).model
    n_layers = model.description["encoder"]["layers"]
    if layer > n_layers:
        raise ValueError(f"--layer {layer}: {model.directory} has {n_layers} layers")
    check_member(model, member - 1)
    refuse_other_results(output, "attention")
    output.mkdir(parents=True, exist_ok=True)
    with lock(output):
        with progress("reading", total=None, unit="crystals") as bar:
            sentences, rejects = read_sentences(
                words,
                model,
                workers=usable_cores(),
                progress=lambda n, _: bar.update(n),
            )
        _warn_of_rejects(len(sentences), rejects, output / "rejects.csv")
        if not sentences:
            return None
        attention = mean_attention(model, sentences, member=member - 1)
        found = {"checkpoint": str(checkpoint or model.directory)}
        found |= _describe(model, sentences, rejects, layer, member)
        _write(output, model, sentences, attention, rejects, found)
    return found


def _warn_of_rejects(n_read: int, rejects: Sequence[Reject], path: Path) -> None:
    if not rejects:
        return
    total, see = n_read + len(rejects), f", see {path}" if n_read else ""
    lines = [f"warning: {len(rejects):,} of {total:,} rejected{see}"]
    lines += [f"  {r.id}: {r.code}: {r.message}" for r in rejects[:_MAX_SHOWN]]
    if len(rejects) > _MAX_SHOWN:
        lines.append(f"  and {len(rejects) - _MAX_SHOWN:,} more")
    print("\n".join(lines), file=sys.stderr)


def _write(
    folder: Path,
    model: Model,
    sentences: Sequence[Sentence],
    attention: ClsAttention,
    rejects: Sequence[Reject],
    found: dict[str, Any],
) -> None:
    """Measure, draw and write; results.json is removed first and written last."""
    layer, member = found["layer"] - 1, found["member"] - 1
    measured = (
        {} if found["distinct_sentences"] == 1 else _measure(sentences, attention)
    )
    for name in ("results.json", *_FIGURES):
        (folder / name).unlink(missing_ok=True)
    write_rejects(folder / "rejects.csv", rejects)
    _write_tokens(folder / "tokens.csv", model, sentences, attention, layer)
    if measured:
        found |= _draw_set(folder, measured, layer)
    else:
        found |= _draw_one(folder, model, sentences[0], attention, layer, member)
    write_json(folder / "results.json", found)


def _candidates(attention: ClsAttention) -> dict[str, np.ndarray]:
    """Return the tokens that may be among the first k, with special tokens or not."""
    return {
        "special_counted": attention.is_token,
        "special_left_out": attention.is_token & ~attention.is_special,
    }


def _measure(
    sentences: Sequence[Sentence], attention: ClsAttention
) -> dict[str, dict[str, Any]]:
    """Measure a set with special tokens and without, each sentence once."""
    first = {s.text: i for i, s in reversed(list(enumerate(sentences)))}
    rows = sorted(first.values())
    once = ClsAttention(*(array[rows] for array in attention))
    groups = [_generators(sentences[i].text) for i in rows]
    return {
        way: measure(once.scores, candidate, once.is_space_group, groups)
        for way, candidate in _candidates(once).items()
    }


def _generators(text: str) -> str:
    """Return the generator string, which all sentences of a space group share."""
    return text.partition("|")[0].strip()


def _write_tokens(
    path: Path,
    model: Model,
    sentences: Sequence[Sentence],
    attention: ClsAttention,
    layer: int,
) -> None:
    """Write one row per crystal: its sentence, and what [CLS] attends to in a layer."""
    names = model.vocabulary.tokens
    with atomic_open(path, "w", newline="", encoding="utf-8", errors="replace") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(_CSV)
        for i, sentence in enumerate(sentences):
            scores = attention.scores[i, layer]
            tops = [
                "; ".join(
                    f"{names[sentence.tokens[place]]}@{place} {scores[place]:.4f}"
                    for place in strongest(scores[None], candidate[i], _N_STRONGEST)[0]
                )
                for candidate in _candidates(attention).values()
            ]
            of_group = attention.is_space_group[i]
            share = scores[of_group].sum() / scores[attention.is_token[i]].sum()
            counts = len(sentence.tokens), int(of_group.sum())
            rows.writerow((sentence.id, sentence.text, *counts, f"{share:.4f}", *tops))


def _describe(
    model: Model,
    sentences: Sequence[Sentence],
    rejects: Sequence[Reject],
    layer: int,
    member: int,
) -> dict[str, Any]:
    """Return the model, the crystals and the hashes of both for results.json."""
    description = model.description
    lines = "\n".join(f"{s.id}\t{s.text}" for s in sentences)
    distinct = {s.text for s in sentences}
    groups = {_generators(text) for text in distinct}
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


def _draw_one(
    folder: Path,
    model: Model,
    sentence: Sentence,
    attention: ClsAttention,
    layer: int,
    member: int,
) -> dict[str, Any]:
    """Draw the heat map of one crystal; return its part of results.json."""
    from cloud_jax.studies.attention.figures import heat_map

    vocabulary = model.vocabulary
    (weights,) = attention_by_head(model, [sentence.tokens], member=member)
    top = strongest(attention.scores[0], attention.is_token[0], _N_STRONGEST)
    names = [vocabulary.tokens[token] for token in sentence.tokens]
    bars = [i for i, t in enumerate(sentence.tokens) if t == vocabulary.bar_id]
    ends = [0, *bars, len(names) - 1]
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
        f"{_N_STRONGEST} most attended tokens of a layer, heads averaged; those of "
        f"layer {layer + 1} are coloured below."
    )
    return {
        "sentence": sentence.text,
        "strongest": [[f"{names[i]}@{i}" for i in places] for places in top],
        "figures": [{"file": "attention.png", "caption": caption}],
    }


def _draw_set(
    folder: Path, measured: dict[str, dict[str, Any]], layer: int
) -> dict[str, Any]:
    """Draw the measurements of a set; return its part of results.json."""
    from cloud_jax.studies.attention.figures import share_plot

    share_plot(
        folder / "shares.png", {WAYS[way]: found for way, found in measured.items()}
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
