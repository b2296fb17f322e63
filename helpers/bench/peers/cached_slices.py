"""How fast MONAI delivers slices from its cached data set, in the two ways there are.

volumes: the volumes are cached, ready but for the choice of slices, which is the first random transform: MONAI's
    tutorial on 2-D slices from 3-D images.
slices: the slices are cached one by one, so that nothing is left to do but to stack them.

Both hold what the course's store holds: half-precision images, byte labels, on a grid of the same size.
"""

import time
from collections.abc import Iterator
from typing import Any

from serve import Measure, serve


def begin(patients: list[dict[str, Any]], size: int, batch: int) -> tuple[Measure, dict[str, Any]]:
    """Fill the caches.

    Args:
        patients: each with `image`, the paths of its modalities, and `label`, that of its segmentation.
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
    a_patient = min(8, batch)  # slices of one patient in a batch
    chosen = [
        t.RandSpatialCropSamplesd(keys, (-1, -1, 1), num_samples=a_patient, random_size=False),
        t.SqueezeDimd(keys, dim=-1),
    ]

    start = time.perf_counter()
    volumes = CacheDataset(patients, t.Compose([*prepared, *chosen]), copy_cache=False, progress=False)
    whole = CacheDataset(patients, t.Compose(prepared), copy_cache=False, progress=False)
    slices = [
        {key: patient[key][..., k].contiguous() for key in keys}
        for patient in whole
        for k in range(patient["label"].shape[-1])
    ]
    single = CacheDataset(slices, t.Compose([]), copy_cache=False, progress=False)
    filled = (time.perf_counter() - start) / 2

    def endless(data: CacheDataset, size: int) -> Iterator[dict]:
        # Drawn anew from few patients, without the start of an epoch, which many patients would see more rarely.
        sampler = RandomSampler(data, replacement=True, num_samples=10**9)
        return iter(DataLoader(data, batch_size=size, sampler=sampler, num_workers=0))

    ways = {"volumes": endless(volumes, batch // a_patient), "slices": endless(single, batch)}

    def measure(way: str, seconds: float) -> dict[str, Any]:
        """How many slices came in about so many seconds."""
        count, start = 0, time.perf_counter()
        while time.perf_counter() < start + seconds:
            count += len(next(ways[way])["image"])
        return {"slices": count, "seconds": time.perf_counter() - start}

    told = {
        "version": monai.__version__,
        "torch": torch.__version__,
        "fill_seconds": round(filled, 2),
        "slice_bytes": sum(part.nbytes for part in slices[0].values()),
    }
    return measure, told


if __name__ == "__main__":
    serve(begin)
