import itertools
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib import colors
from skimage.color import deltaE_ciede2000, rgb2lab

from helpers.show import slices, style

# What eyes see that lack a kind of cone, in linear RGB (Machado et al. 2009, severity 1).
EYES = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
MEANINGS = {"class": style.CLASS_COLOURS, "error": style.AGREEMENT_COLOURS, "region": style.REGION_COLOURS}


def as_seen(colour, matrix):
    rgb = np.array(colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(matrix) @ linear, 0, 1)
    return rgb2lab(np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("matrix", EYES.values(), ids=EYES)
@pytest.mark.parametrize(
    "palette",
    [
        [*style.CLASS_COLOURS.values(), "#9A9A9A"],  # beside the grey of other tissue
        list(style.AGREEMENT_COLOURS.values()),
        list(style.REGION_COLOURS.values()),
    ],
    ids=["classes", "agreement", "regions"],
)
def test_colours_of_one_panel_can_be_told_apart(palette, matrix):
    for first, second in itertools.combinations(palette, 2):
        apart = deltaE_ciede2000(as_seen(first, matrix), as_seen(second, matrix))
        assert apart > 15, f"{first} and {second} are {apart:.0f} apart"


@pytest.mark.parametrize("matrix", EYES.values(), ids=EYES)
def test_no_eye_takes_a_class_for_an_error_or_a_region(matrix):
    seen = {(kind, name): as_seen(c, matrix) for kind, palette in MEANINGS.items() for name, c in palette.items()}
    for (first, a), (second, b) in itertools.combinations(seen.items(), 2):
        assert deltaE_ciede2000(a, b) > 11, f"{first} looks like {second}"


def test_class_error_and_region_share_no_hue():
    hues = {(k, n): as_seen(c, np.eye(3)) for k, palette in MEANINGS.items() for n, c in palette.items()}
    for (first, a), (second, b) in itertools.combinations(hues.items(), 2):
        apart = np.degrees(np.arctan2(a[2], a[1]) - np.arctan2(b[2], b[1]))
        assert first[0] == second[0] or abs((apart + 180) % 360 - 180) > 10, f"{first} has the hue of {second}"


def test_a_figure_leaves_the_callers_settings_and_figures_alone(scan):
    before = dict(matplotlib.rcParams)
    slices.modalities(scan)
    assert dict(matplotlib.rcParams) == before
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []


def test_alt_text_travels_beside_the_picture(scan):
    data, metadata = slices.modalities(scan)._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert "patient_1" in metadata["image/png"]["alt"]


def test_use_sets_the_style():
    with matplotlib.rc_context():
        style.use()
        assert matplotlib.rcParams["image.cmap"] == "gray"


def test_drawing_loads_neither_tensorflow_nor_seaborn_nor_a_display():
    code = "import sys, helpers.show.slices, helpers.show.scores; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"tensorflow", "keras", "seaborn", "matplotlib.pyplot"} & set(loaded)
