"""A harvest of servers with a fault: all comes, or what is lacking is named."""

import email.utils
import gzip
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from cloud_jax.datasets.optimade import trail
from cloud_jax.datasets.optimade.harvest import IncompleteHarvestError
from cloud_jax.datasets.optimade.source import OptimadeSource
from cloud_jax.preprocess import command
from cloud_jax.scope.pipeline import read_cell
from cloud_jax.structures.source import SourceError

N, PER_PAGE = 60, 10
FAULTS = {}  # name: function of (handler, query, answer), which may send it itself


def fault(function):
    """Register a server that spoils the answers of a sound one."""
    FAULTS[function.__name__] = function
    return function


def entry(i: int) -> dict:
    """Return a crystal of rock salt with its own cell length."""
    a = 3.5 + 0.02 * i
    species = [
        {"name": name, "chemical_symbols": [name], "concentration": [1.0]}
        for name in ("Na", "Cl")
    ]
    attributes = {
        "lattice_vectors": [[a, 0, 0], [0, a, 0], [0, 0, a]],
        "cartesian_site_positions": [[0, 0, 0], [a / 2] * 3],
        "species": species,
        "species_at_sites": ["Na", "Cl"],
        "nsites": 2,
    }
    return {"id": f"x-{i}", "type": "structures", "attributes": attributes}


class Handler(BaseHTTPRequestHandler):
    """Serve `/FAULT/v1/structures`, 60 entries in pages of 10, spoiled by the fault."""

    protocol_version = "HTTP/1.1"
    is_index = False

    def do_GET(self):
        parts = urlsplit(self.path)
        name = parts.path.split("/")[1]
        query = dict(parse_qsl(parts.query))
        if parts.path.endswith("/info"):
            info = {"api_version": "1.1.0", "is_index": self.is_index}
            return self.send({"data": {"attributes": info}})
        self.server.asked.append(query)
        at = int(query.get("page_offset", 0))
        answer = self.page(name, at, min(at + PER_PAGE, N), query)
        if FAULTS[name](self, query, answer) is None:
            self.send(answer)

    def page(self, name, start, stop, query):
        """Return a sound page of the entries from start to stop."""
        self.base = f"{self.server.url}/{name}/v1/structures"
        rest = "&".join(
            f"{key}={query[key]}"
            for key in ("filter", "page_limit", "response_fields")
            if key in query
        )
        link = f"{self.base}?page_offset={stop}&{rest}" if stop < N else None
        return {
            "data": [entry(i) for i in range(start, stop)],
            "links": {"next": link},
            "meta": {
                "data_returned": N,
                "data_available": N,
                "more_data_available": stop < N,
            },
        }

    def send(self, answer, status=200, headers=(), *, gzipped=0):
        """Send JSON; `gzipped` bytes of it compressed, if not 0."""
        body = json.dumps(answer).encode()
        if gzipped:
            body = gzip.compress(body)[:gzipped]
            headers = [*headers, ("Content-Encoding", "gzip")]
        self.send_response(status)
        for key, value in [*headers, ("Content-Length", str(len(body)))]:
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)
        return True

    def first_time(self, query) -> bool:
        """Return whether a page is asked for the first time."""
        return self.server.asked.count(query) == 1

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def source(server, name: str, data_dir: Path, **fields) -> OptimadeSource:
    quick = {
        "requests_per_second": 2000.0, "attempts": 2, "backoff_s": 0.001,
        "request_limit_s": 10.0,
    }  # fmt: skip
    url = f"{server.url}/{name}"
    return OptimadeSource("s", provider=url, data_dir=str(data_dir), **quick | fields)


def harvest_sizes(found: OptimadeSource) -> str:
    """Return what an incomplete harvest says; empty if it is complete."""
    try:
        found.fetch()
    except IncompleteHarvestError as error:
        return str(error)
    return ""


# Servers of which all comes.


@fault
def sound(handler, query, answer):
    pass


@fault
def link_named_next_page(handler, query, answer):
    answer["links"] = {"next_page": answer["links"]["next"]}


@fault
def link_is_an_object(handler, query, answer):
    answer["links"]["next"] = {"href": answer["links"]["next"], "meta": {}}


@fault
def link_is_relative(handler, query, answer):
    link = answer["links"]["next"]
    answer["links"]["next"] = link and link[len(handler.server.url) :]


@fault
def link_is_a_query(handler, query, answer):
    link = answer["links"]["next"]
    answer["links"]["next"] = link and link[link.index("?") :]


