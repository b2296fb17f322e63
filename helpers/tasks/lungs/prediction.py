"""Inference on folders of X-rays: a mask for each, at its own size; what cannot be used is named first."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from helpers.data.chest import (
    HALVES,
    IMAGES,
    MASKS,
    TEST,
    list_pictures,
)
from helpers.data.pictures import picture_name, read_with_notes
from helpers.data.plausibility import radiograph_notes, sentences
from helpers.data.radiographs import lung_soft_labels, radiograph_hash, to_native_grid
from helpers.learn.run_folder import check_network, read_run
from helpers.runtime.disk import atomic_path
from helpers.runtime.errors import DataError
from helpers.runtime.outputs import writable_folder
from helpers.runtime.settings import expanded
from helpers.runtime.threads import map_threads
from helpers.tasks.lungs.shape import ShapeCheck

if TYPE_CHECKING:
    from helpers.tasks.lungs.inference import LungSegmenter

_MADE_BY = "made by"  # the entry of a mask's PNG that says of which model and radiograph it is
Log = Callable[[str], None]


def predict_lungs(
    model_dir: str | os.PathLike,
    folders: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    log: Log = print,
) -> tuple[list[Path], list[str]]:
    """Write `<name>_mask.png` for every X-ray of the folders: lungs 255, the rest 0, at the X-ray's own size.

    All X-rays are read before the first mask is written. Those that cannot be used are named then, and the others are
    segmented. A mask that the same model made of the same X-ray is left as it is. Outlines that are no pair of lungs by
    the shape that the model learned are named at the end, as those are that are empty.

    Args:
        model_dir: folder of a `train lungs`, or of an adaptation.
        folders: each holds X-rays: the chest set, whatever the names of its images, or loose PNG or DICOM files.
        out: receives the masks.
        log: called with a line of progress.

    Returns:
        The masks, and what is wrong with each X-ray that was refused.

    Raises:
        DataError: a folder holds no X-ray, or none that can be used; two X-rays have the same name; or `out` holds the
            X-rays or their masks.
        FileExistsError: there is another file in place of a mask. Nothing is overwritten, and nothing is begun.
    """
    paths, notes = named_pictures(folders)
    out = writable_folder(out)
    refuse_among_data(out, paths.values())
    read_run(model_dir, "lungs")
    check_network(model_dir)
    from helpers.tasks.lungs.inference import LungSegmenter

    segmenter, shape = LungSegmenter.load(model_dir), ShapeCheck.load(model_dir)
    seen, refused = read_radiographs(segmenter, model_dir, paths)
    heading = f"{len(refused)} of {len(paths)} X-rays cannot be used; mend or remove these files:"
    if not seen:
        error = DataError.listing(heading, list(refused.values()))
        raise error
    targets = {one.id: out / f"{one.id}_mask.png" for one in seen}
    todo = [one for one in seen if not targets[one.id].exists()]
    for one in seen:
        if one not in todo and _made_by(targets[one.id]) != one.made_by:
            raise FileExistsError(f"{targets[one.id]} is there already and is not overwritten; choose another --out.")
    for note in notes:
        log(f"Note: {note}.")
    if refused:
        log(str(DataError.listing(heading, list(refused.values()), limit=len(refused))))
    for note in (
        *sentences((one.id, one.notes) for one in seen),
        *(f"{one.id}: {how}." for one in seen for how in one.how),
    ):
        log(note)
    if len(todo) < len(seen):
        log(f"{len(seen) - len(todo)} masks of this model and these X-rays are in {out} already; they are left.")
    out.mkdir(parents=True, exist_ok=True)
    for one, lungs in outline(segmenter, todo):
        write_mask(targets[one.id], lungs, one.made_by)
        log(f"{one.id}: {targets[one.id]}")
    for one in seen:
        with Image.open(targets[one.id]) as image:
            faults = shape_faults(shape, np.asarray(image) > 0, segmenter.size)
        if faults:
            log(f"Note: {one.id}: the outline may be no lungs, look at it: {'; '.join(faults)}.")
    return list(targets.values()), list(refused.values())


@dataclass(frozen=True, eq=False)
class SeenRadiograph:
    """A radiograph that was read, as inference needs it.

    Attributes:
        id: its name.
        path: its file.
        shape: (rows, columns).
        made_by: the model and the radiograph, by their hashes: the origin of a mask.
        image: (size, size, 1) float32, the network's input.
        notes: what is unusual about it, see `helpers.data.plausibility.radiograph_notes`.
        how: what a user has to know of how it was read, a sentence each.
    """

    id: str
    path: Path
    shape: tuple[int, int]
    made_by: dict[str, str]
    image: np.ndarray
    notes: tuple[str, ...]
    how: tuple[str, ...]


def read_radiographs(
    segmenter: "LungSegmenter", model_dir: str | os.PathLike, paths: Mapping[str, Path]
) -> tuple[list[SeenRadiograph], dict[str, str]]:
    """Read radiographs for inference.

    Args:
        segmenter: of the model.
        model_dir: its folder.
        paths: the files by name.

    Returns:
        Those that can be used; and by name what is wrong with the others.
    """
    model = _digest((Path(model_dir) / "model.keras").read_bytes() + repr(segmenter.reference_histogram).encode())

    def read(item: tuple[str, Path]) -> SeenRadiograph | str:
        try:
            radiograph, how = read_with_notes(item[1])
        except DataError as error:
            return str(error)
        made_by = {"model": model, **radiograph_hash(radiograph)}
        image, unusual = segmenter.preprocess(radiograph), radiograph_notes(radiograph)
        return SeenRadiograph(*item, radiograph.shape, made_by, image, unusual, how)

    found = dict(zip(paths, map_threads(read, paths.items()), strict=True))
    seen = [one for one in found.values() if isinstance(one, SeenRadiograph)]
    return seen, {name: one for name, one in found.items() if isinstance(one, str)}


def outline(segmenter: "LungSegmenter", seen: Sequence[SeenRadiograph]) -> Iterator[tuple[SeenRadiograph, np.ndarray]]:
    """Segment radiographs, some at once.

    Args:
        segmenter: the model.
        seen: the radiographs.

    Yields:
        Each with its mask, (rows, columns) bool, on its own grid.
    """
    from helpers.tasks.lungs.inference import CHUNK, THRESHOLD

    for start in range(0, len(seen), CHUNK):
        chunk = seen[start : start + CHUNK]
        probabilities = segmenter.network_probabilities(np.stack([one.image for one in chunk]))
        for one, probability in zip(chunk, probabilities, strict=True):
            yield one, to_native_grid(probability, one.shape) > THRESHOLD


def shape_faults(shape: ShapeCheck | None, lungs: np.ndarray, size: int) -> list[str]:
    """What speaks against a mask being lungs, a line each.

    Args:
        shape: of the model; without one only an empty mask is a fault.
        lungs: (rows, columns) bool, on the radiograph's own grid.
        size: pixels along each side of the network's input, where the shape was learned.
    """
    if not lungs.any():
        return ["no lungs were found"]
    return shape.faults(lung_soft_labels(lungs, size)[..., 1] > 127) if shape else []


def named_pictures(folders: Sequence[str | os.PathLike]) -> tuple[dict[str, Path], list[str]]:
    """The radiographs of the folders by name, and notes on files that are not read.

    Args:
        folders: each holds X-rays, as `predict_lungs` takes them.

    Raises:
        DataError: a folder holds none, or two have the same name.
    """
    paths: dict[str, Path] = {}
    notes: list[str] = []
    for folder in folders:
        found, more = list_pictures(expanded(folder))
        notes += more
        for path in found:
            if (name := picture_name(path)) in paths:
                raise DataError(f"{name} is there twice: {paths[name]} and {path}; give one of the folders.")
            paths[name] = path
    return paths, notes


def refuse_among_data(out: Path, paths: Iterable[Path]) -> None:
    """Refuse to write masks among X-rays, or among masks of a set.

    Args:
        out: where masks are to be written.
        paths: the X-rays.

    Raises:
        DataError: `out` is a folder of the data.
    """
    places = {path.parent.resolve() for path in paths}
    places |= {place.parent / name for place in places if place.name == IMAGES for name in (MASKS, TEST, *HALVES)}
    here = out.resolve()
    if here in places:
        raise DataError(
            f"--out {out} is {here}, a folder of the data: masks there would be taken for X-rays, or for the ground "
            "truth. Choose another --out."
        )


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _made_by(path: Path) -> dict[str, str] | None:
    """The model and the radiograph that a mask was made of; None for other files."""
    try:
        with Image.open(path) as image:
            return json.loads(image.text[_MADE_BY])
    except (OSError, ValueError, SyntaxError, AttributeError, KeyError):
        return None


def write_mask(path: Path, lungs: np.ndarray, made_by: dict[str, str]) -> None:
    """Write a mask as a PNG with 0 and 255, and what it was made by.

    Args:
        path: of the file.
        lungs: (rows, columns) bool.
        made_by: the origin, see `SeenRadiograph`.
    """
    text = PngInfo()
    text.add_text(_MADE_BY, json.dumps(made_by))
    with atomic_path(path, lungs.size) as scratch:
        Image.fromarray(np.where(lungs, np.uint8(255), np.uint8(0))).save(scratch, pnginfo=text)
