"""Viewer of a prediction beside the ground truth, with the Dice of each slice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import ipywidgets as widgets
import numpy as np

from helpers.measure import regions
from helpers.measure.overlap import dice
from helpers.show.style import AGREEMENT_COLOURS, CLASS_COLOURS, CLASS_NAMES
from helpers.show.viewer.controls import OWN_WIDTH, Picture, legend
from helpers.show.viewer.pane import Pane
from helpers.show.viewer.row import Row

if TYPE_CHECKING:
    from helpers.data.volumes import Scan

PALETTE = dict(enumerate(AGREEMENT_COLOURS.values(), start=1))
OPACITY = 0.6
COLUMN = "text-align: right; padding: 0 0.8em"


class Comparison(Row):
    """Ground truth, prediction, and for one region their agreement, false negatives and false positives.

    Args:
        scan: the patient, with its mask.
        prediction: (rows, columns, slices) network labels on the scan's grid.
        picture: selects the background image.
        k: initial slice; by default the one with most tumour.
        title: heading of the viewer.

    Attributes:
        region: selects the region that is compared, CSS class `course-region`.
        table: Dice of each region in the slice and in the whole patient, CSS class `course-dice`.
    """

    def __init__(
        self, scan: Scan, prediction: np.ndarray, picture: Picture, k: int | None = None, title: str | None = None
    ) -> None:
        self._truth, self._prediction, self._picture = scan.seg, prediction, picture
        self._of_patient = dice_by_region(scan.seg, prediction)
        style = {"style": {**OWN_WIDTH, "button_width": "3.5em"}, "layout": widgets.Layout(width="20em")}
        self.region = widgets.ToggleButtons(options=[*regions.REGIONS], description="region", **style)
        self.region.add_class("course-region")
        self.table = widgets.HTML().add_class("course-dice")
        classes = {CLASS_NAMES[label]: colour for label, colour in CLASS_COLOURS.items()}
        below = [widgets.HTML(legend(classes | AGREEMENT_COLOURS)), self.table]
        captions = ["Ground truth", "Prediction", "Agreement on the region"]
        super().__init__(scan, captions, self._draw_slice, k, [picture, self.region], below, title)
        picture.on_change(self.redraw)
        self.region.observe(lambda _: self.redraw(), "value")

    def _draw_slice(self, panes: list[Pane], k: int) -> None:
        cuts = [pane.cut(labels, k) for pane, labels in zip(panes, (self._truth, self._prediction), strict=False)]
        true, drawn = (regions.mask(labels, self.region.value) for labels in cuts)
        agreement = np.select([true & drawn, true, drawn], [1, 2, 3], 0).astype(np.uint8)
        palettes = (CLASS_COLOURS, CLASS_COLOURS, PALETTE)
        for pane, labels, palette in zip(panes, (*cuts, agreement), palettes, strict=True):
            image = pane.cut(self._picture.volume, k)
            pane.draw(image, self._picture.window.value, labels, palette, OPACITY)
        axis = panes[0].view.axis
        here = dice_by_region(self._truth.take(k, axis), self._prediction.take(k, axis))
        self.table.value = _table({f"slice {k}": here, "patient": self._of_patient})


def dice_by_region(truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """Dice of each scored region.

    Args:
        truth: network labels, any shape.
        prediction: network labels, the same shape.
    """
    return {name: dice(regions.mask(truth, name), regions.mask(prediction, name)) for name in regions.REGIONS}


def _table(rows: Mapping[str, Mapping[str, float]]) -> str:
    head = "".join(f'<th style="{COLUMN}">{name}</th>' for name in ("Dice", *regions.REGIONS))
    body = "".join(
        f"<tr><td>{name}</td>" + "".join(f'<td style="{COLUMN}">{value:.2f}</td>' for value in row.values()) + "</tr>"
        for name, row in rows.items()
    )
    return f"<table><tr>{head}</tr>{body}</table>"
