"""Workers that die, hang or cannot write: real processes, real signals."""

import os
import pickle

import pytest
from crystals import rock_salt
from odd_sources import (
    Deadly,
    DeadlyOnce,
    DeadlyToUnpickle,
    Endless,
    Greedy,
    Importing,
    Items,
)

from cloud_jax.scope.chunks import Chunk, chunks, read_results
from cloud_jax.scope.pipeline import Options
from cloud_jax.scope.pool import EngineError, Limits, Pool

OPTIONS = Options(dialect="canonical")
LIMITS = Limits()


def pool_of(directory, n, limits=LIMITS):
    return Pool(
        n, directory=directory, source_names=["s"], options=OPTIONS, limits=limits
    )


def run(payloads, directory, workers=1, limits=LIMITS):
    source = Items("s")
    object.__setattr__(source, "payloads", payloads)
    seen = []
    with pool_of(directory, workers, limits) as pool:
        parts = pool.run(
            chunks([source], "salt"),
            lambda n, done_before: seen.append((n, done_before)),
        )
    rows = [
        {"code": None} | vars(result) for part in parts for result in read_results(part)
    ]
    return rows, seen


def test_only_the_guilty_records_of_a_chunk_are_rejected(tmp_path):
    good = rock_salt().encode()
    payloads = [good, Deadly(b"x"), good, Endless(b"x"), good]
    rows, seen = run(payloads, tmp_path)
    codes = [row["code"] for row in rows]
    assert codes == [None, "crashed", None, "timeout", None]
    assert [row["id"] for row in rows] == [f"s/{i}" for i in range(5)]
    assert "SIGSEGV" in rows[1]["message"]
    assert f"{LIMITS.seconds:g} s" in rows[3]["message"]
    assert seen == [(5, False)]


def test_one_death_alone_condemns_no_record(tmp_path):
    flag = os.fsencode(tmp_path / "died")
    (tmp_path / "parts").mkdir()
    rows, _ = run([DeadlyOnce(flag)], tmp_path / "parts")
    assert [row["code"] for row in rows] == ["unexpected"]
    assert "the second process reads it" in rows[0]["message"]


def test_finished_chunks_are_not_done_again_and_changed_ones_are(tmp_path):
    payloads = [rock_salt(a=5 + i / 100).encode() for i in range(130)]
    first, seen = run(payloads, tmp_path)
    assert seen == [(128, False), (2, False)]
    again, seen = run(payloads, tmp_path)
    assert again == first
    assert seen == [(128, True), (2, True)]
    payloads[129] = b"data_x"
    changed, seen = run(payloads, tmp_path)
    assert seen == [(128, True), (2, False)]
    assert changed[:129] == first[:129]
    assert changed[129]["code"] == "no_atoms"


def test_a_part_file_that_cannot_be_written_stops_the_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing.*\.part"):
        run([rock_salt().encode()], tmp_path / "missing")


def test_workers_that_die_before_any_record_stop_the_run(tmp_path):
    chunk = Chunk("0.part", 0, 1, pickle.dumps(DeadlyToUnpickle()))
    with (
        pool_of(tmp_path, 1) as pool,
        pytest.raises(EngineError, match="died 3 times before its first record"),
    ):
        pool.run([chunk], lambda n, done_before: None)


def test_a_record_that_asks_for_too_much_memory_is_rejected(tmp_path):
    good = rock_salt().encode()
    rows, _ = run([good, Greedy(b"x"), good], tmp_path, limits=Limits(mib=512))
    assert [row["code"] for row in rows] == [None, "out_of_memory", None]


def test_what_limits_rejected_is_done_again_under_others(tmp_path):
    payloads = [rock_salt().encode(), Greedy(b"x")]
    first, _ = run(payloads, tmp_path, limits=Limits(mib=512))
    assert [row["code"] for row in first] == [None, "out_of_memory"]
    again, seen = run(payloads, tmp_path, limits=Limits(mib=512))
    assert (again, seen) == (first, [(2, True)])
    rows, seen = run(payloads, tmp_path, limits=Limits(mib=4096))
    assert seen == [(2, False)]
    assert rows[1]["code"] != "out_of_memory"


def test_a_package_that_is_missing_stops_the_run(tmp_path):
    with pytest.raises(EngineError, match="ModuleNotFoundError: no_such_package"):
        run([Importing(b"x")], tmp_path)
