"""The lowest layer: atomic writes, threads, the machine, interrupts, errors. No Keras here."""
