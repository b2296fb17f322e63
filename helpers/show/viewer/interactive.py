"""Whether the notebook runs interactively; only then do viewers draw widgets."""

import os


def is_interactive() -> bool:
    """True in a session of a Jupyter server or in Kaggle's editor, where a person can move a slider.

    papermill, nbconvert and Kaggle's "Save & Run All" run a notebook unattended and save the picture of each cell,
    which a widget does not provide. `COURSE_STATIC=1` forces static figures, `COURSE_STATIC=0` widgets.
    """
    if static := os.environ.get("COURSE_STATIC"):
        return static == "0"
    # JupyterLab's server sets the first variable only for the kernels of its own pages.
    return bool(os.environ.get("JPY_SESSION_NAME")) or os.environ.get("KAGGLE_KERNEL_RUN_TYPE") == "Interactive"
