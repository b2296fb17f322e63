"""The book: the executed lessons of a run as a static site, which loads nothing from outside; by Sphinx and MyST-NB.

The site is built from the learner's notebooks: exercises unfilled, their solutions folded, as they are handed out.
"""
