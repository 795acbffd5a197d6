"""The README.md of a model folder: what the Hub shows, made from model.json alone."""

import json
from typing import Any

from cloud_jax.models.seen import describe_learned

_TAGS = ("cloud-jax", "jax", "crystals", "materials-science", "chemistry")


def model_card(description: dict[str, Any], name: str, licence: str) -> str:
    """Return the card of a model as Markdown with front matter.

    Args:
        description: content of model.json.
        name: what `cloud_jax.load` takes: OWNER/NAME of the Hub, or a folder.
        licence: identifier of the Hub, such as mit or cc-by-4.0.
    """
    kind = description["kind"]
    tags = [*_TAGS, "feature-extraction" if kind == "encoder" else "regression"]
    front = ["---", f"license: {json.dumps(licence)}", "library_name: cloud-jax"]
    front += ["tags:", *(f"- {tag}" for tag in tags), "---", ""]
    call = "embed" if kind == "encoder" else "predict"
    encoder = description["encoder"]
    body = [
        f"# {name.rpartition('/')[2]}",
        "",
        "A model of cloud_jax, a JAX implementation of CLOUD (arXiv 2506.17345): a "
        "crystal becomes a symmetry sentence, a BERT encoder reads it.",
        "",
        "```python",
        "import cloud_jax",
        "",
        f"model = cloud_jax.load({name!r})",
        f'model.{call}("quartz.cif")  # CIF, POSCAR, pymatgen, ASE, tables of them',
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| encoder | {encoder['layers']} layers, width {encoder['width']}, "
        f"{encoder['heads']} heads |",
        f"| sentences | dialect {description['dialect']}, up to "
        f"{description['max_tokens']} tokens, symprec {description['symprec']} A |",
        *_property_rows(description),
        "| learned from | "
        + describe_learned(description.get("provenance", {}).get("learned"))
        + " |",
        "",
        "`model.json` holds the whole description, with hashes of weights and "
        "vocabulary. The folder holds data only, no code.",
        "",
    ]
    return "\n".join(front + body)


def _property_rows(description: dict[str, Any]) -> list[str]:
    if description["kind"] != "property":
        return []
    head = description["head"]
    rows = [f"| members | {description['members']} |"]
    if head.get("law"):
        rows.append(f"| law | {head['law']}, for every temperature |")
    for target in description["targets"]:
        at = target.get("temperature_k")
        where = "" if at is None else f" at {at:g} K"
        basis = f", per {target['basis']}" if target.get("basis") else ""
        rows.append(f"| target {target['name']} | {target['unit']}{basis}{where} |")
    return rows
