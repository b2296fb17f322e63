"""Carries the course's repository into every file that names it: one setting of `course.yml`, written by one command.

Each place is found by what stands around it, and not by the name that was there before. So a second run changes
nothing, a run that was stopped is finished by the same command, and another name replaces any earlier one.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from helpers.lessons.build import NOTEBOOKS, render
from helpers.lessons.manifest import PLACEHOLDER, LessonError, read_manifest
from helpers.lessons.source import require_checkout
from helpers.runtime.disk import write_text

SETTING = "helpers/lessons/course.yml"
_LINK = r"(https://(?:github\.com|codespaces\.new)/)[\w.-]+/[\w.-]*[\w-]"
_PLACES = {
    "README.md": _LINK,
    "CITATION.cff": rf"(?m)^(repository-code: ){_LINK}",
    "kaggle-kernel-metadata.json": r'("id": ")[\w-]+(?=/)',
    SETTING: r"(?m)^(repository: )\S+",
}
"""Where the name stands, beside the notebooks; what a pattern matches after its groups is replaced."""

_SEARCHED = ("*.*", "data/README.md", ".github/**/*", ".devcontainer/*", "notebooks/**/*", "helpers/**/*")
_EXEMPT = ("helpers/lessons/manifest.py",)  # which says what the placeholder is
_TEXT = {".cff", ".ipynb", ".json", ".j2", ".md", ".py", ".toml", ".txt", ".yml"}


def publish(repository: str, checkout: Path = Path()) -> list[Path]:
    """Write the name of the course's repository into all files that depend on it.

    All texts are made and searched before the first is written; the setting itself is written last.

    Args:
        repository: account and name on GitHub, such as "someone/course".
        checkout: the folder with `helpers/` and `notebooks/`.

    Returns:
        The files that changed; none if they all had the name.

    Raises:
        LessonError: GitHub would not accept the name, the folder is no checkout, a place for the name is missing, or a
            file would go on naming another repository; nothing is written.
    """
    check_name(repository)
    if not (checkout / SETTING).is_file():
        require_checkout(checkout / NOTEBOOKS, read_manifest())
    texts = _place_texts(repository, checkout)
    course = read_manifest(checkout / SETTING)
    built = render(checkout / NOTEBOOKS, "student", replace(course, repository=repository))
    texts = {checkout / NOTEBOOKS / name: text for name, text in built.items()} | texts
    others = {PLACEHOLDER, f"{PLACEHOLDER.partition('/')[0]}/", course.repository} - {repository}
    if left := list(_remains(checkout, others, texts)):
        raise LessonError("\n".join(["Nothing was written: these would go on naming another repository.", *left]))
    changed = [path for path, text in texts.items() if not path.is_file() or _read(path) != text]
    for path in changed:
        write_text(texts[path], path)
    return changed


def check_name(repository: str) -> None:
    """Refuse what cannot be a repository on GitHub.

    Args:
        repository: account and name, such as "someone/course".

    Raises:
        LessonError: a rule of GitHub's is broken; the message says which.
    """
    given = f"'{repository}' is no repository on GitHub"
    if address := re.search(r"github\.com[/:]([\w.-]+/[\w.-]+?)(?:\.git)?(?:/.*)?$", repository):
        raise LessonError(f"{given} but an address; give the account and the name alone: {address[1]}.")
    if repository == PLACEHOLDER:
        raise LessonError(f"{given} but stands for one; give your own account and name, such as someone/course.")
    account, slash, name = repository.partition("/")
    if not slash or "/" in name:
        raise LessonError(f"{given}; give account and name with one slash between them, such as someone/course.")
    if not re.fullmatch(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*", account, re.ASCII) or len(account) > 39:
        raise LessonError(
            f"{given}: the account '{account}' is not 1 to 39 letters from a to z, digits and single hyphens, "
            "with no hyphen at either end."
        )
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", name):
        raise LessonError(
            f"{given}: the name '{name}' is not 1 to 100 letters from a to z, digits, hyphens, points and underscores."
        )
    if name in {".", ".."} or name.lower().endswith((".git", ".wiki", ".")):
        raise LessonError(f"{given}: the name '{name}' ends with a point, .git or .wiki, which a link would lose.")


def _place_texts(repository: str, checkout: Path) -> dict[Path, str]:
    """The texts of `_PLACES` with the name in them, in their order.

    Raises:
        LessonError: a file or its place is missing.
    """
    texts = {}
    for file, pattern in _PLACES.items():
        path = checkout / file
        # Kaggle has accounts of its own, in small letters; `push --user` takes another.
        name = repository.partition("/")[0].lower() if path.suffix == ".json" else repository
        groups = "".join(rf"\g<{i}>" for i in range(1, re.compile(pattern).groups + 1))
        text, count = re.subn(pattern, groups + name, _read(path))
        if not count:
            raise LessonError(f"{path} has no place for the repository's name (expected: {pattern}); restore it.")
        texts[path] = text
    return texts


def _remains(checkout: Path, names: set[str], texts: Mapping[Path, str]) -> Iterator[str]:
    """The lines of the checkout that have one of these names, with `texts` in place of the files there."""
    # Neither in the middle of another name nor as its beginning; with a slash at its end, as the beginning of any.
    ends = {name: "" if name.endswith("/") else r"(?![\w-]|\.\w)" for name in sorted(names, reverse=True)}
    pattern = re.compile("|".join(rf"(?<![\w.-]){re.escape(name)}{end}" for name, end in ends.items()))
    files = {path for searched in _SEARCHED for path in checkout.glob(searched) if path.suffix in _TEXT}
    for path in sorted((files | texts.keys()) - {checkout / file for file in _EXEMPT}):
        text = texts[path] if path in texts else _read(path)
        for number, line in enumerate(text.splitlines(), start=1):
            if found := pattern.search(line):
                yield f"{path}:{number}: {found[0]}"


def _read(path: Path) -> str:
    if not path.is_file():
        raise LessonError(f"{path} is missing; restore it.")
    return path.read_text(encoding="utf-8", errors="replace")
