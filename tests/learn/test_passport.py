"""Laws of packed weights: the same model comes out, no name of a patient goes in, and what was altered is refused."""

import hashlib
import json
import shutil
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from helpers.apply.recorded_scores import recorded_scores
from helpers.cli import app
from helpers.data.brats import read_catalogue
from helpers.data.splits import Split
from helpers.data.store import voxel_hashes
from helpers.data.volumes import read_scan
from helpers.learn.passport import PASSPORT, open_weights, pack_weights
from helpers.learn.run_folder import (
    member_folders,
    patients_learned_from,
    read_run,
    read_split,
    save_model,
    write_ensemble,
    write_run,
    write_signed,
)
from helpers.measure.classification import SlicePredictions
from helpers.measure.evaluate import summarise_patients
from helpers.measure.radiographs import by_site
from helpers.measure.regions import score_labels
from helpers.runtime.disk import write_json
from helpers.runtime.errors import DataError
from helpers.tasks.brain import inference as brain
from helpers.tasks.brain.commands import evaluate_brain, predict_brain
from helpers.tasks.gate import inference as gate
from helpers.tasks.gate.commands import pooled
from helpers.tasks.lungs import inference as lungs
from helpers.tasks.lungs.commands import read_mean_mask

LICENCE = "CC BY 4.0; learned from patients of our own"
WINDOW = {"modalities": ["flair", "t1ce"], "size": 16, "extent_mm": 192.0, "seed": 0, "minutes": None}
SPLIT = Split(("Miller", "Smith"), ("Jones",), ("Brown",), seed=0)
OWN = ("Miller", "Smith", "Jones", "Brown", "StMary", "/home", "wards")


def _brain_scores(test):
    truth = np.zeros((4, 4, 4), np.uint8)
    truth[1:3, 1:3, 1:3] = 2
    rows = [{"id": name, "site": "StMary", **score_labels(truth, truth, (2, 2, 2))} for name in test]
    rows = [row | {"trivial": row["regions"], "trivial_counts": row["counts"]} for row in rows]
    return summarise_patients(rows)


def _write(folder, task, parameters, split, build, scores, learned_from, **further):
    folder.mkdir(parents=True)
    parameters = {**parameters, "split": split.digest, "init": "/home/wards/first"}
    keras.utils.set_random_seed(int(hashlib.sha256(str(folder).encode()).hexdigest()[:4], 16))
    save_model(build(parameters), folder / "model.keras")
    write_run(folder, task, parameters, split, learned_from, **further)
    write_json({**scores, "run": {"split": {"ids": list(split.test)}}}, folder / "metrics.json")
    return folder


@pytest.fixture(scope="module")
def people(phantoms):
    """The hashes of four phantoms, as if they were the patients of a hospital."""
    ids = (*SPLIT.train, *SPLIT.validation, *SPLIT.test)
    scans = [read_scan(one, WINDOW["modalities"]) for one in read_catalogue(phantoms).require(WINDOW["modalities"])[:4]]
    return dict(zip(ids, map(voxel_hashes, scans), strict=True))


@pytest.fixture(scope="module")
def make_brain(people):
    def make(folder, split=SPLIT):
        known = {name: people[name] for name in (*split.train, *split.validation)}
        about = {"fitted_on": list(split.train), "ranges": {"head": {}}}
        window = WINDOW | {"filters": 1}
        scores = _brain_scores(split.test)
        return _write(folder, "brain", window, split, brain.build_network, scores, known, statistics=about)

    return make


@pytest.fixture(scope="module")
def trained(make_brain, tmp_path_factory):
    return make_brain(tmp_path_factory.mktemp("brain") / "run")


@pytest.fixture(scope="module")
def packed(trained, tmp_path_factory):
    file = tmp_path_factory.mktemp("packed") / "brain.zip"
    pack_weights(trained, file, LICENCE)
    return file