@fault
def link_drops_the_fields(handler, query, answer):
    link = answer["links"]["next"]
    answer["links"]["next"] = link and link.split("&")[0]
    if "lattice_vectors" not in query.get("response_fields", ""):
        for one in answer["data"]:
            one["attributes"] = {"nsites": 2}


@fault
def link_empties_the_fields(handler, query, answer):
    link = answer["links"]["next"]
    answer["links"]["next"] = link and f"{link.split('&')[0]}&response_fields="
    if "lattice_vectors" not in query.get("response_fields", ""):
        answer["data"] = [{"id": one["id"], "type": "x"} for one in answer["data"]]


@fault
def link_to_the_host_behind_a_proxy(handler, query, answer):
    link = answer["links"]["next"]
    answer["links"]["next"] = link and link.replace("127.0.0.1", "backend.internal")


@fault
def no_link_but_more(handler, query, answer):
    """Name no next page; only the first page's number of entries tells the step."""
    answer["links"] = None
    del answer["meta"]["data_returned"], answer["meta"]["data_available"]


@fault
def no_link_but_a_total(handler, query, answer):
    answer["links"] = {"next_url": answer["links"]["next"]}
    answer["meta"] = {"data_returned": N}


@fault
def more_is_never_true(handler, query, answer):
    answer["meta"]["more_data_available"] = False


@fault
def more_is_always_true(handler, query, answer):
    answer["meta"]["more_data_available"] = True


@fault
def total_is_of_the_page(handler, query, answer):
    answer["meta"]["data_returned"] = len(answer["data"])


@fault
def total_is_text(handler, query, answer):
    answer["meta"]["data_returned"] = "60"


@fault
def total_is_a_float(handler, query, answer):
    answer["meta"]["data_returned"] = 60.0


@fault
def total_is_infinite(handler, query, answer):
    answer["meta"]["data_returned"] = float("inf")
    answer["meta"]["data_available"] = 10**30


@fault
def total_is_capped(handler, query, answer):
    """Count to 30 only, as search engines do."""
    answer["meta"] |= {"data_returned": 30, "data_available": 30}


@fault
def nothing_but_links(handler, query, answer):
    del answer["meta"]


@fault
def empty_page_that_links(handler, query, answer):
    """Put an empty page between all others."""
    if query.get("page_offset", "0").endswith("0") and "page_cursor" not in query:
        link = f"{handler.base}?page_offset={query.get('page_offset', 0)}&page_cursor=1"
        answer |= {"data": [], "links": {"next": link}}


@fault
def last_page_links_to_the_first(handler, query, answer):
    answer["links"]["next"] = answer["links"]["next"] or f"{handler.base}?page_offset=0"


@fault
def empty_pages_without_end(handler, query, answer):
    at = int(query.get("page_offset", 0)) + PER_PAGE
    answer["links"]["next"] = f"{handler.base}?page_offset={at}"
    answer["meta"] = {}


@fault
def entries_without_ids(handler, query, answer):
    for one in answer["data"]:
        del one["id"]


@fault
def entries_without_attributes(handler, query, answer):
    """Send the fields beside the id."""
    for one in answer["data"]:
        one |= one.pop("attributes")


@fault
def ids_are_numbers_from_0(handler, query, answer):
    for one in answer["data"]:
        one["id"] = int(one["id"][2:])


@fault
def redirects(handler, query, answer):
    if "again" not in query:
        url = f"{handler.path}&again=1"
        return handler.send({}, 301, [("Location", url)])


@fault
def busy_until_a_date(handler, query, answer):
    if query.get("page_offset") == "30" and handler.first_time(query):
        date = email.utils.formatdate(time.time() - 5, usegmt=True)
        return handler.send({}, 429, [("Retry-After", date)])


@fault
def gzip_is_cut_once(handler, query, answer):
    return handler.send(answer, gzipped=200 if handler.first_time(query) else 10**6)


@fault
def gzip_arrives_in_small_parts(handler, query, answer):
    body = gzip.compress(json.dumps(answer).encode())
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for part in (body[:3], body[3:10], body[10:11], body[11:-4], body[-4:], b""):
        handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        handler.wfile.flush()
    return True


@fault
def chunks_are_cut_once(handler, query, answer):
    if handler.first_time(query):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"10\r\n" + json.dumps(answer).encode()[:16] + b"\r\n")
        handler.close_connection = True
        return True


