"""Laws of the obstacle course: a right reader scores mended, a blind one silently wrong, and no tool is favoured."""

import json

import nibabel as nib
import numpy as np
import pytest
import scipy

from helpers.bench.obstacles import course, score
from helpers.bench.obstacles.faults import FAULTS
from helpers.bench.obstacles.patient import KINDS, Patient, about, rigid
from helpers.bench.obstacles.readers import READERS, run_reader
from helpers.bench.obstacles.score import MENDED, NAMED, NOTHING, REFUSED, WARNED, WRONG, counts, error, score_log
from helpers.runtime.errors import DataError

SHAPE, SPACING = (22, 26, 13), (8.0, 8.0, 9.5)


def _head():
    """A smooth lopsided blob instead of a head: enough for whatever does not register."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    inside = (x / 0.7) ** 2 + (y / 0.8) ** 2 + (z / 0.85) ** 2 < 1
    base = 400 + 200 * x + 120 * y**2 + 90 * z
    images = {
        kind: np.where(inside, base + 60 * place * np.sin(3 * x + place), 0).astype(np.int16)
        for place, kind in enumerate(KINDS)
    }
    affine = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
    affine[:3, 3] = 80, 100, -60
    return images, affine


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The course with five heads that are made at once."""
    folder = tmp_path_factory.mktemp("course")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(course, "_heads", lambda seed: [_head()])
        return course.make_course(folder / "course")


def _key(folder):
    return json.loads((folder / course.KEY).read_text())["patients"]


def _log(folder, lines):
    path = folder / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def _deliver(root, out, patient, turn=lambda image: image):
    """What a reader that is right would deliver."""
    paths = {}
    for kind, path in patient["truth"].items():
        name = f"{patient['id']}_{kind}.nii"
        nib.save(turn(nib.load(root / path)), out / name)
        paths[kind] = name
    return {"id": patient["id"], "outcome": "mended", "nifti": paths}


def test_there_are_forty_faults_and_each_can_be_mended_or_named():
    assert len(FAULTS) == len({fault.name for fault in FAULTS}) == 40
    assert all(fault.mend or fault.words for fault in FAULTS)
    assert all(word == word.lower() for fault in FAULTS for word in fault.words)


def test_the_course_is_the_same_each_time_and_the_key_is_not_among_the_patients(small, tmp_path, monkeypatch):
    monkeypatch.setattr(course, "_heads", lambda seed: [_head()])
    again = course.make_course(tmp_path / "again")
    files = [path.relative_to(small) for path in sorted(small.rglob("*")) if path.is_file()]
    assert (
        files == [path.relative_to(again) for path in sorted(again.rglob("*")) if path.is_file()] or len(files) > 2000
    )
    same = [name for name in files if (again / name).is_file()]
    different = [name for name in same if (small / name).read_bytes() != (again / name).read_bytes()]
    assert {name.parts[1] for name in different} <= {"36"}  # a DICOMDIR has UIDs of its own
    assert sorted(path.name for path in (small / course.PATIENTS).iterdir()) == [f"{n:02d}" for n in range(1, 41)]
    assert not list((small / course.PATIENTS).rglob("*.json"))


def test_a_reader_that_is_right_mends_all_that_can_be_mended(small, tmp_path):
    patients = _key(small)
    log = _log(tmp_path, [_deliver(small, tmp_path, patient) for patient in patients])
    outcomes = {one.fault: one.outcome for one in score_log(small / course.KEY, log)}
    mendable = {patient["fault"] for patient in patients if patient["mend"]}
    assert {fault for fault, outcome in outcomes.items() if outcome == MENDED} == mendable
    assert {outcome for fault, outcome in outcomes.items() if fault not in mendable} == {WRONG}


def test_axes_may_have_any_order_and_direction(small, tmp_path):
    def turn(image):
        turned = nib.orientations.axcodes2ornt("ASR")
        now = nib.orientations.io_orientation(image.affine)
        return image.as_reoriented(nib.orientations.ornt_transform(now, turned))

    patients = [one for one in _key(small) if one["fault"] in ("files in no order", "oblique", "thick slices")]
    log = _log(tmp_path, [_deliver(small, tmp_path, patient, turn) for patient in patients])
    assert counts(score_log(small / course.KEY, log)) | {NOTHING: 0} == dict.fromkeys(score.OUTCOMES, 0) | {MENDED: 3}


@pytest.mark.parametrize("spoil", ["flipped", "shifted", "scaled", "missing", "four-dimensional", "no file"])
def test_a_volume_that_is_not_the_truth_is_silently_wrong(small, tmp_path, spoil):
    def turn(image):
        voxels, affine = np.asarray(image.dataobj), image.affine.copy()
        if spoil == "flipped":
            voxels = voxels[::-1]
        elif spoil == "shifted":
            affine[:3, 3] += 4.0
        elif spoil == "scaled":
            voxels = voxels * 1.1
        elif spoil == "four-dimensional":
            voxels = voxels[..., None].repeat(2, -1)
        return nib.Nifti1Image(voxels.astype(np.float32), affine)

    patient = _key(small)[0]
    line = _deliver(small, tmp_path, patient, turn)
    if spoil == "missing":
        del line["nifti"]["t2"]
    if spoil == "no file":
        line["nifti"]["t2"] = "elsewhere.nii"
    (first, *_) = score_log(small / course.KEY, _log(tmp_path, [line]))
    assert first.outcome == WRONG


