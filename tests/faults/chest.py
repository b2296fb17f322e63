"""Faults of X-rays: what hospitals, archives and other programs do to radiographs, masks and their folders."""

import atexit
import functools
import io
import json
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.data import sources
from helpers.data.chest import read_chest
from helpers.data.phantoms.chest import make_chest
from helpers.data.pictures import read_image, read_mask
from helpers.data.radiographs import split_radiographs
from tests.faults.harness import Fault, run

KIND = "X-rays"
SET = "Lung Segmentation"
TRAINED = ("*.keras", "*.json", "*.csv", "*.png", "*.npz", "*.lock", "*.txt")

Spoil = Callable[[Path], None]


@functools.cache
def _phantom() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="chest-faults-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    make_chest(folder / "chest", montgomery=12, shenzhen=14, size=64, seed=2)
    shutil.rmtree(folder / "chest" / "data")  # the second copy is of no interest here
    return folder / "chest"


@functools.cache
def _model() -> Path:
    """What `train lungs` leaves, of a network that has learned nothing."""
    from helpers.learn.run_folder import save_model, write_run
    from helpers.tasks.lungs.inference import build_network

    folder = _phantom().parent / "model"
    folder.mkdir()
    parameters = {
        "site": "both",
        "size": 32,
        "filters": 2,
        "normalisation": "none",
        "augmentation": "none",
        "loss": "dice",
        "minutes": None,
        "epochs": 1,
        "seed": 0,
    }
    split = split_radiographs(read_chest(_phantom()).xrays)
    save_model(build_network(parameters), folder / "model.keras")
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(folder / "mean_mask.png")
    learned_from = {identity: {"radiograph": identity} for identity in (*split.train, *split.validation)}
    write_run(folder, "lungs", {**parameters, "split": split.digest}, split, learned_from)
    return folder


def _copy(folder: Path, name: str = "chest") -> Path:
    return Path(shutil.copytree(_phantom(), folder / name)) / SET


def _file(root: Path, kind: str, pattern: str = "*.png", number: int = 0) -> Path:
    return sorted((root / kind).glob(pattern))[number]


def _edit(path: Path, change: Callable[[np.ndarray], np.ndarray], **options: object) -> None:
    Image.fromarray(change(np.asarray(Image.open(path).convert("L")))).save(path, **options)


