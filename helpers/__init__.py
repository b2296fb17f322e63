"""Biomedical image segmentation, taught and used: the package under the course.

The sub-packages read in the order of the course: `data`, `measure`, `prepare`, `show`, `models`, `learn`, `lessons`.
Each imports only from those before it.
"""

import os

__version__ = "0.1.0"

# TensorFlow asks once, when it is imported, and leaves oneDNN out on CPUs without AVX-512 VNNI unless it is told. There
# `python -m helpers bench train` gave 3.4 slices/s with it, and 2.9 with TF_ENABLE_ONEDNN_OPTS=0.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's greetings are not for learners
