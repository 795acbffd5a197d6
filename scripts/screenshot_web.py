"""Write the pictures of the page that the documentation shows.

    python -m scripts.screenshot_web [--output docs/figures]

Serves the page on a free port, opens it in Chromium and predicts quartz: web_1440.png
and web_390.png, and with --all the dark ones too.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from PIL import Image

from scripts.web_server import served

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
from browser import open_browser

_COLOURS = 128  # of a picture: enough for a page, a third of the bytes


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("docs/figures"),
        help="Folder of the pictures (default: docs/figures).",
    )
    parser.add_argument(
        "--all", action="store_true", help="Draw the dark scheme as well."
    )
    arguments = parser.parse_args()
    schemes = ("light", "dark") if arguments.all else ("light",)
    with tempfile.TemporaryDirectory() as place, served(place) as server:
        for width, height in ((1440, 1500), (390, 1500)):
            for scheme in schemes:
                ending = "" if scheme == "light" else "_dark"
                path = arguments.output / f"web_{width}{ending}.png"
                size = {"width": width, "height": height}
                with open_browser(viewport=size, color_scheme=scheme) as context:
                    photograph(context.new_page(), server.origin, path)
                print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def photograph(page, origin: str, path: Path) -> None:
    """Predict quartz, and write what the window shows."""
    page.set_default_timeout(120_000)
    page.goto(origin)
    page.click("#cj-example-quartz")
    page.wait_for_selector(".cj-stage canvas")
    page.wait_for_timeout(2_000)  # the picture in 3D is drawn after it is there
    page.screenshot(path=path)
    Image.open(path).convert("RGB").quantize(_COLOURS).save(path, optimize=True)


if __name__ == "__main__":
    main()
