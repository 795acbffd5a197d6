"""The summary of a dataset: a few lines for people, or facts for programs."""

from pathlib import Path


def facts(manifest: dict, output: Path, existed: bool) -> dict:
    """Return what is in a dataset, for programs."""
    keys = ("dialect", "vocabulary", "sources", "splits")
    return {
        "output": str(output),
        "already_there": existed,
        **{key: manifest[key] for key in keys},
    }


def summary(manifest: dict, output: Path, existed: bool) -> str:
    """Return the lines that say what is in a dataset, for people."""
    columns = ("n_read", "n_rejected", "n_reserved", "n_duplicates", "n_kept")
    width = max(len(entry["name"]) for entry in manifest["sources"]) + 2
    lines = [f"{output}: already there, nothing to do" if existed else f"{output}:"]
    heads = ("read", "rejected", "reserved", "duplicates", "kept")
    lines.append(" " * width + "".join(f"{head:>12}" for head in heads))
    for entry in manifest["sources"]:
        numbers = "".join(f"{entry[column]:>12,}" for column in columns)
        lines.append(f"{entry['name']:<{width}}{numbers}")
    for entry in manifest["sources"]:
        if entry["n_repeated_ids"]:
            lines.append(
                f"warning: {entry['name']} gives {entry['n_repeated_ids']:,} kept "
                "crystals the id of another: name its id column in a corpus file"
            )
    for name, split in manifest["splits"].items():
        mean = split["n_tokens"] / max(split["n_records"], 1)
        lines.append(
            f"{name}: {split['n_records']:,} crystals, {split['n_tokens']:,} tokens "
            f"({mean:.1f} each), {len(split['shards'])} shard(s)"
        )
        if not split["n_records"]:
            way = "lower" if name == "train" else "raise"
            lines.append(
                f"warning: the {name} split is empty, and pretraining needs one: {way} "
                "--validation-fraction, or add crystals of other formulas"
            )
    vocabulary = manifest["vocabulary"]
    lines.append(
        f"{manifest['dialect']} dialect, vocabulary of {vocabulary['size']} tokens; "
        "report.txt and report.png say what is in it, records.parquet and rejects.csv "
        "list every crystal"
    )
    return "\n".join(lines)
