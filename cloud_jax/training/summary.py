"""The end of a run: results.json and the last screen."""

import sys
from pathlib import Path
from typing import Any

from cloud_jax.training.masking import SEGMENTS


def results(
    *,
    validation: dict[str, float],
    baselines: dict[str, dict[str, float]],
    progress: Any,
    parameters: dict[str, int],
    steps: int,
    epochs: float,
    checkpoint: Path,
    best_checkpoint: Path,
    hashes: dict[str, str],
) -> dict[str, Any]:
    """The content of results.json; losses in nats a masked token.

    Args:
        validation: means of the last state.
        baselines: means of `unigram` and `bigram` on the same masked positions.
        progress: the loop's clock.
        parameters: `total` and `non_embedding`.
        steps: updates made.
        epochs: passes over the training split.
        checkpoint: folder of the last state.
        best_checkpoint: folder of the state with the lowest validation loss.
        hashes: of the data set and the vocabulary.
    """
    means = {f"validation_{key}": value for key, value in validation.items()}
    for name, value in baselines.items():
        means |= {f"{name}_{key}": number for key, number in value.items()}
    seconds = max(progress.seconds, 1e-9)
    return {
        **means,
        "crystals_per_second": progress.crystals / seconds,
        "tokens_per_second": progress.tokens / seconds,
        "wall_seconds": progress.wall_seconds,
        "parameters": parameters["total"],
        "parameters_non_embedding": parameters["non_embedding"],
        "steps": steps,
        "epochs": epochs,
        "checkpoint": str(checkpoint),
        "best_checkpoint": str(best_checkpoint),
        "hashes": hashes,
    }


def format_summary(found: dict[str, Any], workdir: Path) -> str:
    """What a person sees last: ours beside the baselines, and what to do next."""
    columns = ("loss", "perplexity", "accuracy")
    lines = [
        f"\nMasked tokens of the validation split ({found['epochs']:.4g} epochs, "
        f"{found['steps']} steps, {found['parameters']:,} parameters)\n",
        f"{'':12}" + "".join(f"{column:>12}" for column in columns),
    ]
    for label, prefix in (
        ("CLOUD", "validation"),
        ("bigram", "bigram"),
        ("unigram", "unigram"),
    ):
        loss, perplexity, accuracy = (found[f"{prefix}_{c}"] for c in columns)
        lines.append(f"{label:12}{loss:12.4f}{perplexity:12.2f}{accuracy:12.1%}")
    lines.append("")
    for name in SEGMENTS:
        if f"validation_loss_{name}" in found:
            ours, unigram = (
                f"{found[f'{prefix}_loss_{name}']:.4f} "
                f"({found[f'{prefix}_accuracy_{name}']:.1%})"
                for prefix in ("validation", "unigram")
            )
            lines.append(f"{name:12}{ours} against {unigram} of unigram")
    python = _python()
    lines += [
        "",
        f"speed       {found['crystals_per_second']:,.0f} crystals/s, "
        f"{found['tokens_per_second']:,.0f} tokens/s "
        f"({found['wall_seconds']:.0f} s in all)",
        f"checkpoint  {found['checkpoint']}",
        f"numbers     {workdir / 'results.json'}, {workdir / 'metrics.jsonl'}",
        "",
        "Next",
        f"  {python} -m scripts.plot_learning_curve curve.png {workdir}    # draw it",
        f"  {python} -m cloud_jax.scope YOUR.cif    # a crystal as the model reads it",
        f"  {python} -m cloud_jax.preprocess --help    # a data set of your crystals",
        f"  {python} -m cloud_jax.pretrain --help    # larger models, other settings",
    ]
    return "\n".join(lines)


def _python() -> str:
    """This interpreter as a person would type it here."""
    path, here = Path(sys.executable), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else "python"
