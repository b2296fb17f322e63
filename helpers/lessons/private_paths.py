"""Paths without the folders of this machine: executed lessons and their numbers are passed on to others.

A folder that is known is replaced by what it is: the data root, the lesson's own folder, the checkout, the home folder.
What lies below it keeps its name.
"""

import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import helpers


def machine_roots() -> dict[Path, str]:
    """Folders of this machine that may stand in messages of any program, and what is written for each."""
    roots = {Path(helpers.__file__).parents[1]: ".", Path(sys.prefix): "venv", Path(tempfile.gettempdir()): "tmp"}
    try:
        return {**roots, Path.home(): "~"}
    except RuntimeError:  # nobody's home: a container without a user
        return roots


def without_roots(content: Any, roots: Mapping[Path, str]) -> Any:
    """Replace folders in all strings of a text, or of the lists and dicts of JSON; pictures stay as they are.

    Args:
        content: text or JSON.
        roots: folders, absolute or not, and what is written for each; where one lies in another, it comes first.

    Returns:
        The same with other strings.

    Examples:
        >>> without_roots("/home/me/brats/P1/P1_t2.nii is cut short", {Path("/home/me/brats"): "brats"})
        'brats/P1/P1_t2.nii is cut short'
    """
    names = {name: written for root, written in roots.items() for name in _spellings(root)}
    if not names:
        return content
    longest_first = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    # Neither in the middle of another path, nor as the beginning of a longer name.
    pattern = re.compile(rf"(?<![\w.-])(?:{longest_first})(?![\w-]|\.\w)")
    return _replace(content, lambda text: pattern.sub(lambda found: names[found[0]], text))


def _spellings(root: Path) -> Iterable[str]:
    for path in {root.absolute(), root.resolve()}:
        if path != Path(path.anchor):
            # As the system writes it, as Python writes it in source code, and as a URL has it.
            yield from {str(path), str(path).replace("\\", "\\\\"), path.as_posix()}


def _replace(content: Any, change: Any) -> Any:
    if isinstance(content, str):
        return change(content)
    if isinstance(content, list):
        return [_replace(entry, change) for entry in content]
    if isinstance(content, dict):
        return {
            change(key): entry if key.startswith("image/") and isinstance(entry, str) else _replace(entry, change)
            for key, entry in content.items()
        }
    return content