@fault
def errors_with_status_200_once(handler, query, answer):
    if query.get("page_offset") == "20" and handler.first_time(query):
        answer |= {"data": [], "errors": [{"title": "timeout"}], "links": {}}


def by_page_number(handler, query, answer):
    """Serve pages by number, whose length is what `page_limit` asks, 5 by default."""
    number = int(query.get("page_number", 1))
    n = int(query.get("page_limit", 5))
    answer["data"] = [entry(i) for i in range((number - 1) * n, min(number * n, N))]
    link = f"{handler.base}?page_number={number + 1}"
    answer["links"]["next"] = link if number * n < N else None


@fault
def page_numbers_that_drop_the_limit(handler, query, answer):
    by_page_number(handler, query, answer)


@fault
def last_link_leads_past_the_end(handler, query, answer):
    if query.get("page_offset") == "60":
        return handler.send({"errors": [{"detail": "no such page"}]}, 404)
    answer["links"]["next"] = (
        answer["links"]["next"] or f"{handler.base}?page_offset=60"
    )
    del answer["meta"]["more_data_available"]


@fault
def last_page_links_to_itself(handler, query, answer):
    answer["links"]["next"] = answer["links"]["next"] or handler.path
    del answer["meta"]["more_data_available"]


@fault
def last_page_is_filled_up_with_earlier_entries(handler, query, answer):
    if query.get("page_offset") == "50":
        answer["data"] = [entry(i) for i in range(45, N)]


@fault
def more_is_never_true_and_no_total(handler, query, answer):
    answer["meta"] = {"more_data_available": False}


@fault
def last_page_links_to_the_first_without_a_total(handler, query, answer):
    answer["links"]["next"] = answer["links"]["next"] or "?page_offset=0"
    answer["meta"] = {
        "more_data_available": "page_offset=0" not in answer["links"]["next"]
    }


@fault
def last_page_links_to_an_error_without_a_total(handler, query, answer):
    if query.get("page_offset") == "60":
        return handler.send({}, 500)
    answer["meta"] = {"more_data_available": answer["links"]["next"] is not None}
    answer["links"]["next"] = answer["links"]["next"] or "?page_offset=60"


@fault
def more_is_text(handler, query, answer):
    answer["meta"]["more_data_available"] = str(answer["links"]["next"] is not None)


@fault
def what_remains_is_counted(handler, query, answer):
    answer["meta"]["data_returned"] = N - int(query.get("page_offset", 0))


@fault
def the_database_grows(handler, query, answer):
    answer["meta"]["data_returned"] = 50 + (query.get("page_offset", 0) != 0) * 10


COMPLETE = list(FAULTS)


@pytest.mark.parametrize("name", COMPLETE)
def test_all_comes(name, server, tmp_path, monkeypatch):
    monkeypatch.setattr(trail, "EMPTY_PAGES_IN_A_ROW", 5)
    found = source(server, name, tmp_path)
    assert harvest_sizes(found) == ""
    lengths = {read_cell(item).lattice[0][0] for item in found.items()}
    assert sorted(round(a / 0.02) - 175 for a in lengths) == list(range(N))
    asked = len(server.asked)
    found.fetch()
    assert len(server.asked) == asked


# Servers that hold something back.


def window(handler, query, answer, **meta):
    """Name no page after entry 30, by cursors that nobody can guess."""
    for key in ("next",):
        link = answer["links"][key]
        answer["links"][key] = link and link.replace("page_offset", "cursor")
    answer["meta"] = meta
    if "cursor" in query:
        at = int(query["cursor"])
        data = [entry(i) for i in range(at, at + PER_PAGE)]
        link = f"{handler.base}?cursor={at + PER_PAGE}" if at < 20 else None
        answer |= {"data": data, "links": {"next": link}}


@fault
def window_with_a_total(handler, query, answer):
    window(handler, query, answer, data_returned=N, more_data_available=False)


@fault
def window_with_more(handler, query, answer):
    window(handler, query, answer, more_data_available=True)


@fault
def window_with_what_is_available(handler, query, answer):
    window(handler, query, answer, data_available=N)


@fault
def window_that_refuses(handler, query, answer):
    """Refuse deep pages, as search engines do, and count no further than that."""
    if int(query.get("page_offset", 0)) >= 30:
        return handler.send({"errors": [{"detail": "window too large"}]}, 400)
    answer["meta"] |= {"data_returned": 30, "data_available": 30}
    answer["meta"]["more_data_available"] = True


@fault
def an_empty_page_that_lacks_its_entries(handler, query, answer):
    if query.get("page_offset") == "20":
        answer["data"] = []


