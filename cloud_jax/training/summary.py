"""The end of a run: results.json, and what is printed last."""

import sys
from pathlib import Path
from shutil import which
from typing import Any

from cloud_jax.arguments import command_line
from cloud_jax.training.loop import Counters
from cloud_jax.training.masking import SEGMENTS
from cloud_jax.training.startup import StartUp, format_times


def results(
    *,
    validation: dict[str, float],
    baselines: dict[str, dict[str, float]],
    counters: Counters,
    startup: StartUp,
    parameters: dict[str, int],
    steps: int,
    epochs: float,
    checkpoint: Path,
    best_checkpoint: Path,
    hashes: dict[str, str],
) -> dict[str, Any]:
    """Return the content of results.json; losses in nats per masked token.

    Args:
        validation: means of the last state.
        baselines: means of `unigram` and `bigram` on the same masked positions.
        counters: of the loop.
        startup: of this process, which may have resumed the run.
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
    seconds = max(counters.seconds, 1e-9)
    return {
        **means,
        "crystals_per_second": counters.crystals / seconds,
        "tokens_per_second": counters.tokens / seconds,
        "wall_seconds": counters.wall_seconds,
        "waiting_seconds": counters.waiting_seconds,
        **startup.to_json(),
        "parameters": parameters["total"],
        "parameters_non_embedding": parameters["non_embedding"],
        "steps": steps,
        "epochs": epochs,
        "checkpoint": str(checkpoint),
        "best_checkpoint": str(best_checkpoint),
        "hashes": hashes,
    }


def format_summary(found: dict[str, Any], workdir: Path) -> str:
    """Return losses beside the baselines, speed, and what to do next, as text."""
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
    command = _command()
    model = command_line([f"--config.model.checkpoint={workdir}"])
    lines += [
        "",
        f"speed       {found['crystals_per_second']:,.0f} crystals/s, "
        f"{found['tokens_per_second']:,.0f} tokens/s "
        f"({found['wall_seconds']:.0f} s in all)",
        f"time        {format_times(found)}",
        f"checkpoint  {workdir / 'checkpoints' / Path(found['checkpoint']).name}",
        f"numbers     {workdir / 'results.json'}, {workdir / 'metrics.jsonl'}",
        f"model       {workdir / 'model'}, for --config.model.checkpoint",
        "",
        "Next",
        f"  {command} scope YOUR.cif    # a crystal as the model reads it",
        f"  {command} preprocess --help    # token shards of your crystals",
        f"  {command} pretrain --help    # larger models, other settings",
        f"  {command} finetune my.csv --target NAME {model}    # from this model",
    ]
    return "\n".join(lines)


def _command() -> str:
    """Return how a person would call the program here, installed or not."""
    if which("cloud-jax"):
        return "cloud-jax"
    path, here = Path(sys.executable), Path.cwd()
    python = path.relative_to(here) if path.is_relative_to(here) else "python"
    return f"{python} -m cloud_jax"
