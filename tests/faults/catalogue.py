"""All faults, kind by kind."""

from tests.faults import brain
from tests.faults.harness import Fault

FAULTS: list[Fault] = []
FAULTS += brain.FAULTS
