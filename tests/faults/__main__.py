"""Plant every fault, and print what was expected and seen: `python -m tests.faults [WORD...]`.

Commands run in this process, which has TensorFlow loaded; the first fault of each kind that needs nothing of this
process is met in a process of its own as well.
"""

import contextlib
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from helpers.cli.console import print_table
from tests.faults.catalogue import FAULTS
from tests.faults.harness import meet, run, run_apart


def main(words: list[str]) -> int:
    """Plant the faults whose name or kind holds one of the words; all without."""
    begun, outcomes = time.monotonic(), []
    chosen = [one for one in FAULTS if not words or any(word in f"{one.kind} {one.name}" for word in words)]
    apart = {one.kind: one for one in reversed(chosen) if one.within is contextlib.nullcontext}
    for number, fault in enumerate(chosen):
        for way in (run, run_apart) if apart.get(fault.kind) is fault else (run,):
            with tempfile.TemporaryDirectory() as folder:
                outcomes.append(meet(fault, Path(folder), way))
        if sys.stderr.isatty():
            print(f"\r{number + 1} of {len(chosen)}", end="", file=sys.stderr)
    title = f"{len(chosen)} faults, {len(apart)} of them in a process of their own as well"
    print_table(
        f"{title}: {(time.monotonic() - begun) / 60:.1f} minutes",
        ("kind", "fault", "expected", "seen", "seconds"),
        (
            (
                one.fault.kind,
                one.fault.name,
                "refused" if one.fault.status else "mended",
                one.verdict,
                f"{one.seconds:.1f}",
            )
            for one in outcomes
        ),
        ("" if one.passed else "red" for one in outcomes),
    )
    for one in outcomes:
        if not one.passed:
            print(f"\n--- {one.fault.kind}: {one.fault.name}: {one.verdict}\n{one.output[-2000:]}")
    print(", ".join(f"{count} {verdict}" for verdict, count in Counter(one.verdict for one in outcomes).most_common()))
    return int(not all(one.passed for one in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
