"""The oracle chooses with labels of the validation radiographs, and is scored on others."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.data.chest import XRay
from helpers.data.splits import Split, save_split
from helpers.measure.overlap import dice
from helpers.runtime.errors import DataError
from helpers.tasks.adaptation import oracle as module
from helpers.tasks.adaptation.oracle import oracle


class Network:
    """Its weights are one number: the column from which on it calls everything lung."""

    def load_weights(self, path):
        self.start = int(Path(path).read_text())


def lungs_from(column):
    return np.arange(16) >= np.full((16, 1), column)


@pytest.fixture
def adapted(monkeypatch, tmp_path):
    """A run with three checkpoints; the validation radiographs' lungs begin at column 8, those of the test radiographs
    at 12."""
    network, columns = Network(), {"t1": 4, "v1": 8, "v2": 8, "x1": 12, "x2": 12}
    xrays = [XRay(identity, None, None, "shenzhen", "normal") for identity in columns]
    segmenter = SimpleNamespace(
        network=network,
        size=16,
        preprocess=lambda radiograph: radiograph[..., None].astype("float32"),
        network_probabilities=lambda seen: np.stack([lungs_from(network.start)] * len(seen)).astype("float32"),
    )

    def score(segmenter, mean, chosen, progress):
        return [{"id": x.id, "dice": dice(lungs_from(columns[x.id]), lungs_from(network.start))} for x in chosen]

    monkeypatch.setattr(module.LungSegmenter, "load", lambda folder: segmenter)
    monkeypatch.setattr(module, "read_chest", lambda data: SimpleNamespace(require=lambda site: xrays))
    monkeypatch.setattr(module, "read_xray", lambda x: (np.zeros((16, 16), np.uint8), lungs_from(columns[x.id])))
    monkeypatch.setattr(module, "score_radiographs", score)
    save_split(Split(("t1",), ("v1", "v2"), ("x1", "x2"), seed=0), tmp_path / "split.json")
    (tmp_path / "checkpoints").mkdir()
    for epoch, column in ((0, 4), (10, 8), (20, 12)):
        (tmp_path / "checkpoints" / f"epoch_{epoch:04d}.weights.h5").write_text(str(column))
    return tmp_path


def test_the_oracle_chooses_by_validation_radiographs_and_is_scored_on_test_radiographs(adapted):
    name, dices = oracle(adapted, "data", "shenzhen")
    assert name == "epoch_0010"  # the last would be the best on the test radiographs
    assert dices == {identity: pytest.approx(2 * 4 / (4 + 8)) for identity in ("x1", "x2")}


def test_an_oracle_without_checkpoints_says_so(adapted):
    for path in (adapted / "checkpoints").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="no checkpoints"):
        oracle(adapted, "data", "shenzhen")
