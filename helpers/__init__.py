"""Biomedical image segmentation, taught and used: the package under the course.

The sub-packages read in the order of the course: `data`, `measure`, `prepare`, `show`, `models`, `learn`, `lessons`.
Each imports only from those before it.
"""

import os

__version__ = "0.1.0"

# TensorFlow asks once, when it is imported, and leaves oneDNN out on CPUs without AVX-512 VNNI unless it is told. There
# a training step of the U-Net (16 features, 128 pixels) took 1.5 to 1.6 times as long without, measured in turns;
# `python -m helpers bench train` tells of yours, with 0 and with 1.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Its greetings, and what oneDNN says of float16 as if it were an error, are not for learners; errors are raised anyway.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
