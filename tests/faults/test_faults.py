"""Every quick fault is refused by name with a cure, or mended with a word; nothing is left behind."""

import pytest

from tests.faults.catalogue import FAULTS
from tests.faults.harness import meet


@pytest.mark.parametrize("fault", [pytest.param(one, id=f"{one.kind}: {one.name}") for one in FAULTS if one.quick])
def test_fault(fault, tmp_path):
    outcome = meet(fault, tmp_path)
    assert outcome.passed, f"{outcome.verdict}\n{outcome.output}"


def test_faults_have_names_of_their_own():
    names = [(one.kind, one.name) for one in FAULTS]
    assert len(set(names)) == len(names)
