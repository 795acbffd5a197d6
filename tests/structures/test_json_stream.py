"""The JSON stream against the standard library, and on what is not JSON."""

import gzip
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_jax.structures import json_stream
from cloud_jax.structures.json_stream import (
    JsonStream,
    column_pairs,
    split_rows,
)
from cloud_jax.structures.source import SourceError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


class Drops(io.StringIO):
    """A text that comes a few characters at a time, whatever is asked for."""

    def read(self, size=-1):
        return super().read(3)


@settings(deadline=None, max_examples=40)
@given(st.lists(VALUES), st.sampled_from([None, 1]))
def test_elements_are_what_the_standard_library_reads(values, indent):
    text = json.dumps(values, indent=indent)
    stream = JsonStream(Drops(text), Path("x"))
    found = [stream.value() for _ in stream.elements()]
    assert json.dumps(found) == json.dumps(values)  # NaN equals NaN in text
    assert stream.peek() == ""


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(st.text(), VALUES))
def test_members_are_what_the_standard_library_reads(values):
    stream = JsonStream(Drops(json.dumps(values)), Path("x"))
    found = {key: stream.value() for key in stream.members()}
    assert json.dumps(found) == json.dumps(values)


def write(folder, content):
    path = folder / "a.json.gz"
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(gzip.compress(text.encode()))
    return path


def test_rows_have_their_columns_and_bad_ones_say_why(tmp_path):
    table = {"index": [5, 6], "columns": ["s", "y"], "data": [["a", 1.5], ["b"]]}
    found = list(split_rows(write(tmp_path, table)))
    assert found[0] == {"index": 5, "s": "a", "y": 1.5}
    assert isinstance(found[1], ValueError)
    assert str(found[1]) == "found ['b'], expected 2 values"
    found = list(split_rows(write(tmp_path, [{"y": 1}, 2])))
    assert found[0] == {"y": 1}
    assert str(found[1]) == "found '2', expected an object"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"columns": ["s"], "data": [["a"], ["b', "is damaged .*Unterminated string"),
        ('{"columns": ["s"], "data": [["a"] ["b"]]}', r"found \[, expected \] or ,"),
        ('{"columns": ["s"], "data": [["a"]', "found its end"),
        ('{"columns": ["s"], "data": [[1.', "is damaged"),
        ({"data": [["a"]], "columns": ["s"]}, "found no key first; expected columns"),
        ({"material_id": {"0": "a"}}, "found material_id first; expected columns"),
        ("<html>", "found no key first"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_of_another_kind_or_cut_short_says_so(tmp_path, content, message):
    with pytest.raises(SourceError, match=message):
        list(split_rows(write(tmp_path, content)))


def test_a_file_cut_in_its_compression_says_so(tmp_path):
    path = write(tmp_path, {"columns": ["s"], "data": [["a"]] * 1000})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match="cannot be read"):
        list(split_rows(path))


def test_a_value_without_end_is_not_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(json_stream, "MAX_ITEM_BYTES", 1000)
    monkeypatch.setattr(json_stream, "_BLOCK", 100)
    with pytest.raises(SourceError, match="a value is too long"):
        list(split_rows(write(tmp_path, ["x" * 5000])))


@pytest.mark.parametrize("names_first", [True, False])
def test_columns_of_a_data_frame_are_paired_in_either_order(tmp_path, names_first):
    columns = {"material_id": {"0": "mp-1", "1": "mp-2"}, "energy": {"0": 1, "1": 2}}
    columns |= {"entry": {"0": {"a": 1}, "1": {"a": 2}}, "source": "mp"}
    if not names_first:
        columns = dict(reversed(columns.items()))
    found = list(column_pairs(write(tmp_path, columns), "material_id", "entry"))
    assert found == [("mp-1", {"a": 1}), ("mp-2", {"a": 2})]


def test_columns_that_do_not_fit_are_refused(tmp_path):
    for columns, message in (
        ({"entry": {"0": 1}}, "expected an object with material_id and entry"),
        ({"material_id": {"0": "a"}}, "expected an object with material_id and entry"),
        ({"material_id": {"0": "a"}, "entry": {"7": 1}}, "row 7 of entry has no"),
    ):
        with pytest.raises(SourceError, match=message):
            list(column_pairs(write(tmp_path, columns), "material_id", "entry"))
