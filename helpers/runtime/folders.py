"""Walking through folders whose links are followed, each of them once."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def is_listed(name: str) -> bool:
    """Whether a folder is neither hidden nor what a Mac adds to a zip.

    Args:
        name: of the folder.
    """
    return not name.startswith((".", "__MACOSX"))


def walk_once(
    root: Path, entered: Callable[[str], bool] = is_listed, closed: Callable[[OSError], None] | None = None
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """As `os.walk`, with links followed: every folder is entered once, first where it lies, then where a link leads.

    Args:
        root: a folder.
        entered: whether a folder of this name is entered; all are listed.
        closed: called with the error where a folder cannot be opened; it is left out.

    Yields:
        (folder, names of its folders, names of its files), names sorted.
    """
    waiting, seen, above = [root], set(), set(Path(os.path.realpath(root)).parents)  # a link may lead up
    while waiting:
        for folder, folders, files in os.walk(waiting.pop(0), onerror=closed):
            real = Path(os.path.realpath(folder))
            if real in seen or real in above:
                folders.clear()
                continue
            seen.add(real)
            yield Path(folder), sorted(folders), sorted(files)
            names = [name for name in sorted(folders) if entered(name)]
            waiting += [Path(folder, name) for name in names if os.path.islink(os.path.join(folder, name))]
            folders[:] = [name for name in names if not os.path.islink(os.path.join(folder, name))]
