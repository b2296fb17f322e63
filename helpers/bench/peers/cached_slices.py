"""Measures how fast MONAI delivers slices from its cached data set, in three ways.

volumes: preprocessed volumes are cached, and slices are cropped at random, as in MONAI's tutorial on 2-D slices from
    3-D images.
slices: preprocessed slices are cached one by one, so that they only have to be stacked.
classes: the same, with a byte a pixel for each class but the background, as the course hands over its soft labels; the
    other two hand over one byte a pixel, the label.

All cache half-precision images, as the course's store does, on a grid of the same size.
"""

import time
from collections.abc import Iterator
from typing import Any

from serve import Measure, serve

LABELS = (1, 2, 4)  # of the training set: core, oedema, enhancing tumour


def begin(patients: list[dict[str, Any]], size: int, batch: int) -> tuple[Measure, dict[str, Any]]:
    """Fill the caches.

    Args:
        patients: each with `image`, the paths of its modalities, and `label`, the path of its segmentation.
        size: pixels along each side of a slice.
        batch: slices in a batch.

    Returns:
        The function that measures one of the ways, and `version`, `torch`, `fill_seconds`, and `slice_bytes` by
        way, of single slices.
    """
    import monai
    import numpy as np
    import torch
    from monai import transforms as t
    from monai.data import CacheDataset, DataLoader
    from torch.utils.data import RandomSampler

    keys = ("image", "label")
    prepared = [
        t.LoadImaged(keys, ensure_channel_first=True),
        t.NormalizeIntensityd("image", nonzero=True, channel_wise=True),
        t.Resized(keys, (size, size, -1), mode=("trilinear", "nearest-exact")),
        t.CastToTyped(keys, (np.float16, np.uint8)),
        t.ToTensord(keys, track_meta=False),
    ]
    per_patient = min(8, batch)  # slices of one patient in a batch
    cropped = [
        t.RandSpatialCropSamplesd(keys, (-1, -1, 1), num_samples=per_patient, random_size=False),
        t.SqueezeDimd(keys, dim=-1),
    ]

    start = time.perf_counter()
    volumes = CacheDataset(patients, t.Compose([*prepared, *cropped]), copy_cache=False, progress=False)
    whole = CacheDataset(patients, t.Compose(prepared), copy_cache=False, progress=False)
    slices = [
        {key: patient[key][..., k].contiguous() for key in keys}
        for patient in whole
        for k in range(patient["label"].shape[-1])
    ]
    filled = (time.perf_counter() - start) / 2
    classes = [
        {"image": one["image"], "label": torch.cat([one["label"] == label for label in LABELS]).to(torch.uint8) * 255}
        for one in slices
    ]

    def endless(data: CacheDataset, size: int) -> Iterator[dict]:
        # One endless epoch: with few patients, the start of an epoch would be over-represented.
        sampler = RandomSampler(data, replacement=True, num_samples=10**9)
        return iter(DataLoader(data, batch_size=size, sampler=sampler, num_workers=0))

    def cached(slices: list[dict]) -> CacheDataset:
        return CacheDataset(slices, t.Compose([]), copy_cache=False, progress=False)

    ways = {
        "volumes": endless(volumes, batch // per_patient),
        "slices": endless(cached(slices), batch),
        "classes": endless(cached(classes), batch),
    }

    def measure(way: str, seconds: float) -> dict[str, Any]:
        """Number of slices delivered in about `seconds`, and the exact time."""
        count, start = 0, time.perf_counter()
        while time.perf_counter() < start + seconds:
            count += len(next(ways[way])["image"])
        return {"slices": count, "seconds": time.perf_counter() - start}

    info = {
        "version": monai.__version__,
        "torch": torch.__version__,
        "fill_seconds": round(filled, 2),
        "slice_bytes": {"slices": _nbytes(slices[0]), "classes": _nbytes(classes[0])},
    }
    return measure, info


def _nbytes(slice_: dict[str, Any]) -> int:
    return sum(part.nbytes for part in slice_.values())


if __name__ == "__main__":
    serve(begin)
