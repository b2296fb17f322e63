"""Laws of plausibility: what is wrong with a radiograph or a mask is noted, and nothing about good ones."""

import numpy as np
import pytest

from helpers.data.chest import read_chest, read_xray
from helpers.data.pictures import read_image
from helpers.data.plausibility import (
    FEW_LEVELS,
    INVERTED,
    MISPLACED,
    implausible_mask,
    radiograph_notes,
    sentences,
    summarise,
)


@pytest.fixture(scope="module")
def cases(chests):
    return [read_xray(xray) for xray in read_chest(chests).require()]


def test_nothing_is_noted_about_phantoms(cases):
    for radiograph, mask in cases:
        assert radiograph_notes(radiograph, mask) == ()
        assert implausible_mask(mask) is None


def test_every_inverted_radiograph_is_noted(cases):
    for radiograph, mask in cases:
        assert radiograph_notes(255 - radiograph) == radiograph_notes(255 - radiograph, mask) == (INVERTED,)


def test_every_inverted_mask_is_implausible(cases):
    for _, mask in cases:
        assert "black on white" in implausible_mask(~mask)


def test_notes_do_not_depend_on_size_brightness_or_contrast(cases):
    for radiograph, _ in cases:
        for change in (lambda grey: grey // 2 + 60, lambda grey: np.kron(grey, np.ones((5, 5), np.uint8))):
            assert INVERTED not in radiograph_notes(change(radiograph))
            assert INVERTED in radiograph_notes(255 - change(radiograph))


def test_mask_beside_the_lungs_is_noted(cases):
    radiograph, mask = cases[0]
    rows, columns = mask.shape
    beside = np.zeros_like(mask)
    beside[rows // 4 : rows // 2, int(0.45 * columns) : int(0.55 * columns)] = True  # on the spine
    assert radiograph_notes(radiograph, beside) == (MISPLACED,)


def test_few_grey_levels_are_noted(cases):
    radiograph, _ = cases[0]
    assert radiograph_notes(radiograph // 16 * 16) == (FEW_LEVELS,)


def test_tiny_or_even_pictures_have_no_middle():
    assert radiograph_notes(np.zeros((2, 2), np.uint8)) == (FEW_LEVELS,)
    assert radiograph_notes(np.full((90, 90), 7, np.uint8), np.ones((90, 90), bool)) == (FEW_LEVELS,)


def test_summary_counts_and_names():
    notes = [("a", (INVERTED,)), ("b", ()), ("c", (INVERTED, FEW_LEVELS))]
    assert [(kind, ids) for kind, _, ids in summarise(notes)] == [(INVERTED, ("a", "c")), (FEW_LEVELS, ("c",))]
    assert sentences(notes, most=1)[0].startswith("Note: 2 of 3 X-rays look inverted")
    assert sentences(notes, most=1)[0].endswith(": a and 1 more")


def test_nothing_is_noted_about_real_radiographs_and_each_inverted_one_is(real_data):
    catalogue = read_chest(real_data / "chest")
    assert catalogue.notes == ()
    for xray in catalogue.xrays:
        radiograph, mask = read_xray(xray) if xray.mask else (read_image(xray.image), None)
        assert radiograph_notes(radiograph, mask) == (), xray.id
        assert radiograph_notes(255 - radiograph) == (INVERTED,), xray.id
        if mask is not None:
            assert "black on white" in implausible_mask(~mask), xray.id
