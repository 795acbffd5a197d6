"""The engine on Apache Beam: the dataset of the local engine, to the byte."""

import gzip
import importlib.util
import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from crystals import LITHIUM, hashes, manifest, rejects, rock_salt, write_strings
from odd_sources import Deadly, Endless, Importing

from cloud_jax.datasets.corpus import read_sources
from cloud_jax.preprocess import dataset, selection
from cloud_jax.preprocess.build import build
from cloud_jax.preprocess.command import main
from cloud_jax.scope.chunks import Position, pack
from cloud_jax.scope.options import Options, Request
from cloud_jax.scope.pool import EngineError, Limits
from cloud_jax.structures.source import Piece, RawItem, Source

needs_beam = pytest.mark.skipif(
    not importlib.util.find_spec("apache_beam"),
    reason="requirements-cluster.txt is not installed",
)


def run(output, source, *words):
    return main([str(source), "--output", str(output), *words])


@needs_beam
def test_embedded_crystals_a_reserved_source_and_duplicates(tmp_path):
    (embedded,) = read_sources(["embedded"])
    rows = [{"id": item.id, "structure": item.payload} for item in embedded.items()]
    excluded, twins, held = rows[3]["id"], rows[100:160], rows[200:210]
    twins += [{"id": "empty", "structure": {}}, {"id": "text", "structure": "x"}]
    for name, part in (("twins", twins), ("held", held)):
        text = "".join(json.dumps(row) + "\n" for row in part)
        (tmp_path / f"{name}.jsonl").write_text(text)
    (tmp_path / "corpus.toml").write_text(
        f"""[[source]]
        kind = "embedded"
        name = "embedded"
        exclude_ids = ["{excluded}"]
        [[source]]
        kind = "table"
        name = "twins"
        path = "twins.jsonl"
        [[source]]
        kind = "table"
        name = "held"
        path = "held.jsonl"
        reserved = true
        """
    )
    corpus = tmp_path / "corpus.toml"
    assert run(tmp_path / "local", corpus, "--workers", "1") == 0
    assert run(tmp_path / "beam", corpus, "--engine", "beam") == 0
    assert hashes(tmp_path / "beam") == hashes(tmp_path / "local")
    first, second, third = manifest(tmp_path / "beam")["sources"]
    assert (first["n_excluded"], second["n_rejected"]) == (1, 2)
    assert first["n_reserved"] >= 10 == third["n_read"]
    assert second["n_duplicates"] == 60
    assert rejects(tmp_path / "beam")[f"embedded/{excluded}"] == "excluded"


@needs_beam
def test_many_buckets_and_shards_and_every_bundle_done_twice(tmp_path, monkeypatch):
    strings = write_strings(tmp_path / "s.csv", 90)
    monkeypatch.setattr(dataset, "RECORDS_PER_SHARD", 20)
    monkeypatch.setattr(selection, "_BUCKET_RECORDS", 30)
    words = f"strings:{strings}", "--dialect", "paper"
    assert run(tmp_path / "local", *words, "--workers", "1") == 0
    monkeypatch.setattr(selection, "_BUCKET_RECORDS", 12)
    twice = "--beam-options", "direct_runner_bundle_repeat=1"
    assert run(tmp_path / "beam", *words, "--engine", "beam", *twice) == 0
    assert len(manifest(tmp_path / "beam")["splits"]["train"]["shards"]) >= 3
    assert hashes(tmp_path / "beam") == hashes(tmp_path / "local")


@dataclass(frozen=True)
class Hostile(Source):
    """A crystal that kills its reader and one that is never read, among others."""

    def pieces(self):
        return [Piece("first", Path("first")), Piece("second", Path("second"))]

    def read(self, piece):
        bad = Deadly(b"x") if piece.name == "first" else Endless(b"x")
        good = rock_salt(a=5 + len(piece.name) / 10).encode()
        yield RawItem(f"{piece.name}-bad", bad, "cif")
        yield RawItem(f"{piece.name}-good", good, "cif")


