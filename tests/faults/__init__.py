"""Faults that people's files, settings and machines have, planted on the spot: what the commands make of them.

`python -m tests.faults` (`make faults`) plants all and prints the table; `make test` plants the quick ones.
"""
