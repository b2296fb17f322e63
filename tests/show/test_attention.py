import io

import numpy as np
import pytest
from PIL import Image

from helpers.show.attention import attention_of
from helpers.show.panel import plane

VIEW = plane(np.diag([-1.0, -1.0, 2.5, 1.0]))
PICTURE = np.random.default_rng(0).uniform(1, 2, (16, 16))
WEIGHTS = np.full((17, 17), 1 / 17)  # a class token and 4 x 4 patches


def test_there_is_a_frame_for_each_chosen_patch():
    gif = Image.open(io.BytesIO(attention_of(PICTURE, WEIGHTS, [0, 5, 15], VIEW, "Three").gif))
    assert gif.n_frames == 3


def test_the_heard_patch_is_bright_where_it_lies():
    """Patch 0 comes first in file order, which is right and front here: drawn upper left."""
    weights = np.zeros((17, 17))
    weights[1:, 1] = 1.0  # all patches listen to patch 0
    made = attention_of(PICTURE, weights, [15], VIEW, "Corner")
    still = np.asarray(Image.open(io.BytesIO(made.png)).convert("RGB"), int)
    right = still[30:, still.shape[1] // 2 :]
    yellow = (right[..., 0] > 200) & (right[..., 2] < 200)
    rows, columns = np.nonzero(yellow)
    assert rows.mean() < right.shape[0] / 2
    assert columns.mean() < right.shape[1] / 2


@pytest.mark.parametrize(
    ("picture", "weights", "patches", "said"),
    [
        (PICTURE, WEIGHTS[:16, :16], [0], "15 patches do not tile"),
        (PICTURE[:, :12], WEIGHTS, [0], "expected a square of squares"),
        (PICTURE, WEIGHTS, [16], "expected numbers from 0 to 15"),
        (PICTURE, WEIGHTS, [], "expected numbers from 0 to 15"),
    ],
)
def test_what_does_not_fit_is_refused(picture, weights, patches, said):
    with pytest.raises(ValueError, match=said):
        attention_of(picture, weights, patches, VIEW, "None")
