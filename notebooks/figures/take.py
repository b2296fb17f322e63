"""Takes the README's pictures from lessons that ran: `python notebooks/figures/take.py RUN_DIR`.

RUN_DIR is what `python -m helpers run 00 08 --out RUN_DIR` left. The alternative texts are printed, for the README.
"""

import json
import sys
from pathlib import Path

from helpers.lessons.pictures import pictures

WANTED = {  # file: lesson, the heading above the picture, and words of its alternative text
    "outline": (
        "00_start_here",
        "The whole way, one step at a time",
        "their agreement",
    ),
    "ledger": ("08_measure_honestly", "The whole ledger", "honest"),
}


def main() -> None:
    """Write the pictures beside this file."""
    if len(sys.argv) != 2:
        sys.exit("Name the folder of the run: python notebooks/figures/take.py RUN_DIR")
    for name, (lesson, heading, words) in WANTED.items():
        notebook = Path(sys.argv[1]) / lesson / f"{lesson}.ipynb"
        if not notebook.is_file():
            sys.exit(
                f"{notebook} is missing: python -m helpers run {lesson[:2]} --out {sys.argv[1]}"
            )
        shown = pictures(json.loads(notebook.read_text(encoding="utf-8")))
        found = [
            one for one in shown if one["caption"] == heading and words in one["alt"]
        ]
        if not found:
            sys.exit(
                f"{notebook} has no picture of '{words}' below '{heading}'; run the lesson again."
            )
        Path(__file__).with_name(f"{name}.png").write_bytes(found[-1]["png"])
        print(f"{name}: {found[-1]['alt']}")


if __name__ == "__main__":
    main()
