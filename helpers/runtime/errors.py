"""The one error a reader of data raises."""


class DataError(ValueError):
    """A file or folder is not what the work at hand needs.

    The message says what was found and where, what was expected, and how to mend it.
    """

    @classmethod
    def listing(cls, heading: str, lines: list[str], limit: int = 20) -> "DataError":
        """One error for many findings: the heading, then a line each (at most `limit`, and a count of the rest)."""
        shown = [f"  - {line}" for line in lines[:limit]]
        if len(lines) > limit:
            shown.append(f"  … and {len(lines) - limit} more")
        return cls("\n".join([heading, *shown]))
