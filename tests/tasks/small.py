"""Networks that take half the time: most of a training of a few steps is tracing its layers, and so is a prediction."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from inspect import Parameter, signature

import pytest

from helpers.models.transformer import SHAPES
from helpers.models.unet import unet
from helpers.tasks.adaptation.adversarial import ADDA, GradientReversal


@contextmanager
def shallow_networks() -> Iterator[None]:
    """Meanwhile a U-Net halves the image twice, not four times, discriminators take its two coarsest levels, and the
    small transformer has one block, not six.

    That is where nobody asks for anything else: the commands leave it at the defaults, in training and in loading
    alike.
    """
    with pytest.MonkeyPatch.context() as patch:
        for function, changed in (
            (unet, {"depth": 2}),
            (ADDA.__init__, {"levels": (1, 2)}),
            (GradientReversal.__init__, {"levels": (1, 2)}),
        ):
            defaults = {name: one.default for name, one in signature(function).parameters.items()} | changed
            given = tuple(value for value in defaults.values() if value is not Parameter.empty)
            patch.setattr(function, "__defaults__", given)
        patch.setitem(SHAPES, "compact", replace(SHAPES["compact"], depth=1))
        yield
