"""Phantoms: synthetic patients and radiographs with the layout, data types and irregularities of the real sets."""
