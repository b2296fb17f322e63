"""Faults of brain volumes: damaged streams, headers that lie, positions and axes of any kind, labels of other years."""

import atexit
import functools
import gzip
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from helpers.data.brats import read_catalogue
from helpers.data.phantoms.brats import make_brats
from helpers.data.splits import make_split
from helpers.data.volumes import read_scan
from tests.faults.harness import Fault, run

KIND = "brain volumes"
MASKS = ("*seg.nii.gz", "predictions.json")
REPORT = (*MASKS, "report.json", "report.html")
MODALITIES = ("flair", "t1ce")
DIM, DATATYPE, PIXDIM, QFORM, SFORM, SROW, MAGIC = 40, 70, 76, 252, 254, 280, 344  # places in a NIfTI-1 header

Spoil = Callable[[Path], None]


@functools.cache
def _scratch() -> Path:
    """A folder that all faults share; it goes when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="brain-faults-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def _phantom() -> Path:
    """The folders of five patients; the second is LGG, without enhancing tumour."""
    root = _scratch() / "brats"
    make_brats(root, patients=5, validation=0, shape=(40, 40, 26), spacing=(6.0, 6.0, 155 / 26), seed=1)
    return root / "BraTS2020_TrainingData" / "MICCAI_BraTS2020_TrainingData"


@functools.cache
def _model(task: str = "brain") -> Path:
    """The folder of a network, or of a gate, that has learned nothing."""
    import keras

    from helpers.learn.run_folder import save_model, write_run
    from helpers.tasks.brain.inference import build_network
    from helpers.tasks.gate.inference import build_network as build_gate

    split = make_split(read_catalogue(_phantom()).patients, folds=3)
    parameters = {"modalities": list(MODALITIES), "size": 32, "extent_mm": 192.0, "seed": 0, "split": split.digest}
    parameters |= {"filters": 2} if task == "brain" else {"network": "cnn", "weights": None}
    keras.utils.set_random_seed(0)
    (_scratch() / task).mkdir()
    save_model((build_network if task == "brain" else build_gate)(parameters), _scratch() / task / "model.keras")
    write_run(_scratch() / task, task, parameters, split, {}, **({} if task == "brain" else {"threshold": 0.0}))
    return _scratch() / task


def _patient(folder: Path, number: int = 0) -> Path:
    """A copy of one patient."""
    source = sorted(path for path in _phantom().iterdir() if path.is_dir())[number]
    return Path(shutil.copytree(source, folder / "in" / source.name))


def _file(folder: Path, kind: str = "flair") -> Path:
    return next(path for path in sorted(folder.rglob("*.nii*")) if f"{kind}.nii" in path.name.lower())


def _predict(spoil: Spoil, patients: int = 1) -> Callable[[Path], list[str]]:
    """`predict` for a folder of some patients; the first of them is handed to `spoil`."""

    def plant(folder: Path) -> list[str]:
        copies = [_patient(folder, number) for number in range(patients)]
        spoil(copies[0])
        return ["predict", str(_model()), str(folder / "in"), "--out", str(folder / "out")]

    return plant


def _train(spoil: Spoil) -> Callable[[Path], list[str]]:
    def plant(folder: Path) -> list[str]:
        _predict(spoil, 5)(folder)
        settings = ["--size", "32", "--filters", "2", "--minutes", "0.2"]
        return ["train", "brain", "--data", str(folder / "in"), "--out", str(folder / "out" / "run"), *settings]

    return plant


def _report(spoil: Spoil, patients: int = 1) -> Callable[[Path], list[str]]:
    def plant(folder: Path) -> list[str]:
        _predict(spoil, patients)(folder)
        gate, model = _model("gate"), _model()
        return ["report", str(folder / "in"), "--gate", str(gate), "--model", str(model), "--out", str(folder / "out")]

    return plant


def _audit(spoil: Spoil, patients: int = 1) -> Callable[[Path], list[str]]:
    def plant(folder: Path) -> list[str]:
        copies = [_patient(folder, number) for number in range(patients)]
        spoil(copies[0])
        return ["audit", str(folder / "in")]

    return plant


# --- what is done to files


def _each(spoil: Callable[[Path], object], *kinds: str) -> Spoil:
    """Apply to the files of these kinds; to all without."""

    def all_of(folder: Path) -> None:
        for path in [_file(folder, kind) for kind in kinds or ("flair", "t1", "t1ce", "t2", "seg")]:
            spoil(path)

    return all_of


def _header(*changes: tuple[int, str, object]) -> Callable[[Path], None]:
    """Write values into the header at these offsets, as no library would."""

    def change(path: Path) -> None:
        content = bytearray(path.read_bytes())
        for offset, kind, values in changes:
            raw = np.asarray(values, kind).tobytes()
            content[offset : offset + len(raw)] = raw
        path.write_bytes(content)

    return change


def _values(change: Callable[[np.ndarray], np.ndarray], dtype: type | None = None) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        image = nib.load(path)
        data = np.asarray(image.dataobj).copy()
        content = nib.Nifti1Image(change(data if dtype is None else data.astype(dtype)), image.affine)
        path.unlink()
        nib.save(content, path)

    return rewrite


def _one_voxel(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(data: np.ndarray) -> np.ndarray:
        data[20, 20, 13] = value
        return data

    return change


def _replace(old: int, new: int) -> Callable[[Path], None]:
    return _values(lambda seg: np.where(seg == old, new, seg).astype(np.uint8))


def _packed(path: Path) -> Path:
    target = path.with_name(f"{path.name}.gz")
    target.write_bytes(gzip.compress(path.read_bytes(), 1))
    path.unlink()
    return target


def _flip(place: float | int) -> Callable[[Path], None]:
    """Compress, and flip one bit: at a fraction of the file, or so many bytes before its end."""

    def flip(path: Path) -> None:
        packed = _packed(path)
        content = bytearray(packed.read_bytes())
        content[int(len(content) * place) if isinstance(place, float) else place] ^= 4
        packed.write_bytes(content)

    return flip


def _stream(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        packed = _packed(path)
        packed.write_bytes(change(packed.read_bytes()))

    return spoil


def _huge(path: Path) -> None:
    _header((DIM + 2, "<i2", [32767] * 3))(path)
    _packed(path)


def _bomb(path: Path) -> None:
    path.write_bytes(path.read_bytes() + bytes(60_000_000))
    _packed(path)


def _renamed(ending: str) -> Callable[[Path], None]:
    return lambda path: path.rename(path.with_name(path.name.split(".")[0] + ending))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _four(path: Path) -> None:
    _values(lambda data: data[..., None].repeat(2, axis=-1))(path)


def _forms(change: Callable[[nib.Nifti1Image], None]) -> Callable[[Path], None]:
    """Change the forms of a header through nibabel, and save the same voxels."""

    def rewrite(path: Path) -> None:
        image = nib.load(path)
        content = nib.Nifti1Image(np.asarray(image.dataobj).copy(), image.affine)
        change(content)
        path.unlink()
        nib.save(nib.Nifti1Image(np.asarray(content.dataobj), None, content.header), path)

    return rewrite


def _shifted_qform(image: nib.Nifti1Image) -> None:
    moved = image.affine.copy()
    moved[0, 3] += 12
    image.set_qform(moved, 1)


def _codes(sform: int, qform: int) -> Callable[[Path], None]:
    def change(image: nib.Nifti1Image) -> None:
        affine = image.affine.copy()  # nibabel changes it with the codes
        image.set_sform(affine, sform)
        image.set_qform(affine, qform)

    return _forms(change)


def _order(codes: str) -> Callable[[Path], None]:
    """Store the same voxels at the same place in another axis order."""

    def rewrite(path: Path) -> None:
        image = nib.load(path)
        turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(codes))
        data = apply_orientation(np.asarray(image.dataobj).copy(), turn)
        content = nib.Nifti1Image(data, image.affine @ inv_ornt_aff(turn, image.shape))
        path.unlink()
        nib.save(content, path)

    return rewrite


def _oblique(degrees: float) -> Callable[[Path], None]:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]])

    def change(image: nib.Nifti1Image) -> None:
        image.set_sform(turn @ image.affine, 1)

    return _forms(change)


def _mixed_orders(folder: Path) -> None:
    for kind, codes in zip(("flair", "t1", "t1ce", "t2", "seg"), ("RSA", "LPS", "ASR", "PIR", "SAL"), strict=True):
        _order(codes)(_file(folder, kind))


def _newer(folder: Path, enhancing: int = 3) -> None:
    """The names and labels of 2023."""
    kinds = {"flair": "t2f", "t1": "t1n", "t1ce": "t1c", "t2": "t2w", "seg": "seg"}
    new = folder.with_name("BraTS-GLI-00002-000")
    _replace(4, enhancing)(_file(folder, "seg"))
    for old, kind in kinds.items():
        path = _packed(_file(folder, old))
        path.rename(path.with_name(f"{new.name}-{kind}.nii.gz"))
    folder.rename(new)


def _others_file(kind: str) -> Spoil:
    """One file of the second patient in the folder of the first, instead of its own."""

    def mix(folder: Path) -> None:
        other = sorted(path for path in _phantom().iterdir() if path.is_dir())[1]
        _file(folder, kind).unlink()
        shutil.copy(_file(other, kind), folder)

    return mix


def _flat(folder: Path) -> None:
    for path in list(folder.parent.rglob("*.nii")):
        path.rename(folder.parent / path.name)


def _elsewhere(folder: Path) -> None:
    real = folder.parents[1] / "elsewhere"
    folder.rename(real)
    folder.symlink_to(real, target_is_directory=True)
    (folder.parent / "again").symlink_to(real, target_is_directory=True)
    (folder.parent / "loop").symlink_to(folder.parent, target_is_directory=True)


def _dead_link(folder: Path) -> None:
    (folder.parent / "BraTS20_Training_900").symlink_to("nowhere", target_is_directory=True)


def _mac(folder: Path) -> None:
    twin = folder.parent / "__MACOSX" / folder.name
    twin.mkdir(parents=True)
    for path in list(folder.iterdir()):
        for place in (folder, twin):
            (place / f"._{path.name}").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    shutil.copy(_file(folder), twin)


def _table(change: Callable[[bytes], bytes]) -> Spoil:
    def spoil(folder: Path) -> None:
        content = (_phantom() / "name_mapping.csv").read_bytes()
        (folder.parent / "name_mapping.csv").write_bytes(change(content))

    return spoil


def _second_copy(folder: Path) -> None:
    shutil.copytree(folder, folder.parent / "copy" / folder.name)


def _second_mask(folder: Path) -> None:
    shutil.copy(_file(folder, "seg"), folder / "mine_seg.nii")


# --- what is seen afterwards


def _labels(folder: Path) -> np.ndarray:
    """The one mask below a folder, in the order of the training set."""
    (path,) = folder.rglob("*seg.nii.gz")
    image = nib.load(path)
    if not (image.header["qform_code"] or image.header["sform_code"]):
        return np.asarray(image.dataobj)
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt("LPS"))
    return apply_orientation(np.asarray(image.dataobj), turn)


@functools.cache
def _expected() -> np.ndarray:
    """The mask of the first patient as it is."""
    with tempfile.TemporaryDirectory() as name:
        status, output = run(_predict(lambda folder: None)(Path(name)))
        assert status == 0, output
        labels = _labels(Path(name) / "out")
    assert labels.any(), "the network calls nothing tumour, so that its masks show nothing"
    return labels


def _same_mask(folder: Path) -> None:
    """The mask is voxel for voxel that of the phantom, and lies where its image lies for readers of either form."""
    labels = _labels(folder / "out")
    labels = np.where(labels == 3, 4, labels)
    changed = int((labels != _expected()).sum()) if labels.shape == _expected().shape else labels.shape
    assert not changed, f"{changed} voxels differ from the mask of the same head"
    (mask,) = (folder / "out").rglob("*seg.nii.gz")
    mask, image = (nib.load(path) for path in (mask, _first_image(folder / "in")))
    assert mask.shape == image.shape, f"mask {mask.shape}, image {image.shape}"
    for field in ("qform_code", "sform_code", "srow_x", "srow_y", "srow_z", "qoffset_x", "quatern_b", "pixdim"):
        same = np.allclose(mask.header[field], image.header[field], atol=1e-6)
        assert same, f"{field}: {mask.header[field]} of the mask, {image.header[field]} of the image"


def _first_image(folder: Path) -> Path:
    return read_catalogue(folder).patients[0].images["flair"]


def _newer_mask(folder: Path) -> None:
    (path,) = (folder / "out").rglob("*.nii.gz")
    assert path.name == "BraTS-GLI-00002-000-seg.nii.gz", path.name
    values = set(np.unique(np.asarray(nib.load(path).dataobj)).tolist())
    assert values <= {0, 1, 2, 3}, values
    _same_mask(folder)


def _same_truth(folder: Path) -> None:
    scans = [read_scan(read_catalogue(root).patients[0], ("flair",)) for root in (folder / "in", _phantom())]
    assert (scans[0].seg == scans[1].seg).all(), "other labels than those of the phantom"


def _grades(folder: Path) -> None:
    grades = [patient.grade for patient in read_catalogue(folder / "in").patients]
    assert grades == ["HGG"], grades


def _masks(count: int) -> Callable[[Path], None]:
    def check(folder: Path) -> None:
        made = sorted(path.name for path in (folder / "out").rglob("*seg.nii.gz"))
        assert len(made) == count, f"masks {made}"

    return check


def _refused(name: str, plant: Callable[[Path], list[str]], says: str, quick: bool = False, **more: object) -> Fault:
    return Fault(name, KIND, plant, says, 1, quick=quick, **more)


def _mended(
    name: str,
    plant: Callable[[Path], list[str]],
    says: str,
    check: Callable[[Path], None] = _same_mask,
    quick: bool = False,
    leaves: Iterable[str] = MASKS,
) -> Fault:
    return Fault(name, KIND, plant, says, 0, check, tuple(leaves), quick)


FAULTS: list[Fault] = [
    # streams and sizes
    _refused(
        "one bit of the voxels flipped", _predict(_each(_flip(0.7), "flair")), r"flair\.nii\.gz: .* again", quick=True
    ),
    _refused("one bit of a mask flipped", _audit(_each(_flip(0.5), "seg")), r"seg\.nii\.gz: .* again", quick=True),
    _refused("one bit of the checksum flipped", _predict(_each(_flip(-6), "t1ce")), r"t1ce\.nii\.gz: .* again"),
    _refused("one bit of the length flipped", _audit(_each(_flip(-2), "t2")), r"t2\.nii\.gz: .* again"),
    _refused("gzip header flipped", _audit(_each(_flip(0), "t1")), r"t1\.nii\.gz: .* again"),
    _refused("a report of a flipped bit", _report(_each(_flip(0.7), "flair")), r"flair\.nii\.gz: .* again"),
    _refused("stream without its end", _audit(_each(_stream(lambda c: c[:-9]), "flair")), r"flair.*cut short.*again"),
    _refused(
        "half a stream", _predict(_each(_stream(lambda c: c[: len(c) // 2]), "flair")), r"flair.*cut short.*again"
    ),
    _refused("no byte at all", _predict(_each(_stream(lambda c: b""), "flair")), r"flair.*not a readable.*again"),
    _refused("a page behind the stream", _predict(_each(_stream(lambda c: c + b"<html>"), "flair")), r"flair.*again"),
    _refused("header claims 140 TB", _audit(_each(_huge, "flair"), 3), r"flair\.nii\.gz.*claims.*141 TB", quick=True),
    _refused(
        "header of one of two claims 140 TB",
        _predict(_each(_huge, "flair"), 2),
        r"Training_001.*claims.*141 TB.*Training_002",
        quick=True,
        check=_masks(1),
        leaves=MASKS,
    ),
    _refused("stream of 60 MB in a small file", _predict(_each(_bomb, "flair")), r"flair.*longer than.*again"),
    _refused(
        "header says fewer slices",
        _audit(_each(_header((DIM + 6, "<i2", [20])), "flair")),
        r"flair\.nii.*longer than the .* its header gives",
    ),
    _refused("header says more slices", _audit(_each(_header((DIM + 6, "<i2", [27])), "flair")), r"flair.*cut short"),
    _refused("plain file called .nii.gz", _predict(_each(_renamed(".nii.gz"), "flair")), r"rename it to \.nii"),
    _refused(
        "compressed file called .nii",
        _predict(_each(lambda path: _renamed(".nii")(_packed(path)), "flair")),
        r"rename it to \.nii\.gz",
    ),
    _refused(
        "an error page as a scan", _audit(_each(lambda p: p.write_text("<html>"), "t1")), r"t1\.nii.*not a readable"
    ),
    _refused("a pipe as a scan", _audit(_each(_pipe, "flair")), r"flair\.nii.*not a file", quick=True),
    _refused("four dimensions", _predict(_each(_four, "flair")), r"flair.*expected three dimensions"),
    _refused("dimensions below 0", _audit(_each(_header((DIM + 2, "<i2", [-3])), "flair")), r"flair.*three dimensions"),
    _refused("header and voxels apart", _audit(_each(_header((MAGIC, "S4", b"ni1")), "flair")), r"flair.*one file"),
    _refused("unknown type of voxels", _audit(_each(_header((DATATYPE, "<i2", [7])), "flair")), r"flair\.nii.*again"),
    _refused(
        "scale that is no number", _audit(_each(_header((112, "<f4", [1, np.inf])), "flair")), r"flair\.nii.*again"
    ),
    # whose files these are
    _refused(
        "FLAIR of another patient", _predict(_others_file("flair")), r"files of 2 patients.*of its own", quick=True
    ),
    _refused("mask of another patient", _audit(_others_file("seg")), r"_002_seg.*bears the id.*_002", quick=True),
    _refused("all patients in one folder", _predict(_flat, 3), r"files of 3 patients in one folder.*of its own"),
    _refused("a patient twice", _predict(_second_copy), r"there 2 times.*keep one"),
    _refused("two masks", _audit(_second_mask), r"2 segmentations.*keep one"),
    # where they lie
    _refused(
        "qform and sform differ",
        _predict(_each(_forms(_shifted_qform))),
        r"flair\.nii.*qform and its sform differ by 2 voxels.*Set both",
        quick=True,
    ),
    _mended("both codes are 0", _predict(_each(_codes(0, 0))), r"does not say how the head lies", quick=True),
    _mended("the qform alone counts", _predict(_each(_codes(0, 1))), r"_seg\.nii\.gz"),
    _mended("the sform alone counts", _predict(_each(_codes(3, 0))), r"_seg\.nii\.gz"),
    _refused("sform all 0", _audit(_each(_header((SROW, "<f4", [0] * 12), (SFORM, "<i2", [1])))), r"sform is all 0"),
    _refused(
        "affine that cannot be inverted",
        _audit(_each(_header((SROW, "<f4", [-6, -6, 0, 0] * 2)))),
        r"sform cannot be inverted.*export",
    ),
    _refused(
        "voxels of a millionth",
        _audit(_each(_header((SROW, "<f4", [-1e-6, 0, 0, 0, 0, -1e-6, 0, 0, 0, 0, 1e-6, 0])))),
        r"voxels of 1e-06 x .*expected 0\.01 to 20 mm",
        quick=True,
    ),
    _refused(
        "centimetres for millimetres",
        _predict(_each(_header((SROW, "<f4", [-0.6, 0, 0, 0, 0, -0.6, 0, 0, 0, 0, 0.6, 0])))),
        r"non-zero voxels span 1\d mm along axis 0; expected at least 40 mm.*right spacing",
    ),
    _refused(
        "sform with NaN", _predict(_each(_header((SROW, "<f4", [np.nan])))), r"sform holds values that are no num"
    ),
    _refused(
        "voxels of 0 mm and no position",
        _predict(_each(_header((PIXDIM + 4, "<f4", [0] * 3), (QFORM, "<i2", [0, 0])))),
        r"voxels of 0 x 0 x 0 mm",
    ),
    _refused(
        "qform that is no rotation",
        _predict(_each(_header((QFORM, "<i2", [1, 0]), (256, "<f4", [2, 2, 2])))),
        r"qform is no position.*export",
    ),
    _refused(
        "one file without a position", _predict(_each(_codes(0, 0), "t1ce")), r"t1ce\.nii.*has no position.*one header"
    ),
    _refused(
        "masks of another grid", _audit(_each(_values(lambda d: d[:-1]), "seg")), r"seg\.nii.*shape \(39, 40, 26\)"
    ),
    # the order of the axes
    _mended("stored coronally", _predict(_each(_order("RSA"))), r"axis order RSA, read in that of the", quick=True),
    _mended("stored sagittally", _predict(_each(_order("AIL"))), r"axis order AIL, read in that of the"),
    _mended("left and right exchanged on disk", _predict(_each(_order("RPS"))), r"axis order RPS, read in that of the"),
    _mended("each file in another order", _predict(_mixed_orders), r"axis order RSA, read in that of the"),
    _mended(
        "a report of a coronal file", _report(_each(_order("RSA"))), r"axis order RSA", check=_masks(1), leaves=REPORT
    ),
    _mended("an audit of a coronal file", _audit(_each(_order("RSA"))), r"axis order RSA", check=_same_truth),
    _mended("oblique by 5 degrees", _predict(_each(_oblique(5))), r"oblique by 5\.0 degrees", check=_masks(1)),
    _refused("oblique by 30 degrees", _predict(_each(_oblique(30))), r"oblique by 30\.0 degrees; expected.*Resample"),
    # values
    _refused(
        "a value beyond float32",
        _predict(_each(_values(_one_voxel(1.7e308), np.float64), "flair")),
        r"flair\.nii: 1 voxel is beyond the range of float32",
        quick=True,
    ),
    _mended(
        "one voxel of 1e30",
        _predict(_each(_values(_one_voxel(1e30), np.float32), "t1ce")),
        r"t1ce: 1 voxel of up to 1e\+30.*do not use this mask",
        check=_masks(1),
        quick=True,
    ),
    _mended(
        "a mask as an image",
        _predict(lambda folder: shutil.copy(_file(folder, "seg"), _file(folder, "t1ce"))),
        r"t1ce: only 4 different values.*do not use this mask",
        check=_masks(1),
    ),
    _mended(
        "one volume under two names",
        _predict(lambda folder: shutil.copy(_file(folder, "flair"), _file(folder, "t1ce"))),
        r"t1ce and flair are the same volume.*Do not use this mask",
        check=_masks(1),
        quick=True,
    ),
    _refused("a NaN", _predict(_each(_values(_one_voxel(np.nan), np.float32), "flair")), r"flair\.nii: 1 voxel is NaN"),
    _refused("every voxel 0", _predict(_each(_values(np.zeros_like), "flair")), r"flair\.nii: every voxel is 0"),
    _refused(
        "colours as voxels",
        _predict(_each(_values(lambda d: d.astype(np.complex64)), "flair")),
        r"flair\.nii: voxels of type complex64",
    ),
    # folders and tables
    _mended("a linked folder, twice, and a circle", _predict(_elsewhere), r"_seg\.nii\.gz", quick=True),
    _mended("a link to nothing", _audit(_dead_link), r"900: left out, a link to nothing", check=_same_truth),
    _mended("what a Mac adds to a zip", _predict(_mac), r"_seg\.nii\.gz", quick=True),
    _mended(
        "semicolons in name_mapping.csv", _audit(_table(lambda c: c.replace(b",", b";"))), "0 error", check=_grades
    ),
    _mended(
        "name_mapping.csv of a spreadsheet",
        _audit(_table(lambda c: c.replace(b",", b";").decode().encode("utf-16"))),
        "0 error",
        check=_grades,
        quick=True,
    ),
    _mended(
        "name_mapping.csv that is none", _audit(_table(lambda c: b"\0")), r"grades are left out", check=_same_truth
    ),
    # labels
    _mended("names and labels of 2023", _predict(_newer), r"-seg\.nii\.gz", check=_newer_mask, quick=True),
    _mended(
        "an audit of 2023", _audit(_newer), r"names of BraTS 2023 on, so label 3 is the enhancing", check=_same_truth
    ),
    _refused(
        "label 4 with names of 2023",
        _audit(lambda folder: _newer(folder, 4)),
        r"-seg\.nii\.gz: labels \{4\.0: \d+\}.*resection cavity.*Make 0",
    ),
    _mended(
        "label 3 in the whole folder",
        _audit(_each(_replace(4, 3), "seg")),
        r"label 3 is read as the enhancing tumour",
        check=_same_truth,
        quick=True,
    ),
    _refused(
        "label 3 of one, 4 of another",
        _audit(_each(_replace(4, 3), "seg"), 3),
        r"001_seg\.nii: labels \{3\.0: \d+\}.*and 4 in .*make 1 of every 3",
        quick=True,
    ),
    _refused(
        "labels 3 and 4", _audit(_each(_replace(1, 3), "seg")), r"seg\.nii: labels \{3\.0.*in the same mask.*make 1"
    ),
    _mended(
        "labels of 3.9999999991",
        _audit(_each(_values(lambda seg: seg * (1 - 2e-10), np.float64), "seg")),
        "0 error",
        check=_same_truth,
    ),
    _refused(
        "a mask that was interpolated",
        _audit(_each(_values(lambda seg: seg * 0.9, np.float32), "seg")),
        r"seg\.nii: labels \{0\.8999.*use the original",
    ),
    # before a training
    _refused("training on a flipped bit", _train(_each(_flip(0.7), "flair")), r"1 of 5 patients cannot.*again"),
    _refused(
        "training on a mask of 3 and 4", _train(_each(_replace(1, 3), "seg")), r"1 of 5 patients.*make 1 of every 3"
    ),
    _refused("training on 140 TB", _train(_each(_huge, "t1ce")), r"1 problem\(s\).*t1ce.*claims.*141 TB"),
    # the others go on
    _refused(
        "one bad patient of three in an audit",
        _audit(_each(_flip(0.7), "flair"), 3),
        r"1 error.*Training_001: .*flair\.nii\.gz.*again.*3 BraTS20_Training",
    ),
    _refused(
        "one bad patient of two in a report",
        _report(_each(_flip(0.7), "flair"), 2),
        r"flair\.nii\.gz: .* again.*Training_002: (outlined|no tumour)|Training_002: (outlined|no tumour).*again",
        check=_masks(1),
        leaves=REPORT,
    ),
]