@needs_beam
def test_a_worker_outlives_crystals_that_crash_or_hang(tmp_path):
    from cloud_jax.preprocess import beam

    engine = partial(beam.run, options=beam.pipeline_options([]))
    request = Request(Options(deduplicate="none"))
    output = tmp_path / "out"
    made, _, _ = build(request, [Hostile("s")], output, engine=engine, limits=Limits())
    assert sum(split["n_records"] for split in made["splits"].values()) == 2
    assert rejects(output) == {"s/first-bad": "crashed", "s/second-bad": "timeout"}


@needs_beam
def test_a_chunk_that_is_tried_again_has_processes_of_its_own():
    from cloud_jax.preprocess import beam

    missing, sound = (
        pack([(Position(0, 0, 0), RawItem("a", payload, "cif"))], "s", "", number)
        for number, payload in enumerate((Importing(b"x"), rock_salt().encode()))
    )
    step = beam._Process(["s"], Options(), Limits())
    step.setup()
    try:
        for _ in range(2):
            with pytest.raises(EngineError, match="no_such_package"):
                list(step.process(missing))
        (table,) = step.process(sound)
    finally:
        step.teardown()
    assert table["space_group"].to_pylist() == [225]


@needs_beam
def test_a_source_that_cannot_be_read_stops_the_run(tmp_path, capsys):
    whole = gzip.compress(json.dumps({"id": "a", "structure": LITHIUM}).encode())
    (tmp_path / "rows.jsonl.gz").write_bytes(whole[:-20])
    output = tmp_path / "out"
    assert run(output, f"table:{tmp_path}/rows.jsonl.gz", "--engine", "beam") == 1
    assert "rows.jsonl.gz" in capsys.readouterr().err.splitlines()[-1]
    assert not (output / "manifest.json").exists()


@needs_beam
def test_a_worker_that_does_not_see_the_output_folder_says_so(tmp_path):
    from cloud_jax.preprocess import beam

    with pytest.raises(EngineError, match="elsewhere: --output must be on"):
        beam._read((0, []), [], "", tmp_path / "elsewhere")


def test_without_beam_the_command_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(SystemExit, match="2"):
        run(tmp_path / "out", "embedded", "--engine", "beam")
    assert "pip install -r requirements-cluster.txt" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@needs_beam
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "runer=FlinkRunner flink_master=127.0.0.1:9",
            "unknown option 'runer'; did you mean runner?",
        ),
        ("flink-master=x", "unknown option 'flink-master'; did you mean flink_master?"),
        ("Streaming", "unknown option 'Streaming'; did you mean streaming?"),
        ("nonsense", "unknown option 'nonsense'; see the PipelineOptions"),
        ("=3", "unknown option ''; see the PipelineOptions"),
        (
            "direct_num_workers=x",
            "argument --direct_num_workers: invalid int value: 'x'",
        ),
        ("direct_num_workers", "argument --direct_num_workers: expected one argument"),
        ("direct_running_mode=multi", "argument --direct_running_mode: invalid choice"),
        ("streaming=no", "argument --streaming: ignored explicit argument 'no'"),
    ],
)
def test_a_misspelt_option_is_refused_before_anything_is_written(
    tmp_path, capsys, options, message
):
    words = "--engine", "beam", "--beam-options", options
    with pytest.raises(SystemExit, match="2"):
        run(tmp_path / "out", "embedded", *words)
    assert f"--beam-options: {message}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@needs_beam
def test_a_misspelt_runner_is_named(tmp_path, capsys):
    strings = write_strings(tmp_path / "s.csv", 3)
    words = "--engine", "beam", "--beam-options", "runner=FlnkRunner"
    assert run(tmp_path / "out", f"strings:{strings}", "--dialect=paper", *words) == 1
    assert "Unexpected pipeline runner: FlnkRunner" in capsys.readouterr().err
