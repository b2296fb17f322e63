"""The table that closes a lesson: what was tried, what it gained, what it cost, and what the run says of it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("what we tried", "gain", "cost", "verdict")


def closing_table(rows: "list[tuple[str, str, str, str]]") -> "pd.DataFrame":
    """Make the table, for a cell to end with.

    >>> closing_table([("all four modalities", "+0.02", "twice the files", "cannot be told")]).shape
    (1, 3)

    Args:
        rows: what was tried, its gain, its cost and the verdict, as texts that the run has made.

    Returns:
        A row for each, under what was tried; long texts are shown whole.

    Raises:
        ValueError: a row has not four texts, or one of them is empty or not a line, as an array's is.
    """
    import pandas as pd

    for row in rows:
        if len(row) != len(COLUMNS) or not all(isinstance(text, str) and text.strip() for text in row):
            raise ValueError(f"a row of the closing table holds {', '.join(COLUMNS)}, four texts; this one is {row!r}.")
        if broken := [name for name, text in zip(COLUMNS, row, strict=True) if len(text.splitlines()) > 1]:
            raise ValueError(f"of {row[0]!r} the {broken[0]} has several lines; expected one. Is it an array's?")
    pd.set_option("display.max_colwidth", None)
    return pd.DataFrame(rows, columns=COLUMNS).set_index(COLUMNS[0])
