"""Laws of the kernel's rebuilt training: what each fault changes, and that nothing else does."""

import numpy as np
import pytest

from helpers.data.splits import make_split
from helpers.models.unet import unet
from helpers.tasks.brain.mending import Mending
from helpers.tasks.brain.public_kernel import (
    BEST,
    FAULTS,
    STOPPED,
    Case,
    KernelBatches,
    compiled_network,
    fit_kernel,
    flat_scores,
    held_back,
    native_labels,
    native_probabilities,
    probabilities,
    read_case,
    restart,
)

PAIR = ("flair", "t1ce")
pytestmark = pytest.mark.usefixtures("shallow")


@pytest.fixture(scope="module")
def cases(patients):
    return [read_case(patient, PAIR, 16, {"batches", "loss"}) for patient in patients[:3]]


def test_the_largest_kept_value_is_1_under_the_kernels_scale_whatever_the_patient(patients):
    for patient in patients[:2]:
        case = read_case(patient, PAIR, 16, FAULTS)
        assert case.images[case.kept].max() == pytest.approx(1)
        assert case.images.min() >= 0


def test_without_the_fault_images_are_z_scores_and_do_not_depend_on_the_brightest_voxel(cases):
    inside = cases[0].images[cases[0].images.any(axis=-1)]
    assert abs(np.median(inside)) < 0.5
    assert cases[0].images.min() < -0.5


def test_a_squeezed_frame_has_hard_labels_and_a_window_shares(patients):
    hard, soft = (read_case(patients[0], PAIR, 16, faults) for faults in (FAULTS, ()))
    assert set(np.unique(hard.soft_labels)) == {0, 255}
    assert len(np.unique(soft.soft_labels)) > 2
    assert (hard.soft_labels.sum(axis=-1, dtype=int) == 255).all()
    assert (hard.centre, soft.centre is None) == (None, False)


def test_a_batch_is_of_one_patient_or_of_all(cases):
    mixed, alone = (KernelBatches(cases, 8, faults, seed=0) for faults in ((), {"batches"}))
    assert all(len(set(alone.owner[alone.of_one_patient(k)])) == 1 for k in range(len(alone)))
    drawn = [mixed._sampler(k) for k in range(len(mixed))]
    assert any(len(set(mixed.owner[rows])) > 1 for rows in drawn)
    assert len(mixed) == len(alone)
    assert mixed[0][0].shape == alone[0][0].shape == (8, 16, 16, 2)


def test_slices_that_are_held_back_are_in_no_batch(cases):
    hidden = np.flatnonzero(np.concatenate(held_back(cases, 0)))
    for faults in ((), {"batches"}):
        batches = KernelBatches(cases, 8, faults, seed=0)
        draw = batches.of_one_patient if faults else batches._sampler
        assert not set(np.concatenate([draw(k) for k in range(len(batches))])) & set(hidden)
    assert 0 < len(hidden) < 0.3 * sum(case.kept.stop - case.kept.start for case in cases)


def test_every_slice_of_every_patient_is_met_in_an_epoch_of_the_kernel(cases):
    batches = KernelBatches(cases, 8, {"batches"}, seed=0)
    met = set(np.concatenate([batches.of_one_patient(k) for k in range(len(batches) + len(cases))]))
    assert met == set(np.concatenate([batches.rows([owner]) for owner in range(len(cases))]))


def test_a_training_keeps_the_stopped_and_the_best_network(cases, tmp_path):
    history = fit_kernel(compiled_network(16, 2, 2, {"loss"}), cases[:2], cases[2:], {"loss"}, 2, 8, 0, tmp_path)
    assert list(history["epoch"]) == [1, 2]
    assert {path.name for path in tmp_path.iterdir()} == {STOPPED, BEST, "history.csv"}
    assert set(flat_scores(cases[2:], 8)) < set(history.columns)


@pytest.mark.parametrize("faults", [{"loss"}, ()])
def test_a_restarted_network_trains_as_a_new_one(cases, tmp_path, faults):
    used = compiled_network(16, 2, 2, faults)
    fit_kernel(used, cases[:2], cases[2:], faults, 1, 8, 5, tmp_path / "before")
    curves = []
    for network in (used, compiled_network(16, 2, 2, faults)):
        restart(network, 3)
        curves.append(fit_kernel(network, cases[:2], cases[2:], faults, 2, 8, 0, tmp_path / "after"))
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-3)
    restart(used, 3)
    first = used.get_weights()
    restart(used, 4)
    assert not np.allclose(first[0], used.get_weights()[0])


def test_all_background_is_flat_whatever_the_network(cases):
    flat = flat_scores(cases, 8)
    tumour = np.mean([(case.soft_labels[case.kept].argmax(axis=-1) > 0).mean() for case in cases])
    assert flat["val_accuracy"] == pytest.approx(1 - tumour)


@pytest.mark.parametrize("faults", [(), ("resizing",)])
def test_labels_come_back_to_where_they_were(patients, faults):
    case = read_case(patients[0], PAIR, 48, faults)
    back = native_labels(case.soft_labels / np.float32(255), case)
    nearest = native_labels(case.soft_labels / np.float32(255), case, nearest=True)
    shift = [
        np.abs(np.argwhere(one > 0).mean(axis=0) - np.argwhere(case.seg > 0).mean(axis=0))[:2]
        for one in (back, nearest)
    ]
    assert back.shape == nearest.shape == case.seg.shape
    if not faults:
        assert shift[0].max() < 0.2
    assert shift[1].max() > 0.3
    shares = native_probabilities(case.soft_labels / np.float32(255), case)
    np.testing.assert_array_equal(shares.argmax(axis=-1), back)


def test_the_cut_leaves_nothing_outside_the_kept_slices(cases):
    given = np.zeros((*cases[0].images.shape[:3], 4), np.float32)
    given[..., 2] = 1
    cut, whole = (native_labels(given, cases[0], cut=cut) for cut in (True, False))
    kept = np.zeros(cut.shape[2], bool)
    kept[cases[0].kept] = True
    assert not cut[..., ~kept].any()
    assert whole[..., ~kept].any()
    np.testing.assert_array_equal(cut[..., kept], whole[..., kept])


def test_slices_without_brain_are_background_without_inference(cases):
    case = cases[0]
    blank = Case(case.id, 0 * case.images, case.soft_labels, case.seg, case.spacing, case.centre)
    assert (probabilities(unet(16, filters=2), blank)[..., 0] == 1).all()


def test_arms_differ_in_their_faults_alone(patients, tmp_path):
    work = Mending(patients, make_split(patients, 0, 2), PAIR, 16, 2, 1, 8, tmp_path)
    [first] = work.train(["loss"], [0])
    [again] = work.train(["loss"], [0])
    np.testing.assert_allclose(first.honest(), again.honest())
    assert len(first.honest()) == len(work.split.test)
    shares, soft = first.kept_slices()
    assert shares[0].shape == soft[0].shape
