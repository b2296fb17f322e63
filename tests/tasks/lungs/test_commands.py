"""Laws of the commands for lungs: who is learned from, who is scored, and that the mean mask stands beside them."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from helpers.cli import app
from helpers.data.chest import read_chest, read_xray
from helpers.data.pictures import read_image
from helpers.data.radiographs import radiograph_hash, split_radiographs
from helpers.data.splits import load_split
from helpers.learn.run_folder import read_metrics
from helpers.measure.overlap import dice
from helpers.runtime.errors import DataError
from helpers.tasks.lungs import training
from helpers.tasks.lungs.commands import evaluate_lungs, read_mean_mask, train_lungs, train_lungs_folds
from helpers.tasks.lungs.inference import LungSegmenter
from tests.faults.chest import flip_bit

pytestmark = pytest.mark.usefixtures("short")
SETTINGS = {"size": 32, "filters": 2, "augmentation": "none", "log": lambda _: None}


def _xrays(root):
    return {xray.id: xray for xray in read_chest(root).xrays}


def test_folder_holds_all_that_is_needed_and_no_store(trained):
    assert {path.name for path in trained.iterdir()} == {
        "model.keras", "run.json", "split.json", "history.csv", "metrics.json", "mean_mask.png",
    }  # fmt: skip


def test_split_is_of_both_hospitals_and_only_one_is_learned_from(trained, hospitals):
    split, run = load_split(trained / "split.json"), json.loads((trained / "run.json").read_text())
    assert split == split_radiographs(read_chest(hospitals).xrays, seed=0)
    assert set(run["learned_from"]) == {i for i in (*split.train, *split.validation) if i.startswith("MCUCXR")}
    one = next(iter(run["learned_from"]))
    assert run["learned_from"][one] == radiograph_hash(read_image(_xrays(hospitals)[one].image))
    assert (run["task"], run["parameters"]["site"], run["parameters"]["split"]) == ("lungs", "montgomery", split.digest)


def test_masks_of_the_other_hospital_are_not_learned_from(trained, hospitals, tmp_path):
    """Swapped masks of Shenzhen change its scores and not the network."""
    root = shutil.copytree(hospitals, tmp_path / "chest")
    for xray in read_chest(root).require("shenzhen"):
        flipped = np.asarray(Image.open(xray.mask))[::-1]
        Image.fromarray(flipped).save(xray.mask)
    again = train_lungs(root, tmp_path / "run", "montgomery", **SETTINGS)
    one, other = (LungSegmenter.load(folder).network.get_weights() for folder in (trained, again))
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_history_has_the_curves_of_figure_14(trained):
    history = pd.read_csv(trained / "history.csv")
    assert list(history["epoch"]) == [1, 2]
    for name in ("loss", "accuracy", "dice", "jaccard"):
        assert {name, f"val_{name}"} <= set(history.columns)
        assert np.isfinite(history[[name, f"val_{name}"]]).all(axis=None)
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]


def test_scores_have_the_promised_form(trained, hospitals, tmp_path):
    result = evaluate_lungs(trained, hospitals, json_path=tmp_path / "new" / "scores.json", log=lambda _: None)
    assert json.loads((tmp_path / "new" / "scores.json").read_text()) == json.loads(json.dumps(result))
    assert result["images"] == json.loads((trained / "metrics.json").read_text())["images"]
    split, xrays = load_split(trained / "split.json"), _xrays(hospitals)
    assert {radiograph["id"] for radiograph in result["images"]} == {i for i in split.test if xrays[i].mask}
    for table in (result["sites"], result["trivial"]):
        assert list(table) == ["montgomery", "shenzhen"]
        assert sum(scores["n"] for scores in table.values()) == result["n"] == len(result["images"])
        for scores in table.values():
            for name in ("dice", "jaccard", "assd_px"):
                low, high = scores[name]["ci95"]
                assert low <= scores[name]["mean"] <= high
    assert {"parameters", "precision", "versions", "device", "split"} <= set(result["run"])


def test_scores_are_of_the_masks_on_the_radiographs_own_grid(trained, hospitals):
    radiograph = json.loads((trained / "metrics.json").read_text())["images"][0]
    image, mask = read_xray(_xrays(hospitals)[radiograph["id"]])
    assert radiograph["dice"] == pytest.approx(dice(mask, LungSegmenter.load(trained).predict(image)))


def test_trivial_outline_is_the_mean_training_mask(trained, hospitals):
    """An X-ray whose lungs lie where they lie on average is well outlined without looking."""
    mean = np.asarray(Image.open(trained / "mean_mask.png"))
    assert mean.shape == (32, 32)
    split, xrays = load_split(trained / "split.json"), _xrays(hospitals)
    areas = [read_xray(xrays[i])[1].mean() for i in split.train if i.startswith("MCUCXR")]
    square = [max(shape := read_image(xrays[i].image).shape) ** 2 / np.prod(shape) for i in split.train if i[0] == "M"]
    assert mean.mean() / 255 == pytest.approx(np.mean(np.divide(areas, square)), abs=0.01)
    assert json.loads((trained / "metrics.json").read_text())["trivial"]["montgomery"]["dice"]["mean"] > 0.5


def test_one_site_can_be_scored_alone(trained, hospitals):
    result = evaluate_lungs(trained, hospitals, site="shenzhen", log=lambda _: None)
    whole = json.loads((trained / "metrics.json").read_text())
    assert list(result["sites"]) == ["shenzhen"]
    assert result["sites"]["shenzhen"] == whole["sites"]["shenzhen"]


def test_finished_training_is_left_as_it_is_and_another_is_refused(trained, hospitals):
    before = (trained / "model.keras").stat().st_mtime_ns
    train_lungs(hospitals, trained, "montgomery", **SETTINGS)
    assert (trained / "model.keras").stat().st_mtime_ns == before
    with pytest.raises(DataError, match="site 'montgomery' there, 'shenzhen' now"):
        train_lungs(hospitals, trained, "shenzhen", **SETTINGS)


def test_all_refuses_radiographs_the_model_knows_by_id(trained, hospitals):
    known = next(i for i in load_split(trained / "split.json").train if i.startswith("MCUCXR"))
    with pytest.raises(DataError, match=f"{known}: by its id"):
        evaluate_lungs(trained, hospitals, "all", log=lambda _: None)


def test_all_refuses_radiographs_the_model_knows_under_another_name(trained, hospitals, tmp_path):
    split, xrays = load_split(trained / "split.json"), _xrays(hospitals)
    known = xrays[next(i for i in split.validation if i.startswith("MCUCXR"))]
    for kind in ("CXR_png", "masks"):
        (tmp_path / "new" / kind).mkdir(parents=True)
    Image.open(known.image).save(tmp_path / "new" / "CXR_png" / "MCUCXR_0999_1.png", compress_level=1)
    shutil.copy(known.mask, tmp_path / "new" / "masks" / "MCUCXR_0999_1.png")
    with pytest.raises(DataError, match=f"MCUCXR_0999_1: its voxels are those of {known.id}"):
        evaluate_lungs(trained, tmp_path / "new", "all", log=lambda _: None)


def test_all_scores_the_hospital_the_model_never_saw(trained, hospitals):
    result = evaluate_lungs(trained, hospitals, "all", "shenzhen", log=lambda _: None)
    assert result["n"] == len(read_chest(hospitals).require("shenzhen"))


def test_all_scores_films_of_any_name_each_at_its_own_size_as_external(trained, hospitals, tmp_path):
    strangers = read_chest(hospitals).require("shenzhen")[:2]
    for kind in ("CXR_png", "masks"):
        (tmp_path / "new" / kind).mkdir(parents=True)
    for number, xray in enumerate(strangers):
        shutil.copy(xray.image, tmp_path / "new" / "CXR_png" / f"JPCLN00{number}.png")
        shutil.copy(xray.mask, tmp_path / "new" / "masks" / f"JPCLN00{number}.png")
    result = evaluate_lungs(trained, tmp_path / "new", "all", log=lambda _: None)
    assert {site: scores["n"] for site, scores in result["sites"].items()} == {"external": 2}
    known = evaluate_lungs(trained, hospitals, "all", "shenzhen", log=lambda _: None)["images"]
    assert [image["dice"] for image in result["images"]] == [
        image["dice"] for image in known if image["id"] in {xray.id for xray in strangers}
    ]
    with pytest.raises(DataError, match="tells neither site nor label"):
        evaluate_lungs(trained, tmp_path / "new", log=lambda _: None)


def test_test_radiographs_that_are_not_there_are_named(trained, hospitals, tmp_path):
    root = shutil.copytree(hospitals, tmp_path / "chest")
    gone = next(i for i in load_split(trained / "split.json").test if i.startswith("CHNCXR"))
    for path in root.rglob(f"{gone}*.png"):
        path.unlink()
    with pytest.raises(DataError, match=f"not under .*{gone}"):
        evaluate_lungs(trained, root, log=lambda _: None)
    assert evaluate_lungs(trained, root, site="montgomery", log=lambda _: None)["n"] == 3


def _stop_after_an_epoch(monkeypatch):
    real = training.validation_scores
    calls = []

    def stop(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("power cut")
        return real(*arguments)

    monkeypatch.setattr(training, "validation_scores", stop)


def test_stopped_training_goes_on_where_it_was(trained, hospitals, tmp_path, monkeypatch):
    _stop_after_an_epoch(monkeypatch)
    with pytest.raises(RuntimeError, match="power cut"):
        train_lungs(hospitals, tmp_path / "run", "montgomery", **SETTINGS)
    assert (tmp_path / "run" / "checkpoint.npz").exists()
    train_lungs(hospitals, tmp_path / "run", "montgomery", **SETTINGS)
    one, other = (LungSegmenter.load(folder).network.get_weights() for folder in (trained, tmp_path / "run"))
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    assert len(pd.read_csv(tmp_path / "run" / "history.csv")) == 2


def _without_normalisation_but_normalise(path):
    """A checkpoint as versions wrote it whose parameter was `normalise`, true or false."""
    with np.load(path) as file:
        arrays = dict(file)
    state = json.loads(arrays["state"].tobytes())
    state["parameters"]["normalise"] = state["parameters"].pop("normalisation") == "batch"
    arrays["state"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    np.savez(path, **arrays)


def test_training_that_an_older_version_began_goes_on_where_it_was(trained, hospitals, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        _stop_after_an_epoch(patch)
        with pytest.raises(RuntimeError, match="power cut"):
            train_lungs(hospitals, tmp_path / "run", "montgomery", **SETTINGS)
    path = tmp_path / "run" / "checkpoint.npz"
    _without_normalisation_but_normalise(path)
    with pytest.raises(DataError, match=r"normalisation 'none' there, 'batch' now.*Choose another folder, or delete"):
        train_lungs(hospitals, tmp_path / "run", "montgomery", normalisation="batch", **SETTINGS)
    lines = []
    train_lungs(hospitals, tmp_path / "run", "montgomery", **{**SETTINGS, "log": lines.append})
    assert "Going on after 1 epoch." in lines
    assert not path.exists()
    one, other = (LungSegmenter.load(folder).network.get_weights() for folder in (trained, tmp_path / "run"))
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    assert len(pd.read_csv(tmp_path / "run" / "history.csv")) == 2


def test_hospital_that_is_not_in_the_folder_is_named(hospitals, tmp_path):
    root = shutil.copytree(hospitals, tmp_path / "chest")
    for path in root.rglob("CHNCXR*"):
        path.unlink()
    for site in ("shenzhen", "both"):
        with pytest.raises(DataError, match="No X-ray of shenzhen"):
            train_lungs(root, tmp_path / "run", site, **SETTINGS)


def test_no_masks_are_named(hospitals, tmp_path):
    root = shutil.copytree(hospitals, tmp_path / "chest", ignore=shutil.ignore_patterns("masks"))
    with pytest.raises(DataError, match="No X-ray of montgomery with a mask"):
        train_lungs(root, tmp_path / "run", "montgomery", **SETTINGS)


def test_radiograph_in_colour_is_named(hospitals, tmp_path):
    root = shutil.copytree(hospitals, tmp_path / "chest")
    xray = read_chest(root).require("montgomery")[0]
    grey = np.asarray(Image.open(xray.image).convert("RGB")).copy()
    grey[..., 2] = 255 - grey[..., 2]
    Image.fromarray(grey).save(xray.image)
    with pytest.raises(DataError, match=f"{xray.image.name}: a picture in colour"):
        train_lungs(root, tmp_path / "run", "montgomery", **SETTINGS)


def test_site_that_does_not_exist_is_refused(hospitals, tmp_path):
    with pytest.raises(ValueError, match="site 'boston'; expected montgomery, shenzhen or both"):
        train_lungs(hospitals, tmp_path / "run", "boston", **SETTINGS)


# --- one admission for the whole run


def _without_learning(monkeypatch):
    monkeypatch.setattr(training, "fit_lungs", lambda *arguments: pytest.fail("training began"))


def test_what_would_stop_the_scoring_is_said_before_the_first_step(hospitals, tmp_path, monkeypatch):
    _without_learning(monkeypatch)
    root = shutil.copytree(hospitals / "Lung Segmentation", tmp_path / "chest")
    xrays = _xrays(root)
    shutil.copy(xrays["CHNCXR_0001_1"].image, root / "CXR_png" / "JPCLN001.png")
    with pytest.raises(DataError, match=r"JPCLN001\.png.*tells neither site"):
        train_lungs(root, tmp_path / "run", "both", **SETTINGS)
    (root / "CXR_png" / "JPCLN001.png").unlink()
    tested = next(i for i in split_radiographs(list(xrays.values())).test if xrays[i].site == "montgomery")
    flip_bit(xrays[tested].image)
    with pytest.raises(DataError, match=rf"1 test X-rays cannot be used.*\n.*{tested}.*check sum"):
        train_lungs(root, tmp_path / "run", "montgomery", **SETTINGS)
    xrays[tested].image.unlink()
    xrays[tested].mask.unlink()
    split = split_radiographs(list(xrays.values()))
    with pytest.raises(DataError, match=rf"1 test X-rays of the split are not under .*\n.*{tested}"):
        train_lungs(root, tmp_path / "other", "montgomery", split=split, **SETTINGS)


def test_faults_of_a_hospital_that_was_not_asked_for_are_skipped_with_a_word(trained, hospitals, tmp_path):
    root, said = shutil.copytree(hospitals, tmp_path / "chest"), []
    xrays, split = _xrays(root), load_split(trained / "split.json")
    first, second = [i for i in split.test if xrays[i].site == "shenzhen" and xrays[i].mask][:2]
    xrays[first].mask.write_bytes(b"")
    flip_bit(xrays[second].image)
    again = train_lungs(root, tmp_path / "run", "montgomery", **{**SETTINGS, "log": said.append})
    text = "\n".join(said)
    assert f"{xrays[first].mask.name}" in text
    assert f"{second} of shenzhen, which was not asked for, is not scored" in text
    scored = {one["id"] for one in json.loads((again / "metrics.json").read_text())["images"]}
    before = {one["id"] for one in json.loads((trained / "metrics.json").read_text())["images"]}
    assert before - scored == {first, second}


def test_inverted_radiographs_are_noted_where_they_are_scored(trained, hospitals, tmp_path):
    root, said = shutil.copytree(hospitals, tmp_path / "chest"), []
    for xray in _xrays(root).values():
        Image.fromarray(255 - read_image(xray.image)).save(xray.image)
    evaluate_lungs(trained, root, site="shenzhen", log=said.append)
    assert any("look inverted" in line for line in said)


# --- predict


def test_command_trains_and_scores_and_says_what_is_trivial(hospitals, tmp_path):
    out, runner = tmp_path / "run", CliRunner()
    asked = ["train", "lungs", "--data", str(hospitals), "--site", "both", "--out", str(out), "--size", "32"]
    done = runner.invoke(app, [*asked, "--filters", "2", "--augmentation", "none"])
    assert done.exit_code == 0, done.output
    assert all(word in done.output for word in ("montgomery", "shenzhen", "mean mask"))
    scores = tmp_path / "scores.json"
    done = runner.invoke(
        app, ["evaluate", str(out), "--data", str(hospitals), "--site", "shenzhen", "--json", str(scores)]
    )
    assert done.exit_code == 0, done.output
    assert list(json.loads(scores.read_text())["sites"]) == ["shenzhen"]


@pytest.mark.parametrize(
    "wrong",
    [["--site", "boston"], ["--loss", "hinge"], ["--augmentation", "flip"], ["--size", "90"]],
)
def test_wrong_option_ends_in_a_usage_error(hospitals, tmp_path, wrong):
    done = CliRunner().invoke(app, ["train", "lungs", "--data", str(hospitals), "--out", str(tmp_path / "run"), *wrong])
    assert done.exit_code == 2
    assert wrong[0] in done.output


@pytest.fixture(scope="module")
def folds(hospitals, tmp_path_factory):
    out = tmp_path_factory.mktemp("folds") / "cv"
    train_lungs_folds(hospitals, out, 2, "montgomery", final=True, epochs=1, **SETTINGS)
    return out


def test_folds_test_every_radiograph_once_and_are_scored_as_one_model(folds, hospitals):
    scores = {image["id"]: image["dice"] for image in read_metrics(folds)["images"]}
    assert set(scores) == {identity for identity, xray in _xrays(hospitals).items() if xray.mask}
    again = evaluate_lungs(folds, hospitals, log=lambda _: None)
    assert {image["id"]: image["dice"] for image in again["images"]} == scores
    members = [LungSegmenter.load(folds / f"fold_{fold}_of_2") for fold in (1, 2)]
    squares = np.stack([members[0].preprocess(read_image(_xrays(hospitals)[one].image)) for one in sorted(scores)[:3]])
    mean = np.mean([one.network_probabilities(squares) for one in members], axis=0)
    np.testing.assert_allclose(LungSegmenter.load(folds).network_probabilities(squares), mean, atol=1e-5)
    masks = [read_mean_mask(folds / f"fold_{fold}_of_2") for fold in (1, 2)]
    np.testing.assert_allclose(read_mean_mask(folds), np.mean(masks, axis=0), atol=1e-6)


def test_the_final_model_learns_from_every_radiograph_of_its_hospital_and_has_the_scores_of_the_folds(folds, hospitals):
    run = json.loads((folds / "final" / "run.json").read_text())
    assert set(run["learned_from"]) == {xray.id for xray in read_chest(hospitals).require("montgomery")}
    assert read_metrics(folds / "final") == read_metrics(folds)
    assert not (folds / "slices").exists()
