"""Laws of out-of-distribution detection: training patients pass, and each fault is named."""

import numpy as np
import pytest
from scipy import ndimage

from helpers.data.out_of_distribution import fingerprint, fit_ranges, warnings
from helpers.data.volumes import Scan, read_scan
from helpers.runtime.errors import DataError


@pytest.fixture(scope="module")
def scans(patients):
    return [read_scan(patient, ("flair", "t1ce")) for patient in patients]


@pytest.fixture(scope="module")
def usual(scans):
    return fit_ranges([fingerprint(scan) for scan in scans[1:]])


@pytest.fixture
def warned(scans, usual):
    """The warnings for the patient that is not in the ranges, once its images were changed."""

    def warn(change):
        scan = scans[0]
        images = change(scan.images.copy()).astype(np.float32)
        return warnings(fingerprint(Scan(scan.id, images, scan.modalities, None, scan.affine)), usual)

    return warn


def test_patient_like_the_others_passes(warned):
    assert warned(lambda images: images) == []


def test_unit_of_intensity_does_not_matter_within_a_factor_of_a_hundred(warned):
    assert warned(lambda images: images * 3) == []


@pytest.mark.parametrize("factor", [1e-5, 1e5])
def test_other_intensity_range_is_named(warned, factor):
    found = warned(lambda images: images * factor)
    assert len(found) == 2
    assert "intensities of FLAIR have another range" in found[0]


def test_exchanged_modalities_are_named(warned):
    assert warned(lambda images: images[..., ::-1])[0].startswith(
        "Modalities seem exchanged: the FLAIR file looks like T1ce, the T1ce file looks like FLAIR."
    )


def test_one_volume_given_twice_is_named(warned):
    assert warned(lambda images: images[..., [0, 0]])[0].startswith("FLAIR and T1ce are the same volume")


def test_a_skull_is_named(warned):
    def with_skull(images):
        brain = images.any(axis=-1)
        bone, scalp = (ndimage.binary_dilation(brain, iterations=n) for n in (1, 3))
        middle = np.median(images[brain], axis=0)
        images[bone & ~brain] = 0.1 * middle
        images[scalp & ~bone] = 2.5 * middle
        return images

    assert any("Is the skull still there?" in one for one in warned(with_skull))


def test_half_a_head_is_named(warned):
    def upper(images):
        images[:, :, : images.shape[2] // 2] = 0
        return images

    assert any("Is part of the head missing?" in one for one in warned(upper))


def test_a_slab_or_an_empty_volume_is_refused(scans):
    scan = scans[0]
    slab = np.where(np.arange(scan.images.shape[2])[:, None] // 4 == 5, scan.images, 0)
    for images, message in ((slab, "this is no brain scan"), (np.zeros_like(slab), "every voxel is 0")):
        with pytest.raises(DataError, match=message):
            fingerprint(Scan(scan.id, images, scan.modalities, None, scan.affine))


def test_modality_that_some_lack_is_compared_where_it_is(scans):
    full = [fingerprint(scan) for scan in scans]
    some = [full[0], *({k: v for k, v in one.items() if k != "t1ce"} for one in full[1:])]
    usual = fit_ranges(some)
    assert usual["t1ce"]["white"]["low"] == full[0]["t1ce"]["white"]
    assert warnings(some[1], usual) == []


def test_real_patients_pass_each_other_and_exchanged_ones_are_warned_of(real_data):
    """Each of the first eight against the fingerprints of the others."""
    from helpers.data.brats import read_catalogue

    patients = read_catalogue(real_data / "brats18").require(("flair", "t1ce"))[:8]
    full = [fingerprint(read_scan(patient, ("flair", "t1ce"), seg=False)) for patient in patients]
    for number, one in enumerate(full):
        usual = fit_ranges([other for other in full if other is not one])
        turned = {"head": one["head"], "flair": one["t1ce"], "t1ce": one["flair"]}
        assert warnings(one, usual) == [], patients[number].id
        assert "exchanged" in warnings(turned, usual)[0], patients[number].id
