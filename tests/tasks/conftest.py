"""What the tests of several tasks share."""

import pytest


@pytest.fixture(scope="module")
def shallow():
    """The U-Nets of a file are built by commands whose laws do not depend on the depth."""
    from tests.tasks.small import shallow_networks

    with shallow_networks():
        yield