def png(path: Path, size: tuple[int, int], depth: int, colour: int, rows: bytes | None = None) -> None:
    """A PNG of any depth and kind of colour; without rows it is all zero, written in little memory."""
    (height, width), channels = size, {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    packer, line = zlib.compressobj(9), (width * channels * depth + 7) // 8 + 1
    if rows is None:
        block = bytes(line * 100)
        packed = b"".join(packer.compress(block) for _ in range(height // 100)) + packer.compress(
            bytes(line * (height % 100))
        )
    else:
        stride = line - 1
        packed = packer.compress(
            b"".join(b"\0" + rows[i : i + stride] for i in range(0, len(rows), stride))  # no filter
        )
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, content in ((b"IHDR", head), (b"IDAT", packed + packer.flush()), (b"IEND", b"")):
            file.write(struct.pack(">I", len(content)) + kind + content)
            file.write(struct.pack(">I", zlib.crc32(kind + content)))


def deep(path: Path, grey: np.ndarray, colour: int) -> None:
    """Grey levels as 16-bit grey (0), RGB (2), or grey and alpha (4)."""
    planes = {0: [grey], 2: [grey] * 3, 4: [grey, np.full_like(grey, 65535)]}[colour]
    png(path, grey.shape, 16, colour, np.stack(planes, axis=-1).astype(">u2").tobytes())


def flip_bit(path: Path) -> None:
    """One bit of the pixels, in the middle of the file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def _audit(spoil: Spoil, name: str = "chest") -> Callable[[Path], list[str]]:
    def plant(folder: Path) -> list[str]:
        root = _copy(folder, name)
        spoil(root)
        return ["audit", str(root.parent)]

    return plant


def _train(spoil: Spoil, *options: str) -> Callable[[Path], list[str]]:
    def plant(folder: Path) -> list[str]:
        root = _copy(folder)
        spoil(root)
        settings = ["--size", "32", "--filters", "2", "--augmentation", "none", "--minutes", "0.05"]
        return ["train", "lungs", "--data", str(root.parent), "--out", str(folder / "out" / "run"), *settings, *options]

    return plant


def _evaluate(spoil: Spoil, *options: str) -> Callable[[Path], list[str]]:
    def plant(folder: Path) -> list[str]:
        root = _copy(folder)
        spoil(root)
        return ["evaluate", str(_model()), "--data", str(root.parent), *options]

    return plant


def _predict(spoil: Spoil, out: str = "out") -> Callable[[Path], list[str]]:
    def plant(folder: Path) -> list[str]:
        root = _copy(folder)
        spoil(root)
        return ["predict", str(_model()), str(root.parent), "--out", str(folder / out)]

    return plant


# --- what is done to a set


def _invert_xrays(root: Path) -> None:
    for path in (root / "CXR_png").glob("*.png"):
        _edit(path, lambda grey: 255 - grey)


def _invert_masks(root: Path) -> None:
    for path in (root / "masks").glob("*.png"):
        _edit(path, lambda mask: 255 - mask)


def _third_hospital(root: Path) -> None:
    shutil.copy(_file(root, "CXR_png"), root / "CXR_png" / "JPCLN001.png")


def _empty_shenzhen_mask(root: Path) -> None:
    _file(root, "masks", "CHN*").write_bytes(b"")


def _spoil_tested(root: Path, prefix: str) -> None:
    split = split_radiographs(read_chest(root).xrays)
    flip_bit(root / "CXR_png" / f"{next(i for i in split.test if i.startswith(prefix) and '0004' not in i)}.png")


def _labels(mask: np.ndarray) -> np.ndarray:
    labels = (mask > 0).astype(np.uint8)
    labels[:, labels.shape[1] // 2 :] *= 2
    return labels


def _label_mask(root: Path) -> None:
    _edit(_file(root, "masks"), _labels)


def _palette_mask(root: Path) -> None:
    path = _file(root, "masks")
    picture = Image.fromarray(_labels(np.asarray(Image.open(path))))
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(path)


def _alpha_mask(root: Path) -> None:
    path = _file(root, "masks")
    mask = np.asarray(Image.open(path))
    Image.fromarray(np.dstack([np.zeros_like(mask), mask]), "LA").save(path)


def _jpeg_mask(root: Path) -> None:
    path, packed = _file(root, "masks"), io.BytesIO()
    Image.open(path).save(packed, "JPEG", quality=70)
    Image.open(packed).save(path)


def _dot_mask(root: Path) -> None:
    def dot(mask: np.ndarray) -> np.ndarray:
        kept = np.zeros_like(mask)
        kept[30:32, 20:23] = 255
        return kept

    _edit(_file(root, "masks"), dot)


def nlm_layout(root: Path) -> None:
    """The halves of Montgomery's masks in folders of their own, as NLM hands them out."""
    for half in ("leftMask", "rightMask"):
        (root / "ManualMask" / half).mkdir(parents=True)
    for path in (root / "masks").glob("MCU*.png"):
        mask = np.asarray(Image.open(path)).copy()
        middle = mask.shape[1] // 2
        for half, empty in (("leftMask", slice(None, middle)), ("rightMask", slice(middle, None))):
            lung = mask.copy()
            lung[:, empty] = 0
            Image.fromarray(lung).save(root / "ManualMask" / half / path.name)
        path.unlink()


def _half_missing(root: Path) -> None:
    nlm_layout(root)
    _file(root, "ManualMask/rightMask").unlink()


def _link(root: Path) -> None:
    real = root.parent.parent / "elsewhere"
    root.rename(real)
    root.symlink_to(real)


def _dicom_alone(root: Path) -> None:
    for path in list((root / "CXR_png").iterdir()):
        path.unlink()
    for number in range(3):
        (root / "CXR_png" / f"IM{number}.dcm").write_bytes(bytes(128) + b"DICM")


def _dicom_beside(root: Path) -> None:
    (root / "CXR_png" / "IM0.dcm").write_bytes(bytes(128) + b"DICM")
    (root / "CXR_png" / "IM1").write_bytes(bytes(128) + b"DICM")


def _jpeg_alone(root: Path) -> None:
    for path in list((root / "CXR_png").iterdir()):
        Image.open(path).convert("L").save(path.with_suffix(".jpg"))
        path.unlink()


def _turned(root: Path) -> None:
    entry = Image.Exif()
    entry[0x0112] = 3
    _edit(_file(root, "CXR_png"), lambda grey: grey[::-1, ::-1], exif=entry)


def _swap(root: Path) -> None:
    """X-rays and masks in each other's folder."""
    path = _file(root, "masks", "MCU*")
    other = root / "CXR_png" / path.name
    content = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(content)


def _different_sets(root: Path) -> None:
    other = root.parent / "other" / "CXR_png"
    other.mkdir(parents=True)
    shutil.copy(_file(root, "CXR_png"), other / "CHNCXR_7777_1.png")


def _loop(root: Path) -> None:
    (root / "again").symlink_to(root.parent)


def _folder_as_picture(root: Path) -> None:
    (root / "CXR_png" / "MCUCXR_0099_1.png").mkdir()


def _broken_link(root: Path) -> None:
    (root / "CXR_png" / "MCUCXR_0099_1.png").symlink_to("nowhere.png")


def _capital_ending(root: Path) -> None:
    path = _file(root, "CXR_png", "MCU*")
    shutil.copy(path, path.with_suffix(".PNG"))


def _error_page(root: Path) -> None:
    _file(root, "CXR_png", "MCU*").write_text("<html>404</html>")


def _damaged_readings(root: Path) -> None:
    reading = _file(root, "ClinicalReadings", "*.txt")
    reading.unlink()
    reading.mkdir()
    _file(root, "ClinicalReadings", "*.txt", 1).write_bytes(b"\xff\xfe\x00male")


def _masks_elsewhere(root: Path) -> None:
    (root / "masks").rename(root / "mask")


def _loose(change: Spoil) -> Callable[[Path], list[str]]:
    """A folder of loose X-rays, of which `change` makes `deep.png`."""

    def plant(folder: Path) -> list[str]:
        (folder / "loose").mkdir()
        for number in range(2):
            shutil.copy(_file(_phantom() / SET, "CXR_png", number=number), folder / "loose")
        change(folder / "loose" / "deep.png")
        return ["audit", str(folder / "loose")]

    return plant


def _grey(bits: int) -> np.ndarray:
    """A radiograph in levels of a detector, with its noise."""
    grey = np.asarray(Image.open(_file(_phantom() / SET, "CXR_png", number=3)).convert("L")).astype(float)
    noise = np.random.default_rng(0).random(grey.shape)
    return ((grey + noise) / 257 * (2**bits - 1)).astype(np.uint16)


def _marked(path: Path) -> None:
    grey = _grey(12)
    grey[:4, :6] = 65535
    deep(path, grey, 0)


def _many_levels(folder: Path) -> None:
    levels = len(np.unique(read_image(folder / "loose" / "deep.png")))
    assert levels > 150, f"{levels} grey levels are left"


def _joined(folder: Path) -> None:
    catalogue = read_chest(folder / "chest")
    assert len(catalogue.require("montgomery")) == 12
    there, here = (read_chest(one).require("montgomery")[0] for one in (_phantom(), folder / "chest"))
    from helpers.data.chest import read_lungs

    assert (read_lungs(here) == read_mask(there.mask)).all(), "the halves do not add up"


def _one_answer(folder: Path) -> None:
    sources.chest(folder / "chest")
    assert len(read_chest(folder / "chest").xrays) == 26, "other X-rays are found through the link"


def _nothing_begun(folder: Path) -> None:
    assert not list((folder / "out").rglob("*.*")), "something was written"


def _masks_written(count: int) -> Callable[[Path], None]:
    def check(folder: Path) -> None:
        made = sorted((folder / "out").glob("*_mask.png"))
        assert len(made) == count, f"{len(made)} masks"
        for path in made[:3]:
            mask = np.asarray(Image.open(path))
            image = read_image(folder / "chest" / SET / "CXR_png" / path.name.replace("_mask", ""))
            assert mask.dtype == np.uint8, mask.dtype
            assert mask.shape == image.shape, mask.shape
            assert set(np.unique(mask)) <= {0, 255}

    return check


def _predict_twice(folder: Path) -> list[str]:
    arguments = _predict(lambda root: None)(folder)
    status, output = run(arguments)
    assert status == 0, output
    _file(folder, "out").unlink()
    return arguments


def _predict_over(folder: Path) -> list[str]:
    arguments = _predict(lambda root: None)(folder)
    (folder / "out").mkdir()
    shutil.copy(_file(folder / "chest" / SET, "masks", "MCU*"), folder / "out" / "MCUCXR_0001_1_mask.png")
    return arguments


def _predict_same_names(folder: Path) -> list[str]:
    arguments = _predict(lambda root: None)(folder)
    return [*arguments[:3], str(_copy(folder, "again")), *arguments[3:]]


def _predict_loose_bad(folder: Path) -> list[str]:
    _loose(lambda path: path.write_text("no picture"))(folder)
    return ["predict", str(_model()), str(folder / "loose"), "--out", str(folder / "out")]


def _audit_given_images(folder: Path) -> list[str]:
    return ["train", "lungs", "--data", str(_copy(folder) / "CXR_png"), "--out", str(folder / "out" / "run")]


def _audit_second_missing(folder: Path) -> list[str]:
    return ["audit", str(_copy(folder).parent), str(folder / "nowhere [1]")]


def _audit_run(content: str) -> Callable[[Path], list[str]]:
    def plant(folder: Path) -> list[str]:
        made = folder / "trained"
        made.mkdir()
        split = split_radiographs(read_chest(_phantom()).xrays)
        from helpers.data.splits import save_split

        save_split(split, made / "split.json")
        (made / "run.json").write_text(content)
        return ["audit", str(made), str(_phantom())]

    return plant


def _nothing(root: Path) -> None:
    pass


def _refused(name: str, plant: Callable[[Path], list[str]], says: str, quick: bool = False, **more: object) -> Fault:
    return Fault(name, KIND, plant, says, 1, quick=quick, **more)


def _mended(name: str, plant: Callable[[Path], list[str]], says: str, quick: bool = False, **more: object) -> Fault:
    return Fault(name, KIND, plant, says, 0, quick=quick, **more)


def _bomb(root: Path) -> None:
    png(_file(root, "CXR_png"), (14000, 14000), 1, 0)


def _bomb_mask(root: Path) -> None:
    png(_file(root, "masks"), (30000, 30000), 1, 0)


FAULTS = [
    # a decompression bomb, and other files that are no picture
    _refused("a PNG of 14000 x 14000 in audit", _audit(_bomb), r"1 error.*14000 x 14000.*80 million", True),
    _refused("a PNG of 14000 x 14000 in training", _train(_bomb), r"CHNCXR_0001_1\.png.*14000 x 14000"),
    _refused("a mask of 900 megapixels", _audit(_bomb_mask), r"1 error.*30000 x 30000"),
    _refused("a PNG of 14000 x 14000 in predict", _predict(_bomb), r"14000 x 14000", leaves=("*_mask.png",)),
    _refused("a flipped bit in an X-ray", _audit(lambda root: flip_bit(_file(root, "CXR_png"))), "check sum", True),
    _refused("a flipped bit in a mask", _audit(lambda root: flip_bit(_file(root, "masks"))), "check sum", True),
    _refused("an error page named .png", _audit(_error_page), r"MCUCXR_0001_1.*not a picture", True),
    _refused("a folder named .png", _audit(_folder_as_picture), r"MCUCXR_0099_1.*directory"),
    _refused("a link to nothing named .png", _audit(_broken_link), r"MCUCXR_0099_1.*no such file"),
    # brackets
    _refused("brackets in a folder", _audit(_empty_shenzhen_mask, "chest [old]"), r"chest \[old\]", True),
    _refused("markup in a folder", _audit(_empty_shenzhen_mask, "x[/b] set"), r"x\[/b\] set", True),
    _refused("a folder with brackets that is missing", _audit_second_missing, r"nowhere \[1\]", True),
    # deep files
    _mended("12 bits and a marker at 65535", _loose(_marked), "0 error", True, check=_many_levels),
    _mended("10 bits in 16", _loose(lambda path: deep(path, _grey(10), 0)), "0 error", True, check=_many_levels),
    _refused("12 bits in 48-bit colour", _loose(lambda path: deep(path, _grey(12), 2)), "16-bit colour", True),
    _refused("12 bits in 16-bit grey and alpha", _loose(lambda path: deep(path, _grey(12), 4)), "16-bit colour"),
    _mended(
        "16 grey levels left by another program",
        _loose(lambda path: Image.fromarray(np.uint8(_grey(4)) * 17).save(path)),
        "fewer than 64 grey levels.*deep",
        True,
    ),
    # meaning
    _mended("inverted X-rays in audit", _audit(_invert_xrays), "26 of 26 X-rays look inverted", True),
    _mended("inverted X-rays in evaluate", _evaluate(_invert_xrays), "look inverted"),
    _mended("inverted X-rays in predict", _predict(_invert_xrays), "look inverted", leaves=("*_mask.png",)),
    _mended("inverted X-rays in training", _train(_invert_xrays), "look inverted", leaves=TRAINED),
    _refused("lungs black on white in audit", _audit(_invert_masks), "black on white", True),
    _refused("lungs black on white in training", _train(_invert_masks), "black on white.*Invert", True),
    _refused("a mask of a few pixels", _audit(_dot_mask), "lungs are at least", True),
    _refused("a mask in place of an X-ray", _audit(_swap), "two grey levels.*as a mask has", True),
    _refused("an orientation in EXIF", _audit(_turned), "orientation of its own.*exif_transpose", True),
    # masks of other kinds
    _refused("a mask with left and right labels", _audit(_label_mask), r"3 labels \(0, 1, 2\).*left and right", True),
    _refused("a palette with left and right", _audit(_palette_mask), "3 labels.*left and right", True),
    _refused("an outline in alpha alone", _audit(_alpha_mask), "alpha channel", True),
    _refused("a mask saved as JPEG", _audit(_jpeg_mask), "saved as JPEG"),
    # what a folder holds
    _mended("NLM's own layout", _audit(nlm_layout), "0 error", True, check=_joined),
    _refused("one lung of NLM's layout missing", _audit(_half_missing), "one lung alone.*rightMask", True),
    _mended("a linked set folder", _audit(_link), "0 error", True, check=_one_answer),
    _mended("a link that leads in a circle", _audit(_loop), "0 error"),
    _refused("masks in mask/", _train(_masks_elsewhere), r"without a mask.*mask holds 24 pictures.*masks/", True),
    _refused("damaged DICOM alone in audit", _audit(_dicom_alone), r"neither site nor label.*expected", True),
    _refused("damaged DICOM alone in training", _train(_dicom_alone), "a mask without an image", True),
    _refused("damaged DICOM alone in predict", _predict(_dicom_alone), r"IM0.*or cut short.*Export"),
    _refused("damaged DICOM beside PNG", _audit(_dicom_beside), r"neither site nor label.*expected", True),
    _refused("JPEG alone", _audit(_jpeg_alone), r"26 pictures that are not PNG.*\.jpg.*Export"),
    _refused("two different sets", _audit(_different_sets), "different sets.*name one of these"),
    _refused("the folder of the images itself", _audit_given_images, "name the folder that holds CXR_png", True),
    _refused("one name twice", _audit(_capital_ending), r"MCUCXR_0001_1.*second image.*keep one"),
    _mended("clinical readings that cannot be read", _audit(_damaged_readings), "0 error"),
    _mended("a damaged phantom.json", _audit(lambda root: (root.parent / "phantom.json").write_text("{")), "0 error"),
    _refused("learned_from is a list", _audit_run('{"learned_from": ["a"]}'), "not a finished training.*restore", True),
    _refused("run.json is no object", _audit_run("[1, NaN]"), "not a finished training.*restore"),
    _refused(
        "fitted_on is a number",
        _audit_run(json.dumps({"learned_from": {}, "statistics": {"fitted_on": 3}})),
        "not a finished training.*restore",
    ),
    # one admission for the whole run
    _refused(
        "an X-ray of a third hospital, both asked for",
        _train(_third_hospital),
        r"JPCLN001\.png.*tells neither site",
        True,
        check=_nothing_begun,
    ),
    _mended(
        "an X-ray of a third hospital, one asked for",
        _train(_third_hospital, "--site", "montgomery"),
        r"skipped.*JPCLN001\.png.*is finished",
        leaves=TRAINED,
    ),
    _mended(
        "an empty mask of the other hospital",
        _train(_empty_shenzhen_mask, "--site", "montgomery"),
        r"skipped.*CHNCXR_0001_1_mask\.png.*is finished",
        leaves=TRAINED,
    ),
    _refused(
        "a test X-ray damaged",
        _train(lambda root: _spoil_tested(root, "MCU"), "--site", "montgomery"),
        r"test X-rays cannot be used.*MCUCXR.*check sum",
        check=_nothing_begun,
    ),
    _mended(
        "a test X-ray of the other hospital damaged",
        _train(lambda root: _spoil_tested(root, "CHN"), "--site", "montgomery"),
        r"CHNCXR.*is not scored.*check sum.*is finished",
        leaves=TRAINED,
    ),
    _mended(
        "an empty mask elsewhere, evaluated", _evaluate(_empty_shenzhen_mask, "--site", "montgomery"), "montgomery"
    ),
    # predict
    _mended("predict on X-rays", _predict(_nothing), "_mask.png", leaves=("*_mask.png",), check=_masks_written(26)),
    _refused(
        "one bad X-ray among good ones",
        _predict(_error_page),
        r"1 of 26 X-rays cannot be used.*MCUCXR_0001_1",
        leaves=("*_mask.png",),
        check=_masks_written(25),
    ),
    _refused("one bad among loose X-rays", _predict_loose_bad, r"1 of 3.*deep\.png", leaves=("*_mask.png",)),
    _mended(
        "X-rays of a third hospital in predict",
        _predict(_third_hospital),
        "JPCLN001_mask",
        leaves=("*_mask.png",),
        check=_masks_written(27),
    ),
    _refused(
        "a mask in the way", _predict_over, r"MCUCXR_0001_1_mask\.png is there already", leaves=("MCU*_mask.png",)
    ),
    _mended("the same predict again", _predict_twice, "25 masks of this model", leaves=("*_mask.png",)),
    _refused("masks to be written among masks", _predict(_nothing, f"chest/{SET}/masks"), "choose another --out"),
    _refused("one name in two folders", _predict_same_names, "there twice"),
]
"""All of them."""
