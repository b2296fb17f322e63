"""Laws of NIfTI files: streams are read to their end, headers checked before memory is taken, any axis order serves."""

import gzip
import itertools
import os
import random
import re
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from helpers.data.brats import read_catalogue
from helpers.data.nifti import read_geometry, read_voxels
from helpers.data.normalise import zscore
from helpers.data.resample import Grid
from helpers.data.volumes import read_scan, write_segmentation
from helpers.runtime.errors import DataError

LPS = np.diag([-1.0, -1.0, 2.0, 1.0])
ORDERS = ["".join(way) for axes in itertools.permutations(("RL", "AP", "SI")) for way in itertools.product(*axes)]
FORM_FIELDS = ("pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d",
               "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z")  # fmt: skip


def _volume(shape=(12, 10, 8)):
    return np.random.default_rng(0).integers(1, 1000, shape).astype(np.int16)


def _write(path, affine=LPS, data=None, sform=1, qform=1, **fields):
    image = nib.Nifti1Image(_volume() if data is None else data, affine)
    image.set_sform(affine, sform)
    image.set_qform(affine, qform)
    image.header.set_xyzt_units("mm")
    for name, value in fields.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def _patch(path, offset, values, kind):
    """Write values into the raw header of an uncompressed file, as no library would."""
    content = bytearray(path.read_bytes())
    raw = np.asarray(values, kind).tobytes()
    content[offset : offset + len(raw)] = raw
    path.write_bytes(content)
    return path


def reorder(source, target, codes):
    """Store an image in another axis order: the same voxels at the same place."""
    image = nib.load(source)
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(codes))
    affine = image.affine @ inv_ornt_aff(turn, image.shape)
    other = nib.Nifti1Image(apply_orientation(np.asarray(image.dataobj), turn), affine)
    other.header.set_xyzt_units("mm")
    nib.save(other, target)


def _outline(scan):
    """Stands for the network: as that, it tells the three axes and their directions apart."""
    grid = Grid(48)
    centre = grid.brain_centre(scan.images, scan.spacing)
    seen = grid.down(zscore(scan.images), scan.spacing, centre)[..., 0]  # (slices, rows, columns)
    bright = seen > 0.5
    found = bright & np.roll(bright, 1, axis=0) & np.roll(bright, 2, axis=1) & np.roll(bright, 3, axis=2)
    classes = np.stack([found & (seen < 1), found & (seen >= 1) & (seen < 2), found & (seen >= 2)], axis=-1)
    up = grid.up(classes.astype(np.float32), scan.images.shape[:3], scan.spacing, centre)
    return np.concatenate([1 - up.sum(axis=-1, keepdims=True), up], axis=-1).argmax(axis=-1).astype(np.uint8)


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
def test_voxels_are_those_that_nibabel_reads(tmp_path, name):
    path = _write(tmp_path / name)
    voxels, geometry = read_voxels(path)
    np.testing.assert_array_equal(voxels, np.asarray(nib.load(path).dataobj))
    np.testing.assert_array_equal(geometry.affine, nib.load(path).affine)
    assert (geometry.codes, geometry.notes) == ("LPS", ())
    assert read_geometry(path).shape == voxels.shape == (12, 10, 8)


def test_all_48_orders_are_there():
    assert len(set(ORDERS)) == 48


def test_one_phantom_in_48_axis_orders_gives_48_equal_masks(phantoms, tmp_path):
    patient = read_catalogue(phantoms).require(("flair",))[0]
    original = read_scan(patient, ("flair",))
    expected = _outline(original)
    assert len(np.unique(expected)) == 4
    for codes in ORDERS:
        folder = tmp_path / f"P_{codes}"
        folder.mkdir()
        for kind in ("flair", "seg"):
            reorder(patient.file(kind), folder / f"P_{codes}_{kind}.nii", codes)
        (read,) = read_catalogue(folder).require(("flair",))
        scan = read_scan(read, ("flair",))
        np.testing.assert_array_equal(scan.images, original.images)
        np.testing.assert_array_equal(scan.seg, original.seg)
        np.testing.assert_allclose(scan.affine, original.affine, atol=1e-4)
        assert scan.images.strides == original.images.strides  # so that sums are rounded alike
        assert bool(scan.notes) == (codes != "LPS")

        mask = nib.load(write_segmentation(folder / "mask.nii.gz", _outline(scan), scan))
        own = nib.load(folder / f"P_{codes}_flair.nii")
        assert mask.shape == own.shape
        for field in FORM_FIELDS:
            np.testing.assert_array_equal(mask.header[field], own.header[field], err_msg=f"{codes} {field}")
        back = ornt_transform(io_orientation(mask.affine), axcodes2ornt("LPS"))
        labels = apply_orientation(np.asarray(mask.dataobj), back)
        np.testing.assert_array_equal(np.where(labels == 4, 3, labels), expected, err_msg=codes)


