"""The numbers that the paper and a preprint report of segmentations, and the definitions that can yield each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from helpers.measure.claim import Explanation, explain, figure, of_same_masks
from helpers.measure.kernel_scores import accuracy, one_hot_mean_iou
from helpers.measure.overlap import jaccard

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Claim:
    """Numbers that were reported together.

    Attributes:
        where: section, and of what.
        text: the number in question, as printed.
        metric: "accuracy", "iou" or "dice".
        beside: the metric and text of numbers reported of the same predictions.
        classes: number of classes, background among them.
    """

    where: str
    text: str
    metric: str
    beside: tuple[tuple[str, str], ...] = ()
    classes: int = 4


CLAIMS = (
    Claim("6.4, brain, training", ".9920", "iou", (("accuracy", "99.4%"),)),
    Claim("6.4, brain, training", "99.4%", "accuracy"),
    Claim("6.4, brain, validation", "99.2%", "accuracy"),
    Claim("6.2, brain, training", "99.82%", "accuracy"),
    Claim("6.2, brain, validation", "94.5%", "accuracy"),
    Claim("7, conclusion, training", "99.31%", "accuracy"),
    Claim("7, conclusion", ".7500", "iou", (("accuracy", "94.50%"),)),
    Claim("6.4, lungs, training", ".9831", "dice", (("accuracy", ".9931"),), classes=2),
    Claim("6.4, lungs, validation", ".9574", "dice", (("accuracy", ".9789"),), classes=2),
    Claim("preprint 202506.2183, brain", "81%", "iou", (("dice", "65.5%"),)),
)
"""What the paper prints, section by section. 99.31 % of the conclusion is the accuracy that 6.4 prints of lungs."""

LUNGS = {
    "training": {"loss": 0.0147, "dice": 0.9831, "accuracy": 0.9931},
    "validation": {"loss": 0.0899, "dice": 0.9574, "accuracy": 0.9789},
}
"""What section 6.4 prints of its last epoch on chest X-rays."""


def readings(claim: Claim, foreground: str | None = None) -> list[Explanation]:
    """All definitions under which the claim's numbers fit together.

    Args:
        claim: one of `CLAIMS`, or another.
        foreground: true share of foreground in all pixels, such as ".010", if it is known.
    """
    figures = [figure(claim.metric, claim.text), *(figure(metric, text) for metric, text in claim.beside)]
    return explain(figures, figure("foreground", foreground) if foreground else None, claim.classes)


def definitions(claim: Claim, foreground: str | None = None) -> list[str]:
    """Under which definitions the claim's own number can arise, by name; none where its numbers exclude each other.

    Args:
        claim: one of `CLAIMS`, or another.
        foreground: as in `readings`.
    """
    for metric, text in claim.beside if claim.metric == "iou" else ():
        if metric == "dice" and not of_same_masks(figure("iou", claim.text), figure("dice", text)):
            return []
    found = [one for one in readings(claim, foreground) if one.classes == claim.classes]
    return list(dict.fromkeys(one.definitions[0].name for one in found))


def by_definition(shares: Sequence[np.ndarray], probabilities: Sequence[np.ndarray]) -> dict[str, float]:
    """A model's accuracy and IoU, all pixels pooled, by the names that `helpers.measure.claim` has for the definitions.

    Args:
        shares: of each class, (slices, rows, columns, 4), a patient each.
        probabilities: of the same patients, each of the same shape.
    """
    y, p = (np.concatenate([one.reshape(-1, one.shape[-1]) for one in given]) for given in (shares, probabilities))
    truth, labels = y.argmax(axis=-1), p.argmax(axis=-1)  # (pixels,)
    eye = np.eye(y.shape[-1], dtype=np.uint8)
    ious = [jaccard(truth == label, labels == label) for label in range(y.shape[-1])]
    return {
        "share of right pixels": accuracy([truth], [labels]),
        "MeanIoU of Keras on one-hot masks": one_hot_mean_iou(eye[truth], eye[labels]),
        "MeanIoU of Keras on probabilities": one_hot_mean_iou(y, p),
        "mean of all classes, background too": float(np.mean(ious)),
        "mean of the foreground's classes": float(np.mean(ious[1:])),
    }


def claims_table(
    ours: Mapping[str, float], nothing: Mapping[str, float], honest: float, foreground: str | None = None
) -> "pd.DataFrame":
    """A row for each claim and each definition under which its number can arise, with what others score by that.

    Args:
        ours: a model's scores of brains, as `by_definition` gives them.
        nothing: those of all background.
        honest: the model's honest Dice.
        foreground: true share of tumour in all pixels, such as ".010", if it is known.
    """
    import pandas as pd

    def score(scores: Mapping[str, float], name: str, brain: bool) -> str:
        return f"{scores[name]:.4f}" if brain and name in scores else ""

    rows = []
    for claim in CLAIMS:
        brain = claim.classes == 4
        for name in definitions(claim, foreground if brain else None) or ["no definition gives both"]:
            rows.append(
                {
                    "where": claim.where,
                    "reports": claim.text,
                    "can arise as": name,
                    "our model": score(ours, name, brain),
                    "all background": score(nothing, name, brain),
                    "honest Dice": f"{honest:.3f}" if brain else "lungs: lesson 09",
                }
            )
    return pd.DataFrame(rows).set_index("where")
