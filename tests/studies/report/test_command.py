import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import report_folders

from cloud_jax.studies.report.command import main

ROOT = Path(__file__).resolve().parents[3]
VOID = {"meta", "img", "link", "br", "hr", "input"}
EVIL = "<script>alert(1)</script>|`*&\"'"


class Page(HTMLParser):
    """Collects what a page loads and links to; asserts that its tags are nested."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.links, self.ids, self.open, self.tags = [], [], [], [], set()
        self.images, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.add(tag)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.loaded += [attrs[key] for key in ("src", "srcset", "data") if key in attrs]
        self.links += [attrs["href"]] if "href" in attrs else []
        self.images += [attrs] if tag == "img" else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    report_folders.finetune(folder / "phonons")
    report_folders.discovery(folder / "phonons" / "discovery")
    report_folders.pretrain(folder / "bert")
    (folder / "begun" / "checkpoints" / "7").mkdir(parents=True)
    return folder


def make(tmp_path, *workdirs):
    output = tmp_path / "page.html"
    code = main([*map(str, workdirs), "--output", str(output)])
    return code, output.read_text(), output.with_suffix(".md").read_text()


def test_the_page_needs_nothing_else_and_is_well_formed(tmp_path, runs, capsys):
    code, html, _ = make(tmp_path, runs)
    assert code == 0
    page = Page(html)
    assert not page.open
    assert page.loaded
    assert all(source.startswith("data:image/png;base64,") for source in page.loaded)
    assert all(link.startswith("#") for link in page.links)
    assert {link[1:] for link in page.links} <= {*page.ids}
    assert len(page.ids) == len({*page.ids})
    assert not {"script", "link", "iframe", "object"} & page.tags
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert all(image["alt"] for image in page.images)
    assert {image["width"] for image in page.images} == {"2"}  # of 3 pixels
    assert "begun: unfinished" in capsys.readouterr().out


def test_markup_in_names_from_files_is_escaped(tmp_path):
    odd = {"note": EVIL, "benchmark": EVIL, "dialect": EVIL, "checkpoint": EVIL}
    run = report_folders.finetune(tmp_path / "runs" / "<b>&", name=EVIL, **odd)
    (run / "environment.json").write_text('{"<img src=x>": "<img src=x>"}')
    code, html, markdown = make(tmp_path, run.parent)
    assert code == 0
    assert "script" not in Page(html).tags
    assert "<img src=x>" not in html
    assert EVIL in Page(html).text
    assert not re.search(r"(?<!\\)<(script|img|b)", markdown)


def test_rows_of_a_markdown_table_have_equally_many_cells(tmp_path, runs):
    _, html, markdown = make(tmp_path, runs)
    tables = [
        block.splitlines() for block in markdown.split("\n\n") if block.startswith("|")
    ]
    assert len(tables) == html.count("<table")
    for table in tables:
        widths = {len(re.split(r"(?<!\\)\|", row)) for row in table}
        assert len(widths) == 1
        assert set(table[1]) <= set("|-: ")
    assert "| **28.8874 (3.2840)** (best); coNGN |" in markdown


def test_the_same_runs_give_the_same_bytes(tmp_path, runs):
    assert make(tmp_path, runs)[1:] == make(tmp_path, runs)[1:]
    first, second = runs / "bert", runs / "phonons"
    assert make(tmp_path, first, second)[1:] == make(tmp_path, second, first)[1:]


def test_without_a_finished_run_nothing_is_written(tmp_path, runs, capsys):
    output = tmp_path / "page.html"
    output.write_text("results beside the paper of yesterday")
    assert main([str(runs / "begun"), "--output", str(output)]) == 1
    assert output.read_text() == "results beside the paper of yesterday"
    error = capsys.readouterr().err
    assert "no finished run" in error
    assert "begun: unfinished: no results.json, last checkpoint at step 7" in error
    assert main([str(tmp_path / "gone")]) == 1
    assert "there is no such folder" in capsys.readouterr().err


def test_a_file_that_is_not_a_report_is_kept(tmp_path, runs, capsys):
    readme = tmp_path / "page.md"
    readme.write_text("# A project")
    assert main([str(runs), "--output", str(tmp_path / "page.html")]) == 1
    assert readme.read_text() == "# A project"
    assert not (tmp_path / "page.html").exists()
    assert "page.md: exists and is not a report" in capsys.readouterr().err


def test_ctrl_c_ends_with_code_130(tmp_path, runs, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("cloud_jax.studies.report.gather.gather", stop)
    assert main([str(runs), "--output", str(tmp_path / "page.html")]) == 130
    assert capsys.readouterr().err == "stopped: nothing was kept\n"


def test_json_names_the_files_and_the_problems(tmp_path, runs, capsys):
    page = tmp_path / "page.html"
    assert main([str(runs), "--output", str(page), "--json"]) == 0
    reason = "unfinished: no results.json, last checkpoint at step 7"
    assert json.loads(capsys.readouterr().out) == {
        "html": str(page),
        "markdown": str(page.with_suffix(".md")),
        "runs": 3,
        "problems": [{"name": "begun", "reason": reason}],
    }


def test_linked_runs_are_found_and_circular_links_end(tmp_path, runs):
    folder = tmp_path / "linked"
    folder.mkdir()
    (folder / "there").symlink_to(runs)
    (runs / "back").symlink_to(folder)
    code, html, _ = make(tmp_path, folder)
    assert code == 0
    assert "Fine-tuning: " in html


@pytest.mark.parametrize("name", ["page.pdf", "gone/page.html"])
def test_an_unwritable_output_is_a_usage_error(tmp_path, runs, name, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([str(runs), "--output", str(tmp_path / name)])
    assert exit_.value.code == 2
    assert "--output" in capsys.readouterr().err


def test_the_command_runs_without_jax_or_matplotlib(tmp_path, runs):
    code = (
        "import sys; from cloud_jax.studies.report.command import main; "
        f"code = main([{str(runs)!r}, '--output', {str(tmp_path / 'p.html')!r}]); "
        "assert not {'jax', 'flax', 'matplotlib', 'pymatgen'} & {*sys.modules}; "
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
