"""Write the page that predicts without a server: one file that opens from a disk.

python -m scripts.make_page page.html [--checkpoint FOLDER]
"""

import argparse
from pathlib import Path

import cloud_jax
from cloud_jax.web.static_page import write_page


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path, help="HTML file to write")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        help="model folder with a physics head; by default the model of the package",
    )
    args = parser.parse_args()
    size = write_page(cloud_jax.load(args.checkpoint).model, args.page)
    print(f"{args.page}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
