"""Commands of the documentation can be typed; notebooks are stored without outputs."""

import argparse
import json
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from cloud_jax import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "cloud_jax" / "weights" / "MODEL_CARD.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def commands(path: Path) -> list[str]:
    """Return the lines of code blocks that begin with `cloud-jax`."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.S | re.M)
    lines = "\n".join(fenced).splitlines() + re.findall(r"^    (\S.*)$", text, re.M)
    found = [re.sub(r"^(\.venv/bin/)?", "", line.strip()) for line in lines]
    return [line for line in found if line.startswith("cloud-jax ")]


CASES = [(path, line) for path in PAGES for line in commands(path)]


def test_the_documentation_has_commands_of_many_kinds():
    kinds = {line.split()[1] for _, line in CASES}
    assert {"predict", "finetune", "scope", "preprocess", "pretrain"} <= kinds


@pytest.mark.parametrize(("path", "line"), CASES)
def test_a_command_is_understood(path, line):
    words = shlex.split(line, comments=True)[1:]
    name = " ".join(words[: 2 if words[0] == "study" else 1])
    assert name in cli.COMMANDS, line
    parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--quiet", action="store_true")
    import_module(cli.COMMANDS[name].module).configure(parser)
    given = [
        word for word in words[len(name.split()) :] if not word.startswith("--config.")
    ]
    _, unknown = parser.parse_known_args(given)
    assert not unknown, line
    for file in re.findall(r"(?<=[ =])(configs/\w+\.(?:py|toml))", line):
        assert (ROOT / file).is_file(), file


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    for cell in code:
        assert (cell["outputs"], cell["execution_count"]) == ([], None)


def test_there_are_three_notebooks():
    assert {path.stem for path in NOTEBOOKS} == {"finetuning", "map", "minerals"}


def test_every_command_and_argument_is_in_the_reference():
    from scripts.site.commands import page

    text = page()
    for name in cli.COMMANDS:
        assert f"## cloud-jax {name}\n" in text
    assert "`--temperature T`" in text


def test_the_python_reference_names_what_the_package_offers():
    from scripts.site.python_reference import pages

    made = pages()
    assert "::: cloud_jax.CloudFeaturizer\n" in made["reference/python.md"]
    assert "::: cloud_jax.physics.law\n" in made["reference/physics.md"]
    assert "reference/studies.md" not in made
