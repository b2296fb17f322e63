"""All faults, kind by kind."""

from tests.faults import accounts, brain, chest, neighbours, rim
from tests.faults.harness import Fault

FAULTS: list[Fault] = []
FAULTS += brain.FAULTS
FAULTS += chest.FAULTS
FAULTS += rim.FAULTS
FAULTS += accounts.FAULTS
FAULTS += neighbours.FAULTS
