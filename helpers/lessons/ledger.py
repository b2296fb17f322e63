"""The ledger of lesson 08: a row for each fault mended, with what the model then reports and its honest Dice.

The honest Dice is that of each patient's masks, so a row can be compared with the one above it, patient by patient.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.lessons.verdict import HELPED, HURT, Verdict, verdict

if TYPE_CHECKING:
    import pandas as pd

SAME = "the same masks"


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        name: what was mended, or the score that is reported.
        reported: the number that a paper would print.
        nothing: what the model without a weight gets by the same formula.
        honest: (seeds, patients) honest Dice.
        said: the verdict against the row above; None for the first row, and where the masks are the same.
    """

    name: str
    reported: float
    nothing: float
    honest: NDArray[np.float64]
    said: Verdict | None

    @property
    def against(self) -> str:
        """What became of the honest Dice, in a few words."""
        if self.said is None:
            return SAME
        [one] = self.said.comparisons.values()
        if self.said.outcome in (HELPED, HURT):
            return f"{one.difference:+.3f}: {self.said.outcome}"
        if not any(one.differences):
            return "no mask changed its score"
        return f"{one.difference:+.3f}: not told"


class Ledger:
    """The rows, in the order in which they are added.

    Args:
        nothing: honest Dice of all background, (patients,).
    """

    def __init__(self, nothing: ArrayLike) -> None:
        self.nothing = np.asarray(nothing, float)
        self.rows: list[Row] = []

    def add(
        self,
        name: str,
        honest: ArrayLike | None = None,
        reported: float | None = None,
        nothing: float | None = None,
    ) -> "pd.DataFrame":
        """Add a row and show the last ones.

        Args:
            name: what was mended, or the score that is reported; each row has another.
            honest: Dice of each patient, (patients,) or (seeds, patients); that of the row above where the masks are
                the same.
            reported: the number that a paper would print; the mean of `honest` without.
            nothing: what all background gets by the same formula; the mean of its honest Dice without.

        Returns:
            The last three rows of `table`.

        Raises:
            ValueError: the first row has no honest Dice, the name is taken, or the patients are others than above.
        """
        above = self.rows[-1] if self.rows else None
        if honest is None and above is None:
            raise ValueError("the first row needs an honest Dice; give one number per patient")
        if name in [row.name for row in self.rows]:
            raise ValueError(f"there is a row {name!r} already; give each row another name")
        values = above.honest if honest is None else np.atleast_2d(np.asarray(honest, float))
        if values.shape[-1] != self.nothing.size:
            raise ValueError(f"{values.shape[-1]} patients in a ledger of {self.nothing.size}; score the same ones")
        said = None
        if honest is not None and above is not None:
            said = verdict({above.name: above.honest, name: values}, against=above.name, score="honest Dice")
        self.rows.append(
            Row(
                name,
                float(values.mean()) if reported is None else float(reported),
                float(self.nothing.mean()) if nothing is None else float(nothing),
                values,
                said,
            )
        )
        return self.table().tail(3)

    def table(self) -> "pd.DataFrame":
        """A row each: what is reported, what all background gets, the verdict, and last the honest Dice."""
        import pandas as pd

        rows = {
            row.name: {
                "reports": round(row.reported, 3),
                "all background": round(row.nothing, 3),
                "against the row above": row.against if number else "",
                "honest Dice": round(float(row.honest.mean()), 3),
            }
            for number, row in enumerate(self.rows)
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    def verdicts(self) -> list[Verdict]:
        """Those of the rows whose masks are new, in their order."""
        return [row.said for row in self.rows if row.said is not None]

    def tried(self, costs: Mapping[str, str]) -> list[tuple[str, str, str, str]]:
        """The rows of `closing_table`: each mend that changes masks, and those of the score in one.

        Args:
            costs: of a mend, by its name; the others cost no training.
        """
        rows = []
        for row in self.rows:
            if row.said is not None:
                [one] = row.said.comparisons.values()
                gain = f"honest Dice {one.difference:+.3f}"
                said = row.said.title if any(one.differences) else row.against
                rows.append((row.name, gain, costs.get(row.name, "no training"), said))
        reported = max(self._groups(), key=len)
        if len(reported) > 1:
            said = f"the same masks report {reported[0]:.3f} before and {reported[-1]:.3f} after"
            rows.append((f"the score, {len(reported) - 1} times", "honest Dice +0.000", "no training", said))
        return rows

    def _groups(self) -> list[list[float]]:
        """What is reported of one set of masks after another."""
        groups: list[list[float]] = []
        for row in self.rows:
            if row.said is not None or not groups:
                groups.append([])
            groups[-1].append(row.reported)
        return groups

    def summary(self) -> str:
        """What scoring changed and what training changed, in two sentences."""
        largest = max(self._groups(), key=len)
        spread = f"{min(largest):.3f} to {max(largest):.3f}"
        helped = [row.name for row in self.rows if row.said is not None and row.said.outcome == HELPED]
        words = f"{len(helped)} helped: {', '.join(helped)}" if helped else "none can be told to have helped"
        changed = sum(any(one.differences) for said in self.verdicts() for one in said.comparisons.values())
        return (
            f"One set of masks reports anything from {spread}. Of {len(self.verdicts())} mends {changed} changed a "
            f"score, and {words}; the honest Dice goes from {self.rows[0].honest.mean():.3f} to "
            f"{self.rows[-1].honest.mean():.3f}, and that of all background is {self.nothing.mean():.3f}."
        )
