"""What the paper reports, read by the claim checker."""

import pytest

from helpers.measure.paper_claims import CLAIMS, LUNGS, Claim, claims_table, definitions, readings

BY_TEXT = {(claim.where, claim.text): claim for claim in CLAIMS}


def test_the_iou_of_the_paper_says_no_more_than_its_accuracy():
    claim = BY_TEXT["6.4, brain, training", ".9920"]
    alone = Claim("", "99.4%", "accuracy")
    for share in (None, ".006", ".010"):  # of tumour in all pixels
        assert "MeanIoU of Keras on one-hot masks" in definitions(claim, share)
        by_iou, by_accuracy = (
            next(one.foreground_dice for one in readings(which, share) if one.classes == 4) for which in (claim, alone)
        )
        assert by_iou == pytest.approx(by_accuracy, abs=0.06)


def test_with_six_thousandths_of_tumour_it_needs_none_to_be_found():
    assert readings(BY_TEXT["6.4, brain, training", ".9920"], ".006")[0].foreground_dice[0] < 0.05


def test_where_it_is_a_mean_over_tissues_dice_would_be_above_any_expert():
    claim = BY_TEXT["6.4, brain, training", ".9920"]
    others = [one for one in readings(claim) if "Keras" not in one.definitions[0].name]
    assert min(one.foreground_dice[0] for one in others) > 0.98


def test_the_preprints_two_numbers_are_not_of_the_same_masks():
    assert definitions(BY_TEXT["preprint 202506.2183, brain", "81%"]) == []


def test_a_dice_on_lungs_can_be_a_dice():
    assert "mean of the foreground's classes" in definitions(BY_TEXT["6.4, lungs, validation", ".9574"])


def test_an_accuracy_has_one_definition():
    assert definitions(Claim("here", "97%", "accuracy")) == ["share of right pixels"]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.where} {claim.text}")
def test_every_claim_is_a_number_that_can_be_read(claim):
    assert claim.metric in ("accuracy", "iou", "dice")
    assert readings(claim)


def test_the_lungs_of_the_last_epoch_are_those_of_the_claims():
    for side, numbers in LUNGS.items():
        claim = BY_TEXT[f"6.4, lungs, {side}", f"{numbers['dice']:.4f}".lstrip("0")]
        assert claim.beside == (("accuracy", f"{numbers['accuracy']:.4f}".lstrip("0")),)


def test_the_table_leaves_a_cell_empty_where_there_is_no_score():
    table = claims_table({"share of right pixels": 0.98}, {}, 0.4, "0.010")
    assert not table.isna().any(axis=None)
    assert set(table["our model"]) == {"", "0.9800"}
    assert set(table["honest Dice"]) == {"0.400", "lungs: lesson 09"}