@fault
def errors_with_status_200(handler, query, answer):
    if query.get("page_offset") == "20":
        answer |= {"data": [], "errors": [{"title": "timeout"}], "links": {}}
        answer["meta"]["more_data_available"] = False


@fault
def a_bad_page_and_totals_of_pages(handler, query, answer):
    answer["meta"]["data_returned"] = len(answer["data"])
    if query.get("page_offset") == "20":
        return handler.send({"errors": [{"detail": "bad row"}]}, 500)


@fault
def a_page_that_is_no_json(handler, query, answer):
    if query.get("page_offset") == "20":
        return handler.send(float("nan"))


@fault
def a_circle(handler, query, answer):
    if query.get("page_offset") == "30":
        answer["links"]["next"] = f"{handler.base}?page_offset=0"


@fault
def a_circle_of_totals_of_pages(handler, query, answer):
    answer["meta"]["data_returned"] = len(answer["data"])
    a_circle(handler, query, answer)


@fault
def offsets_are_ignored(handler, query, answer):
    answer["data"] = [entry(i) for i in range(PER_PAGE)]
    for one in answer["data"]:
        del one["id"]


@fault
def pages_overlap(handler, query, answer):
    """Shift by two, as where an entry was put in before."""
    at = max(0, int(query.get("page_offset", 0)) - 2)
    answer["data"] = [entry(i) for i in range(at, at + PER_PAGE)]


@fault
def a_link_to_another_site(handler, query, answer):
    window(handler, query, answer, data_returned=N)
    if query.get("cursor") == "20":
        answer["links"]["next"] = "https://elsewhere.example/v1/structures?cursor=30"


@fault
def a_bad_page_by_number(handler, query, answer):
    by_page_number(handler, query, answer)
    if query.get("page_number") == "3":
        return handler.send({"errors": [{"detail": "bad row"}]}, 500)


@fault
def a_bad_page_by_cursor(handler, query, answer):
    window(handler, query, answer, data_returned=N)
    if query.get("cursor") == "20":
        return handler.send({"errors": [{"detail": "bad row"}]}, 500)


@fault
def a_cache_that_knows_one_page(handler, query, answer):
    answer["data"] = [entry(i) for i in range(PER_PAGE)]


INCOMPLETE = {
    "a_bad_page_by_number": r"(?s)got 55 of 60 .*page 2: HTTP 500: bad row",
    "a_bad_page_by_cursor": r"got 20 of 60 .*page 2 failed .*only that page has the",
    "a_cache_that_knows_one_page": r"got 10 of 60 .*page 1 is page 0 again",
    "window_with_a_total": r"got 30 of 60 .*names no page after page 2",
    "window_with_more": r"got 30 of an unknown number .*says that more are",
    "window_with_what_is_available": r"got 30 of 60 structures",
    "window_that_refuses": r"(?s)got 30 of 30 .*page 3: HTTP 400: window",
    "an_empty_page_that_lacks_its_entries": r"got 50 of 60 .*1 page\(s\) came empty",
    "errors_with_status_200": r"(?s)got 50 of 60 .*page 2: .*timeout, 2 times",
    "a_bad_page_and_totals_of_pages": r"(?s)got 50 of 60 .*page 2: HTTP 500: bad row",
    "a_page_that_is_no_json": r"(?s)got 50 of 60 .*page 2: found b'NaN', expected an",
    "a_circle": r"got 40 of 60 .*page 4 is page 0 again",
    "a_circle_of_totals_of_pages": r"got 40 of 60 .*page 4 is page 0 again",
    "offsets_are_ignored": r"got 10 of 60 .*page 1 is page 0 again",
    "pages_overlap": r"got 58 of 60 structures: 2 of them came again",
    "a_link_to_another_site": r"got 30 of 60 .*another site, 'https://elsewhere\.ex",
}


@pytest.mark.parametrize("name", INCOMPLETE)
def test_what_is_lacking_is_named_with_both_numbers(
    name, server, tmp_path, monkeypatch
):
    found = source(server, name, tmp_path)
    with pytest.raises(IncompleteHarvestError, match=INCOMPLETE[name]) as caught:
        found.fetch()
    size = str(caught.value).split("got ")[1].split(" structures")[0]
    assert f"{size} structures)" in found.location
    asked = len(server.asked)
    with pytest.raises(IncompleteHarvestError, match=INCOMPLETE[name]):
        found.fetch()
    assert 0 < len(server.asked) - asked <= 6  # the rest is asked for again
    if name != "pages_overlap":
        monkeypatch.setitem(FAULTS, name, sound_cursor)
        assert harvest_sizes(found) == ""  # by now the server is mended
        assert len({item.id for item in found.items()}) == N


