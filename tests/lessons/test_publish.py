"""Laws of publishing: one name in every place, nothing left of another, nothing written where something is wrong."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
import yaml

from helpers.lessons import publish as module
from helpers.lessons.manifest import PLACEHOLDER, LessonError, read_manifest
from helpers.lessons.publish import SETTING, check_name, publish

from .conftest import make_workshop

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CITATION.cff", "kaggle-kernel-metadata.json")


@pytest.fixture
def checkout(tmp_path):
    """The small course where a checkout has it, not yet published, with the pages of this one."""
    workshop = make_workshop(tmp_path)
    (tmp_path / SETTING).parent.mkdir(parents=True)
    for name in ("course.yml", "profiles", "baselines"):
        shutil.move(tmp_path / name, tmp_path / "helpers" / "lessons" / name)
    setting = tmp_path / SETTING
    setting.write_text(setting.read_text().replace("someone/course", f"{PLACEHOLDER}  # a comment"))
    for name in PAGES:
        text = (ROOT / name).read_text(encoding="utf-8").replace(read_manifest().repository, PLACEHOLDER)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return workshop.root


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def naming(name: str, folder: Path) -> set[str]:
    return {path for path, content in contents(folder).items() if name.encode() in content}


def test_every_place_has_the_name_and_none_the_placeholder(checkout):
    changed = {path.relative_to(checkout).as_posix() for path in publish("Some-One/the.course", checkout)}
    assert changed == {*PAGES, SETTING, "notebooks/00_first.ipynb", "notebooks/03_second.ipynb"}
    assert yaml.safe_load((checkout / SETTING).read_text())["repository"] == "Some-One/the.course"
    assert "# a comment" in (checkout / SETTING).read_text()
    citation = yaml.safe_load((checkout / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["repository-code"] == "https://github.com/Some-One/the.course"
    kernel = json.loads((checkout / "kaggle-kernel-metadata.json").read_text())
    assert kernel["id"] == "some-one/biomedseg-00-start-here"
    header, setup = nbformat.read(checkout / "notebooks/03_second.ipynb", as_version=4).cells[:2]
    assert header.source.count("github.com/Some-One/the.course/blob/main/notebooks/03_second.ipynb") == 1
    assert "research.google.com/github/Some-One/the.course/blob/main/notebooks/03_second.ipynb" in header.source
    assert "git+https://github.com/Some-One/the.course@v" in setup.source
    assert not naming("OWNER", checkout) | naming("REPO", checkout)


def test_this_checkout_can_be_published_whole(tmp_path):
    """No file beside those that are rewritten names the repository."""
    made = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in ("helpers", "notebooks", ".github", ".devcontainer"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=made)
    for path in ROOT.glob("*.*"):
        if path.is_file():
            shutil.copy(path, tmp_path)
    before = read_manifest().repository
    assert publish("someone-new/course", tmp_path)
    assert naming(before, tmp_path) <= {"helpers/lessons/manifest.py"}
    assert publish("someone-new/course", tmp_path) == []


def test_a_second_time_changes_nothing(checkout):
    publish("someone/course", checkout)
    before = contents(checkout)
    assert publish("someone/course", checkout) == []
    assert contents(checkout) == before


def test_another_name_replaces_the_one_before_even_where_one_begins_the_other(checkout):
    publish("someone/course", checkout)
    publish("someone/course-two", checkout)
    twice = contents(checkout)
    assert not [path for path, text in twice.items() if re.search(rb"someone/course(?!-two)", text)]
    publish("someone/course", checkout)
    assert not naming("course-two", checkout)


@pytest.mark.parametrize("then", ["someone/course", "someone-else/course"])
@pytest.mark.parametrize("written", [0, 1, 3, 5])
def test_a_run_that_was_stopped_is_finished_by_the_next(checkout, monkeypatch, written, then):
    done = []

    def write(text, path):
        if len(done) == written:
            raise KeyboardInterrupt
        done.append(path)
        path.write_text(text, encoding="utf-8")

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_text", write)
        with pytest.raises(KeyboardInterrupt):
            publish("someone/course", checkout)
    assert len(done) == written
    publish(then, checkout)
    assert not naming("OWNER", checkout) | (naming("someone/course", checkout) if then != "someone/course" else set())
    assert len(naming(then, checkout)) == 5  # and the metadata of Kaggle, with the account alone


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "notebooks/notes.md", ".github/workflows/course.yml"])
def test_a_file_that_would_go_on_naming_another_is_told_and_nothing_is_written(checkout, name):
    (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    (checkout / name).write_text(f"One line,\nand {PLACEHOLDER}.\n")
    before = contents(checkout)
    with pytest.raises(LessonError, match=rf"(?s)Nothing was written.*{re.escape(name)}:2: {PLACEHOLDER}"):
        publish("someone/course", checkout)
    assert contents(checkout) == before


@pytest.mark.parametrize("name", [*PAGES, SETTING])
def test_a_page_that_lost_its_place_is_named_and_nothing_is_written(checkout, name):
    text = (checkout / name).read_text(encoding="utf-8")
    (checkout / name).write_text(re.sub('https://(github|codespaces)|"id":|(?m:^repository:)', "x", text))
    before = contents(checkout)
    with pytest.raises(LessonError, match=f"{re.escape(name)} has no place"):
        publish("someone/course", checkout)
    assert contents(checkout) == before


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("", "one slash"),
        ("someone", "one slash"),
        ("some/one/course", "one slash"),
        ("https://github.com/someone/course", "the account and the name alone: someone/course."),
        ("https://github.com/someone/course.git", "the account and the name alone: someone/course."),
        ("git@github.com:someone/course.git", "the account and the name alone: someone/course."),
        ("/course", "the account ''"),
        ("some_one/course", "the account 'some_one'"),
        ("-someone/course", "the account '-someone'"),
        ("someone-/course", "the account 'someone-'"),
        ("some--one/course", "the account 'some--one'"),
        ("söme/course", "the account 'söme'"),
        ("a" * 40 + "/course", "the account 'aaaa"),
        ("someone/", "the name ''"),
        ("someone/a course", "the name 'a course'"),
        ("someone/course\n", "the name 'course\n'"),
        ("someone/" + "a" * 101, "the name 'aaaa"),
        ("someone/..", "ends with a point"),
        ("someone/course.git", "ends with a point, .git"),
        (PLACEHOLDER, "stands for one"),
    ],
)
def test_a_name_that_github_would_not_take_is_refused_by_what_is_wrong_with_it(name, complaint, tmp_path):
    with pytest.raises(LessonError) as refusal:
        publish(name, tmp_path)
    assert complaint in str(refusal.value)


@pytest.mark.parametrize("name", ["a/b", "some-one/the.course", "1/_", "a" * 39 + "/" + "b" * 100, "someone/.github"])
def test_a_name_that_github_takes_is_taken(name):
    check_name(name)


def test_another_folder_than_the_checkout_is_told_so(tmp_path):
    with pytest.raises(LessonError, match="holds no lesson of the course; run this from the checkout"):
        publish("someone/course", tmp_path)


@pytest.mark.parametrize("name", ["someone/course", "https://github.com/someone/course"])
def test_make_hands_the_name_on_as_a_word(name):
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    answer = subprocess.run(["make", "--dry-run", "publish", name], cwd=ROOT, capture_output=True, text=True)
    assert f"-m helpers publish '{name}'" in answer.stdout, answer.stderr
    assert answer.returncode == 0
