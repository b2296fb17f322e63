"""Figures of lesson 12 show what they are given: each stack, each volume under the rim, each curve on one scale."""

import numpy as np

from helpers.show import retraining


def test_each_stack_is_cut_along_the_head_head_up():
    stack = np.zeros((6, 4, 5))
    stack[..., 4] = 7.0  # the slice on top
    figure = retraining.stacked({"by name": stack[..., ::-1], "by position": stack}, 2.0, title="Twice")
    below, above = (ax.images[0].get_array() for ax in figure.axes)
    assert below.shape == (5, 6)
    assert above[0].max() == 7
    assert below[-1].max() == 7


def test_each_volume_lies_under_the_same_rim(scan):
    rim = scan.images.any(axis=-1)
    volumes = {"as it was": scan.images[..., 0], "moved": np.roll(scan.images[..., 0], 2, axis=0)}
    figure = retraining.under_rim(volumes, rim, scan.affine, title="Rim")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["as it was", "moved"]


def test_losses_share_a_scale_and_the_words_tell_their_ends():
    curves = {"training": [1.0, 0.5], "validation": [0.9, 0.7]}
    figure = retraining.losses({"given": curves, "nothing": {"training": [2.0, 1.0], "validation": [1.9, 1.25]}})
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert [line.get_ydata()[-1] for line in figure.axes[1].lines] == [1.0, 1.25]
    _, metadata = figure._repr_mimebundle_()
    assert metadata["image/png"]["alt"].endswith("given 0.70; nothing 1.25.")
