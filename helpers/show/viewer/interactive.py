"""Whether a person sits in front of the notebook: only then is a slider worth drawing."""

import os


def is_interactive() -> bool:
    """True where somebody can move a slider: in a session of a Jupyter server, or in Kaggle's editor.

    papermill, nbconvert and Kaggle's "Save & Run All" run a notebook from end to end and keep the picture of each
    cell, of which a widget leaves none. `COURSE_STATIC=1` asks for such pictures anywhere, `COURSE_STATIC=0` for
    widgets.
    """
    if chosen := os.environ.get("COURSE_STATIC"):
        return chosen == "0"
    # The server sets the first for the kernels it starts for its own pages, and for no others.
    return bool(os.environ.get("JPY_SESSION_NAME")) or os.environ.get("KAGGLE_KERNEL_RUN_TYPE") == "Interactive"
