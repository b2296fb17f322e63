"""Made-up patients and radiographs, in the layout, the types and with the faults of the real sets."""
