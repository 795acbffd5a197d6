"""The archive of a harvest keeps whatever a server sends."""

from dataclasses import asdict

import pytest

from cloud_jax.datasets.optimade.pages import (
    Page,
    log_page,
    page_file,
    read_json,
    read_log,
    read_page,
    write_json,
    write_page,
)
from cloud_jax.datasets.optimade.server import (
    next_link,
    restore_parameters,
    stated_total,
)
from cloud_jax.datasets.optimade.trail import page_after
from cloud_jax.scope.options import Options
from cloud_jax.scope.pipeline import process
from cloud_jax.structures.source import SourceError

SURROGATE = "a\ud800b"  # half a character: JSON may hold it, UTF-8 may not


def test_half_a_character_in_an_id_stops_no_harvest(tmp_path):
    entries = [{"id": SURROGATE, "type": "structures", "attributes": {}}, {"id": "ü"}]
    sha256 = write_page(tmp_path, 0, entries)
    page = Page(0, f"http://x/{SURROGATE}", 2, sha256, SURROGATE, None, 2)
    log_page(tmp_path, page)
    write_json(tmp_path / "provider.json", {"license": SURROGATE})
    assert asdict(read_log(tmp_path)[0]) == asdict(page)
    assert read_json(tmp_path / "provider.json") == {"license": SURROGATE}
    items = list(read_page(page_file(tmp_path, 0), ""))
    assert [item.id for item in items] == [SURROGATE, "ü"]
    assert process(items[0], "s", Options()).code


@pytest.mark.parametrize(
    ("before", "query", "total", "expected"),
    [
        # As far as from the page before.
        ("page_offset=4", "a=9&page_offset=8", 20, "a=9&page_offset=12"),
        ("page_offset=40", "page_offset=80", 120, None),  # it was the last
        ("page_cursor=x", "page_offset=80", None, "page_offset=90"),  # of 10 entries
        ("", "page_number=3&page_limit=40", None, "page_number=4&page_limit=40"),
        ("", "page_number=3&page_limit=40", 120, None),
        ("", "page_number=3", 31, "page_number=4"),
        ("", "page_number=3&page_offset=8", 30, "page_number=4&page_offset=18"),
        ("", "page_number=3", 30, None),
    ],
)  # fmt: skip
def test_the_url_after_a_page_that_failed(before, query, total, expected):
    start = "http://x/v1/structures?"
    page = Page(3, start + query, 0, "", "", None, total, "500")
    found = page_after(page, Page(2, start + before, 10, "", "", page.url, total))
    assert found == (expected and start + expected)


def test_the_url_after_a_first_page_without_a_link():
    page = Page(0, "http://x/v1/structures?page_limit=9", 7, "", "", None, 20)
    expected = "http://x/v1/structures?page_limit=9&page_offset=7"
    assert page_after(page, None) == expected


@pytest.mark.parametrize("query", ["page_cursor=a", "page_above=80", "page_offset=x"])
def test_a_url_that_does_not_tell_the_next(query):
    page = Page(3, f"http://x/v1/structures?{query}", 0, "", "", None, None, "500")
    with pytest.raises(SourceError, match=r"page 3 failed \(500\), and only that page"):
        page_after(page, Page(2, "http://x", 10, "", "", page.url, None))


PAGE = "https://db.example.org/optimade/v1/structures?page_offset=0"


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (
            "?page_offset=9",
            "https://db.example.org/optimade/v1/structures?page_offset=9",
        ),
        ("/v1/x?a=1", "https://db.example.org/v1/x?a=1"),
        ({"href": "https://db.example.org/x"}, "https://db.example.org/x"),
        # A server behind a proxy does not know that it is asked by https.
        ("http://db.example.org/x?p=1", "https://db.example.org/x?p=1"),
        ("http://db.example.org:8080/x", "http://db.example.org:8080/x"),
        ("https://mirror.example.org/x", "https://mirror.example.org/x"),
        ("", None),
        (None, None),
        ({}, None),
        ({"href": None}, None),
    ],
)
def test_the_link_to_the_next_page(link, expected):
    assert next_link(PAGE, {"links": {"next": link}}) == expected
    assert next_link(PAGE, {"links": {"next_page": link}}) == expected


@pytest.mark.parametrize(
    "link",
    [
        "ftp://db.example.org/x",
        "http://localhost/x",
        "http://[/x",
        "//10.0.0.1/x",
        7,
        ["/x"],
    ],
)
def test_a_link_that_is_not_followed(link):
    with pytest.raises(SourceError, match=r"next page is .*expected"):
        next_link(PAGE, {"links": {"next": link}})


@pytest.mark.parametrize("links", [None, [], "x", {"next": None}])
def test_answers_without_a_link(links):
    assert next_link(PAGE, {"links": links}) is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("page_offset=9", "page_offset=9&filter=a%3C1&response_fields=b%2Cc"),
        (
            "filter=a%3C2&page_offset=9",
            "filter=a%3C2&page_offset=9&response_fields=b%2Cc",
        ),
        (
            "response_fields=&cursor=%zz",
            "cursor=%zz&filter=a%3C1&response_fields=b%2Cc",
        ),
        ("", "filter=a%3C1&response_fields=b%2Cc"),
    ],
)
def test_parameters_that_a_link_lacks_are_put_back(query, expected):
    asked = "http://x/v1/structures?filter=a%3C1&response_fields=b%2Cc"
    assert restore_parameters(f"http://x/y?{query}", asked) == f"http://x/y?{expected}"


@pytest.mark.parametrize(
    ("returned", "available", "alone", "filtered", "expected"),
    [
        (60, 90, False, False, 60),
        (10, 90, False, False, 90),  # it counts the page
        (10, 90, False, True, None),  # 90 is without the filter
        (10, 90, True, True, 10),
        (None, 90, False, False, 90),
        ("60", None, False, False, 60),
        (60.0, None, False, False, 60),
        (-1, 1e400, False, False, None),
        (True, 2**63, False, False, None),
        (float("nan"), [90], False, False, None),
    ],
)
def test_the_total_that_a_server_states(returned, available, alone, filtered, expected):
    meta = {"data_returned": returned, "data_available": available}
    answer = {"data": [{}] * 10, "meta": meta}
    assert stated_total(answer, alone=alone, filtered=filtered) == expected
