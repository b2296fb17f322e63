"""JSON files that are read back: one reader, which names the file, the entry at fault, and what was expected there.

`json.loads` alone accepts much that breaks later, or worse, does not: NaN, which is above and below nothing, and an
entry of another type. So whatever this package reads of its own files is held against a schema first.
"""

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from helpers.runtime.errors import DataError


def read_json(
    path: str | os.PathLike, schema: Mapping[str, Any] | None = None, cure: str = "", finite: bool = True
) -> Any:
    """Read a JSON file, and hold it against a schema.

    Args:
        path: the file.
        schema: see `check_json`; anything that is JSON without.
        cure: the last sentence of a message: how to mend the file.
        finite: refuse NaN and infinities, which Python's JSON has.

    Returns:
        The content.

    Raises:
        DataError: the file is missing, cannot be read, or is not what was expected.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}). {cure}".rstrip()) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged: it is no JSON ({error}). {cure}".rstrip()) from error
    check_json(content, path, schema, cure, finite)
    return content


def check_json(
    content: Any,
    path: str | os.PathLike,
    schema: Mapping[str, Any] | None = None,
    cure: str = "",
    finite: bool = True,
) -> None:
    """Hold the content of a JSON file against a schema.

    Args:
        content: as `json.loads` gives it.
        path: of the file, for the message.
        schema: JSON Schema 2020-12. The `description` of a part says what is expected there; an `integer` is none where
            it is written 32.0.
        cure: the last sentence of a message: how to mend the file.
        finite: refuse NaN and infinities.

    Raises:
        DataError: the content is not what the schema expects; names the first entry at fault.
    """
    found = _not_finite(content) if finite else ()
    message = next((f"{where or 'it'} is {number}; expected a finite number" for where, number in found), None)
    if message is None and schema is not None:
        message = _complaint(content, schema)
    if message is not None:
        raise DataError(f"{path}: {message}. {cure}".rstrip())


def import_jsonschema() -> None:
    """Import jsonschema without the grammar of internationalised addresses; called before whatever imports it.

    The grammar is compiled when jsonschema is imported, which takes two seconds, and no schema here, of notebooks
    neither, asks for such an address.
    """
    grammar = "rfc3987_syntax"
    if grammar not in sys.modules:
        sys.modules[grammar] = None  # jsonschema does without where the import fails
        try:
            import jsonschema  # noqa: F401
        finally:
            del sys.modules[grammar]


def _complaint(content: Any, schema: Mapping[str, Any]) -> str | None:
    import_jsonschema()
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    types = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    validator = extend(Draft202012Validator, type_checker=types)(schema)
    error = next(iter(sorted(validator.iter_errors(content), key=lambda one: list(map(str, one.absolute_path)))), None)
    if error is None:
        return None
    where = ".".join(map(str, error.absolute_path)) or "its content"
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"{where} lacks {', '.join(missing)}"
    if expected := error.schema.get("description"):
        return f"{where} is {_short(error.instance)}; expected {expected}"
    return f"{where}: {_short(error.message, whole=True)}"


def _short(value: Any, whole: bool = False) -> str:
    text = value if whole else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _not_finite(content: Any, where: str = "") -> Iterator[tuple[str, float]]:
    """The path and value of each number that is not finite."""
    if isinstance(content, float) and not math.isfinite(content):
        yield where, content
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for name, value in entries:
        if isinstance(value, dict | list | float):
            yield from _not_finite(value, f"{where}.{name}" if where else str(name))