def sound_cursor(handler, query, answer):
    """Serve pages by cursor and by number too."""
    if "page_number" in query:
        by_page_number(handler, query, answer)
    if "cursor" in query:
        at = int(query["cursor"])
        answer |= handler.page(handler.path.split("/")[1], at, at + PER_PAGE, query)


def test_the_exit_code_says_that_a_harvest_is_incomplete(server, tmp_path, capsys):
    corpus = tmp_path / "corpus.toml"
    corpus.write_text(
        f"""[[source]]
kind = "optimade"
name = "s"
provider = "{server.url}/window_with_a_total"
requests_per_second = 1000.0
"""
    )
    words = [
        str(corpus),
        "--output",
        str(tmp_path / "out"),
        "--data-dir",
        str(tmp_path),
    ]
    assert command.main(words) == 75
    assert "got 30 of 60 structures" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_filter_makes_what_is_available_no_measure(server, tmp_path):
    found = source(server, "window_with_what_is_available", tmp_path, filter="nsites<9")
    found.fetch()
    assert found.count() == 30


def test_as_many_pages_as_asked_for_are_complete(server, tmp_path):
    found = source(server, "sound", tmp_path, max_pages=2)
    found.fetch()
    assert found.count() == 20
    assert [query["page_offset"] for query in server.asked[1:]] == ["10"]
    source(server, "sound", tmp_path).fetch()
    assert found.count() == 20
    assert source(server, "sound", tmp_path).count() == N


@pytest.mark.parametrize(
    "parameters", [{"filter": 'elements HAS "Na"'}, {"page_limit": 10}]
)
def test_dropped_parameters_are_asked_for_again(parameters, server, tmp_path):
    source(server, "link_drops_the_fields", tmp_path, **parameters).fetch()
    asked = {key: str(value) for key, value in parameters.items()}
    assert len(server.asked) == 6
    assert all(asked.items() <= query.items() for query in server.asked)


def test_a_refusal_of_everything_is_not_an_incomplete_harvest(
    server, tmp_path, monkeypatch
):
    def refuse(handler, query, answer):
        return handler.send({"errors": "go away"}, 403)

    monkeypatch.setitem(FAULTS, "sound", refuse)
    with pytest.raises(SourceError, match="HTTP 403: go away") as caught:
        source(server, "sound", tmp_path).fetch()
    assert not isinstance(caught.value, IncompleteHarvestError)


def test_an_archive_with_gaps_is_read_with_a_warning(server, tmp_path, capsys):
    found = source(server, "errors_with_status_200", tmp_path)
    assert "got 50 of 60" in harvest_sizes(found)
    archive = OptimadeSource("s", archive=str(found.folder))
    archive.fetch()
    assert "50 of 60 structures: 1 page(s) failed" in capsys.readouterr().err
    assert archive.count() == 50


@pytest.mark.parametrize("link", [None, "?"])  # the second is a circle
def test_an_index_that_ends_early_is_an_error(link, server, tmp_path, monkeypatch):
    def index(handler, query, answer):
        child = {"base_url": "http://127.0.0.1:9", "link_type": "child"}
        answer["data"] = [{"id": "a", "type": "links", "attributes": child}]
        answer["links"] = {"next": link}

    monkeypatch.setitem(FAULTS, "sound", index)
    monkeypatch.setattr(Handler, "is_index", True)
    with pytest.raises(SourceError, match=r"index ends after 1 databases \(\d page"):
        source(server, "sound", tmp_path).fetch()


def test_many_bad_pages_in_a_row_end_one_run_but_not_the_next(
    server, tmp_path, monkeypatch
):
    def bad_pages(handler, query, answer):
        if query.get("page_offset") in ("10", "20", "30", "40"):
            return handler.send({}, 500)

    monkeypatch.setitem(FAULTS, "sound", bad_pages)
    found = source(server, "sound", tmp_path)
    assert "got 10 of 60 structures: pages 1 to 3 failed" in harvest_sizes(found)
    assert "got 20 of 60 structures: 4 page(s) failed" in harvest_sizes(found)
    monkeypatch.setitem(FAULTS, "sound", sound)
    assert harvest_sizes(found) == ""
    assert found.count() == N