@pytest.fixture(scope="module")
def opened(packed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("opened") / "run"
    open_weights(packed, folder)
    return folder


def _same_weights(one, other):
    for mine, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_packed_and_opened_model_gives_the_same_mask(trained, opened, phantoms, tmp_path):
    patient = read_catalogue(phantoms).patients[0]
    masks = [predict_brain(model, [patient.folder], tmp_path / model.parent.name)[0] for model in (trained, opened)]
    _same_weights(*(brain.Segmenter.load(model).network for model in (trained, opened)))
    assert masks[0].read_bytes() == masks[1].read_bytes()
    scan = read_scan(patient, WINDOW["modalities"], seg=False)
    one, other = (brain.Segmenter.load(model).probabilities(scan) for model in (trained, opened))
    np.testing.assert_array_equal(one, other)


def test_no_name_of_a_patient_a_site_or_a_folder_is_in_the_file(packed, trained):
    assert all(name.encode() in (trained / "run.json").read_bytes() for name in ("Miller", "/home/wards"))
    content = packed.read_bytes()
    assert not [name for name in OWN if name.encode() in content]


def test_names_of_public_sets_are_kept_so_that_others_can_score_its_test_patients(make_brain, people, tmp_path):
    ids = [f"BraTS20_Training_{n:03}" for n in range(1, 5)]
    split = Split(tuple(ids[:2]), tuple(ids[2:3]), tuple(ids[3:]), seed=0)
    people.update(zip(ids, list(people.values())[:4], strict=True))
    folder = make_brain(tmp_path / "run", split)
    assert pack_weights(folder, tmp_path / "file", LICENCE)["withheld"] == 1  # the site
    open_weights(tmp_path / "file", tmp_path / "opened")
    assert read_split(tmp_path / "opened") == split
    assert read_run(tmp_path / "opened")["learned_from"] == read_run(folder)["learned_from"]


def test_whom_it_learned_from_is_still_known_by_their_voxels(opened, trained, phantoms, tmp_path):
    assert sorted(map(str, patients_learned_from(opened).values())) == sorted(
        map(str, patients_learned_from(trained).values())
    )
    with pytest.raises(DataError, match=r"trained or tuned on 3 of these 8 .*\n.*its voxels are those of withheld-000"):
        evaluate_brain(opened, phantoms, "all")
    split = read_split(opened)
    assert {*split.train, *split.validation} == set(patients_learned_from(opened))
    stranger = shutil.copytree(read_catalogue(phantoms).require(("t1",))[-1].folder, tmp_path / "stranger" / "one")
    assert evaluate_brain(opened, stranger, "all", log=lambda _: None)["n"] == 1


def test_the_passport_has_licence_split_scores_with_intervals_and_versions_and_no_patient(trained, packed, opened):
    passport = json.loads((opened / PASSPORT).read_text())
    assert passport["licence"] == LICENCE
    assert passport["splits"]["."] == {"digest": read_split(opened).digest, "train": 2, "validation": 1, "test": 1}
    assert passport["withheld"] == 5
    scores, before = passport["scores"]["."], json.loads((trained / "metrics.json").read_text())
    assert (scores["regions"], scores["trivial"]) == (before["regions"], before["trivial"])
    assert list(scores["sites"]) == ["withheld-site-1"]
    assert not {"patients", "run"} & set(scores)
    assert passport["versions"]["keras"] == keras.__version__
    assert (
        passport["files"]["model.keras"]["sha256"] == hashlib.sha256((trained / "model.keras").read_bytes()).hexdigest()
    )


def test_scores_of_an_opened_model_are_those_of_its_passport_if_nobody_edited_it(trained, opened, tmp_path):
    mine, theirs = (recorded_scores(folder) for folder in (trained, opened))
    assert mine["regions"]["WT"].pop("finds_none") is True  # the rows of this training are those of its trivial model
    assert theirs["regions"]["WT"].pop("finds_none") is None  # each patient's own scores stayed behind
    assert mine["regions"]["WT"] == theirs["regions"]["WT"]
    folder = shutil.copytree(opened, tmp_path / "edited")
    (folder / PASSPORT).write_bytes(_edited((folder / PASSPORT).read_bytes()))
    with pytest.raises(DataError, match=r"passport\.json was edited: digest"):
        recorded_scores(folder)
    (folder / PASSPORT).unlink()
    assert recorded_scores(folder) is None


def test_the_same_training_gives_the_same_bytes_and_the_hash_is_that_of_the_file(trained, packed, tmp_path):
    made = pack_weights(trained, tmp_path / "again", LICENCE)
    assert (tmp_path / "again").read_bytes() == packed.read_bytes()
    assert made["sha256"] == hashlib.sha256(packed.read_bytes()).hexdigest()


def test_packing_replaces_a_packed_model_and_no_other_file(trained, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match=r"thesis\.txt is there already and is no packed model, so it is not replaced"):
        pack_weights(trained, tmp_path / "thesis.txt", LICENCE)
    assert (tmp_path / "thesis.txt").read_text() == "mine"
    assert pack_weights(trained, tmp_path / "a", LICENCE) == pack_weights(trained, tmp_path / "a", LICENCE)


def test_a_gate_is_packed_and_opened(people, tmp_path):
    known = {name: people[name] for name in (*SPLIT.train, *SPLIT.validation)}
    truth = np.array([True, False, True])
    scores = pooled([SlicePredictions(name, truth, np.array([0.9, 0.2, 0.4])) for name in SPLIT.test])
    window = WINDOW | {"network": "cnn", "weights": "/home/wards/vit.npz"}
    scores["threshold"] = 0.25
    folder = _write(tmp_path / "gate", "gate", window, SPLIT, gate.build_network, scores, known, threshold=0.25)
    pack_weights(folder, tmp_path / "file", LICENCE)
    passport = open_weights(tmp_path / "file", tmp_path / "opened")
    one, other = gate.Gate.load(folder), gate.Gate.load(tmp_path / "opened")
    assert (one.threshold, one.modalities, one.grid) == (other.threshold, other.modalities, other.grid)
    _same_weights(one.network, other.network)
    assert passport["scores"]["."]["auc"] == json.loads(json.dumps(scores["auc"]))
    assert not [name for name in OWN if name.encode() in (tmp_path / "file").read_bytes()]


def test_a_model_of_lungs_is_packed_and_opened_with_its_mean_mask(tmp_path):
    ids = [f"MCUCXR_000{n}_0" for n in range(4)]
    split = Split(tuple(ids[:2]), tuple(ids[2:3]), tuple(ids[3:]), seed=0)
    row = {"id": ids[3], "site": "montgomery", "dice": 0.9, "jaccard": 0.8, "assd_px": 2.0}
    parameters = {"size": 16, "filters": 1, "normalisation": "none", "site": "montgomery"}
    scores = by_site([row | {"trivial": row}])
    known = {name: {"image": name[::-1]} for name in ids[:3]}
    folder = _write(tmp_path / "lungs", "lungs", parameters, split, lungs.build_network, scores, known)
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(folder / "mean_mask.png")
    pack_weights(folder, tmp_path / "file", LICENCE)
    open_weights(tmp_path / "file", tmp_path / "opened")
    _same_weights(*(lungs.LungSegmenter.load(one).network for one in (folder, tmp_path / "opened")))
    np.testing.assert_array_equal(read_mean_mask(folder), read_mean_mask(tmp_path / "opened"))
    (folder / "mean_mask.png").unlink()
    with pytest.raises(DataError, match=r"cannot be packed: .*mean_mask\.png is missing"):
        pack_weights(folder, tmp_path / "file", LICENCE)


@pytest.fixture(scope="module")
def ensemble(make_brain, tmp_path_factory):
    """Two trainings, the second called after the site that it tests."""
    root = tmp_path_factory.mktemp("ensemble") / "run"
    other = Split(("Brown", "Jones"), ("Smith",), ("Miller",), seed=0)
    folders = [make_brain(root / name, split) for name, split in (("fold_1_of_2", SPLIT), ("test_StMary", other))]
    write_ensemble(root, folders)
    write_json(_brain_scores(["Brown", "Miller"]) | {"run": {}}, root / "metrics.json")
    return root


def test_an_ensemble_is_packed_with_all_its_members_and_gives_the_same_mask(ensemble, people, phantoms, tmp_path):
    passport = pack_weights(ensemble, tmp_path / "file", LICENCE)
    opened = tmp_path / "opened"
    open_weights(tmp_path / "file", opened)
    assert read_run(opened)["members"] == ["fold_1_of_2", "test_withheld-site-1"]
    for mine, theirs in zip(member_folders(ensemble), member_folders(opened), strict=True):
        _same_weights(*(brain.Segmenter.load(one).network for one in (mine, theirs)))
    known = patients_learned_from(opened)
    assert sorted(map(str, known.values())) == sorted(str(people[name]) for name in {*SPLIT.train, "Jones", "Brown"})
    assert known == read_run(opened)["learned_from"]  # each has one pseudonym, whichever member learned from it
    assert set(read_split(opened).test) < set(known)
    assert set(passport["scores"]) == {".", "fold_1_of_2", "test_withheld-site-1"}
    assert set(passport["splits"]) == {"fold_1_of_2", "test_withheld-site-1"}
    assert not [name for name in OWN if name.encode() in (tmp_path / "file").read_bytes()]
    scan = read_scan(read_catalogue(phantoms).patients[0], WINDOW["modalities"], seg=False)
    one, other = (brain.Segmenter.load(model).predict(scan) for model in (ensemble, opened))
    np.testing.assert_array_equal(one, other)


def _rebuilt(packed, path, change, compression=zipfile.ZIP_STORED):
    """A copy of a packed file after `change` of its contents, a list of (name, bytes)."""
    with zipfile.ZipFile(packed) as archive:
        members = change([(name, archive.read(name)) for name in archive.namelist()])
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", compression) as archive:
        warnings.simplefilter("ignore")  # zipfile warns where a name is there twice
        for name, content in members:
            archive.writestr(name, content)
    return path


def _forged(members):
    """The contents with a passport that fits them, as somebody would make it who knows this format."""
    others = [(name, content) for name, content in members if name != PASSPORT]
    passport = json.loads(dict(members)[PASSPORT])
    passport["files"] = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in others
    }
    passport.pop("digest")
    passport["digest"] = hashlib.sha256(json.dumps(passport, sort_keys=True).encode()).hexdigest()
    return [(PASSPORT, json.dumps(passport).encode()), *others]


