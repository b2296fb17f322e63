"""Which patients to outline first: by chance, whom the model is least sure of, or whoever is most different.

An outline costs an expert an hour, a prediction nothing. All three orders need no mask. Of the clever ones neither is
known to beat chance for a handful of patients (Nath et al. 2021, arXiv 2101.02323, needed dozens), so they stand on the
same curve (`helpers.tasks.finetuning.curve`).
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers.data.pictures import read_image
from helpers.data.slabs import middle
from helpers.data.splits import shuffled
from helpers.data.volumes import read_scan
from helpers.learn.run_folder import check_network, read_run
from helpers.runtime import options
from helpers.tasks.finetuning.tools import TOOLS, Case, refuse_learned
from helpers.tasks.gate.recipe import OPTIONAL

if TYPE_CHECKING:
    import keras

Log = Callable[[str], None]
Seen = tuple[np.ndarray, np.ndarray]
"""Slices with brain, or an X-ray, (slices, size, size, channels), and which of their pixels count, or which slices."""


def in_order(
    name: str, model_dir: str | os.PathLike, cases: Sequence[Case], seed: int = 0, log: Log = print
) -> list[str]:
    """The ids of patients, in the order in which to outline them.

    Args:
        name: in `helpers.runtime.options.ORDERS`.
        model_dir: the folder of the model that is to go on learning.
        cases: the patients; no mask is read.
        seed: of chance.
        log: called with a line of progress.
    """
    return options.load(options.ORDERS, name, "order")(Path(model_dir), cases, seed, log)


def outline_first(
    model_dir: str | os.PathLike,
    data: str | os.PathLike,
    name: str,
    site: str | None = None,
    seed: int = 0,
    log: Log = print,
) -> list[str]:
    """The ids of a new hospital's patients, in the order in which to outline them.

    Args:
        model_dir: the folder of the model that is to go on learning.
        data: the folder of the patients; those that have a mask already are among them.
        name: in `helpers.runtime.options.ORDERS`.
        site: this hospital alone.
        seed: of chance.
        log: called with a line of progress.

    Raises:
        DataError: there is no such order, the model's folder or the data cannot be used, or the model has learned from
            some of the patients.
    """
    options.check(options.ORDERS, name, "order")
    run = read_run(model_dir)
    check_network(model_dir)
    cases = TOOLS[run["task"]].cases(data, run["parameters"], site, mask=False)
    refuse_learned(model_dir, [one.id for one in cases])
    return in_order(name, model_dir, cases, seed, log)


def at_random(model_dir: Path, cases: Sequence[Case], seed: int, log: Log) -> list[str]:
    """By a hash of seed and id, the same on every machine.

    Args:
        model_dir: not read.
        cases: the patients.
        seed: another seed is another order.
        log: not called.
    """
    return sorted((one.id for one in cases), key=lambda identity: shuffled(identity, seed))


def least_sure(model_dir: Path, cases: Sequence[Case], seed: int, log: Log) -> list[str]:
    """By the entropy of the model's probabilities, the highest mean over a patient's brain, or X-ray, first.

    Args:
        model_dir: the folder of the model.
        cases: the patients.
        seed: not used.
        log: called with a line of progress.
    """
    _, entropies = _look(model_dir, cases, log)
    return [cases[place].id for place in np.argsort(-entropies, kind="stable")]


def most_different(model_dir: Path, cases: Sequence[Case], seed: int, log: Log) -> list[str]:
    """By k-centre: the most typical patient, then each time the one farthest from all before it.

    Patients are compared by what the last layer of the network is given, averaged (Sener and Savarese 2018, arXiv
    1708.00489).

    Args:
        model_dir: the folder of the model.
        cases: the patients.
        seed: not used.
        log: called with a line of progress.
    """
    features, _ = _look(model_dir, cases, log)
    return [cases[place].id for place in k_centre(features)]


def k_centre(features: np.ndarray) -> list[int]:
    """All rows in greedy k-centre order.

    >>> k_centre(np.array([[0.0], [1.0], [2.1], [9.0]]))
    [2, 3, 0, 1]

    Args:
        features: (patients, features).

    Returns:
        The positions of the rows: first the one nearest to the mean, then the one farthest from all before it.
    """
    order = [int(np.linalg.norm(features - features.mean(axis=0), axis=1).argmin())]
    distance = np.full(len(features), np.inf)
    while len(order) < len(features):
        distance = np.minimum(distance, np.linalg.norm(features - features[order[-1]], axis=1))
        distance[order] = -1
        order.append(int(distance.argmax()))
    return order


def _look(model_dir: Path, cases: Sequence[Case], log: Log) -> tuple[np.ndarray, np.ndarray]:
    """Features (patients, features), each brought to deviation 1, and mean entropies (patients,), in bits."""
    import keras
    import scipy

    from helpers.models.ensemble import members

    network, read = _reader(model_dir)
    parts = [keras.Model(one.inputs, [_last(one).input, one.outputs[0]]) for one in members(network)]
    features, entropies = [], []
    for done, case in enumerate(cases, start=1):
        images, shown = read(case)
        seen = [_predict(part, images) for part in parts]
        features.append(np.concatenate([known for known, _ in seen]))
        p = np.mean([probabilities for _, probabilities in seen], axis=0)
        p = p if p.shape[-1] > 1 else np.concatenate([1 - p, p], axis=-1)
        entropies.append(float(scipy.special.entr(p).sum(axis=-1)[shown].mean() / np.log(2)))
        log(f"looked at {done} of {len(cases)}")
    table = np.stack(features)
    return (table - table.mean(axis=0)) / np.maximum(table.std(axis=0), 1e-6), np.array(entropies)


def _last(network: "keras.Model") -> "keras.layers.Layer":
    """The last layer that has weights."""
    return [layer for layer in network.layers if layer.weights][-1]


def _predict(part: "keras.Model", images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features of all slices, averaged, (features,), and their probabilities, (slices, ..., classes)."""
    from helpers.learn.predict_batches import padded_batches

    sums, probabilities = 0.0, []
    for batch, rows in padded_batches(images):
        known, found = part.predict_on_batch(batch)
        count = rows.stop - rows.start
        known = known[:count].astype(np.float32)
        sums = sums + known.reshape(count, -1, known.shape[-1]).mean(axis=1).sum(axis=0)
        probabilities.append(found[:count])
    return sums / len(images), np.concatenate(probabilities)


