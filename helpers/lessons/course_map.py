"""The map of the course: which modules of `helpers` each lesson imports, as a table in CONTRIBUTING.md.

It is generated from the sources, so that whoever changes a module sees which lessons teach it.
"""

import ast
from pathlib import Path

import helpers
from helpers.lessons.manifest import LessonError

PAGE = "CONTRIBUTING.md"
BEGIN, END = "<!-- map: begin -->", "<!-- map: end -->"

_PACKAGE = Path(helpers.__file__).parent


def lesson_modules(sources: Path) -> dict[str, list[str]]:
    """Read which modules of `helpers` each lesson imports.

    Args:
        sources: the folder `notebooks/src`.

    Returns:
        Full module names, sorted, by the name of the lesson, in the order of the lessons.
    """
    return {
        path.stem: sorted(_imported(ast.parse(path.read_text(encoding="utf-8"))))
        for path in sorted(sources.glob("*.py"))
    }


def render_map(sources: Path) -> str:
    """Render the map as a table in Markdown: a lesson a row, its modules without `helpers.` in front.

    Args:
        sources: the folder `notebooks/src`.
    """
    rows = ["| lesson | modules of `helpers` |", "|---|---|"]
    for lesson, modules in lesson_modules(sources).items():
        listed = ", ".join(f"`{module.removeprefix('helpers.')}`" for module in modules)
        rows.append(f"| [{lesson}](notebooks/src/{lesson}.py) | {listed} |")
    return "\n".join(rows)


def with_map(page: str, sources: Path) -> str:
    """Put the map between the two marker comments of a page.

    Args:
        page: text of the page; what stands outside of the markers stays.
        sources: the folder `notebooks/src`.

    Raises:
        LessonError: the page lacks a marker, or has them in the wrong order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise LessonError(f"{PAGE} lacks the lines {BEGIN} and {END}, between which the map of the lessons is written.")
    return f"{before}{BEGIN}\n\n{render_map(sources)}\n\n{END}{after}"


def _imported(tree: ast.Module) -> set[str]:
    """The modules of `helpers` that a source imports; `from helpers.show import slices` means `helpers.show.slices`."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if _is_module(name) else node.module for name in submodules}
    return {name for name in found if name.partition(".")[0] == "helpers"}


def _is_module(name: str) -> bool:
    package, *parts = name.split(".")
    path = _PACKAGE.joinpath(*parts)
    return package == "helpers" and (path.with_suffix(".py").is_file() or (path / "__init__.py").is_file())
