"""Laws of the export: what another program computes is what this package does, and the card tells what the run does."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from helpers.apply.export import contract, export
from helpers.apply.model_card import model_card
from helpers.cli import app
from helpers.data.brats import read_catalogue
from helpers.data.chest import read_chest
from helpers.data.pictures import read_image
from helpers.data.radiographs import split_radiographs
from helpers.data.splits import Split
from helpers.data.volumes import read_scan
from helpers.learn.run_folder import run_digest, save_model, write_ensemble, write_run, write_signed
from helpers.runtime.disk import write_json
from helpers.runtime.errors import DataError
from helpers.tasks.brain import inference as brain
from helpers.tasks.brain.commands import evaluate_brain, score_brain
from helpers.tasks.gate import inference as gate
from helpers.tasks.gate.commands import evaluate_gate
from helpers.tasks.lungs import inference as lungs
from helpers.tasks.lungs.commands import evaluate_lungs

DIFFER = 1e-4
"""Share of the voxels whose label may differ: sums in another order, where two classes are level."""


def quiet(line):
    """Takes the lines that a command logs."""


def _folder(out, task, build, parameters, split, learned, seed=0, **further):
    """The folder of a training that has learned nothing."""
    import keras

    out.mkdir(parents=True)
    keras.utils.set_random_seed(seed)
    save_model(build(parameters), out / "model.keras")
    known = {identity: {"flair": identity} for identity in learned}
    write_run(out, task, {**parameters, "split": split.digest}, split, known, **further)
    return out


@pytest.fixture(scope="module")
def sides(phantoms):
    ids = [one.id for one in read_catalogue(phantoms).require(("flair", "t1ce"))]
    return Split(tuple(ids[:5]), (ids[5],), tuple(ids[6:]), seed=0)


@pytest.fixture(scope="module")
def ensemble(phantoms, sides, tmp_path_factory):
    """Two networks, whose labels are the most probable ones."""
    out = tmp_path_factory.mktemp("ensemble") / "run"
    parameters = {"modalities": ["flair", "t1ce"], "size": 32, "extent_mm": 192.0, "filters": 2, "recipe": {}}
    learned = (*sides.train, *sides.validation)
    members = [
        _folder(out / name, "brain", brain.build_network, parameters, sides, learned, seed)
        for seed, name in enumerate(("a", "b"))
    ]
    write_ensemble(out, members)
    evaluate_brain(out, phantoms, json_path=out / "metrics.json", log=quiet)
    return out


@pytest.fixture(scope="module")
def decided(phantoms, sides, tmp_path_factory):
    """One network of neighbouring slices, whose regions are those of the highest expected Dice."""
    recipe = {"decision": "dice", "reach": 1, "modality_dropout": 0.1}
    parameters = {"modalities": ["flair", "t1ce"], "size": 32, "extent_mm": 192.0, "filters": 2, "recipe": recipe}
    calibration = {"temperature": 0.4, "islands": {"min_share": 0.2, "min_certainty": 0.9}}
    out = tmp_path_factory.mktemp("decided") / "run"
    learned = (*sides.train, *sides.validation)
    _folder(out, "brain", brain.build_network, parameters, sides, learned, calibration=calibration)
    patients = [one for one in read_catalogue(phantoms).require(("flair", "t1ce")) if one.id in sides.test]
    write_json({**score_brain(dict.fromkeys(sides.test, out), patients, quiet), "run": {}}, out / "metrics.json")
    return out


@pytest.fixture(scope="module")
def gates(phantoms, sides, tmp_path_factory):
    parameters = {"modalities": ["flair", "t1ce", "t2"], "size": 32, "extent_mm": 192.0, "network": "compact"}
    learned = (*sides.train, *sides.validation)
    out = _folder(tmp_path_factory.mktemp("gate") / "run", "gate", gate.build_network, parameters, sides, learned,
                  threshold=0.5)  # fmt: skip
    evaluate_gate(out, phantoms, json_path=out / "metrics.json", log=quiet)
    return out


@pytest.fixture(scope="module")
def lung_model(chests, tmp_path_factory):
    split = split_radiographs(read_chest(chests).xrays, seed=0)
    learned = [one for one in (*split.train, *split.validation) if one.startswith("MCU")]
    parameters = {"size": 32, "filters": 2, "normalisation": "batch", "site": "montgomery"}
    out = _folder(tmp_path_factory.mktemp("lungs") / "run", "lungs", lungs.build_network, parameters, split, learned)
    from PIL import Image

    Image.fromarray(np.full((32, 32), 100, np.uint8)).save(out / "mean_mask.png")
    evaluate_lungs(out, chests, json_path=out / "metrics.json", log=quiet)
    return out


def _scan(phantoms, modalities):
    patient = read_catalogue(phantoms).require(modalities)[0]
    return read_scan(patient, modalities)


def _page(model, folder, **arrays):
    """What the page makes of a patient, in a process that has neither this package nor TensorFlow."""
    np.savez(folder / "input.npz", **arrays)
    code = """
