"""Do models cross from one Keras to another? `python tests/keras_versions.py --image DIR`, which `make kaggle` calls.

DIR is a virtual environment with the versions of the Kaggle image. A brain model, a gate and a lung model are saved
there and here, each is loaded on the other side as the commands load it, and has to predict what it did where it was
made, to 1e-4.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Save on both sides, load on the other; 1 if a model did not cross."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--image", type=Path, required=True, metavar="DIR")
    image = parser.parse_args().image.absolute() / "bin" / "python"
    sides = {"here": Path(sys.executable), "image": image}
    with tempfile.TemporaryDirectory() as folder:
        for side, python in sides.items():
            _call(python, "save", Path(folder) / side)
        for side, other in (("here", "image"), ("image", "here")):
            if _call(sides[other], "load", Path(folder) / side):
                return 1
    return 0


def _call(python: Path, role: str, folder: Path) -> int:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COURSE_PRECISION": "float32"}
    return subprocess.run([python, __file__, role, folder], cwd=ROOT, env=environment, check=False).returncode


def save(folder: Path) -> None:
    """Leave three folders as trainings do, and what their models predict."""
    import numpy as np

    from helpers.data.splits import Split
    from helpers.learn.run_folder import save_model, write_run

    for task, (parameters, build_network, _, images) in _tasks().items():
        target = folder / task
        target.mkdir(parents=True)
        network = build_network(parameters)
        save_model(network, target / "model.keras")
        split = Split(("a",), ("b",), ("c",), seed=0)
        write_run(target, task, parameters, split, {"a": {"flair": "0"}}, threshold=0.5)
        np.save(target / "predicted.npy", network.predict_on_batch(images))


def load(folder: Path) -> None:
    """Load each model as its command does, and hold its prediction against the one that was saved.

    Raises:
        SystemExit: one differs.
    """
    import keras
    import numpy as np

    for task, (_, _, inference, images) in _tasks().items():
        predicted = inference.load(folder / task).network.predict_on_batch(images)
        apart = float(np.abs(predicted - np.load(folder / task / "predicted.npy")).max())
        print(f"{task} of {folder.name}, Keras {keras.__version__}: predictions differ by {apart:.1e}")
        if not apart < 1e-4:
            sys.exit(1)


def _tasks() -> dict:
    """For each task the parameters, the constructor, the class that loads, and a batch."""
    import numpy as np

    from helpers.tasks.brain import inference as brain
    from helpers.tasks.gate import inference as gate
    from helpers.tasks.lungs import inference as lungs

    rng = np.random.default_rng(0)
    grid = {"extent_mm": 192.0, "size": 32}
    tasks = {
        "brain": ({**grid, "modalities": ["flair", "t1ce"], "filters": 4}, brain.build_network, brain.Segmenter, 2),
        "gate": ({**grid, "modalities": list(gate.MODALITIES), "network": "compact"}, gate.build_network, gate.Gate, 3),
        "lungs": (
            {"size": 32, "filters": 4, "normalisation": "batch", "site": "both"},
            lungs.build_network,
            lungs.LungSegmenter,
            1,
        ),
    }
    return {
        name: (*parts, rng.normal(size=(2, 32, 32, channels)).astype(np.float32))
        for name, (*parts, channels) in tasks.items()
    }


if __name__ == "__main__":
    if sys.argv[1] in ("save", "load"):
        {"save": save, "load": load}[sys.argv[1]](Path(sys.argv[2]))
    else:
        sys.exit(main())
