"""All faults, kind by kind."""

from tests.faults.harness import Fault

FAULTS: list[Fault] = []
