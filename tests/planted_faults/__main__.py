"""Plant faults in the helpers, and print by what the lessons notice: `python -m tests.planted_faults [WORD...]`.

Each lesson runs alone, at its quick size, against `helpers/lessons/baselines/quick.yml`, until a number leaves its
band. Status 1 where a fault is not caught.
"""

import sys
from collections import Counter
from pathlib import Path

from helpers.cli.console import print_table
from tests.planted_faults.catalogue import FAULTS
from tests.planted_faults.harness import CAUGHT, Outcome, meet

OUT = Path("runs/planted_faults")


def main(words: list[str]) -> int:
    """Plant the faults whose name or lesson is one of the words; all without."""
    chosen = [one for one in FAULTS if not words or one.name in words or one.lesson in words]
    outcomes = [meet(fault, OUT / fault.name) for fault in chosen]
    table(outcomes)
    return int(not outcomes or any(one.verdict != CAUGHT for one in outcomes))


def table(outcomes: list[Outcome]) -> None:
    """Print a row for each fault: what is wrong, the lesson, whether it was caught, and by what."""
    minutes = sum(one.seconds for one in outcomes) / 60
    counts = ", ".join(f"{count} {verdict}" for verdict, count in Counter(one.verdict for one in outcomes).items())
    print_table(
        f"Planted faults, {minutes:.0f} minutes: {counts or 'none of that name'}",
        ("lesson", "fault", "what is wrong", "", "by"),
        ((one.fault.lesson, one.fault.name, one.fault.what, one.verdict, one.by) for one in outcomes),
        ("" if one.verdict == CAUGHT else "red" for one in outcomes),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
