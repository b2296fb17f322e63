"""A Sphinx extension: formulas as MathML, which browsers draw themselves, and MathJax from the site where scripts run.

So a page can be read without JavaScript, and one with it looks the same in every browser.
"""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

RENDERER = "mathml"
MATHJAX = Path("_static", "mathjax")
"""Folder of MathJax in the site."""

_SCRIPT = Path("mml-chtml.js")
_FONTS = Path("output", "chtml", "fonts", "woff-v2")
_log = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer; Sphinx calls this.

    Args:
        app: the build.
    """
    app.add_html_math_renderer(RENDERER, (_visit_inline, None), (_visit_block, None))
    app.connect("html-page-context", _load_mathjax)
    app.connect("build-finished", _copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def to_mathml(formula: str, block: bool = False) -> str:
    """Translate a formula.

    Args:
        formula: in LaTeX, without dollars.
        block: it stands in a line of its own.

    Returns:
        A `<math>` element.

    Raises:
        ValueError: it holds what the translator does not know.

    Examples:
        >>> "<mi>x</mi>" in to_mathml("x^2")
        True
    """
    try:
        return tex2mathml(formula, as_block=block)
    except MathError as error:
        raise ValueError(f"the formula {formula!r} cannot be translated: {error}") from error


def mathjax_files() -> Path:
    """Give the folder of MathJax that comes with the package sphinx-mathjax-offline.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    found = importlib.util.find_spec("sphinx-mathjax-offline")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("No module named 'sphinx-mathjax-offline'", name="sphinx-mathjax-offline")
    return Path(found.origin).parent / "static" / "mathjax"


def _visit_inline(writer: Any, node: nodes.math) -> None:
    _write(writer, node, block=False)


def _visit_block(writer: Any, node: nodes.math_block) -> None:
    writer.body.append('<div class="math">')
    try:
        _write(writer, node, block=True)
    finally:
        writer.body.append("</div>")


def _write(writer: Any, node: nodes.Element, block: bool) -> None:
    try:
        writer.body.append(to_mathml(node.astext(), block))
    except ValueError as error:
        _log.warning("%s", error, location=node)
    raise nodes.SkipNode


def _load_mathjax(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: Any) -> None:
    if "<math" in context.get("body", ""):
        app.add_js_file((MATHJAX.relative_to("_static") / _SCRIPT).as_posix(), loading_method="defer")


def _copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Copy the one script and the fonts; the package has 24 MB of other input and output formats."""
    if error is not None:
        return
    source, target = mathjax_files(), Path(app.outdir) / MATHJAX
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(source / _SCRIPT, target)
    shutil.copytree(source / _FONTS, target / _FONTS, dirs_exist_ok=True)
