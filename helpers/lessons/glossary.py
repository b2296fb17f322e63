"""Links the terms of a lesson to the glossary, each where the lesson names it first, in bold."""

import re
from pathlib import Path

PAGE = "GLOSSARY.md"

_ENTRY = re.compile(r'^- <a id="([a-z0-9-]+)"></a>\*\*(.+?)\*\*: ', re.MULTILINE)
_BOLD = re.compile(r"(?<![\[*])\*\*((?:[^*\n]|\n(?!\n))+)\*\*(?![\]*])")  # a term may be broken between two lines


def read_terms(page: str) -> dict[str, str]:
    """Read the glossary.

    >>> read_terms('- <a id="soft-labels"></a>**soft labels**: shares of each class. `helpers.data.resample`.')
    {'soft labels': 'soft-labels'}
    >>> read_terms('- <a id="source-target"></a>**source, target**: the two hospitals. `helpers.tasks.adaptation`.')
    {'source, target': 'source-target', 'source': 'source-target', 'target': 'source-target'}

    Args:
        page: text of GLOSSARY.md.

    Returns:
        The anchor of each term, by the term in lower case; of an entry for several, by each of them as well.
    """
    found = [(term.casefold(), anchor) for anchor, term in _ENTRY.findall(page)]
    return {part: anchor for term, anchor in found for part in (term, *term.split(", "))}


def linked(text: str, terms: dict[str, str], seen: set[str]) -> str:
    """Link each bold term to its entry, the first time it occurs.

    >>> linked("A **mask** is a **mask**.", {"mask": "mask"}, set())
    'A [**mask**](../GLOSSARY.md#mask) is a **mask**.'

    Args:
        text: Markdown.
        terms: as `read_terms` gives them.
        seen: anchors linked to in this lesson before; those of this text are added.
    """

    def link(found: re.Match[str]) -> str:
        term = " ".join(found[1].casefold().split())
        anchor = next((terms[form] for form in (term, term.removesuffix("s"), f"{term}s") if form in terms), None)
        if anchor is None or anchor in seen:
            return found[0]
        seen.add(anchor)
        return f"[{found[0]}](../{PAGE}#{anchor})"

    return _BOLD.sub(link, text)


def read_page(root: Path) -> dict[str, str]:
    """Read the terms of the glossary of a checkout; none where it has no glossary.

    Args:
        root: the folder that holds `GLOSSARY.md`.
    """
    path = root / PAGE
    return read_terms(path.read_text(encoding="utf-8")) if path.is_file() else {}
