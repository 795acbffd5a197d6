"""A model goes to the Hub and comes back, through huggingface_hub and a real socket."""

import json
import os
import subprocess
import sys

import pytest
from hub_server import hub_server
from property_model import write_model

import cloud_jax
from cloud_jax.models.card import model_card

CHILD = """
import json, sys
import cloud_jax

def error(call):
    try:
        call()
    except cloud_jax.ModelFolderError as error:
        return str(error)

folder = sys.argv[1]
model = cloud_jax.load(folder)
found = {"refused": error(
    lambda: model.push_to_hub("me/salt", licence="mit", token="wrong"))}
found["url"] = model.push_to_hub("me/salt", licence="cc-by-4.0", token="right")
back = cloud_jax.from_pretrained("me/salt")
found["sha256"] = back.model.description["weights_sha256"]
found["missing"] = error(lambda: cloud_jax.load("me/pepper"))
print(json.dumps(found), flush=True)
sys.stdin.readline()
again = cloud_jax.load("me/salt").model.description["weights_sha256"]
found = {"again": again, "down": error(lambda: cloud_jax.load("me/nothing"))}
print(json.dumps(found), flush=True)
"""


def test_a_model_is_pushed_and_loaded_and_kept_for_when_the_hub_is_away(tmp_path):
    pytest.importorskip("huggingface_hub")
    folder = write_model(tmp_path / "m")
    sha256 = json.loads((folder / "model.json").read_text())["weights_sha256"]
    with hub_server() as server:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(folder)],
            env=os.environ
            | {
                "HF_ENDPOINT": server.address,
                "HF_HOME": str(tmp_path / "home"),
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "NO_PROXY": "127.0.0.1",
                "JAX_PLATFORMS": "cpu",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        line = child.stdout.readline()
    out, problems = child.communicate("\n", timeout=200)
    assert child.returncode == 0, problems
    found, later = json.loads(line), json.loads(out)

    files = server.repositories["me/salt"]
    names = {"README.md", "model.json", "vocabulary.json", "weights.safetensors"}
    assert files.keys() == names
    for name in names - {"README.md"}:
        assert files[name] == (folder / name).read_bytes()
    card = files["README.md"].decode()
    assert card.startswith(
        '---\nlicense: "cc-by-4.0"\nlibrary_name: cloud-jax\ntags:\n'
    )
    assert "cloud_jax.load('me/salt')" in card
    assert found["url"] == f"{server.address}/me/salt/commit/{server.commit}"
    assert found["sha256"] == later["again"] == sha256
    assert "not uploaded" in found["refused"]
    assert "401" in found["refused"]
    assert "HF_TOKEN" in found["refused"]
    for text in (found["missing"], later["down"]):
        assert "there is no such folder here, and as a model of the Hugging" in text
    assert "thermal, encoder, which need no network" in later["down"]


def test_without_the_extra_the_command_to_install_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(cloud_jax.ModelFolderError, match=r'install "cloud-jax\[hf\]"'):
        cloud_jax.load("owner/name")


def test_a_model_is_saved_with_its_card_and_read_from_there(tmp_path):
    model = cloud_jax.load(write_model(tmp_path / "m"))
    folder = model.save_pretrained(tmp_path / "deep" / "copy", licence="mit")
    back = cloud_jax.from_pretrained(folder)
    assert back.model.description == model.model.description
    assert "| target cv | J/(mol K), per cell at 300 K |" in (
        folder / "README.md"
    ).read_text(encoding="utf-8")
    with pytest.raises(FileExistsError, match="is not empty"):
        model.save_pretrained(folder, licence="mit")


def test_a_card_says_what_the_model_has_learned():
    description = cloud_jax.load("encoder").model.description
    card = model_card(description, "me/encoder", "mit")
    assert "- feature-extraction\n" in card
    assert "model.embed(" in card
    assert "properties.parquet (131,097 log_volume_per_atom, " in card
