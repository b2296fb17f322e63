"""Faults of batches, where one of several patients is bad, and of neighbours: other commands in the same folder."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from tests.faults.brain import MASKS, REPORT, _file, _flip, _model, _patient, _values
from tests.faults.harness import Fault, run

KIND = "batches and neighbours"
SECOND = "BraTS20_Training_002"

Spoil = Callable[[Path], object]

HOLDER = """
import sys, time
from pathlib import Path
from helpers.runtime.lock import lock_folder
with lock_folder(Path(sys.argv[1]), "works in"):
    print("held", flush=True)
    time.sleep(120)
"""
_holders: list[subprocess.Popen] = []


def _three(folder: Path, spoil: Spoil = lambda folder: None) -> list[str]:
    """The folders of three patients, of which the second is spoiled."""
    folders = [_patient(folder, number) for number in range(3)]
    spoil(folders[1])
    return [str(one) for one in folders]


def _predict(folders: list[str], out: Path, model: Path | None = None) -> list[str]:
    return ["predict", str(model or _model()), *folders, "--out", str(out)]


def _batch(spoil: Spoil) -> Callable[[Path], list[str]]:
    return lambda folder: _predict(_three(folder, spoil), folder / "out")


def _report(spoil: Spoil) -> Callable[[Path], list[str]]:
    def plant(folder: Path) -> list[str]:
        models = ["--gate", str(_model("gate")), "--model", str(_model())]
        return ["report", *_three(folder, spoil), *models, "--out", str(folder / "out")]

    return plant


def _again(change: Callable[[Path], object], spoil: Spoil = lambda folder: None) -> Callable[[Path], list[str]]:
    """The command is given, something changes, and it is given again."""

    def plant(folder: Path) -> list[str]:
        arguments = _batch(spoil)(folder)
        run(arguments)
        change(folder)
        return arguments

    return plant


def _into(choose: Callable[[Path], Path]) -> Callable[[Path], list[str]]:
    """`predict` with an `--out` that depends on where the patients lie."""

    def plant(folder: Path) -> list[str]:
        folders = _three(folder)
        return _predict(folders[:1], choose(folder / "in"))

    return plant


def _beside_another(arguments: Callable[[Path], list[str]], where: str = "") -> Callable[[Path], list[str]]:
    """A command while another process works in its folder."""

    def plant(folder: Path) -> list[str]:
        _three(folder)
        for number in (3, 4):
            _patient(folder, number)
        command = [sys.executable, "-c", HOLDER, folder / "out" / where]
        _holders.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert _holders[-1].stdout.readline() == "held\n"
        return arguments(folder)

    return plant


def _train(*further: str) -> Callable[[Path], list[str]]:
    settings = ["--size", "32", "--filters", "2", *further]
    return lambda folder: ["train", "brain", "--data", str(folder / "in"), "--out", str(folder / "out"), *settings]


def _holder_leaves(folder: Path) -> None:
    holder = _holders.pop()
    holder.kill()
    holder.communicate()


# --- what is done to the second patient


def _nan(folder: Path) -> None:
    def spoil(data: np.ndarray) -> np.ndarray:
        data[20, 20, 13] = np.nan
        return data

    _values(spoil, np.float32)(_file(folder, "flair"))


def _text(folder: Path) -> None:
    _file(folder, "t1ce").write_text("an error page")


def _short(folder: Path) -> None:
    path = _file(folder, "t1ce")
    path.write_bytes(path.read_bytes()[:-1000])


def _lacking(folder: Path) -> None:
    _file(folder, "t1ce").unlink()


def _no_head(folder: Path) -> None:
    _values(lambda data: 0 * data)(_file(folder, "flair"))


def _elsewhere(folder: Path) -> None:
    path = _file(folder, "t1ce")
    image = nib.load(path)
    moved = nib.Nifti1Image(
        np.asarray(image.dataobj).copy(), image.affine + np.eye(4)[:, ::-1] * [[30.0], [0], [0], [0]]
    )
    path.unlink()
    nib.save(moved, path)


def _gone(folder: Path) -> None:
    shutil.rmtree(folder)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


# --- what is done between two commands


def _mended(folder: Path) -> None:
    shutil.rmtree(folder / "in" / SECOND)
    _patient(folder, 1)
    for mask in (folder / "out").glob("*_seg.nii.gz"):  # so that a mask which is made anew is seen
        os.utime(mask, (1, 1))


def _mask(folder: Path) -> Path:
    return folder / "out" / f"{SECOND}_seg.nii.gz"


def _corrected(folder: Path) -> None:
    image = nib.load(_mask(folder))
    labels = np.asarray(image.dataobj).copy()
    labels[0, 0, 0] = 1 if labels[0, 0, 0] != 1 else 2
    nib.save(nib.Nifti1Image(labels, image.affine), _mask(folder))


def _newer_scan(folder: Path) -> None:
    os.utime(_file(folder / "in" / SECOND, "flair"))


def _by_hand(folder: Path) -> list[str]:
    (folder / "out").mkdir()
    _mask(folder).write_text("drawn by hand")
    return _batch(lambda one: None)(folder)


def _other_model(folder: Path) -> None:
    record = folder / "out" / "predictions.json"
    content = json.loads(record.read_text())
    for mask in content["masks"].values():
        mask["model"] = ["0" * 64] * 2
    record.write_text(json.dumps(content))


def _foreign_record(folder: Path) -> list[str]:
    (folder / "out").mkdir()
    (folder / "out" / "predictions.json").write_text('{"mine": 1}')
    return _batch(lambda one: None)(folder)


def _abandoned(folder: Path) -> list[str]:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = folder / "out" / f".{_mask(folder).name}-{platform.node()}-{ended.pid}-abc"
    left.mkdir(parents=True)
    (left / "half").write_bytes(bytes(1000))
    return _batch(lambda one: None)(folder)


def _outside_link(patients: Path) -> Path:
    (patients.parent / "link").symlink_to(patients / SECOND)
    return patients.parent / "link"


# --- what is seen afterwards


def _masks(*numbers: int) -> Callable[[Path], None]:
    """The patients of these numbers have masks, and no other; no scratch file is left."""

    def check(folder: Path) -> None:
        names = sorted(path.name for path in (folder / "out").iterdir() if path.name not in REPORT[-2:])
        wanted = [f"BraTS20_Training_{number:03d}_seg.nii.gz" for number in numbers]
        assert [name for name in names if name != "predictions.json"] == wanted, names

    return check


def _kept(folder: Path) -> None:
    _masks(1, 2, 3)(folder)
    times = [path.stat().st_mtime for path in sorted((folder / "out").glob("*_seg.nii.gz"))]
    assert [time == 1 for time in times] == [True, False, True], times


def _by_hand_still(folder: Path) -> None:
    assert _mask(folder).read_text() == "drawn by hand"


def _unchanged(folder: Path) -> None:
    for patient in (folder / "in").iterdir():
        names = [path.name for path in patient.rglob("*")]
        assert len(names) == 5, names


def _reported(folder: Path) -> None:
    _masks(1, 3)(folder)
    page = (folder / "out" / "report.html").read_text(encoding="utf-8")
    assert "Not outlined" in page
    for text in (page, (folder / "out" / "report.json").read_text()):
        assert str(folder) not in text, "the report names a folder of the machine"


def _bad_second(name: str, spoil: Spoil, says: str, quick: bool = False, report: bool = False) -> list[Fault]:
    """`predict` of three patients, the second bad; and `report`, which draws, and takes longer."""
    predict = Fault(f"predict: {name}", KIND, _batch(spoil), says, check=_masks(1, 3), leaves=MASKS, quick=quick)
    reported = Fault(f"report: {name}", KIND, _report(spoil), says, check=_reported, leaves=REPORT)
    return [predict, reported] if report else [predict]


def _one_folder(folder: Path) -> list[str]:
    """The folder above three patients, the second of which lacks a modality."""
    _three(folder, _lacking)
    return _predict([str(folder / "in")], folder / "out")


def _refused(name: str, plant: Callable[[Path], list[str]], says: str, **further: object) -> Fault:
    return Fault(name, KIND, plant, says, **{"leaves": MASKS, "quick": True, **further})


FAULTS: list[Fault] = [
    *_bad_second("the second of three has a NaN", _nan, f"{SECOND}.*NaN.*Export the volume again", report=True),
    *_bad_second("the second of three is an error page", _text, f"{SECOND}.*copy or download it again", report=True),
    *_bad_second("the second of three is cut short", _short, f"{SECOND}.*copy or download it again"),
    *_bad_second(
        "the second of three has a flipped bit",
        lambda folder: _flip(0.5)(_file(folder, "t1ce")),
        f"{SECOND}.*copy or download it again",
    ),
    *_bad_second("the second of three lacks a modality", _lacking, f"{SECOND} has all of flair, t1ce.*add the files"),
    Fault(
        "predict: one of a folder of three lacks a modality",
        KIND,
        _one_folder,
        f"{SECOND}.*t1ce is missing. Add the file",
        check=_masks(1, 3),
        leaves=MASKS,
    ),
    *_bad_second("the second of three is no head", _no_head, f"{SECOND}.*every voxel is 0.*Export the volume again"),
    *_bad_second("the second of three lies elsewhere", _elsewhere, f"{SECOND}.*t1ce.*grid"),
    *_bad_second("the second of three folders is gone", _gone, f"There is no folder .*{SECOND}", report=True),
    *_bad_second("the second of three folders is empty", _empty, f"No BraTS patient under .*{SECOND}"),
    Fault(
        "predict: the command is given again with the second mended",
        KIND,
        _again(_mended, _nan),
        "001: .*finished before.*003: .*finished before",
        status=0,
        check=_kept,
        leaves=MASKS,
    ),
    Fault(
        "predict: a killed one left a scratch folder",
        KIND,
        _abandoned,
        SECOND,
        status=0,
        check=_masks(1, 2, 3),
        leaves=MASKS,
    ),
    _refused(
        "predict: one patient twice", lambda folder: _predict(2 * _three(folder)[:1], folder / "out"), "twice.*give one"
    ),
    _refused("predict: a mask drawn by hand", _by_hand, f"{SECOND}_seg.*not overwritten.*--out", check=_by_hand_still),
    _refused("predict: a mask corrected by hand", _again(_corrected), f"{SECOND}_seg.*not overwritten", quick=False),
    _refused("predict: a scan that is newer than its mask", _again(_newer_scan), f"{SECOND}_seg.*--out", quick=False),
    _refused("predict: masks of another model", _again(_other_model), "001_seg.*not overwritten.*--out", quick=False),
    _refused("predict: a predictions.json of somebody else", _foreign_record, "predictions.json is no record.*--out"),
    _refused(
        "predict --out: the patient's own folder",
        _into(lambda root: root / "BraTS20_Training_001"),
        "second mask.*--out",
        check=_unchanged,
    ),
    _refused(
        "predict --out: inside the patient's folder",
        _into(lambda root: root / "BraTS20_Training_001" / "a" / "b"),
        "second mask.*--out",
        check=_unchanged,
    ),
    _refused(
        "predict --out: the folder of another patient",
        _into(lambda root: root / SECOND),
        "second mask.*--out",
        check=_unchanged,
    ),
    _refused(
        "predict --out: a link to a patient's folder", _into(_outside_link), "second mask.*--out", check=_unchanged
    ),
    _refused(
        "report --out: inside a patient's folder",
        lambda folder: [*_report(lambda one: None)(folder)[:-1], str(folder / "in" / SECOND / "report")],
        "second mask.*--out",
        check=_unchanged,
    ),
    _refused(
        "train: another process trains into the folder",
        _beside_another(_train()),
        r"Another process \(process \d+\) trains into .*out; wait",
        check=_holder_leaves,
        leaves=(".lock",),
    ),
    _refused(
        "train --folds: another process trains into the folder",
        _beside_another(_train("--folds", "2")),
        r"Another process \(process \d+\) cross-validates in .*out; wait",
        check=_holder_leaves,
        leaves=(".lock",),
    ),
    _refused(
        "train --folds: another process trains a fold",
        _beside_another(_train("--folds", "2"), "fold_1_of_2"),
        r"Another process \(process \d+\) trains into .*fold_1_of_2; wait",
        check=_holder_leaves,
        leaves=(".lock",),
    ),
    _refused(
        "run: another process runs into the folder",
        _beside_another(lambda folder: ["run", "00", "--profile", "quick", "--out", str(folder / "out")]),
        r"Another process \(process \d+\) runs lessons into .*out; wait",
        check=_holder_leaves,
        leaves=(".lock",),
    ),
]
