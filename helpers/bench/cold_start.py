"""Times the steps of `predict` in a fresh process.

The first patient includes the cost of what a process does once, such as building the network's graph.

    python -m helpers.bench.cold_start MODEL_DIR OUT PATIENT_DIR...
"""

import json
import sys
import time
from pathlib import Path

from helpers.runtime.backend import check_backend


def main(model: str, out: str, folders: list[str]) -> None:
    """Print as JSON the seconds of the imports, of loading the model, and of each step of every patient.

    Args:
        model: a folder that `train brain` wrote.
        out: folder for the masks.
        folders: one per patient.
    """
    clock = time.perf_counter
    start = clock()
    check_backend()
    from helpers.data.brats import read_catalogue
    from helpers.data.volumes import read_scan, write_segmentation
    from helpers.tasks.brain.inference import Segmenter

    imported = clock()
    segmenter = Segmenter.load(model)
    loaded = clock()
    patients = []
    for folder in folders:
        started = clock()
        patient = read_catalogue(folder).require(segmenter.modalities, seg=False)[0]
        scan = read_scan(patient, segmenter.modalities, seg=False)
        read = clock()
        labels = segmenter.predict(scan)
        outlined = clock()
        write_segmentation(Path(out, f"{patient.id}_seg.nii.gz"), labels, scan)
        written = clock()
        patients.append({"reading": read - started, "network": outlined - read, "writing": written - outlined})
    print(json.dumps({"imports": imported - start, "loading": loaded - imported, "patients": patients}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
