"""Laws of the array cache: every patient in its place, all problems reported at once, and nothing built twice."""

import os
import threading
import time

import numpy as np
import pytest

from helpers.data.array_cache import file_signatures, get_or_build, map_cases, read_manifest
from helpers.runtime.errors import DataError
from helpers.runtime.shared import SHARED


def _write(folder):
    np.save(folder / "numbers.npy", np.arange(5))
    return [{"id": "a"}]


def test_patients_come_in_order_and_each_is_reported():
    reported = []
    assert map_cases(lambda i: {"id": i}, 9, lambda done, total: reported.append((done, total))) == [
        {"id": i} for i in range(9)
    ]
    assert reported == [(done, 9) for done in range(1, 10)]


def test_all_faults_are_listed_and_others_are_not_swallowed():
    def one(index):
        if index % 2:
            raise DataError(f"number {index}")
        return {}

    with pytest.raises(DataError, match=r"(?s)2 of 5 patients cannot be used.*number 1.*number 3"):
        map_cases(one, 5, lambda done, total: None)
    with pytest.raises(ZeroDivisionError):
        map_cases(lambda index: {"id": 1 / index}, 2, lambda done, total: None)


def test_manifest_tells_sources_patients_and_checksums(tmp_path):
    manifest = get_or_build(tmp_path / "cache", {"version": 1, "sources": {"a": 1}}, _write)
    assert manifest == read_manifest(tmp_path / "cache")
    assert manifest["sources"] == {"a": 1}
    assert manifest["patients"] == [{"id": "a"}]
    assert set(manifest["checksums"]) == {"numbers.npy"}


def test_manifest_of_an_older_version_is_rebuilt_even_where_it_lacks_a_key(tmp_path):
    get_or_build(tmp_path / "cache", {"version": 1}, _write)
    assert get_or_build(tmp_path / "cache", {"version": 2, "parameters": {}}, _write)["version"] == 2


def test_what_was_built_from_the_same_is_not_built_again(tmp_path):
    get_or_build(tmp_path / "cache", {"sources": 1}, _write)
    get_or_build(tmp_path / "cache", {"sources": 1}, lambda folder: pytest.fail("built again"))
    assert get_or_build(tmp_path / "cache", {"sources": 2}, _write)["sources"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_lessons_of_a_run_build_the_same_arrays_once_and_whoever_comes_second_waits(tmp_path, monkeypatch):
    monkeypatch.setenv(SHARED, str(tmp_path / "shared"))
    built, found = [], []

    def write(folder):
        built.append(folder)
        time.sleep(0.2)
        return _write(folder)

    def lesson(number):
        found.append(get_or_build(tmp_path / f"lesson_{number}" / "slices", {"sources": 1}, write))

    lessons = [threading.Thread(target=lesson, args=(number,)) for number in range(3)]
    for one in lessons:
        one.start()
    for one in lessons:
        one.join()
    assert len(built) == 1
    assert found == [read_manifest(tmp_path / "lesson_0" / "slices")] * 3
    get_or_build(tmp_path / "lesson_0" / "slices", {"sources": 2}, write)
    assert len(built) == 2
    assert read_manifest(tmp_path / "lesson_1" / "slices")["sources"] == 1


def test_shared_arrays_are_copied_where_the_file_system_has_no_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setenv(SHARED, str(tmp_path / "shared"))
    monkeypatch.setattr(os, "link", refuse)
    get_or_build(tmp_path / "own", {"sources": 1}, _write)
    np.testing.assert_array_equal(np.load(tmp_path / "own" / "numbers.npy"), np.arange(5))


def test_a_shared_build_that_fails_leaves_nothing_and_the_next_lesson_builds(tmp_path, monkeypatch):
    monkeypatch.setenv(SHARED, str(tmp_path / "shared"))

    def fail(folder):
        _write(folder)
        raise RuntimeError("the kernel was interrupted")

    with pytest.raises(RuntimeError):
        get_or_build(tmp_path / "own", {"sources": 1}, fail)
    assert not list(tmp_path.rglob("*.npy"))
    assert get_or_build(tmp_path / "own", {"sources": 1}, _write)["patients"] == [{"id": "a"}]


def test_signatures_name_no_folder_above_the_data(tmp_path):
    """A cache may leave the machine, and goes on where its data was moved to."""
    root = tmp_path / "set"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        (root / name / "t1.nii").write_bytes(b"12345")

    def signatures(root):
        return file_signatures({"a": [root / "a" / "t1.nii", None], "b": [root / "b" / "t1.nii"]})

    signed = signatures(root)
    assert [signed["a"][0][0], signed["a"][1], signed["b"][0][0]] == ["a/t1.nii", None, "b/t1.nii"]
    assert signed["a"][0][1] == 5
    moved = root.rename(tmp_path / "moved")
    assert signatures(moved) == signed
    (moved / "b" / "t1.nii").write_bytes(b"123456")
    assert signatures(moved) != signed
    assert file_signatures({}) == {}
