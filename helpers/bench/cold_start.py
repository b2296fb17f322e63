"""What `predict` does, with a clock beside it, in a process that has loaded nothing yet.

The first patient pays for what a process does once, such as building the network's graph; those that follow do not.

    python -m helpers.bench.cold_start MODEL_DIR OUT PATIENT_DIR...
"""

import json
import sys
import time
from pathlib import Path


def main(model: str, out: str, folders: list[str]) -> None:
    """Print the seconds of imports, of loading the model, and of the parts of every patient."""
    clock = time.perf_counter
    start = clock()
    from helpers.data.brats import read_catalogue
    from helpers.data.volumes import read_scan, write_segmentation
    from helpers.tasks.brain.inference import Segmenter

    imported = clock()
    segmenter = Segmenter.load(model)
    loaded = clock()
    patients = []
    for folder in folders:
        begun = clock()
        patient = read_catalogue(folder).require(segmenter.modalities, seg=False)[0]
        scan = read_scan(patient, segmenter.modalities, seg=False)
        read = clock()
        labels = segmenter.predict(scan)
        outlined = clock()
        write_segmentation(Path(out, f"{patient.id}_seg.nii.gz"), labels, scan.affine)
        written = clock()
        patients.append({"reading": read - begun, "network": outlined - read, "writing": written - outlined})
    print(json.dumps({"imports": imported - start, "loading": loaded - imported, "patients": patients}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
