"""The command, end to end, on real crystals and on everything that goes wrong."""

import errno
import json
import os
import signal
import subprocess
import sys

import pytest
from crystals import (
    hashes,
    manifest,
    paper_string,
    records,
    rejects,
    rock_salt,
    run,
    write_rows,
    write_strings,
)

from cloud_jax.cli import Exit
from cloud_jax.datasets.corpus import read_sources
from cloud_jax.preprocess.keys import hash64
from cloud_jax.preprocess.schemas import KEPT
from cloud_jax.scope import chunks
from cloud_jax.scope.vocabulary_file import load_vocabulary


@pytest.fixture(scope="module")
def prototypes(tmp_path_factory):
    """The 288 AFLOW prototypes as a table, one prototype twice, one damaged row."""
    path = tmp_path_factory.mktemp("input") / "prototypes.jsonl"
    (source,) = read_sources(["embedded"])
    rows = [{"id": item.id, "structure": item.payload} for item in source.items()][:288]
    rows += [{"id": "twin", "structure": rows[0]["structure"]}]
    rows += [{"id": "damaged", "structure": {"lattice": {}, "sites": [{}]}}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def built(prototypes, tmp_path_factory):
    output = tmp_path_factory.mktemp("built") / "dataset"
    assert run(output, f"table:{prototypes}", workers=2) == 0
    return output


def test_every_crystal_read_is_kept_merged_or_rejected(built):
    (source,) = manifest(built)["sources"]
    rows = records(built)
    merged = [name for row in rows for name in row["merged_ids"]]
    assert source["n_read"] == 290
    assert source["n_kept"] == len(rows)
    assert source["n_duplicates"] == len(merged)
    assert source["n_rejected"] == len(rejects(built))
    names = {row["id"] for row in rows} | set(merged) | set(rejects(built))
    assert len(names) == 290
    assert rejects(built)["prototypes/damaged"] == "unreadable"
    twins = {"prototypes/twin", "prototypes/aflow-000-AB_hP6_154_a_b"}
    assert len(twins & {row["id"] for row in rows}) == 1


def test_shards_tables_manifest_and_vocabulary_agree(built):
    tfds = pytest.importorskip("tensorflow_datasets")
    facts = manifest(built)
    vocabulary = load_vocabulary(built / "vocabulary.json")
    assert facts["vocabulary"]["sha256"] == vocabulary.sha256
    assert facts["versions"].keys() >= {"spglib", "pymatgen", "numpy"}
    builder = tfds.builder_from_directory(str(built))
    rows = {row["id"]: row for row in records(built)}
    name = "prototypes/aflow-002-AB11CD3_cP16_221_a_dg_b_c"
    assert rows[name]["space_group"] == 221
    for split, entry in facts["splits"].items():
        examples = list(tfds.as_numpy(builder.as_dataset(split)))
        assert len(examples) == entry["n_records"]
        assert sum(len(e["tokens"]) for e in examples) == entry["n_tokens"]
        for example in examples:
            row = rows.pop(example["id"].decode())
            assert row["split"] == split
            assert row["n_tokens"] == len(example["tokens"])
            assert vocabulary.decode(example["tokens"]) == row["canonical"]
        for shard in entry["shards"]:
            assert hashes(built)[shard["file"]] == shard["sha256"]
            assert (built / shard["file"]).stat().st_size == shard["bytes"]
    assert not rows


def test_no_formula_is_on_both_sides_of_the_split(built):
    sides = {}
    for row in records(built):
        sides.setdefault(row["formula"], set()).add(row["split"])
    assert {len(side) for side in sides.values()} == {1}
    assert {next(iter(side)) for side in sides.values()} == {"train", "validation"}


KILLED_BEFORE_THE_SECOND_CHUNK = """
import os, signal, sys
from cloud_jax.preprocess import command
from cloud_jax.scope import pool as workers

def give(worker, job, give=workers._Worker.give):
    if job.chunk.name >= "0000001":
        os.kill(os.getpid(), signal.SIGKILL)
    give(worker, job)

workers._Worker.give = give
command.main(sys.argv[1:])
"""


def test_the_same_bytes_with_one_worker_and_after_a_kill(built, prototypes, tmp_path):
    """Kill the command once the first part is on disk; go on."""
    output = tmp_path / "killed"
    words = [f"table:{prototypes}", "--output", str(output), "--workers", "1"]
    process = subprocess.run(
        [sys.executable, "-c", KILLED_BEFORE_THE_SECOND_CHUNK, *words],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        timeout=120,
    )
    assert process.returncode == -signal.SIGKILL
    assert len(list((output / ".work" / "parts").glob("*.part"))) == 1
    assert not (output / "manifest.json").exists()
    assert run(output, f"table:{prototypes}") == 0
    assert hashes(output) == hashes(built)


STOPPED_BEFORE_THE_SECOND_CHUNK = """
import os, sys
from cloud_jax.preprocess import command
from cloud_jax.scope import pool as workers

def give(worker, job, give=workers._Worker.give):
    if job.chunk.name >= "0000001":
        os.kill(os.getpid(), int(sys.argv[1]))
    give(worker, job)

workers._Worker.give = give
sys.exit(command.main(sys.argv[2:]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_so_and_resumes(tmp_path, number):
    source = f"strings:{write_strings(tmp_path / 's.csv')}"
    output = tmp_path / "out"
    words = [source, "--dialect", "paper", "--output", str(output), "--workers", "1"]
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            STOPPED_BEFORE_THE_SECOND_CHUNK,
            str(int(number)),
            *words,
        ],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == Exit.RESUMABLE, process.stderr
    assert process.stderr.splitlines()[-1] == (
        f"stopped; what is done is kept in {output}: run it again to resume"
    )
    assert len(list((output / ".work" / "parts").iterdir())) == 1
    assert run(output, *words[:3]) == 0
    assert manifest(output)["sources"][0]["n_kept"] == 132


def test_the_summary_as_json_is_alone_on_standard_output(tmp_path, capfd):
    source = f"strings:{write_strings(tmp_path / 's.csv')}"
    words = (source, "--dialect", "paper", "--json")
    for already_there in (False, True):
        assert run(tmp_path / "out", *words) == 0
        facts = json.loads(capfd.readouterr().out)
        assert facts["already_there"] is already_there
        assert facts["sources"][0]["n_kept"] == 132
        assert sum(split["n_records"] for split in facts["splits"].values()) == 132


def test_a_log_gets_a_line_now_and_then_not_one_per_chunk(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_ITEMS", 4)  # 33 chunks
    words = (f"strings:{write_strings(tmp_path / 's.csv')}", "--dialect", "paper")
    assert run(tmp_path / "out", *words) == 0
    assert not capfd.readouterr().err  # shorter than the interval between two lines
    monkeypatch.setattr("cloud_jax.progress.LINE_EVERY_S", 1e-3)
    monkeypatch.setattr(chunks, "CHUNK_ITEMS", 132)
    assert run(tmp_path / "slow", *words) == 0
    text = capfd.readouterr().err
    assert "132/132" in text
    assert "\r" not in text


def test_quiet_shows_no_progress(tmp_path, capfd, monkeypatch):
    words = (f"strings:{write_strings(tmp_path / 's.csv')}", "--dialect", "paper")
    assert run(tmp_path / "out", *words, "--quiet") == 0
    assert not capfd.readouterr().err


def test_an_existing_dataset_of_the_same_request_is_left_alone(
    built, prototypes, capsys
):
    before = hashes(built)
    assert run(built, f"table:{prototypes}") == 0
    assert "already there, nothing to do" in capsys.readouterr().out
    assert run(built, f"table:{prototypes}", "--seed", 1, "--dialect", "paper") == 1
    message = capsys.readouterr().err
    assert "seed: 0 -> 1" in message
    assert 'dialect: "canonical" -> "paper"' in message
    assert hashes(built) == before


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("cloud_scope-train.tfrecord-00000-of-00001", "is missing"),
        ("cloud_scope-validation.tfrecord-00000-of-00001", "manifest's SHA-256"),
        ("vocabulary.json", "was changed"),
        ("records.parquet/train-00000-of-00001.parquet", "is missing"),
    ],
)
def test_a_damaged_dataset_is_built_again(tmp_path, capsys, name, problem):
    words = (f"strings:{write_strings(tmp_path / 's.csv')}", "--dialect", "paper")
    output = tmp_path / "out"
    assert run(output, *words) == 0
    before = hashes(output)
    if problem == "is missing":
        (output / name).unlink()
    else:
        data = (output / name).read_bytes()
        (output / name).write_bytes(data.replace(b"Na", b"K").replace(b"\x01", b"\0"))
    assert run(output, *words) == 0
    captured = capsys.readouterr()
    assert name in captured.err
    assert problem in captured.err
    assert "building it again" in captured.err
    assert "already there" not in captured.out
    assert hashes(output) == before


def test_a_dataset_of_another_library_version_is_not_taken_for_this_one(
    built, prototypes, capsys, monkeypatch
):
    from cloud_jax.preprocess import existing

    ours = manifest(built)["versions"]
    monkeypatch.setattr(existing, "versions", lambda _: ours | {"spglib": "9.9"})
    assert run(built, f"table:{prototypes}") == 1
    expected = f"made with spglib {ours['spglib']}, this is 9.9: choose another folder"
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_damaged_manifest_is_named(tmp_path, capsys, text):
    (tmp_path / "manifest.json").write_text(text)
    assert run(tmp_path, "embedded") == 1
    message = capsys.readouterr().err
    assert "manifest.json: is damaged" in message
    assert "remove the folder and run the command again" in message


def test_an_empty_validation_split_says_what_to_do(tmp_path, capsys):
    source = f"strings:{write_strings(tmp_path / 's.csv', 2)}"
    words = (source, "--dialect", "paper", "--validation-fraction", 0.0001)
    assert run(tmp_path / "out", *words) == 0
    message = capsys.readouterr().out
    assert "pretraining needs one: raise --validation-fraction" in message


def test_a_full_disk_leaves_no_dataset_and_the_next_run_resumes(
    tmp_path, monkeypatch, capsys
):
    source = f"strings:{write_strings(tmp_path / 's.csv')}"
    output = tmp_path / "out"
    replace = os.replace

    def full(old, new):
        if os.fspath(new).endswith("features.json"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(new))
        replace(old, new)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert run(output, source, "--dialect", "paper") == 1
    message = capsys.readouterr().err
    assert "features.json: the disk is full: free some space." in message
    assert "run it again to resume" in message
    assert not (output / "manifest.json").exists()
    assert run(output, source, "--dialect", "paper") == 0
    assert manifest(output)["sources"][0]["n_kept"] == 132
    assert not (output / ".work").exists()


def test_a_shard_that_cannot_be_written_is_an_os_error(tmp_path):
    from cloud_jax.preprocess.shards import write_shard

    with pytest.raises(OSError, match=r"-train.tfrecord-00000-of-00001'$"):
        write_shard(tmp_path / "missing", "train", 0, 1, KEPT.empty_table(), ["s"])


def test_smallest_volume_stays_and_reserved_rows_keep_their_twins_out(tmp_path):
    rows = [
        {"id": "large", "cif": rock_salt(a=5.7)},
        {"id": "small", "cif": rock_salt(a=5.6)},
        {"id": "middle", "cif": rock_salt(a=5.64)},
        {"id": "wanted", "cif": rock_salt("K", "Br", 6.6)},
        {"id": "secret", "cif": rock_salt("Li", "F", 4.0)},
    ]
    write_rows(tmp_path / "t.csv", rows)
    reserved = [{"id": "test-1", "cif": rock_salt("Li", "F", 4.1)}]
    write_rows(tmp_path / "r.csv", reserved)
    (tmp_path / "corpus.toml").write_text(
        '[[source]]\nkind = "table"\nname = "t"\npath = "t.csv"\nlicence = "CC0"\n'
        '[[source]]\nkind = "table"\nname = "r"\npath = "r.csv"\nreserved = true\n'
    )
    output = tmp_path / "out"
    assert run(output, tmp_path / "corpus.toml", "--validation-fraction", 0) == 0
    kept = {row["id"]: row["merged_ids"] for row in records(output)}
    assert kept == {"t/small": ["t/large", "t/middle"], "t/wanted": []}
    assert rejects(output) == {"t/secret": "reserved", "r/test-1": "reserved"}
    text = (output / "rejects.csv").read_text()
    assert "equals the reserved r/test-1" in text
    mine, others = manifest(output)["sources"]
    assert (mine["n_kept"], mine["n_duplicates"], mine["n_reserved"]) == (2, 2, 1)
    assert (others["n_kept"], others["n_reserved"]) == (0, 1)
    assert mine["licence"] == "CC0"
    splits = manifest(output)["splits"]
    assert splits["validation"] == {"n_records": 0, "n_tokens": 0, "shards": []}


def test_shards_are_cut_evenly(tmp_path, monkeypatch):
    from cloud_jax.preprocess import dataset

    monkeypatch.setattr(dataset, "RECORDS_PER_SHARD", 50)
    source = f"strings:{write_strings(tmp_path / 's.csv')}"
    words = (source, "--dialect", "paper", "--validation-fraction", 0)
    assert run(tmp_path / "out", *words) == 0
    shards = manifest(tmp_path / "out")["splits"]["train"]["shards"]
    sizes = [shard["n_records"] for shard in shards]
    assert sum(sizes) == 132
    assert len(sizes) == 3
    assert min(sizes) > 25, "the hash of the id says where a record goes"
    assert shards[2]["file"] == "cloud_scope-train.tfrecord-00002-of-00003"
    rows = records(tmp_path / "out")
    assert [row["id"] for row in rows] == sorted(
        (row["id"] for row in rows), key=hash64
    )


def test_too_long_unknown_and_malformed_sentences_are_rejected(tmp_path, capsys):
    lines = [paper_string("Na", "Cl"), paper_string("Na", "Xx"), "Na Cl"]
    lines += [paper_string("K", "Cl", " ".join(["4a"] * 40))]
    (tmp_path / "s.csv").write_text("\n".join(["cloud", *lines]) + "\n")
    words = (f"strings:{tmp_path}/s.csv", "--dialect", "paper", "--max-tokens", 40)
    assert run(tmp_path / "out", *words) == 3
    assert "too much was rejected: 3 of 4" in capsys.readouterr().err
    assert list(rejects(tmp_path / "out").values()) == [
        "vocabulary",
        "unreadable",
        "too_long",
    ]
    assert run(tmp_path / "out", *words, "--max-reject-fraction", 0.8) == 0


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("cloud\n", (), "no crystal at all"),
        (
            'cloud\nnonsense\n"a | b"\n',
            (),
            "no crystal is left: 2 read, 2 rejected, 0 reserved\n"
            "  2 unreadable, for instance s/s.csv:0: found 'nonsense', expected",
        ),
        ("cloud\nx\n", ("--dialect", "canonical"), "add --dialect paper"),
    ],
)
def test_nothing_to_write_is_an_error_and_no_dataset(
    tmp_path, capsys, text, words, message
):
    (tmp_path / "s.csv").write_text(text)
    source = f"strings:{tmp_path}/s.csv"
    assert run(tmp_path / "out", source, "--dialect", "paper", *words) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_folder_with_other_files_is_not_written_to(tmp_path, capsys):
    source = f"strings:{write_strings(tmp_path / 's.csv')}"
    assert run(tmp_path, source, "--dialect", "paper") == 1
    assert "found s.csv, expected an empty folder" in capsys.readouterr().err
    assert run(tmp_path / "s.csv", source, "--dialect", "paper") == 1
    assert "found a file, expected a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [[], ["embedded", "--validation-fraction", "1"], ["embedded", "--workers", "0"]],
)
def test_wrong_usage_is_status_2(tmp_path, words, capsys):
    with pytest.raises(SystemExit) as stop:
        run(tmp_path / "out", *words)
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err
