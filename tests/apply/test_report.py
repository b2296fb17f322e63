"""Tests of the report: atomic, on the patient's own grid, with one self-contained HTML page."""

import errno
import json
import os
import re
import shutil

import nibabel as nib
import numpy as np
import pytest

from helpers.apply import report as module
from helpers.apply.report import PURPOSE, report
from helpers.data.volumes import to_disk
from helpers.learn.run_folder import save_model
from helpers.measure.evaluate import summarise_patients
from helpers.runtime.errors import DataError
from helpers.runtime.interrupt import Terminated

PARAMETERS = {"modalities": ["flair", "t1ce"], "extent_mm": 192.0}


def _quiet(_):
    pass


@pytest.fixture(scope="module")
def models(system, usual, tmp_path_factory):
    """The folders of the gate and of the network."""
    root = tmp_path_factory.mktemp("models")
    for task, part, further in (
        ("gate", system.gate, {"threshold": system.gate.threshold}),
        ("brain", system.segmenter, {"statistics": {"ranges": usual, "fitted_on": []}}),
    ):
        (root / task).mkdir()
        save_model(part.network, root / task / "model.keras")
        run = {"task": task, "parameters": {**PARAMETERS, "size": part.grid.size}, "precision": "float32"}
        run |= {"versions": {}, "device": "none", "learned_from": {"somebody": {"flair": "0" * 64}}, **further}
        (root / task / "run.json").write_text(json.dumps(run))
    return root / "gate", root / "brain"