def _reader(model_dir: Path) -> "tuple[keras.Model, Callable[[Case], Seen]]":
    """The network of a model, and from a case to what it is shown."""
    task = read_run(model_dir)["task"]
    if task == "lungs":
        from helpers.tasks.lungs.inference import LungSegmenter

        lungs = LungSegmenter.load(model_dir)

        def radiograph(case: Case) -> Seen:
            image = lungs.preprocess(read_image(case.image))[None]
            return image, image[..., 0] != 0

        return lungs.network, radiograph
    if task == "gate":
        from helpers.tasks.gate.inference import Gate

        gate = Gate.load(model_dir)

        def slices(case: Case) -> Seen:
            images = gate.preprocess(read_scan(case, gate.modalities, seg=False, optional=OPTIONAL))
            images = images[images.any(axis=(1, 2, 3))]
            return images, np.ones(len(images), bool)

        return gate.network, slices
    from helpers.tasks.brain.inference import Segmenter

    segmenter = Segmenter.load(model_dir)

    def volume(case: Case) -> Seen:
        images, _ = segmenter.preprocess(read_scan(case, segmenter.modalities, seg=False))
        images = images[segmenter.shows_brain(images)]
        return images, middle(images, segmenter.reach).any(axis=-1)

    return segmenter.network, volume
