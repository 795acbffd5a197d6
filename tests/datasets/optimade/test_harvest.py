"""A harvest from the reference server: complete in spite of faults on the way."""

import base64
import gzip
import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from cloud_jax.datasets.corpus import read_sources
from cloud_jax.datasets.embedded import EmbeddedSource
from cloud_jax.datasets.optimade.harvest import IncompleteHarvestError
from cloud_jax.datasets.optimade.pages import read_log
from cloud_jax.datasets.optimade.providers import PROVIDERS
from cloud_jax.datasets.optimade.source import OptimadeSource
from cloud_jax.scope.options import Options
from cloud_jax.scope.pipeline import Record, process, read_cell
from cloud_jax.structures.source import SourceError

HERE = Path(__file__).parents[2] / "support"
N_SMALL = 257  # 17 structures of the reference server and 240 real crystals
N_ALL = 17 + 1369
PAGE = 40


def to_entry(item) -> dict:
    """An embedded crystal as the reference server stores it."""
    cell = read_cell(item)
    occupants = {
        str(species): ((species, 1.0),) if isinstance(species, str) else species
        for species in cell.species
    }
    return {
        "task_id": item.id,
        "lattice_vectors": cell.lattice.tolist(),
        "cartesian_site_positions": (cell.fractional @ cell.lattice).tolist(),
        "species_at_sites": [str(species) for species in cell.species],
        "species": [
            {
                "name": name,
                "chemical_symbols": [element for element, _ in pairs],
                "concentration": [amount for _, amount in pairs],
            }
            for name, pairs in occupants.items()
        ],
        "nsites": len(cell.species),
        "dimension_types": [1, 1, 1],
        "structure_features": ["disorder"] if cell.is_disordered else [],
        "elements": sorted({e for pairs in occupants.values() for e, _ in pairs}),
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Base URL of the reference server, which runs in a process of its own."""
    path = tmp_path_factory.mktemp("server") / "entries.jsonl"
    with path.open("w") as file:
        for item in EmbeddedSource(name="embedded").items():
            file.write(json.dumps(to_entry(item)) + "\n")
    command = [sys.executable, str(HERE / "optimade_server.py"), str(path)]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **quiet) as process:
        try:
            port = next((line for line in process.stdout if line.strip().isdigit()), "")
            assert port, "no reference server: pip install -r requirements-dev.txt"
            yield f"http://127.0.0.1:{port.strip()}"
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def planned(server: str, plan: dict[int, list[str]]) -> str:
    """Base URL of the small database with faults at these offsets."""
    return f"{server}/{base64.urlsafe_b64encode(json.dumps(plan).encode()).decode()}"


def source(url: str, data_dir: Path, **fields) -> OptimadeSource:
    """A source that is neither polite nor patient."""
    quick = {
        "requests_per_second": 500.0, "attempts": 3, "backoff_s": 0.01,
        "request_limit_s": 3.0, "page_limit": PAGE,
    }  # fmt: skip
    return OptimadeSource("s", provider=url, data_dir=str(data_dir), **quick | fields)


def only_folder(data_dir: Path) -> Path:
    (folder,) = (data_dir / "optimade" / "s").glob("*/")
    return folder


def archive(data_dir: Path) -> tuple[list[bytes], str]:
    """Bytes of the pages, and the log without the plan of faults."""
    folder = only_folder(data_dir)
    log = re.sub(r"http\S*?/v1", "", str(read_log(folder)))
    return [p.read_bytes() for p in sorted(folder.glob("page-*.gz"))], log


def asked(server: str) -> int:
    """How many requests the server has had."""
    with urllib.request.urlopen(f"{server}/requests") as answer:
        return len(json.load(answer))


def ids(found: OptimadeSource) -> list[str]:
    return [item.id for item in found.items()]


@pytest.fixture(scope="module")
def whole(server, tmp_path_factory) -> Path:
    """Folder of data with an undisturbed harvest of the small database."""
    data_dir = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        source(planned(server, {}), data_dir).fetch()
    return data_dir


def test_harvested_crystals_give_the_records_of_the_crystals(server, tmp_path):
    found = source(server, tmp_path, page_limit=500)
    assert found.count() == 0
    found.fetch()
    assert found.count() == N_ALL
    options = Options()
    direct = {
        item.id: process(item, "s", options)
        for item in list(EmbeddedSource(name="embedded").items())[::8]
    }
    n_equal = 0
    for item in found.items():
        if item.id in direct:
            assert process(item, "s", options) == direct[item.id]
            n_equal += isinstance(direct[item.id], Record)
    assert n_equal > 160
    requests = asked(server)
    source(server, tmp_path, page_limit=500).fetch()
    assert asked(server) == requests  # a whole harvest asks nothing


def test_what_an_archive_says(server, whole):
    found = source(planned(server, {}), whole)
    folder = only_folder(whole)
    assert [p.name for p in found.pieces()] == [f"page-{i:06d}" for i in range(7)]
    assert found.count() == N_SMALL
    assert len(set(ids(found))) == N_SMALL
    about = json.loads((folder / "provider.json").read_text())
    assert about["server"]["api_version"].startswith("1.")
    assert about["server"]["provider"]["prefix"] == "exmpl"
    with gzip.open(folder / "page-000000.jsonl.gz") as page:
        line = json.loads(page.readline())
    assert list(line) == ["id", "type", "attributes"]
    assert "_exmpl_chemsys" not in line["attributes"]
    elsewhere = read_sources([f"optimade:{folder.parent}"])[0]
    assert ids(elsewhere) == ids(found)
    assert elsewhere.sha256() == found.sha256()
    assert "7 pages" in elsewhere.location
    corpus = folder.parent / "corpus.toml"  # its paths are relative to it
    corpus.write_text("[[source]]\nkind='optimade'\nname='old'\narchive='.'\n")
    assert ids(read_sources([str(corpus)])[0]) == ids(found)
    elsewhere.fetch()  # a folder needs no network


def test_faults_that_pass_leave_no_trace(server, tmp_path, whole):
    plans = (
        {40: ["500", "500"], 80: ["garbage"], 120: ["cut"]},
        {0: ["500"], 40: ["cut", "garbage"]},
        {200: ["trickle"]},
        {80: ["hang"]},
    )
    sources = [
        source(planned(server, plan), tmp_path / str(i), attempts=6)
        for i, plan in enumerate(plans)
    ]
    OptimadeSource.fetch_all(sources)  # side by side: they share the waiting
    for found in sources:
        assert archive(Path(found.data_dir)) == archive(whole)


def test_retry_after_is_honoured(server, tmp_path, whole):
    start = time.monotonic()
    source(planned(server, {40: ["429"]}), tmp_path).fetch()
    assert time.monotonic() - start >= 1.0  # a lower limit, which no load breaks
    assert archive(tmp_path) == archive(whole)


def test_a_bad_page_costs_no_other_and_is_asked_for_again(server, tmp_path, whole):
    url = planned(server, {80: ["500", "500", "500"]})  # then it comes
    with pytest.raises(IncompleteHarvestError) as caught:
        source(url, tmp_path).fetch()
    assert f"got {N_SMALL - PAGE} of {N_SMALL} structures" in str(caught.value)
    assert "page 2: HTTP 500: as planned, 3 times" in str(caught.value)
    found = source(url, tmp_path)
    assert found.count() == N_SMALL - PAGE
    assert "(7 pages, 1 failed, 217 of 257 structures)" in found.location
    requests = asked(server)
    source(url, tmp_path).fetch()
    assert asked(server) == requests + 1  # this page alone
    assert archive(tmp_path) == archive(whole)


def test_a_server_that_breaks_down_keeps_what_came(server, tmp_path, whole):
    faults = ["500", "500", "500"]
    url = planned(server, dict.fromkeys((80, 120, 160), faults))
    with pytest.raises(
        SourceError,
        match=r"(?s)got 80 of 257.*pages 2 to 4 failed.*again to resume after",
    ):
        source(url, tmp_path).fetch()
    assert source(url, tmp_path).count() == 2 * PAGE
    source(url, tmp_path).fetch()
    assert archive(tmp_path) == archive(whole)


def test_a_bad_page_that_alone_knows_the_next_stops_the_harvest(server, tmp_path):
    url = planned(server, {0: ["hidden", "500", "*"]})
    with pytest.raises(SourceError, match=r"only that page has the URL"):
        source(url, tmp_path).fetch()


def test_a_circle_of_pages_is_noticed(server, tmp_path):
    url = planned(server, {80: ["loop", "*"]})
    for _ in range(2):  # and again when the harvest resumes
        with pytest.raises(SourceError, match=r"page 3 is page 0 again .* after 120"):
            source(url, tmp_path).fetch()
    assert source(url, tmp_path).count() == 3 * PAGE


def test_a_refusal_says_what_the_server_says(server, tmp_path):
    with pytest.raises(SourceError, match=r"HTTP 400"):
        source(planned(server, {}), tmp_path, filter="nelements >> 3").fetch()


def test_page_limits_and_filters(server, tmp_path):
    url = planned(server, {})
    some = source(url, tmp_path, page_limit=1000, max_pages=1, filter="nsites<=2")
    some.fetch()  # the server grants no 1000: it is asked for what it grants
    assert 0 < some.count() <= 20
    assert all(len(read_cell(item).species) <= 2 for item in some.items())
    (log,) = read_log(only_folder(tmp_path)).values()
    assert log.next is not None
    with pytest.raises(SourceError, match=r"nsites<=2.*remove the folder"):
        source(url, tmp_path, max_pages=1).fetch()  # though no page is missing


KILLED = """
import sys
from cloud_jax.datasets.optimade.source import OptimadeSource
OptimadeSource("s", provider=sys.argv[1], data_dir=sys.argv[2], page_limit=40,
               requests_per_second=500.0).fetch()
"""


def test_a_killed_harvest_resumes_to_the_same_bytes(server, tmp_path, whole):
    url = planned(server, {160: ["hang"]})
    command = [sys.executable, "-c", KILLED, url, str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        log = tmp_path / "optimade" / "s" / "x"
        while not log.exists() or log.read_bytes().count(b"\n") < 4:
            assert process.poll() is None
            time.sleep(0.01)
            log = next(tmp_path.glob("optimade/s/*/pages.jsonl"), log)
        process.send_signal(signal.SIGKILL)
    folder = only_folder(tmp_path)
    with (folder / "pages.jsonl").open("ab") as file:
        file.write(b'{"number": 4, "url"')  # as if the kill came while it wrote
    (folder / ".page-000004.jsonl.gz.partial").write_bytes(b"half")
    source(url, tmp_path).fetch()
    assert archive(tmp_path) == archive(whole)
    assert list(read_log(folder)) == list(range(7))


def test_a_damaged_page_is_named_and_fetched_again(server, tmp_path, whole):
    url = planned(server, {})
    source(url, tmp_path).fetch()
    page = only_folder(tmp_path) / "page-000003.jsonl.gz"
    page.write_bytes(page.read_bytes()[:-20])
    with pytest.raises(SourceError, match=r"page-000003.*is damaged; remove it"):
        ids(source(url, tmp_path))
    page.unlink()
    source(url, tmp_path).fetch()
    assert archive(tmp_path) == archive(whole)


def test_an_index_leads_to_its_databases(server, tmp_path, whole):
    found = source(f"{server}/index", tmp_path)
    found.fetch()
    folder = tmp_path / "optimade" / "s"
    assert sorted(p.name for p in folder.glob("*/")) == ["one", "two"]
    assert found.count() == 2 * N_SMALL
    names = ids(found)
    assert names[:1] == ["one/mpf_1"]
    assert len(set(names)) == 2 * N_SMALL
    requests = asked(server)
    source(f"{server}/index", tmp_path).fetch()
    assert asked(server) == requests


def test_a_server_of_another_version_is_refused(server, tmp_path):
    with pytest.raises(SourceError, match=r"serves OPTIMADE versions 0, expected 1"):
        source(f"{server}/old", tmp_path).fetch()


def test_a_harvest_that_a_time_limit_ended_can_be_resumed(server, tmp_path, whole):
    url = planned(server, {})
    slow = source(url, tmp_path, time_limit_s=0.6, requests_per_second=4.0)
    with pytest.raises(
        IncompleteHarvestError,
        match=r"(?s)got \d+ of 257.*time limit.*again to resume after the pages",
    ):
        slow.fetch()  # its eight requests would take two seconds
    assert slow.count() < N_SMALL
    source(url, tmp_path).fetch()
    assert archive(tmp_path) == archive(whole)


def test_without_a_server_the_message_says_what_to_do(tmp_path):
    with pytest.raises(SourceError, match=r"(?s)refused.*Without a network, copy"):
        source("http://127.0.0.1:9/optimade", tmp_path).fetch()


def test_every_provider_of_the_paper_has_a_word(tmp_path):
    listings = OptimadeSource.listings(str(tmp_path))
    assert len(listings) == len(PROVIDERS) == 14
    for listing in listings:
        (found,) = read_sources([listing.word], str(tmp_path))
        assert (found.licence, found.citation) == (listing.licence, listing.citation)
        assert found.folder == tmp_path / "optimade" / found.name
        assert not listing.here
    (one,) = read_sources(["optimade:alexandria/alexandria-pbesol"], str(tmp_path))
    assert one.name == "alexandria-alexandria-pbesol"


@pytest.mark.parametrize("word", ["optimade:", "optimade:nowhere", "optimade:mp/x"])
def test_an_unknown_provider_is_told_the_known_ones(word, tmp_path):
    with pytest.raises(SourceError, match=r"aflow, alexandria, c2db"):
        read_sources([word], str(tmp_path))


def test_a_source_can_be_written_down(tmp_path):
    text = """[[source]]
kind = "optimade"
name = "oxides"
provider = "mp"
filter = 'elements HAS "O"'
max_pages = 2
requests_per_second = 0.5
"""
    (tmp_path / "corpus.toml").write_text(text)
    (found,) = read_sources([str(tmp_path / "corpus.toml")], "elsewhere")
    assert found == OptimadeSource(
        "oxides", provider="mp", filter='elements HAS "O"', max_pages=2,
        requests_per_second=0.5, data_dir="elsewhere",
    )  # fmt: skip
    assert (found.licence, found.folder) == (
        "CC-BY-4.0",
        Path("elsewhere/optimade/oxides"),
    )
    (tmp_path / "corpus.toml").write_text(text.replace("0.5", "0"))
    with pytest.raises(SourceError, match=r"requests_per_second .* more than 0"):
        read_sources([str(tmp_path / "corpus.toml")])


def test_two_providers_come_side_by_side_and_one_that_fails_stops_no_other(
    server, tmp_path
):
    good = source(planned(server, {}), tmp_path)
    dead = replace(good, name="dead", provider="http://127.0.0.1:9")
    with pytest.raises(SourceError, match=r"source dead: .*refused"):
        OptimadeSource.fetch_all([dead, good])
    assert good.count() == N_SMALL
    assert dead.count() == 0


def test_an_index_that_is_down_makes_a_harvest_incomplete(
    server, tmp_path, monkeypatch
):
    url = planned(server, {})
    indexes = ("http://127.0.0.1:9/index", f"{server}/index")
    provider = PROVIDERS["mcloud"]._replace(databases={"a": url}, indexes=indexes)
    monkeypatch.setitem(PROVIDERS, "mcloud", provider)
    found = source("mcloud", tmp_path)
    for _ in range(2):  # the index is asked again
        with pytest.raises(SourceError, match=r"source s: .*:9/index.*refused"):
            found.fetch()
    assert found.count() == 3 * N_SMALL  # those of the other index came
    monkeypatch.setitem(PROVIDERS, "mcloud", provider._replace(indexes=indexes[1:]))
    source("mcloud", tmp_path).fetch()