@pytest.fixture(scope="module")
def written(models, patients, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "new" / "report"
    return out, report([patients[0].folder], *models, out, _quiet)


@pytest.fixture
def copy(patients, tmp_path):
    """A patient's folder that a test may spoil, and a way to change one of its volumes."""
    folder = shutil.copytree(patients[0].folder, tmp_path / "patient")

    def change(kind, how):
        path = next(path for path in folder.iterdir() if f"_{kind}.nii" in path.name)
        image = nib.load(path)
        # A copy: the file's own array is mapped to it, and would be written over itself.
        nib.save(nib.Nifti1Image(how(np.asarray(image.dataobj).copy()), image.affine), path)
        return folder

    return change


def test_folder_holds_mask_numbers_and_page(written, patients):
    out, result = written
    assert {path.name for path in out.iterdir()} == {f"{patients[0].id}_seg.nii.gz", "report.json", "report.html"}
    assert json.loads((out / "report.json").read_text()) == json.loads(json.dumps(result))
    assert [path.name for path in out.parent.iterdir()] == ["report"]  # no scratch is left


def test_mask_is_the_outline_on_the_patients_grid(written, patients, system, scan):
    image = nib.load(written[0] / f"{patients[0].id}_seg.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), to_disk(system.predict(scan).labels))
    np.testing.assert_allclose(image.affine, scan.affine)


def test_numbers_agree_with_the_mask(written, patients, scan):
    entry = written[1]["patients"][0]
    labels = np.asarray(nib.load(written[0] / entry["mask"]).dataobj)
    assert entry["volumes_ml"]["WT"]["ml"] == pytest.approx((labels > 0).sum() * np.prod(scan.spacing) / 1000, abs=0.01)
    assert entry["status"] == "outlined"
    assert entry["slices"]["outlined"] == sum(p >= 0.03 for p in entry["slices"]["gate"])
    assert entry["seconds"]["in all"] > 0


def test_page_is_self_contained_and_states_its_purpose(written, patients):
    page = (written[0] / "report.html").read_text(encoding="utf-8")
    assert page.count(PURPOSE) == 2
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert len(sources) == 3
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "<script" not in page
    assert all(re.search(r'alt="[^"]{20,}"', tag) for tag in re.findall(r"<img[^>]*>", page))
    assert patients[0].id in page
    assert str(patients[0].folder) not in page
    assert "somebody" not in page + (written[0] / "report.json").read_text()


def _scored(model, tmp_path, n, **changed):
    """A copy of a model's folder, with the scores of `n` test patients, in whom no enhancing tumour is found."""
    rng = np.random.default_rng(0)
    region = {"jaccard": 0.5, "hd95_mm": 4.0}
    rows = []
    for number in range(n):
        found = {
            name: {**region, "dice": float(rng.uniform(0.5, 0.9)), "volume_error_ml": float(rng.normal(-5, 1))}
            for name in ("WT", "TC", "ET")
        }
        nothing = {name: {**region, "dice": 0.0, "hd95_mm": 99.0, "volume_error_ml": -30.0} for name in found}
        rows.append({"id": f"P{number}", "regions": found | {"ET": nothing["ET"]}, "trivial": nothing})
    folder = shutil.copytree(model, tmp_path / "scored")
    scores = summarise_patients(rows) | {"run": {}} | changed
    (folder / "metrics.json").write_text(json.dumps(scores))
    return folder, scores


def test_without_scores_the_page_says_that_none_were_measured(written):
    page = (written[0] / "report.html").read_text(encoding="utf-8")
    assert written[1]["scores"] is None
    assert "How well this model outlines was not measured" in page
    assert page.count('<td class="number">not measured</td>') == 3
    assert "Dice on" not in page


@pytest.mark.parametrize(("n", "words"), [(10, "its 95 % interval"), (3, "the lowest and the highest")])
def test_measured_scores_stand_beside_the_volumes(models, patients, tmp_path, n, words):
    folder, scores = _scored(models[1], tmp_path, n)
    result = report([patients[0].folder], models[0], folder, tmp_path / "out", _quiet)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for region in ("WT", "TC", "ET"):
        [row] = re.findall(rf"\({region}\)</td>(.*?)</tr>", page[: page.index("How much the network")], re.DOTALL)
        for name, digits in (("dice", ".2f"), ("volume_error_ml", "+.1f")):
            score = scores["regions"][region][name]
            low, high = score["ci95"] if n >= 8 else score["range"]
            assert f"{score['mean']:{digits}}" in row
            assert f"[{low:{digits}} to {high:{digits}}]" in row
        assert ("the very scores of a model that outlines nothing" in row) == (region == "ET")
    assert words in page
    assert f"Dice on {n} test patients" in page
    assert "not measured</td>" not in page
    assert result["scores"]["regions"]["ET"]["finds_none"]


def test_passes_are_listed_one_by_one_and_never_as_a_range(written):
    entry, page = written[1]["patients"][0], (written[0] / "report.html").read_text(encoding="utf-8")
    volume = entry["volumes_ml"]["WT"]
    assert len(volume["passes"]) == written[1]["passes"]
    assert " · ".join(f"{ml:.1f}" for ml in volume["passes"]) in page
    assert f"{volume['low']:.1f} to {volume['high']:.1f}" not in page
    assert "no interval" in page


def test_damaged_scores_are_refused_before_anybody_is_outlined(models, patients, tmp_path):
    folder, _ = _scored(models[1], tmp_path, 3, regions={"WT": {}})
    with pytest.raises(DataError, match=r"metrics\.json: regions.WT lacks dice.*Score the model again"):
        report([patients[0].folder], models[0], folder, tmp_path / "out", _quiet)
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(models, patients, tmp_path):
    (tmp_path / "mine.txt").write_text("own")
    with pytest.raises(FileExistsError, match="not overwritten"):
        report([patients[0].folder], *models, tmp_path, _quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_failure_leaves_no_files(models, patients, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(module, "_page", fail)
    with pytest.raises(OSError, match="disk full"):
        report([patients[0].folder], *models, tmp_path / "out", _quiet)
    assert not list(tmp_path.iterdir())


def test_exchanged_modalities_are_warned_of_on_top_of_the_page(models, copy, tmp_path):
    folder = copy("flair", lambda volume: volume)
    flair, t1ce = (next(folder.glob(f"*_{kind}.nii*")) for kind in ("flair", "t1ce"))
    aside = flair.with_name("aside")
    flair.rename(aside)
    t1ce.rename(flair)
    aside.rename(t1ce)
    result = report([folder], *models, tmp_path / "out", _quiet)
    assert "exchanged" in result["patients"][0]["warnings"][0]
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.index("seem exchanged") < page.index("<table")


def test_empty_volume_is_refused_and_nothing_written(models, copy, tmp_path):
    with pytest.raises(DataError, match="every voxel is 0"):
        report([copy("t1ce", lambda volume: 0 * volume)], *models, tmp_path / "out", _quiet)
    assert not (tmp_path / "out").exists()


def test_xray_given_as_a_brain_is_refused(models, copy, tmp_path):
    for kind in ("flair", "t1ce"):
        folder = copy(kind, lambda volume: volume[..., 20:21])
    with pytest.raises(DataError, match="this is no brain scan"):
        report([folder], *models, tmp_path / "out", _quiet)


def test_refused_patient_is_named_beside_the_others(models, copy, patients, tmp_path):
    spoiled = copy("t1ce", lambda volume: 0 * volume)
    for path in spoiled.iterdir():
        path.rename(path.with_name(path.name.replace(patients[0].id, "another")))
    result = report([patients[0].folder, spoiled], *models, tmp_path / "out", _quiet)
    assert [entry["status"] for entry in result["patients"]] == ["outlined", "refused"]
    assert not (tmp_path / "out" / "another_seg.nii.gz").exists()
    assert "Not outlined" in (tmp_path / "out" / "report.html").read_text()


def test_one_patient_twice_is_refused(models, patients, tmp_path):
    with pytest.raises(DataError, match="is there twice"):
        report([patients[0].folder] * 2, *models, tmp_path / "out", _quiet)


def test_folders_of_gate_and_network_are_not_interchangeable(models, patients, tmp_path):
    with pytest.raises(DataError, match="expected one of 'brain'"):
        report([patients[0].folder], models[1], models[0], tmp_path / "out", _quiet)


def test_patient_that_its_catalogue_refuses_is_no_end_for_the_others(models, copy, patients, tmp_path):
    spoiled = copy("t1ce", lambda volume: volume)
    for path in list(spoiled.iterdir()):
        path.rename(path.with_name(path.name.replace(patients[0].id, "another")))
    next(spoiled.glob("*_t1ce.nii*")).write_text("an error page")
    result = report([patients[0].folder, spoiled, tmp_path / "gone"], *models, tmp_path / "out", _quiet)
    assert [(entry["id"], entry["status"]) for entry in result["patients"]] == [
        (patients[0].id, "outlined"),
        ("another", "refused"),
        ("gone", "refused"),
    ]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "another_t1ce.nii" in page
    for text in (page, (tmp_path / "out" / "report.json").read_text()):
        assert str(tmp_path) not in text  # nor any other folder of the machine


def test_report_does_not_go_into_a_patients_folder(models, copy):
    folder = copy("t1ce", lambda volume: volume)
    before = sorted(folder.rglob("*"))
    with pytest.raises(DataError, match=r"second mask.*--out"):
        report([folder], *models, folder / "report", _quiet)
    assert sorted(folder.rglob("*")) == before


def test_full_disk_is_reported_with_the_folder_and_leaves_nothing(models, patients, tmp_path, monkeypatch):
    def fills_up(image, path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(nib, "save", fills_up)
    with pytest.raises(DataError, match=r"cannot be written: the disk.*Nothing half written is left"):
        report([patients[0].folder], *models, tmp_path / "out", _quiet)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("signal", [KeyboardInterrupt, Terminated])
def test_ctrl_c_and_sigterm_leave_nothing_and_say_so(models, patients, tmp_path, monkeypatch, signal):
    def stop(*_):
        raise signal

    monkeypatch.setattr(module, "_page", stop)
    with pytest.raises(signal, match=r"^Stopped; nothing was written"):
        report([patients[0].folder], *models, tmp_path / "out", _quiet)
    assert not list(tmp_path.iterdir())