import runpy, sys
for name in ("helpers", "tensorflow", "keras", "scipy", "pandas", "nibabel"):
    sys.modules[name] = None
page, sys.argv = sys.argv[1], sys.argv[1:]
runpy.run_path(page, run_name="__main__")
"""
    page = model.with_name("run_onnx.py")
    files = [page, model, folder / "input.npz", folder / "output.npy"]
    answer = subprocess.run([sys.executable, "-I", "-c", code, *map(str, files)], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return np.load(folder / "output.npy")


@pytest.fixture
def onnx():
    pytest.importorskip("tf2onnx", reason="the extra `onnx` is not installed")
    pytest.importorskip("onnxruntime")


@pytest.mark.usefixtures("onnx")
@pytest.mark.parametrize("name", ["ensemble", "decided"])
def test_the_page_outlines_what_this_package_outlines(name, request, phantoms, tmp_path):
    """From the scan to the labels: z-score, window, all members, mirrored head and decision."""
    folder = request.getfixturevalue(name)
    model = export(folder, "onnx", tmp_path / "out" / "model.onnx", log=quiet)
    scan = _scan(phantoms, ("flair", "t1ce"))
    arrays = {one: scan.image(one) for one in scan.modalities}
    found = _page(model, tmp_path, spacing=np.array(scan.spacing), **arrays)
    wanted = brain.Segmenter.load(folder).predict(scan)
    assert found.shape == wanted.shape
    assert (found != wanted).mean() < DIFFER
    assert len(np.unique(wanted)) > 1


@pytest.mark.usefixtures("onnx")
def test_the_page_does_without_a_modality_where_the_model_does(decided, phantoms, tmp_path):
    model = export(decided, "onnx", tmp_path / "out" / "model.onnx", log=quiet)
    scan = _scan(phantoms, ("flair", "t1ce")).only(("flair",))
    found = _page(model, tmp_path, spacing=np.array(scan.spacing), flair=scan.image("flair"))
    assert (found != brain.Segmenter.load(decided).predict(scan)).mean() < DIFFER


@pytest.mark.usefixtures("onnx")
def test_the_page_passes_the_slices_that_the_gate_passes(gates, phantoms, tmp_path):
    model = export(gates, "onnx", tmp_path / "out" / "model.onnx", log=quiet)
    scan = _scan(phantoms, ("flair", "t1ce", "t2"))
    arrays = {one: scan.image(one) for one in scan.modalities}
    found = _page(model, tmp_path, spacing=np.array(scan.spacing), **arrays)
    loaded = gate.Gate.load(gates)
    sure = abs(loaded.probabilities(scan) - loaded.threshold) > 1e-4
    np.testing.assert_array_equal(found.astype(bool)[sure], loaded.predict(scan)[sure])


@pytest.mark.usefixtures("onnx")
def test_what_onnx_cannot_compute_is_refused_and_not_written(lung_model, tmp_path, monkeypatch):
    import tensorflow as tf

    unknown = (lambda radiograph: {"mask": tf.math.igamma(radiograph, radiograph)}), [tf.TensorSpec([None, None])]
    monkeypatch.setattr("helpers.apply.exported_graph.exported", lambda _: unknown)
    with pytest.raises(DataError, match="ONNX has no operation Igamma; export --to savedmodel"):
        export(lung_model, "onnx", tmp_path / "out" / "model.onnx", log=quiet)
    assert not (tmp_path / "out" / "model.onnx").exists()


@pytest.mark.usefixtures("onnx")
def test_the_page_finds_the_lungs_that_this_package_finds(lung_model, chests, tmp_path):
    model = export(lung_model, "onnx", tmp_path / "out" / "model.onnx", log=quiet)
    radiograph = read_image(read_chest(chests).xrays[0].image)
    found = _page(model, tmp_path, radiograph=radiograph)
    assert (found.astype(bool) != lungs.LungSegmenter.load(lung_model).predict(radiograph)).mean() < 1e-3


def test_a_saved_model_finds_them_too(lung_model, chests, tmp_path):
    import tensorflow as tf

    folder = export(lung_model, "savedmodel", tmp_path / "model", log=quiet)
    radiograph = read_image(read_chest(chests).xrays[0].image)
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    found = serve(tf.constant(radiograph, tf.float32))["probability"].numpy()
    wanted = lungs.LungSegmenter.load(lung_model).probabilities(radiograph)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert json.loads((tmp_path / "model.json").read_text())["file"] == "model"
    with pytest.raises(FileExistsError, match="is not overwritten"):
        export(lung_model, "savedmodel", tmp_path / "model", log=quiet)


def test_the_contract_says_what_the_graph_leaves_to_the_page(decided, ensemble):
    assert contract(decided)["islands"] == {"min_share": 0.2, "min_certainty": 0.9}
    assert contract(decided)["may_be_missing"] == ["flair", "t1ce"]
    assert list(contract(decided)["outputs"]) == ["columns", "probabilities", "rows"]
    assert list(contract(ensemble)["outputs"]) == ["labels", "tumour"]
    assert contract(ensemble)["brain_mm"] == [40.0, 192.0]


def test_what_cannot_be_written_is_said_before_the_graph_is_made(ensemble, tmp_path):
    with pytest.raises(DataError, match=r"--to 'torch' is not known"):
        export(ensemble, "torch", tmp_path / "model.onnx", log=quiet)
    with pytest.raises(DataError, match=r"ends in \.pb; a file of ONNX is named such as model.onnx"):
        export(ensemble, "onnx", tmp_path / "model.pb", log=quiet)


# --- the card


def test_the_card_has_every_score_beside_the_trivial_prediction(ensemble, gates, lung_model):
    for folder, words in (
        (ensemble, "all background, WT"),
        (gates, "every slice with brain"),
        (lung_model, "mean mask"),
    ):
        card = model_card(folder)
        assert words in card
        assert "This is not a medical device" in card
        assert "Not stated" in card
        assert "nan" not in card.lower().replace("montgomery", "")


def test_the_card_says_the_numbers_of_the_run(ensemble):
    card, metrics = model_card(ensemble, "CC0"), json.loads((ensemble / "metrics.json").read_text())
    for region, scores in metrics["regions"].items():
        low, high = scores["dice"]["range"]  # two patients: no interval
        assert f"| {region} | {scores['dice']['mean']:.3f} [{low:.3f}, {high:.3f}] |" in card
    worst = min(metrics["patients"], key=lambda one: np.mean([two["dice"] for two in one["regions"].values()]))
    first = card.partition("## Where it fails")[2].split("\n- ")[1]
    value = np.mean([scores["dice"] for scores in worst["regions"].values()])
    assert first.endswith(f"{value:.3f}.")
    assert card.rstrip().endswith("CC0")


def test_no_name_that_is_not_public_is_in_the_card(lung_model, ensemble, tmp_path):
    """The names of a hospital's patients and of the hospital stay; those of public sets are known to everybody."""
    folder = shutil.copytree(ensemble, tmp_path / "run")
    for path in folder.rglob("*.json"):
        text = path.read_text().replace("BraTS20_Training_", "Miller_")
        content = json.loads(text.replace('"TCIA01"', '"St Mary"').replace('"CBICA"', '"St Mary"'))
        if path.name == "run.json":
            write_signed(content, path)
        elif path.name == "split.json":
            from helpers.data.splits import save_split

            sides = [tuple(content[side]) for side in ("train", "validation", "test")]
            save_split(Split(*sides, seed=content["seed"]), path)
        else:
            path.write_text(json.dumps(content))
    for member in (folder / "a", folder / "b"):
        run, split = (json.loads((member / name).read_text()) for name in ("run.json", "split.json"))
        write_signed({**run, "parameters": {**run["parameters"], "split": split["digest"]}}, member / "run.json")
    run = json.loads((folder / "run.json").read_text())
    write_signed({**run, "member_digests": [run_digest(folder / name) for name in run["members"]]}, folder / "run.json")
    card = model_card(folder)
    assert "Miller" not in card
    assert "Mary" not in card
    assert "withheld-" in card
    assert "MCUCXR" in model_card(lung_model)


def test_the_command_packs_a_card_beside_the_weights(ensemble, tmp_path):
    words = ["weights", "pack", str(ensemble), "--out", str(tmp_path / "model.zip"), "--licence", "CC0"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "model.zip.md").read_text() == model_card(ensemble, "CC0")
