"""Quotes that hide rows are refused with their line; text with line breaks is not."""

import pytest

from cloud_jax.structures.csv_table import csv_items, csv_rows
from cloud_jax.structures.source import SourceError

CIF = "data_x\n_cell_length_a 3\nloop_\n_symmetry_equiv_pos_as_xyz\n'x, y, z'\n"


def read(path, text):
    path.write_text(text, newline="")
    with csv_rows(path) as (header, rows):
        return header, list(rows)


def table(n=9, note="ok", **notes):
    """Return the text of a table whose row i, on line i + 2, may have another note."""
    lines = ["id,y,note"]
    lines += [f"c{i},{i}.5,{notes.get(f'c{i}', note)}" for i in range(n)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "opens", "ends"),
    [
        # To the end of the file, in the last row, or past a cell that is well quoted.
        (table(c3='"5 inch'), 5, 10),
        (table(c8='"5 inch'), 10, 10),
        (table(c3='"two\nlines"', c5='"5 inch'), 8, 11),
        # To the next quote: of the same kind, of a good cell, or of the next row.
        (table(c3='"5 inch', c6='6 inch"'), 5, 8),
        (table(c3='"5 inch', c6='"6 inch"'), 5, 8),
        (table(c3='"5 inch', c4='6 inch"'), 5, 6),
        (table(c3='"5 inch', c5='6 inch"').replace("4.5", "NA"), 5, 7),
        ('id,y\n"a,1\nb,2\nc",3\nd,4\n', 2, 4),
        ('id,y\r\na,1\r\n"b,2\r\nc,3\r\n', 3, 4),
        (f'id,cif,y\na,"5 inch,1\nb,"{CIF}",2\n', 2, 3),
        ('"id,y\na,1\nb,2\n', 1, 3),
        ('# by hand\nid,y\n\na,1\n"b,2\n', 5, 5),
    ],
)
def test_a_quote_that_hides_rows_is_refused_with_its_line(tmp_path, text, opens, ends):
    message = rf"t\.csv, line {opens}: a quote .* runs to line {ends} "
    with pytest.raises(SourceError, match=message):
        read(tmp_path / "t.csv", text)


def test_a_quote_that_is_open_for_longer_than_a_cell_may_be(tmp_path, monkeypatch):
    monkeypatch.setattr("cloud_jax.structures.csv_table.MAX_ITEM_BYTES", 100)
    with pytest.raises(SourceError, match=r"line 3: a quote .*larger than field limit"):
        read(tmp_path / "t.csv", table(99, c1='"5 inch'))


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (f'"{CIF}"', CIF),
        ('"cut,\nannealed, polished"', "cut,\nannealed, polished"),
        ('"{\n""a"": [1, 2],\n""b"": 3\n}"', '{\n"a": [1, 2],\n"b": 3\n}'),
        ('"[[1, 0, 0],\n[0, 1, 0]]"', "[[1, 0, 0],\n[0, 1, 0]]"),
        ('5" rod', '5" rod'),
        ('"5"" rod"', '5" rod'),
        ('"5" rod', "5 rod"),  # as pandas reads it
        ('"say ""when"",\n"', 'say "when",\n'),
        ('""', ""),
    ],
)
def test_text_with_quotes_and_line_breaks_stays_as_it_is(tmp_path, cell, value):
    _, rows = read(tmp_path / "t.csv", table(4, c1=cell))
    assert [row[0] for _, row in rows] == ["c0", "c1", "c2", "c3"]
    assert rows[1] == (3, ["c1", "1.5", value])
    assert rows[2][0] == 4 + cell.count("\n")


def test_a_name_of_a_column_may_have_a_line_break(tmp_path):
    header, rows = read(tmp_path / "t.csv", 'id,"y\n(eV)"\na,1\n')
    assert header == ["id", "y\n(eV)"]
    assert rows == [(3, ["a", "1"])]


@pytest.mark.parametrize("mark", [";", "\t"])
def test_other_marks_between_columns_are_named(tmp_path, mark):
    text = table().replace(",", mark)
    with pytest.raises(SourceError, match="expected commas between columns instead of"):
        read(tmp_path / "t.csv", text)


@pytest.mark.parametrize("header", ["id,cif,y,cif", "id,cif,id"])
def test_a_column_that_is_used_and_there_twice_is_refused(tmp_path, header):
    path = tmp_path / "t.csv"
    path.write_text(f"{header}\n" + ",".join("abcd"[: header.count(",") + 1]) + "\n")
    twin = header.split(",")[-1]
    with pytest.raises(SourceError, match=f"2 columns are called '{twin}'"):
        list(csv_items(path, "", ""))
    path.write_text("id,y,cif,y\na,1,data_x,2\n")
    assert len(list(csv_items(path, "", ""))) == 1


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_another_encoding_is_refused_with_what_to_do(tmp_path, encoding):
    path = tmp_path / "excel.csv"
    path.write_text("id,y\né,1\n", encoding=encoding)
    with pytest.raises(SourceError, match=r"excel\.csv: .*not UTF-8.*save .* as UTF-8"):
        list(csv_items(path, "y", "id"))
