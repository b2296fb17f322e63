"""The numbers that the paper and a preprint report of segmentations, and the definitions that can yield each."""

from dataclasses import dataclass

from helpers.measure.claim import Explanation, explain, figure, of_same_masks


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
