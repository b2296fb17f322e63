"""Figures of scans, radiographs and scores, in one style; `viewer` holds the interactive ones."""
