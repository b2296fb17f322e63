"""How often `compare` says what of two simulated models: `python -m tests.measure.verdict_rates [--repeats N]`.

The second model's Dice is the first's plus a true difference plus noise, patient by patient. The noise has a standard
deviation of 0.05 and is either normal or lopsided: a few patients whom one model misses, and a little gain on all the
others. Sign flips ask whether the models are interchangeable, which lopsided differences are not, even where their mean
is 0. One region, or three with Holm's correction.
"""

import argparse

import numpy as np

from helpers.measure.statistics import ALPHA, compare_paired, patients_needed, with_holm

DIFFERENCES, PATIENTS, SPREAD = (0.0, 0.01, 0.05), (10, 20, 50), 0.05


def simulate(
    rng: np.random.Generator, n: int, difference: float, lopsided: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Dice of n patients under two models whose means differ by `difference`; not clipped, so that they do."""
    first = rng.beta(8, 2, n)
    # Mean 0 and standard deviation 1; the lopsided one has a long tail below.
    noise = 1 - rng.exponential(size=n) if lopsided else rng.normal(size=n)
    return first, first + difference + SPREAD * noise


def rates(repeats: int, n: int, difference: float, lopsided: bool = False, regions: int = 1, seed: int = 0) -> dict:
    """Shares of the simulations in which the second model was said to be ahead, the first, or neither.

    With several regions: in any of them. `interval` and `p` are the shares in which either by itself would have told.
    """
    rng = np.random.default_rng([seed, n, round(1000 * difference), lopsided, regions])
    said = np.zeros((repeats, 4), bool)
    for repeat in range(repeats):
        compared = with_holm([compare_paired(*simulate(rng, n, difference, lopsided)) for _ in range(regions)])
        told = [one for one in compared if one.is_told]
        said[repeat] = (
            any(one.difference > 0 for one in told),
            any(one.difference < 0 for one in told),
            any(one.interval[0] > 0 or one.interval[1] < 0 for one in compared),
            any(one.p <= ALPHA for one in compared),
        )
    second, first, interval, p = said.mean(axis=0)
    return {"second": second, "first": first, "neither": 1 - second - first, "interval": interval, "p": p}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=1000)
    repeats = parser.parse_args().repeats
    needed = {d: patients_needed(SPREAD * np.array([-1, 1] * 25) * np.sqrt(49 / 50), d) for d in DIFFERENCES if d}
    listed = ", ".join(f"{n} at {difference}" for difference, n in needed.items())
    print(f"{repeats} simulations a row; patients for power 0.8: {listed}")
    columns = ("noise", "regions", "true difference", "patients", "second ahead", "first ahead", "cannot be told")
    print(f"| {' | '.join(columns)} | interval alone excludes 0 | p alone at most 0.05 |")
    print("|---|---|---|---|---|---|---|---|---|")
    cases = [("normal", False, 1, d) for d in DIFFERENCES]
    cases += [("lopsided", True, 1, d) for d in DIFFERENCES] + [("normal", False, 3, 0.0)]
    for noise, lopsided, regions, difference in cases:
        for n in PATIENTS:
            found = rates(repeats, n, difference, lopsided, regions)
            cells = " | ".join(f"{100 * found[key]:.1f} %" for key in ("second", "first", "neither", "interval", "p"))
            print(f"| {noise} | {regions} | {difference:.2f} | {n} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
