"""The drawing of what is trained when: a filled box learns, and what learns is what ADDA trains."""

from matplotlib.colors import to_hex
from matplotlib.patches import FancyBboxPatch

from helpers.models.unet import unet
from helpers.show.phases import PHASES, TRAINED, Phase, phases
from helpers.tasks.adaptation.adversarial import ADDA


def filled(ax):
    boxes = [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    return {box.get_label() for box in boxes if to_hex(box.get_facecolor()) == TRAINED.lower()}


def test_the_boxes_of_each_phase_are_filled_where_they_learn():
    figure = phases(title="what is trained when")
    assert [filled(ax) for ax in figure.axes] == [set(phase.trained) for phase in PHASES]
    assert [ax.get_title("left") for ax in figure.axes] == [phase.title for phase in PHASES]
    assert figure.get_suptitle() == "what is trained when"


def test_a_part_that_does_not_learn_is_drawn_and_empty():
    figure = phases([Phase("still", (("x_t", "E_t"), ("E_t", "decoder")), ())])
    assert filled(figure.axes[0]) == set()
    assert len(figure.axes[0].patches) == 2


def test_the_alternative_text_says_what_learns():
    bundle, metadata = phases()._repr_mimebundle_()
    assert "2. the game, no masks, E_t and d;" in bundle["text/plain"]
    assert metadata["image/png"]["alt"] == bundle["text/plain"]


def test_in_the_game_of_the_course_the_sources_encoder_is_frozen_and_the_targets_learns():
    step = ADDA(unet(32, 1, 1, filters=2))
    assert not step.source.trainable_weights
    assert step.encoder.trainable_weights
    assert step.discriminator.trainable_weights
    assert PHASES[1].trained == ("E_t", "d")
