"""Laws of the backend: one that is unknown or missing is refused in a line, before Keras is imported."""

import pytest

from helpers.runtime import backend
from helpers.runtime.errors import DataError


@pytest.mark.parametrize("name", ["tensorflow", "jax", ""])
def test_the_two_backends_are_let_pass(monkeypatch, name):
    monkeypatch.setenv("KERAS_BACKEND", name)
    monkeypatch.setattr(backend, "find_spec", lambda package: package)
    backend.check_backend()


def test_another_is_refused(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(DataError, match="KERAS_BACKEND is 'torch'; expected tensorflow or jax"):
        backend.check_backend()


@pytest.mark.parametrize(
    ("missing", "name", "message"),
    [
        ("tensorflow", "tensorflow", "TensorFlow is not installed.*pip install"),
        ("tensorflow", "jax", "TensorFlow is not installed.*pip install"),
        ("keras", "tensorflow", "Keras is not installed"),
        ("jax", "jax", "JAX is not installed.*leave out KERAS_BACKEND"),
    ],
)
def test_a_package_that_is_missing_is_named_with_its_cure(monkeypatch, missing, name, message):
    monkeypatch.setenv("KERAS_BACKEND", name)
    monkeypatch.setattr(backend, "find_spec", lambda package: None if package == missing else package)
    with pytest.raises(DataError, match=message):
        backend.check_backend()


def test_packages_of_no_backend_are_left_to_their_traceback():
    assert backend.backend_missing("numpy") is None
    assert backend.backend_missing(None) is None
    assert "TensorFlow" in backend.backend_missing("tensorflow.python")
