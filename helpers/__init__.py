"""Biomedical image segmentation, taught and used: the package under the course.

Its rooms, lowest first: `runtime`, `data`, `measure`, `prepare`, `models`, `lessons`, `show`, `learn`, `tasks`,
`apply`, `bench`, `cli`. Each imports only from those before it; a test holds that.
"""

import os

__version__ = "0.1.0"

# TensorFlow asks once, when it is imported, and leaves oneDNN out on CPUs without AVX-512 VNNI unless it is told. There
# `python -m helpers bench train` gave 3.4 slices/s with it, and 2.9 with TF_ENABLE_ONEDNN_OPTS=0.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's greetings are not for learners
