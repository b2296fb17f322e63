"""Laws of paths that leave the machine: what lies below a known folder keeps its name, and the folder loses its own."""

from pathlib import Path

import pytest

from helpers.lessons.private_paths import without_roots

ROOTS = {Path("/home/me"): "~", Path("/home/me/data"): "data", Path("/"): "never"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/me/data/P1.nii", "data/P1.nii"),
        ("in '/home/me/data'.", "in 'data'."),
        ("/home/me/data: gone", "data: gone"),
        ("/home/me/thesis", "~/thesis"),
        ("/home/me.", "~."),
        ("/home/meadow/x", "/home/meadow/x"),
        ("/home/me-too/x", "/home/me-too/x"),
        ("/home/me/data.old/x", "~/data.old/x"),
        ("/mnt/home/me/x", "/mnt/home/me/x"),
        ("file:///home/me/data/a", "file://data/a"),
        ("/kaggle/input", "/kaggle/input"),
    ],
)
def test_the_longest_folder_that_is_known_is_replaced(text, expected):
    assert without_roots(text, ROOTS) == expected


def test_json_is_gone_through_and_pictures_are_left_alone():
    content = {"a": ["/home/me/x", 1, None], "/home/me/k": {"image/png": "AAA/home/me/", "text/html": "</home/me/x>"}}
    assert without_roots(content, ROOTS) == {
        "a": ["~/x", 1, None],
        "~/k": {"image/png": "AAA/home/me/", "text/html": "<~/x>"},
    }


def test_a_link_is_known_by_both_its_names(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert without_roots(f"{tmp_path}/real/a {tmp_path}/link/b", {tmp_path / "link": "data"}) == "data/a data/b"
