"""Phantom chest X-rays on disk: layout, names and irregularities of Kaggle's *Chest X-ray Masks and Labels*.

Two hospitals that expose, frame and mark their radiographs each in its own way; some patients with opacities as
tuberculosis leaves them; some Shenzhen images without a mask, which `test/` repeats; and two copies of the whole set.
The X-rays are synthetic: good for learning how things work and for tests, worthless for medicine.
"""

import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.data.chest import IMAGES, MASKS, READINGS, SITES, TEST
from helpers.data.phantoms.brats import build_beside, check_seed
from helpers.data.phantoms.radiograph import plan_radiograph
from helpers.data.phantoms.thorax import take_xray
from helpers.runtime.errors import DataError
from helpers.runtime.threads import map_threads

QUICK_CHEST = {"montgomery": 16, "shenzhen": 28, "size": 192}
"""Arguments of `make_chest` for a set that is made in seconds."""

_VERSION = 1
_FOLDER, _COPY = "Lung Segmentation", "data/Lung Segmentation"
_FINDINGS = {  # of the kind of the real readings
    "0": ("normal",),
    "1": ("right upper PTB", "bilateral PTB", "left upper infiltrates, old TB", "cavitary infiltrate, active TB"),
}


def make_chest(
    root: str | os.PathLike, montgomery: int = 138, shenzhen: int = 662, size: int = 512, seed: int = 0
) -> Path:
    """Write a set of phantom chest X-rays, or return at once where `root` holds the same set.

    The set is built beside `root` and moved into place. An X-ray depends on `seed`, its hospital and its number alone:
    a larger set contains the smaller one. Every other patient has tuberculosis; every seventh Shenzhen image (numbers
    4, 11, 18 …) has no mask and is repeated in `test/`, with other compression.

    Args:
        root: folder to make; its layout is that of `nikhilpandey360/chest-xray-masks-and-labels`.
        montgomery: number of images of this hospital, 8-bit grey.
        shenzhen: number of images of this hospital, with a palette or in RGB.
        size: pixels along the longer side.
        seed: another seed gives other patients.

    Returns:
        `root`.

    Raises:
        DataError: `root` holds something else or may not be written to, the arguments are out of range, or the disk is
            full.
    """
    counts_fit = min(montgomery, shenzhen) >= 0 and montgomery + shenzhen >= 1 and max(montgomery, shenzhen) <= 9999
    if not counts_fit or not 64 <= size <= 8192:
        raise DataError(
            f"Cannot make {montgomery} and {shenzhen} X-rays of {size} pixels; give 0 to 9999 of each hospital, one at "
            "least, and 64 to 8192 pixels."
        )
    check_seed(seed)
    note = {
        "what": "made-up chest X-rays, not for medical use",
        "version": _VERSION,
        "montgomery": montgomery,
        "shenzhen": shenzhen,
        "size": size,
        "seed": seed,
    }
    return build_beside(Path(root), note, _build)


def _build(root: Path, note: dict) -> None:
    folder = root / _FOLDER
    for name in (IMAGES, MASKS, TEST, READINGS):
        (folder / name).mkdir(parents=True)
    jobs = [
        (prefix, number, note["size"], note["seed"])
        for prefix, site in SITES.items()
        for number in range(1, note[site] + 1)
    ]
    for _ in map_threads(lambda job: _write_xray(folder, *job), jobs):
        pass  # each writes its files
    shutil.copytree(folder, root / _COPY)


def _write_xray(folder: Path, prefix: str, number: int, size: int, seed: int) -> None:
    rng = np.random.default_rng([seed, prefix == "CHNCXR", number])
    label = str(number % 2)
    woman, age = bool(rng.random() < 0.45), int(rng.integers(15, 80))
    radiograph = plan_radiograph(rng, SITES[prefix], size)
    pixels, lungs = take_xray(rng, radiograph, label == "1", woman)
    picture, mask = Image.fromarray(pixels), Image.fromarray(np.where(lungs, np.uint8(255), np.uint8(0)))
    name, finding = f"{prefix}_{number:04d}_{label}", rng.choice(_FINDINGS[label])
    if prefix == "MCUCXR":
        mask.save(folder / MASKS / f"{name}.png")
        reading = f"Patient's Sex: {'F' if woman else 'M'} \nPatient's Age: {age:03d}Y\n{finding}\n"
    else:
        picture = picture.convert("RGB") if number % 5 == 0 else _with_palette(picture)
        if number % 7 == 4:
            picture.save(folder / TEST / f"{name}.png", compress_level=1)
        else:
            mask.save(folder / MASKS / f"{name}_mask.png")
        reading = f"{'female' if woman else 'male'} {age}yrs\n{finding}\n"
    picture.save(folder / IMAGES / f"{name}.png")
    (folder / READINGS / f"{name}.txt").write_text(reading, encoding="utf-8")


def _with_palette(picture: Image.Image) -> Image.Image:
    """The same grey levels as entries of a palette, brightest first, so that the indices are a negative."""
    turned = Image.fromarray(255 - np.asarray(picture))
    turned.putpalette([grey for level in range(255, -1, -1) for grey in (level,) * 3])
    return turned
