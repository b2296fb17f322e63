"""Biomedical image segmentation, taught and used: the package under the course.

The sub-packages read in the order of the course: `data`, `measure`, `prepare`, `show`, `models`, `learn`, `lessons`.
Each imports only from those before it.
"""

__version__ = "0.1.0"
