"""The error raised for data, files and options that cannot be used."""


class DataError(ValueError):
    """A file, folder or option that cannot be used for the task.

    The message says what was found and where, what was expected, and how to mend it.
    """

    @classmethod
    def listing(cls, heading: str, lines: list[str], limit: int = 20) -> "DataError":
        """One error for many findings: the heading, then one line per finding.

        Args:
            heading: the first line.
            lines: the findings.
            limit: at most so many findings are listed; the rest is counted.
        """
        shown = [f"  - {line}" for line in lines[:limit]]
        if len(lines) > limit:
            shown.append(f"  … and {len(lines) - limit} more")
        return cls("\n".join([heading, *shown]))