def _replace(name, change):
    def changed(members):
        return [(one, change(content) if one == name else content) for one, content in members]

    return changed


def _with_network(content):
    """The contents with another network, and a `run.json` that records it."""

    def changed(members):
        run = json.loads(dict(members)["run.json"]) | {"model_sha256": hashlib.sha256(content()).hexdigest()}
        write_signed(run, path := Path("run.json"))
        new = {"model.keras": content(), "run.json": path.read_bytes()}
        return [(name, new.get(name, old)) for name, old in members]

    return changed


def _bomb():
    with zipfile.ZipFile(path := Path("bomb.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            archive.writestr(name, bytes(10**7))
    return path.read_bytes()


def _edited(content):
    passport = json.loads(content)
    passport["scores"]["."]["regions"]["WT"]["dice"]["mean"] = 0.99
    return json.dumps(passport).encode()


ALTERED = {
    "weights with another byte": (
        _replace("model.keras", lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]),
        r"model\.keras is not the one of its passport",
    ),
    "a shorter file": (_replace("split.json", lambda content: content[:-1]), r"split\.json is not the one"),
    "a better score": (_replace(PASSPORT, _edited), "was edited: digest"),
    "another licence": (_replace(PASSPORT, lambda c: c.replace(b"CC BY 4.0", b"CC0 1.000")), "was edited: digest"),
    "no passport": (lambda members: [one for one in members if one[0] != PASSPORT], "holds no passport.json"),
    "a passport that is no JSON": (_replace(PASSPORT, lambda content: content[:-3]), "is no JSON"),
    "a passport of another form": (_replace(PASSPORT, lambda _: b"{}"), "lacks format"),
    "a passport of deep lists": (_replace(PASSPORT, lambda _: b"[" * 200_000), "is no JSON"),
    "files swapped": (
        lambda members: [
            (name, dict(members)[{"run.json": "split.json", "split.json": "run.json"}.get(name, name)])
            for name, _ in members
        ],
        "is not the one of its passport",
    ),
    "a file too few": (lambda members: [one for one in members if one[0] != "split.json"], r"lacks split\.json"),
    "a file too many": (lambda members: [*members, ("mean_mask.png", b"")], "mean_mask.png, which is not in"),
    "a file of another kind": (lambda members: [*members, ("run.py", b"")], r"holds 'run\.py', which is no part"),
    "an empty folder": (lambda members: [*members, ("fold_1_of_2/", b"")], r"holds 'fold_1_of_2/', which is no part"),
    "a file twice": (lambda members: [*members, members[1]], "twice"),
    "a way out": (lambda m: _forged([*m, ("../run.json", b"x")]), r"holds '\.\./run\.json', which is no part"),
    "a way out below": (lambda m: _forged([*m, ("a/../../run.json", b"x")]), r"holds 'a/\.\./\.\./run\.json'"),
    "a place of the machine": (lambda m: _forged([*m, ("/tmp/run.json", b"x")]), r"holds '/tmp/run\.json'"),
    "a place on Windows": (lambda m: _forged([*m, ("C:\\run.json", b"x")]), r"holds 'C:.*run\.json'"),
    "a training two folders deep": (lambda m: _forged([*m, ("a/b/run.json", b"x")]), r"holds 'a/b/run\.json'"),
    "a training that nobody names": (lambda m: _forged([*m, ("more/run.json", b"{}")]), r"more/run\.json is no part"),
    "weights that unpack to any size": (lambda m: _forged(_with_network(_bomb)(m)), "not compressed"),
    "weights of another training": (
        lambda m: _forged(_replace("model.keras", lambda _: _bomb())(m)),
        r"model\.keras cannot be loaded .* \(its SHA-256",
    ),
    "weights that are none": (
        lambda m: _forged(_replace("model.keras", lambda _: b"PK")(m)),
        r"model\.keras cannot be loaded",
    ),
    "a recipe that was edited": (
        lambda m: _forged(_replace("run.json", lambda c: c.replace(b'"filters": 1', b'"filters": 2'))(m)),
        r"run\.json was edited",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ALTERED)
def test_what_was_altered_is_refused_and_nothing_is_left(packed, tmp_path, what, monkeypatch):
    monkeypatch.chdir(tmp_path)
    change, message = ALTERED[what]
    file = _rebuilt(packed, tmp_path / "altered.zip", change)
    before = set(tmp_path.iterdir())
    with pytest.raises(DataError, match=message) as caught:
        open_weights(file, tmp_path / "here" / "opened")
    assert str(file) in str(caught.value)
    assert not list((tmp_path / "here").glob("*"))
    assert set(tmp_path.iterdir()) - {tmp_path / "here"} == before


def test_a_file_unaltered_is_opened_whoever_built_the_zip_anew(packed, tmp_path):
    open_weights(_rebuilt(packed, tmp_path / "same.zip", lambda members: members), tmp_path / "opened")
    assert (tmp_path / "opened" / "model.keras").exists()


def test_a_compressed_file_is_refused_since_it_may_unpack_to_any_size(packed, tmp_path):
    file = _rebuilt(packed, tmp_path / "bomb.zip", lambda members: members, zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match="has compressed files"):
        open_weights(file, tmp_path / "opened")


def test_a_flipped_bit_or_a_cut_is_refused_or_changes_nothing(packed, opened, tmp_path, rng):
    whole, refused = packed.read_bytes(), 0
    n, expected = len(whole), {path.name: path.read_bytes() for path in opened.iterdir()}
    for number in range(150):
        place = int([rng.integers(n), rng.integers(60), n - 1 - rng.integers(400)][number % 3])
        content = bytearray(whole)
        content[place] ^= 1 << int(rng.integers(8))
        (file := tmp_path / "spoiled.zip").write_bytes(content if number % 5 else content[:place])
        try:
            open_weights(file, tmp_path / "opened")
        except DataError:
            refused += 1
            assert not (tmp_path / "opened").exists()
        else:
            assert {path.name: path.read_bytes() for path in (tmp_path / "opened").iterdir()} == expected
            shutil.rmtree(tmp_path / "opened")
    assert refused > 100


@pytest.mark.parametrize("place", ["offset of the list", "name in the list"])
def test_a_list_of_files_that_leads_astray_is_refused(packed, tmp_path, place):
    content = bytearray(packed.read_bytes())
    if place == "offset of the list":  # files would begin before the first byte
        content[-6:-2] = (int.from_bytes(content[-6:-2], "little") + 1).to_bytes(4, "little")
    else:  # said to be UTF-8, which it is not
        entry = content.find(b"PK\x01\x02")
        content[entry + 9] |= 8
        content[entry + 46] = 0xFF
    (file := tmp_path / "spoiled.zip").write_bytes(content)
    with pytest.raises(DataError, match="is no packed model, or a damaged one"):
        open_weights(file, tmp_path / "opened")


@pytest.mark.parametrize("licence", ["", "  \n"])
def test_without_a_licence_nothing_is_packed(trained, tmp_path, licence):
    with pytest.raises(DataError, match="The licence is empty"):
        pack_weights(trained, tmp_path / "file", licence)
    assert not (tmp_path / "file").exists()


def test_a_folder_that_was_opened_is_not_packed_again_and_not_overwritten(opened, packed, tmp_path):
    with pytest.raises(DataError, match="was opened from a packed file"):
        pack_weights(opened, tmp_path / "file", LICENCE)
    with pytest.raises(FileExistsError, match="is not overwritten"):
        open_weights(packed, opened)


def test_a_patient_called_as_an_entry_of_the_files_is_refused_and_not_half_renamed(make_brain, people, tmp_path):
    people["parameters"] = people["Miller"]
    folder = make_brain(tmp_path / "odd", Split(("parameters", "Smith"), ("Jones",), ("Brown",), seed=0))
    del people["parameters"]
    with pytest.raises(DataError, match=r"odd cannot be packed: run\.json: its content lacks parameters"):
        pack_weights(folder, tmp_path / "file", LICENCE)


def test_the_commands_say_licence_scores_and_hash(trained, tmp_path):
    file = tmp_path / "file"
    made = CliRunner().invoke(app, ["weights", "pack", str(trained), "--out", str(file), "--licence", LICENCE])
    assert made.exit_code == 0, made.output
    done = CliRunner().invoke(app, ["weights", "open", str(file), "--out", str(tmp_path / "opened")])
    assert done.exit_code == 0, done.output
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert "5 names of patients and sites are withheld" in made.output
    assert digest in made.output
    assert digest in done.output
    assert LICENCE in done.output
    assert "all background" in done.output