def test_files_of_one_patient_may_differ_in_their_order(phantoms, tmp_path):
    patient = read_catalogue(phantoms).require(("flair", "t1ce"))[0]
    for kind, codes in (("flair", "RSA"), ("t1ce", "LPS"), ("seg", "AIL")):
        reorder(patient.file(kind), tmp_path / f"P_{kind}.nii.gz", codes)
    (read,) = read_catalogue(tmp_path).require(("flair", "t1ce"))
    scan, original = read_scan(read, ("flair", "t1ce")), read_scan(patient, ("flair", "t1ce"))
    np.testing.assert_array_equal(scan.images, original.images)
    np.testing.assert_array_equal(scan.seg, original.seg)


@pytest.mark.parametrize(("sform", "qform"), [(1, 1), (2, 0), (0, 1), (0, 0), (4, 3)])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_mask_has_both_forms_and_both_codes_of_its_image(tmp_path, sform, qform, suffix):
    affine = np.array([[0, 0, -2.0, 7], [0, -1, 0, 3], [-1, 0, 0, 5], [0, 0, 0, 1]])
    for kind in ("flair", "t1ce"):
        _write(tmp_path / f"P_{kind}{suffix}", affine, sform=sform, qform=qform)
    (patient,) = read_catalogue(tmp_path).require(("flair",), seg=False)
    scan = read_scan(patient, ("flair",), seg=False)
    labels = np.zeros(scan.images.shape[:3], np.uint8)
    labels[0, 1, 2] = 3
    mask, image = nib.load(write_segmentation(tmp_path / "m.nii.gz", labels, scan)), nib.load(patient.images["flair"])
    for field in FORM_FIELDS:
        np.testing.assert_array_equal(mask.header[field], image.header[field], err_msg=field)
    np.testing.assert_array_equal(mask.affine, image.affine)
    voxel = np.argwhere(np.asarray(mask.dataobj))[0]
    assert np.asarray(image.dataobj)[tuple(voxel)] == scan.image("flair")[0, 1, 2]
    assert any("does not say how the head lies" in note for note in scan.notes) == (sform == qform == 0)


def test_forms_that_agree_within_half_a_voxel_are_read_and_others_are_refused(tmp_path):
    near, far = LPS.copy(), LPS.copy()
    near[0, 3], far[0, 3] = 0.45, 0.55
    for affine, refused in ((near, False), (far, True)):
        path = _write(tmp_path / "v.nii")
        image = nib.load(path)
        image.set_qform(affine, 1)
        nib.save(nib.Nifti1Image(_volume(), None, image.header), tmp_path / "w.nii")
        if refused:
            with pytest.raises(DataError, match=r"qform and its sform differ by 0\.55 voxels"):
                read_geometry(tmp_path / "w.nii")
        else:
            np.testing.assert_array_equal(read_geometry(tmp_path / "w.nii").affine, LPS)


