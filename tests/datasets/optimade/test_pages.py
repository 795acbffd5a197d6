"""The archive of a harvest keeps whatever a server sends."""

from dataclasses import asdict

import pytest

from cloud_jax.datasets.optimade.harvest import past
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
from cloud_jax.scope.options import Options
from cloud_jax.scope.pipeline import process

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
    ("query", "total", "expected"),
    [
        ("page_limit=40&page_offset=80", 200, "page_limit=40&page_offset=120"),
        ("page_limit=40&page_offset=80", 120, None),  # it was the last
        ("page_offset=80", None, "page_offset=90"),  # as long as the first page
        ("page_number=3&page_limit=40", None, "page_number=4&page_limit=40"),
        ("page_number=3&page_limit=40", 120, None),
    ],
)
def test_the_way_past_a_page_that_does_not_come(query, total, expected):
    page = Page(3, f"http://x/v1/structures?{query}", 0, "", "", None, total, "500")
    found = past(page, 10)
    assert found == (expected and f"http://x/v1/structures?{expected}")