def test_series_may_be_brought_to_either_side_of_a_motion_but_not_left_apart(small, tmp_path):
    patient = next(one for one in _key(small) if one["fault"] == "moved between series")
    matrix = np.array(patient["spaces"][1])

    def outcome(moves):
        line = _deliver(small, tmp_path, patient)
        for kind, path in line["nifti"].items():
            image = nib.load(small / patient["truth"][kind])
            affine = matrix @ image.affine if kind in moves else image.affine  # as its header has it, of T2
            nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), tmp_path / path)
        scores = score_log(small / course.KEY, _log(tmp_path, [line]))
        return next(one.outcome for one in scores if one.id == patient["id"])

    assert outcome(()) == outcome(KINDS) == MENDED
    assert outcome(("t2",)) == WRONG


def test_a_refusal_counts_by_whether_it_names_the_fault(small, tmp_path):
    lines = [
        {"id": "03", "outcome": "refused", "message": "There is a GAP of 10 mm"},
        {"id": "05", "outcome": "refused", "message": "error 17"},
        {"id": "07", "outcome": "mended", "message": "a tilted gantry", "nifti": {}},
        {"id": "15", "outcome": "mended", "message": "", "nifti": {}},
        {"id": "01", "outcome": "refused", "message": "the order is wrong"},
    ]
    scores = {one.id: one.outcome for one in score_log(small / course.KEY, _log(tmp_path, lines))}
    assert [scores[name] for name in ("03", "05", "07", "15", "01")] == [NAMED, REFUSED, WARNED, WRONG, REFUSED]
    assert scores["40"] == NOTHING


def test_a_planted_name_in_a_message_or_a_file_is_wrong_whatever_else_is_right(small, tmp_path):
    patient = next(one for one in _key(small) if one["names"])
    line = _deliver(small, tmp_path, patient)

    def outcome(line):
        scores = score_log(small / course.KEY, _log(tmp_path, [line]))
        return next(one.outcome for one in scores if one.id == patient["id"])

    assert outcome(line) == MENDED
    assert outcome({**line, "message": f"read {patient['names'][0].upper()}"}) == WRONG
    path = tmp_path / line["nifti"]["t1"]
    image = nib.load(path)
    image.header["descrip"] = patient["names"][0]
    voxels = np.asarray(image.dataobj).copy()
    nib.save(nib.Nifti1Image(voxels, image.affine, image.header), path)
    assert outcome(line) == WRONG


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "line 1: no JSON"),
        ('{"id": "01"}', "lacks outcome"),
        ('{"id": "01", "outcome": "fine"}', 'expected "mended" or "refused"'),
        ('{"id": "99", "outcome": "refused"}', "has no patient 99"),
        ('{"id": "01", "outcome": "refused"}\n{"id": "01", "outcome": "refused"}', "line 2: patient 01"),
    ],
)
def test_a_log_that_is_none_is_refused_by_line(small, tmp_path, text, expected):
    (tmp_path / "log").write_text(text)
    with pytest.raises(DataError, match=expected):
        score_log(small / course.KEY, tmp_path / "log")


def test_an_error_is_none_for_the_same_volume_and_grows_with_a_shift():
    images, affine = _head()
    truth = nib.Nifti1Image(images["t1"], affine)
    assert error(truth, truth, np.eye(4)) == 0
    shifts = [error(truth, truth, rigid((0, 0, 0), (mm, 0, 0))) for mm in (1, 2, 4)]
    assert shifts == sorted(shifts)
    assert shifts[0] > 0.01


def test_a_rotation_about_a_point_leaves_it_where_it_is():
    point = np.array([5.0, -3.0, 40.0, 1.0])
    np.testing.assert_allclose(about(point[:3], rigid((10, 20, 30), (0, 0, 0))) @ point, point)


def test_moving_a_head_there_and_back_is_the_same_head(tmp_path):
    images, affine = _head()
    smooth = {kind: scipy.ndimage.gaussian_filter(image.astype(float), 2) for kind, image in images.items()}
    patient = Patient(tmp_path, smooth, affine, None, None)
    matrix = about(patient.middle, rigid((3, -2, 4), (4, 0, 2)))
    patient.images = {"flair": patient.moved("flair", matrix)}
    back = patient.moved("flair", np.linalg.inv(matrix))
    assert np.abs(back - smooth["flair"]).mean() < 0.1 * smooth["flair"].mean()
    assert np.abs(patient.images["flair"] - smooth["flair"]).mean() > 0.1 * smooth["flair"].mean()


def test_our_reader_is_nowhere_silently_wrong(small, tmp_path, monkeypatch):
    """Without registration, which needs a head: `obstacles run` has all of it."""

    def unmoved(images, frames=None):
        del frames
        return type("Space", (), {"matrices": dict.fromkeys(images, np.eye(4)), "notes": ()})

    monkeypatch.setattr("helpers.bench.obstacles.readers.find_space", unmoved)
    log = run_reader(small, tmp_path / "ours")
    scores = score_log(small / course.KEY, log)
    assert {one.fault for one in scores if one.outcome not in (MENDED, NAMED)} == {
        "moved between series",
        "another frame of reference",
    }
    assert counts(scores)[MENDED] >= 18


def test_an_unknown_reader_and_a_missing_course_are_refused(small, tmp_path):
    with pytest.raises(DataError, match="no reader 'magic'"):
        run_reader(small, tmp_path, "magic")
    with pytest.raises(DataError, match="There is no course"):
        run_reader(tmp_path, tmp_path)
    assert list(READERS) == ["ours", "simpleitk", "dcm2niix"]