@pytest.mark.parametrize("degrees", [0.5, 3.0, 14.0, 16.0, 30.0])
def test_oblique_axes_go_to_the_nearest_with_a_word_or_not_at_all(tmp_path, degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    path = _write(tmp_path / "v.nii", turn @ LPS)
    if degrees > 15:
        with pytest.raises(DataError, match=f"oblique by {degrees:.1f} degrees; expected at most 15"):
            read_geometry(path)
    else:
        assert bool(read_geometry(path).notes) == (degrees > 1)


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (np.diag([0, 0, 0, 1.0]), "all 0"),
        (np.diag([-1e-6, -1e-6, 1e-6, 1.0]), r"voxels of 1e-06 x 1e-06 x 1e-06 mm"),
        (np.diag([-1.0, -1.0, 500, 1.0]), r"expected 0\.01 to 20 mm"),
        (np.array([[-1.0, -1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "cannot be inverted"),
        (np.array([[-1.0, 0, 0, np.nan], [0, -1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "no numbers"),
    ],
)
def test_affine_that_places_nothing_is_refused(tmp_path, affine, message):
    path = _patch(_write(tmp_path / "v.nii", qform=0), 280, affine[:3], "<f4")
    with pytest.raises(DataError, match=message):
        read_geometry(path)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 1e-6])
def test_voxel_size_that_the_position_depends_on_is_checked(tmp_path, value):
    path = _patch(_write(tmp_path / "v.nii", sform=0), 80, [value] * 3, "<f4")
    with pytest.raises(DataError, match="voxels of"):
        read_geometry(path)


def test_header_that_claims_140_terabytes_is_refused_before_memory_is_taken(tmp_path):
    plain = _patch(_write(tmp_path / "v.nii"), 42, [32767, 32767, 32767], "<i2")
    packed = tmp_path / "w.nii.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    tracemalloc.start()
    for path in (plain, packed):
        for read in (read_geometry, read_voxels):
            with pytest.raises(DataError, match=r"claims 32,767 x 32,767 x 32,767 voxels \(141 TB\)"):
                read(path)
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


def test_stream_that_unpacks_to_more_than_its_header_says_is_refused_early(tmp_path):
    path = _write(tmp_path / "v.nii")
    bomb = tmp_path / "w.nii.gz"
    bomb.write_bytes(gzip.compress(path.read_bytes() + bytes(50_000_000), 1))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"longer than the .* bytes that its header gives"):
        read_voxels(bomb)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_number_of_slices_that_the_voxels_do_not_fit_is_refused(tmp_path):
    for slices, message in ((7, "longer than"), (9, "cut short")):
        path = _write(tmp_path / "v.nii", data=_volume((60, 60, 8)))
        plain = _patch(path, 46, [slices], "<i2")
        packed = tmp_path / "w.nii.gz"
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        for path in (plain, packed):
            with pytest.raises(DataError, match=message):
                read_voxels(path)


def test_stream_of_several_members_and_padding_is_read(tmp_path):
    content = _write(tmp_path / "v.nii").read_bytes()
    path = tmp_path / "w.nii.gz"
    path.write_bytes(gzip.compress(content[:1000]) + gzip.compress(content[1000:]) + bytes(100))
    np.testing.assert_array_equal(read_voxels(path)[0], read_voxels(tmp_path / "v.nii")[0])


def test_what_follows_the_stream_is_refused(tmp_path):
    path = _write(tmp_path / "v.nii.gz")
    path.write_bytes(path.read_bytes() + b"an error page")
    with pytest.raises(DataError, match="can be read to its end"):
        read_voxels(path)


@pytest.mark.parametrize("cut", [0, 1, 5, 9, 12, 100, 5000, -1, -4, -8, -9])
def test_stream_cut_anywhere_is_refused(tmp_path, cut):
    path = _write(tmp_path / "v.nii.gz", data=_volume((40, 40, 8)))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match="again"):
        read_voxels(path)


def test_wrong_ending_says_which_is_right(tmp_path):
    path = _write(tmp_path / "v.nii")
    path.rename(tmp_path / "w.nii.gz")
    with pytest.raises(DataError, match=r"not compressed; rename it to \.nii"):
        read_geometry(tmp_path / "w.nii.gz")
    path = _write(tmp_path / "v.nii.gz")
    path.rename(tmp_path / "w.nii")
    with pytest.raises(DataError, match=r"compressed; rename it to \.nii\.gz"):
        read_geometry(tmp_path / "w.nii")


def test_pipe_and_folder_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "v.nii")
    (tmp_path / "w.nii").mkdir()
    for name in ("v.nii", "w.nii", "gone.nii"):
        with pytest.raises(DataError, match=r"not a file|No such file"):
            read_geometry(tmp_path / name)


def test_any_byte_of_a_header_may_be_anything_without_another_error(tmp_path):
    content, rng = _write(tmp_path / "v.nii").read_bytes(), random.Random(0)
    path = tmp_path / "w.nii"
    for _ in range(400):
        changed = bytearray(content)
        for _ in range(rng.choice((1, 1, 3, 20))):
            changed[rng.randrange(352)] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        path.write_bytes(changed)
        try:
            voxels, geometry = read_voxels(path)
        except DataError:
            continue
        assert voxels.shape == geometry.shape
        assert np.isfinite(geometry.affine).all()


def test_big_endian_and_nifti_2_files_are_read_and_their_masks_lie_there(tmp_path):
    for kind, image in (
        ("big", nib.Nifti1Image(_volume().astype(">i2"), LPS, nib.Nifti1Header(endianness=">"))),
        ("two", nib.Nifti2Image(_volume(), LPS)),
    ):
        (tmp_path / kind).mkdir()
        image.set_sform(LPS, 1)
        nib.save(image, tmp_path / kind / "P_flair.nii.gz")
        (patient,) = read_catalogue(tmp_path / kind).require(("flair",), seg=False)
        scan = read_scan(patient, ("flair",), seg=False)
        np.testing.assert_array_equal(scan.image("flair"), _volume())
        mask = nib.load(write_segmentation(tmp_path / kind / "m.nii.gz", np.ones((12, 10, 8), np.uint8), scan))
        np.testing.assert_array_equal(mask.affine, LPS)


def test_two_hundred_bit_flips_in_real_files_are_refused_or_change_no_voxel(real_data, tmp_path):
    rng = random.Random(17)
    images, masks = sorted(real_data.rglob("*_t1ce.nii.gz")), sorted(real_data.rglob("*_seg.nii.gz"))
    path, outcomes = tmp_path / "v.nii.gz", []
    for source in (*rng.sample(images, 4), *rng.sample(masks, 6)):
        content = source.read_bytes()
        size = 8 * len(content)  # one flip in its header, one in checksum and length at its end, and 18 anywhere
        bits = [rng.randrange(80), rng.randrange(size - 64, size), *(rng.randrange(size) for _ in range(18))]
        original = None
        for bit in bits:
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            try:
                voxels = read_voxels(path)[0]
            except DataError as error:
                outcomes.append("refused" if re.search("again|rename", str(error)) else str(error))
                continue
            original = read_voxels(source)[0] if original is None else original
            np.testing.assert_array_equal(voxels, original)
            outcomes.append("identical")
    assert len(outcomes) == 200
    assert set(outcomes) == {"refused", "identical"}
    assert outcomes.count("refused") > 180
