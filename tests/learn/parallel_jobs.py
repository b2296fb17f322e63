"""Jobs for `helpers.learn.parallel`, which have to stand in a module that a new process can import."""

import os
import time
from pathlib import Path


def look_round(wait: float, log) -> dict[str, str]:
    """Say so, wait, and return what this process was given."""
    log("here")
    time.sleep(wait)
    return {"process": str(os.getpid()), "gpu": os.environ["CUDA_VISIBLE_DEVICES"]}


def fail(log) -> None:
    raise ValueError("as it should")


def finish(out: Path, slices: Path, log, **settings) -> Path:
    """Stands in for `train_brain`."""
    log("trained")
    out.mkdir(parents=True)
    (out / "metrics.json").write_text(f'{{"process": {os.getpid()}, "devices": "{settings["devices"]}"}}')
    return out
