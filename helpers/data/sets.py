"""The data sets of the course: the name of each on Kaggle, its size, and the file by which a copy is recognised."""

import os
from dataclasses import dataclass
from pathlib import Path

from helpers.data.brats import MODALITIES

KAGGLE_INPUT = Path("/kaggle/input")
"""Where Kaggle mounts the sets that are attached to a notebook, read-only."""

_DEEPEST = 3  # folders between the root of a set and its patients; Kaggle's copies double theirs


@dataclass(frozen=True)
class DataSet:
    """A data set on Kaggle.

    Attributes:
        title: its name in messages.
        owner: the account on Kaggle; None where that is not established, and then it cannot be downloaded.
        slug: its name in addresses and mounts.
        version: the one the course was written for. A fixed version is found in the cache without a network.
        packed_gb: size of the archive, in GB of 10^9 bytes.
        unpacked_gb: size of the files in it.
        sentinel: pattern of a file that every copy has, at most three folders deep.
    """

    title: str
    owner: str | None
    slug: str
    version: int
    packed_gb: float
    unpacked_gb: float
    sentinel: str

    @property
    def handle(self) -> str:
        """`owner/slug/versions/1`, as kagglehub takes it."""
        return f"{self.owner}/{self.slug}/versions/{self.version}"

    @property
    def page(self) -> str:
        """The web page with its description and terms."""
        return f"https://www.kaggle.com/datasets/{self.owner}/{self.slug}"

    def held_by(self, folder: str | os.PathLike) -> bool:
        """Whether `folder` is a copy of the set, whole or in part: whether one file matches `sentinel`.

        Args:
            folder: searched three folders deep at most.
        """
        folders = ("*/" * depth + self.sentinel for depth in range(_DEEPEST + 1))
        return any(next(Path(folder).glob(pattern), None) for pattern in folders)

    def mounts(self, root: Path | None = None) -> list[Path]:
        """The existing folders where Kaggle may have mounted it, in the old layout and in the new.

        Args:
            root: where Kaggle mounts sets; None for `KAGGLE_INPUT`.
        """
        root = root or KAGGLE_INPUT
        places = [root / self.slug, *sorted(root.glob(f"datasets/*/{self.slug}"))]
        return [place for place in places if place.is_dir()]


BRATS = DataSet(
    title="BraTS 2020",
    owner="awsaf49",
    slug="brats20-dataset-training-validation",
    version=1,
    packed_gb=4,
    unpacked_gb=42,
    sentinel="BraTS20_Training_*/BraTS20_Training_*_flair.nii*",
)
# The same patients as in BraTS 2020 under other names: good for showing a leak, never for testing.
BRATS_2019 = DataSet(
    title="BraTS 2019",
    owner=None,
    slug="miccaibrats2019",
    version=1,
    packed_gb=4,
    unpacked_gb=30,
    sentinel="BraTS19_*/BraTS19_*_flair.nii*",
)
# Its sizes are inferred: two copies of everything, about 5 GB each, and PNG does not pack any further.
CHEST = DataSet(
    title="Chest X-ray Masks and Labels",
    owner="nikhilpandey360",
    slug="chest-xray-masks-and-labels",
    version=1,
    packed_gb=10,
    unpacked_gb=10,
    sentinel="CXR_png/*CXR_*.png",
)


def brats_files(patients: int) -> list[str]:
    """The files of the first patients of BraTS 2020, and the two tables, as paths inside the set.

    Args:
        patients: from 1 to 369.

    Raises:
        ValueError: the set has fewer patients.
    """
    if not 1 <= patients <= 369:
        raise ValueError(f"BraTS 2020 has 369 patients with a segmentation; {patients} were asked for.")
    root = "BraTS2020_TrainingData/MICCAI_BraTS2020_TrainingData"
    files = [f"{root}/name_mapping.csv", f"{root}/survival_info.csv"]
    for number in range(1, patients + 1):
        name = f"BraTS20_Training_{number:03d}"
        # The publisher named this one segmentation otherwise.
        seg = "W39_1998.09.19_Segm.nii" if number == 355 else f"{name}_seg.nii"
        images = [f"{name}_{modality}.nii" for modality in MODALITIES]
        files += [f"{root}/{name}/{file}" for file in (*images, seg)]
    return files
