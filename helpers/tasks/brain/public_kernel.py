"""A public kernel's training, and the same with one fault after another mended: what lesson 08 takes apart.

Network, optimiser, learning rate, steps and slices a step are the same in every training; what differs are the faults
that are still in it. `helpers.prepare.public_kernel` has the mechanism of each.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from helpers.data.brats import Patient
from helpers.data.normalise import zscore
from helpers.data.resample import Grid, soft_labels_on
from helpers.data.volumes import read_scan
from helpers.learn.learning_rate import LEARNING_RATE
from helpers.learn.losses import CrossEntropy, DiceCrossEntropy
from helpers.learn.predict_batches import predict_batches
from helpers.measure.kernel_scores import by_batch, honest_dice, honest_jaccard, one_hot_mean_iou
from helpers.models.unet import unet
from helpers.prepare.public_kernel import bilinear, by_maximum, corner_nearest, kept_slices, stops_after
from helpers.prepare.sampling import SliceSampler

FAULTS = {
    "resizing": "the frame is squeezed, the mask resized by nearest neighbour",
    "scaling": "a patient is divided by the largest value",
    "batches": "a batch is slices of one patient",
    "loss": "the loss is plain cross-entropy",
}
"""The faults that a training of its own mends, in the order in which lesson 08 does. The kernel itself resizes one-hot
masks bilinearly; "resizing" is what its copies do."""

STOPPED, BEST = "stopped.weights.h5", "best.weights.h5"
"""The weights where the kernel's rule ends the training, and those of the epoch with the best validation Dice."""

_HELD_BACK = 8
"""One slice in so many of the training patients is held back, as a split by slices would do."""


@dataclass(frozen=True)
class Case:
    """One patient's slices as a network gets them, all of them.

    Attributes:
        id: the patient.
        images: (slices, size, size, modalities) float32: divided by the largest value, or z-scores.
        soft_labels: (slices, size, size, 4) uint8, fractions in 255ths.
        seg: the ground truth on the patient's grid, (rows, columns, slices) uint8.
        spacing: millimetres per voxel of that grid.
        centre: of the network's window in mm; None where the whole frame was squeezed.
    """

    id: str
    images: np.ndarray
    soft_labels: np.ndarray
    seg: np.ndarray
    spacing: tuple[float, float, float]
    centre: tuple[float, float] | None

    @property
    def kept(self) -> slice:
        """The slices that the kernel keeps."""
        return kept_slices(len(self.images))


def read_case(patient: Patient, modalities: tuple[str, ...], size: int, faults: Collection[str]) -> Case:
    """Read a patient and bring every slice to the network's grid, the kernel's way or the course's.

    Args:
        patient: with the modalities and a segmentation.
        modalities: the volumes to read, in the order of the network's channels.
        size: pixels along each side.
        faults: names in `FAULTS`; "resizing" and "scaling" are met here.

    Raises:
        DataError: a file cannot be used.
    """
    scan = read_scan(patient, modalities)
    volume = scan.images if "scaling" in faults else zscore(scan.images)
    if "resizing" in faults:
        centre, images = None, bilinear(volume, size).transpose(2, 0, 1, 3)  # (slices, size, size, modalities)
        labels = corner_nearest(scan.seg, (size, size)).transpose(2, 0, 1)  # (slices, size, size)
        soft_labels = np.uint8(255) * np.eye(4, dtype=np.uint8)[labels]
    else:
        grid = Grid(size)
        centre = grid.brain_centre(scan.images, scan.spacing, scan.id)
        images = grid.down(volume, scan.spacing, centre)
        soft_labels = soft_labels_on(scan.seg, grid, scan.spacing, centre)
    if "scaling" in faults:
        # The kernel's batch is one patient's kept slices. Ours is smaller, but shares that batch's number.
        images = by_maximum(images, images[kept_slices(len(images))])
    return Case(patient.id, np.asarray(images, np.float32), soft_labels, scan.seg, scan.spacing, centre)


