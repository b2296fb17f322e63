"""What everything else stands on: files written whole, the machine, interrupts, errors. No Keras here."""
