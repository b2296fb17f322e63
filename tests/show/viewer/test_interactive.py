import pytest

from helpers.show.viewer.interactive import is_interactive

NAMES = ("COURSE_STATIC", "JPY_SESSION_NAME", "KAGGLE_KERNEL_RUN_TYPE")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"JPY_SESSION_NAME": "lesson.ipynb"}, True),
        ({"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}, True),
        ({"KAGGLE_KERNEL_RUN_TYPE": "Batch"}, False),
        ({"COURSE_STATIC": "1", "JPY_SESSION_NAME": "lesson.ipynb"}, False),
        ({"COURSE_STATIC": "0"}, True),
        ({"COURSE_STATIC": "", "JPY_SESSION_NAME": "lesson.ipynb"}, True),
    ],
)
def test_only_a_session_of_jupyter_or_kaggle_is_interactive(monkeypatch, environment, expected):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_interactive() is expected
