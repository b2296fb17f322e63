"""Every metric against the library of that very definition: MedPy, MONAI, surface-distance and panoptica.

Their requirements conflict with the course's, so that they have an environment of their own, which the variable
`COURSE_METRICS_PYTHON` names; CONTRIBUTING says how to make it. `make test` has MedPy (`test_against_medpy.py`) and
other ways to compute each metric (`test_mask_scores.py`).
"""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from helpers.bench.subprocess_peer import METRICS_PYTHON, Peer
from helpers.measure.components import lesions
from helpers.measure.mask_scores import score_masks
from helpers.measure.regions import REGIONS, mask
from helpers.measure.surface import surface_distances
from tests.measure.masks import EMPTY_PAIRS, PAIRS, block, body

pytestmark = pytest.mark.skipif(
    not os.environ.get(METRICS_PYTHON),
    reason=f"{METRICS_PYTHON} names no Python with MONAI, surface-distance, panoptica",
)
REAL = os.environ.get("COURSE_REAL_DATA")


@pytest.fixture(scope="module")
def peer():
    with Peer("mask_metrics", libraries=["medpy", "monai", "surface_distance", "panoptica"]) as peer:
        yield peer


@pytest.fixture
def scores_of(peer, tmp_path):
    def scores_of(library, truth, prediction, spacing):
        file = tmp_path / "masks.npz"
        np.savez(file, truth=truth.astype(np.uint8), prediction=prediction.astype(np.uint8), spacing=spacing)
        return peer.ask(library=library, file=str(file), regions={"mask": [1]})["scores"]["mask"]

    return scores_of


def agree(scores_of, truth, prediction, spacing):
    ours, _ = score_masks(truth, prediction, spacing)
    compared = set()
    for library in ("medpy", "monai", "surface_distance"):
        theirs = scores_of(library, truth, prediction, spacing)
        for name in theirs.keys() & ours.keys():
            # MONAI computes in float32.
            assert theirs[name] == pytest.approx(ours[name], rel=1e-6, abs=1e-6), (library, name)
            compared.add(name)
    return compared


@pytest.mark.parametrize("name", PAIRS)
def test_scores_are_those_of_the_library_with_the_same_definition(scores_of, name):
    compared = agree(scores_of, *PAIRS[name])
    assert compared == {"dice", "jaccard", "sensitivity", "precision", "hd95_mm", "assd_mm", "nsd_1mm"}


@pytest.mark.parametrize("name", EMPTY_PAIRS)
def test_empty_masks_score_as_in_the_libraries_that_have_a_score(scores_of, name):
    assert agree(scores_of, *EMPTY_PAIRS[name]) == {"dice", "jaccard"}  # no library has a distance that is finite


@pytest.mark.skipif(not REAL, reason="COURSE_REAL_DATA is not set: no real masks here")
def test_real_masks_score_as_in_the_libraries(scores_of):
    files = sorted(Path(REAL, "brats18").rglob("*_seg.nii*"))[:2]
    assert files, f"no segmentations under {REAL}/brats18"
    for file in files:
        image = nib.load(file)
        labels = np.asarray(image.dataobj).astype(np.uint8)
        labels[labels == 4] = 3
        spacing = tuple(float(step) for step in image.header.get_zooms())
        for region in REGIONS:
            truth = mask(labels, region)
            prediction = ndimage.binary_dilation(np.roll(truth, (1, 2, 1), axis=(0, 1, 2)))
            box = tuple(
                slice(max(part.start - 3, 0), part.stop + 3) for part in ndimage.find_objects(truth.astype(np.uint8))[0]
            )
            agree(scores_of, truth[box], prediction[box], spacing)


@pytest.mark.parametrize("seed", range(6))
def test_lesions_are_those_of_panoptica_where_no_component_touches_two(scores_of, seed):
    truth = body(seed, (30, 28, 20), level=1.4)
    components, count = ndimage.label(truth, np.ones((3, 3, 3)))
    assert count > 1
    rng = np.random.default_rng(seed)
    prediction = np.isin(components, rng.choice(np.arange(1, count + 1), count // 2 + 1, replace=False))
    prediction &= rng.random(truth.shape) < 0.9  # a lesion may fall into several components
    prediction |= ~ndimage.binary_dilation(truth, iterations=3) & (rng.random(truth.shape) < 0.001)
    theirs = scores_of("panoptica", truth, prediction, (1, 1, 1))
    ours = lesions(truth, prediction, (1, 1, 1), dilation=0, min_mm3=0)
    assert (theirs["lesions_found"], theirs["lesions_missed"]) == (ours.found, ours.missed)
    assert theirs["lesions_false"] >= ours.false > 0


def test_where_definitions_differ_the_numbers_do(scores_of):
    """HD95 of MedPy pools both directions, that of surface-distance weights by area; MONAI's NSD counts voxels."""
    truth, prediction, spacing = PAIRS["random, anisotropic"]
    ours, _ = score_masks(truth, prediction, spacing)
    medpy, monai, area = (scores_of(one, truth, prediction, spacing) for one in ("medpy", "monai", "surface_distance"))
    pooled = np.percentile(np.hstack(surface_distances(truth, prediction, spacing)), 95)
    assert medpy["hd95_pooled_mm"] == pytest.approx(pooled) != pytest.approx(ours["hd95_mm"], rel=1e-3)
    assert area["hd95_by_area_mm"] != pytest.approx(ours["hd95_mm"], rel=1e-3)
    assert area["average_by_area_mm"] != pytest.approx(ours["assd_mm"], rel=1e-3)
    assert monai["nsd_voxels"] != pytest.approx(ours["nsd_1mm"], rel=1e-3)


def test_a_component_that_touches_two_lesions_finds_both_here_and_one_in_panoptica(scores_of):
    truth = block((2, 8), (2, 8), (2, 8)) | block((14, 20), (2, 8), (2, 8))
    prediction = block((5, 17), (4, 6), (4, 6))
    theirs = scores_of("panoptica", truth, prediction, (1, 1, 1))
    assert (theirs["lesions_found"], theirs["lesions_missed"]) == (1, 1)
    assert lesions(truth, prediction, (1, 1, 1), dilation=0, min_mm3=0) == (2, 0, 0)
    assert lesions(truth, prediction, (1, 1, 1)) == (1, 0, 0)  # grown by 3 voxels they are one