def held_back(cases: Sequence[Case], seed: int) -> list[np.ndarray]:
    """Which of the kept slices of the training patients are held back at random.

    Args:
        cases: the training patients, in the order of the training.
        seed: of the draw.

    Returns:
        (kept slices,) bool for each patient.
    """
    counts = [case.kept.stop - case.kept.start for case in cases]
    drawn = np.random.default_rng([seed, 7]).random(sum(counts)) < 1 / _HELD_BACK
    return np.split(drawn, np.cumsum(counts)[:-1])


class KernelBatches(keras.utils.PyDataset):
    """The batches of a training: the kept slices of its patients but those held back. As `SliceSampler` wants a store.

    Args:
        cases: the training patients.
        batch_size: slices in a batch.
        faults: with "batches" a batch is slices of one patient; else slices of all, half of them with tumour.
        seed: of the order, and of the slices that are held back.
    """

    def __init__(self, cases: Sequence[Case], batch_size: int, faults: Collection[str], seed: int) -> None:
        super().__init__()
        self.images = np.concatenate([case.images[case.kept] for case in cases])
        self.soft_labels = np.concatenate([case.soft_labels[case.kept] for case in cases])
        self.owner = np.repeat(np.arange(len(cases)), [case.kept.stop - case.kept.start for case in cases])
        self.voxels_per_class = self.soft_labels.sum(axis=(1, 2), dtype=np.float32) / 255
        self.has_brain = self.images.any(axis=(1, 2, 3))
        self._seen = ~np.concatenate(held_back(cases, seed))
        self._of_one, self._batch_size, self._seed, self._epoch = "batches" in faults, batch_size, seed, 0
        self._sampler = SliceSampler(self, range(len(cases)), batch_size, seed)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-int(self._seen.sum()) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Batch number `index` of this epoch: images and soft labels, (batch, size, size, ...) float32."""
        rows = self.of_one_patient(index) if self._of_one else self._sampler(self._epoch * len(self) + index)
        return self.images[rows], self.soft_labels[rows] / np.float32(255)

    def on_epoch_end(self) -> None:
        """Count the epoch: the next one has another order."""
        self._epoch += 1

    def rows(self, ids: Sequence[int]) -> np.ndarray:
        """The slices to train on of the patients with these numbers, (slices,) int.

        Args:
            ids: numbers of patients, in the order of the cases.
        """
        return np.flatnonzero(np.isin(self.owner, list(ids)) & self._seen)

    def of_one_patient(self, index: int) -> np.ndarray:
        """Slices of one patient, spread from foot to head, (batch,) int; patients come in another order each epoch.

        Args:
            index: number of the batch in this epoch.
        """
        owners = np.random.default_rng([self._seed, self._epoch, 8]).permutation(self.owner.max() + 1)
        size = self._batch_size
        batches = []
        for rows in map(self.rows, owners[:, None]):
            count = -(-len(rows) // size)
            batches += [rows[first::count] for first in range(count)]
        return np.resize(batches[index % len(batches)], size)  # a short one is filled up, so that all have one shape


def compiled_network(size: int, channels: int, filters: int, faults: Collection[str]) -> keras.Model:
    """The kernel's U-Net with Adam and its loss, ready for `fit_kernel`.

    Args:
        size: pixels along each side.
        channels: modalities.
        filters: features of the first level.
        faults: names in `FAULTS`; "loss" is met here.
    """
    network = unet(size, channels, filters=filters)
    loss = CrossEntropy() if "loss" in faults else DiceCrossEntropy()
    network.compile(keras.optimizers.Adam(LEARNING_RATE), loss, metrics=["accuracy"])
    network.optimizer.build(network.trainable_variables)  # or Keras complains where weights of a training are loaded
    return network


def restart(network: keras.Model, seed: int) -> None:
    """Make a network as it was before any training: weights, dropout and optimiser. Its compiled step is kept.

    Compiling takes as long as some epochs of a small network, and several trainings differ in their data alone.

    Args:
        network: from `compiled_network`.
        seed: of the weights and of the dropout.
    """
    keras.utils.set_random_seed(seed)
    fresh = keras.models.clone_model(network)
    network.set_weights(fresh.get_weights())
    for layer in network.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.seed_generator.state.assign([seed, 0])
    for variable in network.optimizer.variables:
        if variable is not network.optimizer.learning_rate:
            variable.assign(keras.ops.zeros_like(variable))


def fit_kernel(
    network: keras.Model,
    cases: Sequence[Case],
    validation: Sequence[Case],
    faults: Collection[str],
    epochs: int,
    batch_size: int,
    seed: int,
    folder: Path,
) -> pd.DataFrame:
    """Train at a constant rate, and keep the weights of two epochs: where the kernel stops, and the best one.

    Args:
        network: from `compiled_network`, with the loss that goes with the faults.
        cases: the training patients.
        validation: patients that are scored after each epoch.
        faults: names in `FAULTS` that are still there.
        epochs: at most.
        batch_size: slices in a batch.
        seed: of the order of slices.
        folder: receives `STOPPED`, `BEST` and `history.csv`.

    Returns:
        One row an epoch: epoch, loss, accuracy, and of the validation patients, on the network's grid and in the kept
        slices, val_loss, val_accuracy, val_kernel_dice and val_one_hot_iou, as the kernel scores, and val_dice and
        val_jaccard, means over the three regions.
    """
    weights, rows = [], []

    def after(epoch: int, logs: dict[str, float]) -> None:
        weights.append(network.get_weights())
        rows.append({"epoch": epoch + 1, **logs, **_validation_scores(network, validation, batch_size)})

    network.fit(
        KernelBatches(cases, batch_size, faults, seed),
        epochs=epochs,
        shuffle=False,  # the batches come in their order
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=after)],
    )
    history = pd.DataFrame(rows)
    chosen = {STOPPED: stops_after(history["loss"]) - 1, BEST: int(history["val_dice"].argmax())}
    folder.mkdir(parents=True, exist_ok=True)
    for name, epoch in chosen.items():
        network.set_weights(weights[epoch])
        network.save_weights(folder / name)
    history.to_csv(folder / "history.csv", index=False)
    return history


def probabilities(network: keras.Model, case: Case) -> np.ndarray:
    """Class probabilities of all slices on the network's grid; slices without brain are background, without inference.

    Args:
        network: trained.
        case: prepared as in its training.

    Returns:
        (slices, size, size, 4) float32.
    """
    found = np.zeros((*case.images.shape[:3], 4), np.float32)
    found[..., 0] = 1
    brain = np.flatnonzero(case.images.any(axis=(1, 2, 3)))
    found[brain] = predict_batches(network, case.images[brain])
    return found


def native_labels(probabilities: np.ndarray, case: Case, nearest: bool = False, cut: bool = False) -> np.ndarray:
    """The labels on the patient's own grid.

    Args:
        probabilities: (slices, size, size, 4), of all slices.
        case: whose grid it is.
        nearest: take the labels first and resize those by OpenCV's nearest neighbour; else probabilities are resized
            about the middles of pixels, and the largest is taken afterwards.
        cut: only the slices that the kernel keeps; the others are background.

    Returns:
        (rows, columns, slices) uint8, network labels.
    """
    grid, centre = _window(case, probabilities.shape[1])
    if nearest:
        labels = _nearest_up(probabilities.argmax(axis=-1).astype(np.uint8), grid, case, centre)
    else:
        labels = to_labels(probabilities, grid, case.seg.shape, case.spacing, centre)
    if cut:
        inside = np.zeros(labels.shape[2], np.uint8)
        inside[case.kept] = 1
        labels = labels * inside
    return labels


def native_probabilities(probabilities: np.ndarray, case: Case) -> np.ndarray:
    """Class probabilities on the patient's own grid; outside the network's window all is background.

    Args:
        probabilities: (slices, size, size, 4).
        case: whose grid it is.

    Returns:
        (rows, columns, slices, 4) float32.
    """
    grid, centre = _window(case, probabilities.shape[1])
    return _with_background(grid.up(probabilities[..., 1:], case.seg.shape, case.spacing, centre))


def to_labels(
    shares: np.ndarray, grid: Grid, shape: tuple[int, ...], spacing: tuple[float, ...], centre: tuple[float, float]
) -> np.ndarray:
    """Probabilities, or shares of each class, to labels on a patient's grid: resampled first, then the largest.

    Args:
        shares: (slices, size, size, 4), on the network's grid.
        grid: of the network.
        shape: of the patient's grid, (rows, columns, slices).
        spacing: millimetres per voxel.
        centre: of the window in mm.

    Returns:
        (rows, columns, slices) uint8.
    """
    labels = np.zeros(shape, np.uint8)
    found = np.flatnonzero((shares[..., 1:] > 0.25).any(axis=(1, 2, 3)))  # less than that is the largest nowhere
    up = grid.up(shares[found][..., 1:], (*shape[:2], len(found)), spacing, centre)
    labels[..., found] = _with_background(up).argmax(axis=-1)
    return labels


def _with_background(tumour: np.ndarray) -> np.ndarray:
    """(..., 3) shares of the tumour classes to (..., 4), the background first."""
    return np.concatenate([1 - tumour.sum(axis=-1, keepdims=True), tumour], axis=-1)


def _window(case: Case, size: int) -> tuple[Grid, tuple[float, float]]:
    """The grid of the network and its middle in mm: a window round the brain, or the whole frame."""
    if case.centre is not None:
        return Grid(size), case.centre
    extent = case.seg.shape[0] * case.spacing[0]
    return Grid(size, extent), (extent / 2, extent / 2)


def _nearest_up(labels: np.ndarray, grid: Grid, case: Case, centre: tuple[float, float]) -> np.ndarray:
    """Labels (slices, size, size) to the patient's grid, the pixel under each voxel's corner: (rows, columns, slices).

    Over a squeezed frame this is `corner_nearest`.
    """
    found = labels.transpose(1, 2, 0)
    for axis in (0, 1):
        corner = np.arange(case.seg.shape[axis]) * case.spacing[axis] - (centre[axis] - grid.extent_mm / 2)
        pixel = np.floor(corner / grid.pixel_mm + 1e-6).astype(int)
        inside = (pixel >= 0) & (pixel < grid.size)
        found = found.take(np.clip(pixel, 0, grid.size - 1), axis=axis)
        found = found * np.expand_dims(inside, tuple({0, 1, 2} - {axis})).astype(np.uint8)
    return found


def flat_scores(cases: Sequence[Case], batch_size: int) -> dict[str, float]:
    """What all background gets in the columns of `fit_kernel` that score validation patients, but for the loss.

    Args:
        cases: the validation patients.
        batch_size: slices in a batch.
    """
    background = np.float32([1, 0, 0, 0])
    rows = [_scores(case, np.zeros_like(case.soft_labels, np.float32) + background, batch_size) for case in cases]
    return pd.DataFrame(rows).mean().to_dict()


def _validation_scores(network: keras.Model, cases: Sequence[Case], batch_size: int) -> dict[str, float]:
    rows = []
    for case in cases:
        drawn = probabilities(network, case)
        shares = case.soft_labels[case.kept] / np.float32(255)
        rows.append({"val_loss": float(network.loss(shares, drawn[case.kept])), **_scores(case, drawn, batch_size)})
    return pd.DataFrame(rows).mean().to_dict()


def _scores(case: Case, drawn: np.ndarray, batch_size: int) -> dict[str, float]:
    """Scores of one patient's probabilities, (slices, size, size, 4), on the network's grid, of the kept slices."""
    drawn, shares = drawn[case.kept], case.soft_labels[case.kept] / np.float32(255)
    truth, labels = shares.argmax(axis=-1), drawn.argmax(axis=-1)
    return {
        "val_accuracy": float((truth == labels).mean()),
        "val_kernel_dice": by_batch(shares, drawn, batch_size),
        "val_one_hot_iou": one_hot_mean_iou(shares, drawn),
        "val_dice": honest_dice(truth, labels),
        "val_jaccard": honest_jaccard(truth, labels),
    }
