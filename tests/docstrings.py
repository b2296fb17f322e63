"""Does every public function of `helpers` say which shape its arrays have? `make lint` asks; ruff has no such rule.

`python tests/docstrings.py` lists the arguments whose shape is not told, and ends with status 1 if there are any.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

HELPERS = Path(__file__).parents[1] / "helpers"
ARRAY = re.compile(r"ndarray|NDArray|KerasTensor|ArrayLike|memmap|\bMask\b")
SHAPE = re.compile(r"\((?:[\w .+*/-]+|…)(?:, (?:[\w .+*/-]+|…))*,?\)|\bshape\b|\bscalar\b")
ENTRY = r"^ {{4,}}(?:\w+, )*{name}(?:, \w+)*: (?P<text>.*(?:\n +(?!\w+: ).*)*)"


def undescribed(path: Path) -> Iterator[str]:
    """The array arguments in a file of which no docstring gives a shape, each with its place."""
    for owner, function in _public(ast.parse(path.read_text(encoding="utf-8"))):
        docstrings = ast.get_docstring(function, clean=False), owner and ast.get_docstring(owner, clean=False)
        text = "\n".join(filter(None, docstrings))
        for argument in [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]:
            if argument.annotation is None or not ARRAY.search(ast.unparse(argument.annotation)):
                continue
            entry = re.search(ENTRY.format(name=argument.arg), text, re.MULTILINE)
            if not SHAPE.search(entry["text"] if entry else text):
                yield f"{path}:{function.lineno}: {function.name}: no shape of {argument.arg}"


def _public(tree: ast.Module) -> Iterator[tuple[ast.ClassDef | None, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield None, node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from ((node, one) for one in node.body if isinstance(one, ast.FunctionDef) and one.name[0] != "_")


if __name__ == "__main__":
    found = [line for path in sorted(HELPERS.rglob("*.py")) for line in undescribed(path)]
    print(*found, sep="\n")
    sys.exit(bool(found))
