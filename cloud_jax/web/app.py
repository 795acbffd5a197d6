"""The page in Gradio: what is dropped, pasted or picked goes to the analyst."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import gradio as gr

from cloud_jax.web.analysis import Analyst, example_files
from cloud_jax.web.reader import MAX_CRYSTALS, Readers, Upload

MAX_FILE_BYTES = 5 * 2**20
MAX_FILES = 50  # per question
AT_ONCE = 2  # questions that are answered at the same time; others wait in the queue

INTRODUCTION = """\
<div class="cj cj-intro"><h1>CLOUD</h1>
<p>{what} of a crystal from its structure file, by a
language model that reads the symmetry of the crystal as a sentence.</p></div>
"""
# The component keeps the answer as plain data; view.js draws it.
_DRAW = """\
const draw = async () => {
  const view = await import(new URL("cj/page/view.js", document.baseURI));
  const place = element.querySelector(".cj-answer");
  if (place) view.show(place, props.value ? JSON.parse(props.value) : null);
};
draw();
watch("value", draw);
"""
HEAD = """\
<link rel="stylesheet" href="./cj/page/view.css">
<link rel="stylesheet" href="./cj/page/app.css">
<script src="./cj/vendor/3Dmol-min.js" defer></script>
"""


def theme() -> gr.themes.Base:
    """Return a theme whose fonts are those of the system: none is fetched."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.slate,
        font=[
            "system-ui",
            "-apple-system",
            "Segoe UI",
            "Liberation Sans",
            "sans-serif",
        ],
        font_mono=["ui-monospace", "DejaVu Sans Mono", "monospace"],
    )


def build(analyst: Analyst, readers: Readers) -> gr.Blocks:
    """Return the page.

    Args:
        analyst: answers.
        readers: processes that read what is uploaded, `AT_ONCE` of them.
    """
    ask = _asker(analyst, readers)
    with gr.Blocks(title="CLOUD: crystals", analytics_enabled=False) as blocks:
        thermal = "Heat capacity, entropy and enthalpy"
        what = thermal if analyst.has_curves else "Properties"
        gr.HTML(INTRODUCTION.format(what=what), apply_default_css=False)
        with gr.Row(elem_classes="cj-inputs"):
            files = gr.File(
                label=f"Structure files: CIF, POSCAR, extended XYZ, JSON, zip; up to "
                f"{MAX_FILE_BYTES // 2**20} MB each, {MAX_CRYSTALS} crystals",
                file_count="multiple",
                type="filepath",
                height=170,
                elem_id="cj-files",
            )
            with gr.Column():
                text = gr.Textbox(
                    label="Or paste one",
                    placeholder="the text of a CIF or POSCAR",
                    lines=4,
                    max_lines=4,
                    elem_id="cj-text",
                )
                paste = gr.Button("Predict what was pasted", elem_id="cj-paste")
        with gr.Row(elem_classes="cj-examples"):
            examples = [
                gr.Button(path.stem, size="sm", elem_id=f"cj-example-{path.stem}")
                for path in example_files()
            ]
        answer = gr.HTML(
            value=None,
            html_template='<div class="cj-answer" aria-live="polite"></div>',
            js_on_load=_DRAW,
            apply_default_css=False,
            elem_id="cj-answer",
            min_height=60,
        )
        _connect(ask, files, text, paste, examples, answer)
    blocks.queue(max_size=100, api_open=False)
    return blocks


def _connect(ask, files, text, paste, examples, answer) -> None:
    """Let what a person does lead to an answer; two are made at the same time."""
    limits = {"concurrency_limit": AT_ONCE, "concurrency_id": "ask"}
    # The field is emptied: it is ready for the next files.
    files.upload(
        lambda paths: (ask(_uploads(paths)), None),
        files,
        [answer, files],
        api_name="predict_files",
        **limits,
    )
    paste.click(
        lambda content: ask([Upload("pasted text", text=content or "")]),
        text,
        answer,
        api_name="predict_text",
        **limits,
    )
    for button, path in zip(examples, example_files(), strict=True):
        button.click(
            lambda path=path: ask([Upload(path.name, path)]),
            None,
            answer,
            api_name=False,
            **limits,
        )


def _asker(analyst: Analyst, readers: Readers) -> Callable[[Sequence[Upload]], str]:
    """Return the function that answers uploads, as JSON."""

    def ask(uploads: Sequence[Upload]) -> str:
        good, problems = _checked(uploads)
        with readers.lend() as reader:
            answer = analyst.answer(good, reader)
        answer["problems"] = problems + answer["problems"]
        return json.dumps(answer).replace("<", "\\u003c")  # no text is ever markup

    return ask


def _size(upload: Upload) -> int | None:
    """Return bytes of a file or letters of a text; None if the file is gone."""
    if upload.path is None:
        return len(upload.text.strip())
    try:
        return upload.path.stat().st_size
    except OSError:
        return None


def _uploads(paths: Sequence[str] | None) -> list[Upload]:
    return [Upload(Path(path).name, Path(path)) for path in paths or ()]


def _checked(
    uploads: Sequence[Upload],
) -> tuple[list[Upload], list[dict[str, str]]]:
    """Return the uploads within the limits, and why the others are not read."""
    good, problems = [], []
    for number, upload in enumerate(uploads):
        size = _size(upload)
        if size is None:
            why = "is no longer here, because it waited too long: give it again"
        elif number >= MAX_FILES:
            why = f"is one too many: {MAX_FILES} files are read at once"
        elif size > MAX_FILE_BYTES:
            why = (
                f"has {size / 2**20:.1f} MB, and at most {MAX_FILE_BYTES // 2**20} are "
                "read here; `cloud-jax predict` reads larger files"
            )
        elif not size:
            why = "is empty"
        else:
            good.append(upload)
            continue
        problems.append({"id": upload.name, "message": why})
    return good, problems
