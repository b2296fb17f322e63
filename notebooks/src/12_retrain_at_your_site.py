# %% tags=["parameters"]
SEED = 0  # of the folds, the weights and the order of slices
DATA_DIR = ""  # folder with BraTS patients of several hospitals; empty: the Kaggle set, else phantoms
OUTPUT_DIR = ""  # where files and models go; empty: a scratch folder
SITE = "TCIA01"  # the hospital that plays yours
HERE = 6  # patients of yours that somebody has outlined
THERE = 10  # patients of the other hospitals
KEPT = 3  # of these are kept out, to see what is forgotten
FOLDS = 3  # one of your patients in so many is tested, in turn; the others are there to learn from
COUNTS = [1, 2, 4]  # of your patients to learn from
SIZE = 32  # pixels along each side of the 192 mm window
FILTERS = 8  # features of the U-Net's first level; 32 in the paper
EPOCHS = 6  # of the other hospitals' model
STEPS = 36  # of each training at your hospital
BATCH = 8  # slices in a batch

# %%
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pydicom
from matplotlib.figure import Figure

from helpers.data import sources
from helpers.data.brats import read_catalogue
from helpers.data.volumes import Scan, read_scan
from helpers.lessons.checks import exercise_check, filled, require
from helpers.lessons.record import record
from helpers.lessons.verdict import verdict
from helpers.measure.overlap import dice
from helpers.runtime.errors import DataError
from helpers.show import slices, style
from helpers.show.panel import plane, show_slice

# %%
style.use()
MODALITIES = ("flair", "t1ce")
SEQUENCES = ("flair", "t1", "t1ce", "t2")
data = sources.brats(DATA_DIR)
patients = [one for one in read_catalogue(data).require(SEQUENCES) if one.site]
ours = [one for one in patients if one.site == SITE][:HERE]
theirs = [one for one in patients if one.site != SITE][:THERE]
folder = Path(OUTPUT_DIR or tempfile.mkdtemp())
print(f"{len(ours)} patients of {SITE}, {len(theirs)} of {', '.join(sorted({one.site for one in theirs}))}")

# %% [markdown]
# No hospital has files like those of the lessons before. What it has is an archive, and an archive hands out a folder.
# We need one to work with, so the next cell plays archive: it takes a patient of ours and writes the files as a scanner
# would, in **DICOM**, one file a slice, with a name that we made up. Skip its code for now.

# %% tags=["long"]
from PIL import Image as Picture
from PIL import ImageDraw
from scipy.spatial.transform import Rotation

from helpers.data.phantoms.dicom import Visit, write_series


def translation(shift):
    matrix = np.eye(4)
    matrix[:3, 3] = shift
    return matrix


scan = read_scan(ours[0], SEQUENCES)
inside = np.argwhere(scan.images.any(axis=-1))
low, high = np.maximum(inside.min(axis=0) - 4, 0), inside.max(axis=0) + 5  # a scanner's field of view: the head
box = tuple(map(slice, low, high))
scan = replace(scan, images=scan.images[box], seg=scan.seg[box], affine=scan.affine @ translation(low))
middle = (scan.affine @ [*(high - low) / 2, 1])[:3]
slid, turn = np.array([5.0, -3.0, 4.0]), np.eye(4)  # mm
turn[:3, :3] = Rotation.from_euler("xyz", [3, -2, 5], degrees=True).as_matrix()
motion = translation(middle + slid) @ turn @ translation(-middle)  # between two series the patient moved
visit = Visit(SEED, patient="Meier^Anna", patient_id="HN47-1182")
TAGS = {"PatientBirthDate": "19510304", "ReferringPhysicianName": "Okafor^Ada", "InstitutionName": "St Elsewhere",
        "ImageComments": "Mrs Meier could not lie still"}  # fmt: skip


def as_scanned(header, place):
    header.private_block(0x0029, "SCANNER", create=True).add_new(1, "LO", "MEIER ANNA, WARD 3")
    return header


def as_captured(header, place):
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    return header


inbox, archive = folder / "inbox", folder / "archive"
for kind in SEQUENCES:
    affine = motion @ scan.affine if kind == "flair" else scan.affine
    write_series(inbox, scan.image(kind).astype(np.int16), affine, kind, visit, change=as_scanned, tags=TAGS)
screen = Picture.fromarray(np.zeros((120, 240), np.uint8))
ImageDraw.Draw(screen).text((12, 50), "MEIER ANNA  *04.03.1951  FLAIR", fill=255)
words = np.asarray(screen, np.int16).T[..., None]
write_series(inbox, words, np.eye(4), "t1", visit, "screen", as_captured, {"SeriesDescription": "screen save"})
archive.mkdir()
names = np.random.default_rng(SEED).permutation(len(list(inbox.iterdir())))
for name, path in zip(names, sorted(inbox.iterdir()), strict=True):
    path.rename(archive / f"{name:08d}")

# %%
files = sorted(archive.iterdir())
flair = [one for one in map(pydicom.dcmread, files) if one.SeriesDescription == "t2_flair_tra"]
header = max(flair, key=lambda one: np.count_nonzero(one.pixel_array))
figure = Figure(figsize=(4, 4.2))
show_slice(figure.subplots(), header.pixel_array.T, plane(scan.affine))
figure.suptitle(f"One of {len(files)} files without an ending")
style.alt(figure, "One slice of a head, as a file of the archive holds it; dark outside the brain.")

# %% [markdown]
# This is what the archive gave us: files with numbers for names, in no order, and in one of them this slice. Your
# models learn on another machine, perhaps in another building. **What is in here that must not leave?** Make a list
# before you run the next cell.

# %%
print(header)

# %% [markdown] tags=["paper: section 3.1 challenge 4"]
# A DICOM file is a **header** and pixels. The header is a list of **tags**, each a number, a name and a value. Beside
# what we need (spacing, position, echo time) it tells who lay in the scanner, when, where, and for whom. It says so
# several times: look for the name in the comment, and in the tag with an odd number, which is **private**, the
# manufacturer's own.
#
# This is the paper's fourth challenge, privacy. Its first was that every hospital is different, so that a model has to
# be trained again where it is used. Today we do both: the files first, then the model.
#
# ## A heap of slices
#
# To see a volume we stack the slices of a series. The obvious order is that of the file names.

# %%
heap = np.stack([one.pixel_array for one in flair], axis=-1)  # (rows, columns, slices)
heap.shape

# %% [markdown]
# A cut along the head will show whether the order is right; guess. Then think of a better one.
#
# Where a slice lies stands in its header alone: `ImagePositionPatient` is the place of its first voxel in millimetres,
# and `ImageOrientationPatient` has the directions in which columns and rows are counted. Scanners tilt their slices,
# and some number them from the top, so neither a single coordinate nor `InstanceNumber` is safe.
#
# **Exercise 1** (core, 8 minutes). Write `order_slices`: the order of slices along the direction that is perpendicular
# to them, the **normal**. A right answer orders axial, sagittal and tilted slices alike.


# %% tags=["stub"]
def order_slices(positions, along):
    """The order along the normal, (slices,) whole numbers; positions (slices, 3), along (2, 3) are directions."""
    ...


# %% tags=["solution"]
def order_slices(positions, along):
    """The order along the normal, (slices,) whole numbers; positions (slices, 3), along (2, 3) are directions."""
    normal = np.cross(*along)  # (3,)
    return np.argsort(positions @ normal)


# %% tags=["check"]
with exercise_check("Exercise 1"):
    for name, along in {
        "axial": np.eye(3)[:2],
        "sagittal": np.array([[0.0, 1, 0], [0, 0, -1]]),
        "tilted": np.array([[1.0, 0, 0], [0, 0.8, 0.6]]),
    }.items():
        shuffled = np.random.default_rng(1).permutation(9)
        toy = shuffled[:, None] * 3.0 * np.cross(*along) - 40 * along[1]  # (9, 3), 3 mm apart
        found = np.asarray(filled(order_slices(toy, along)))
        require(found.shape == (9,), f"nine slices give something of shape {found.shape}; one number for each")
        require(sorted(found) == list(range(9)), "each slice belongs into the stack once; give the order, as argsort")
        steps = np.diff(shuffled[found])
        hint = "a single coordinate does not tell them apart; project the positions on the normal"
        require(bool(abs(steps.sum()) == 8 and (abs(steps) == 1).all()), f"{name} slices are still mixed: {hint}")

# %%
positions = np.array([one.ImagePositionPatient for one in flair], float)  # (slices, 3)
along = np.reshape(np.array(flair[0].ImageOrientationPatient, float), (2, 3))
order = np.argsort(positions @ np.cross(*along))
step = np.linalg.norm(positions[order[1]] - positions[order[0]])  # mm
figure = Figure(figsize=(8, 3.2))
for ax, stack, name in zip(
    figure.subplots(1, 2), (heap, heap[..., order]), ("by file name", "by position"), strict=True
):
    ax.imshow(stack[:, stack.shape[1] // 2].T[::-1], aspect=step / flair[0].PixelSpacing[0])
    ax.set(title=name, xticks=[], yticks=[], xlabel="front to back")
figure.suptitle("The same slices, stacked twice")
style.alt(figure, "A cut along the head: torn into stripes by file name, a head by position.")

# %% [markdown]
# By name it is confetti, and no error was raised. `helpers.data.dicom` sorts by position as well, and first says what
# each series is, with a reason, since a description is free text and may lie. Such a list is a **catalogue**.

# %%
from helpers.data.dicom.catalogue import read_one_study

study = read_one_study(archive)
pd.DataFrame([{"kind": one.kind, "images": one.images, "reason": one.reason} for one in study.series])

# %% [markdown]
# Now take one slice away from the middle, as a transfer that broke off does. What should a reader do: close the gap,
# fill it, or stop?

# %%
from helpers.data.dicom.study import read_study
from helpers.data.dicom.volume import read_volume

whole = read_study(study, ["flair"])["flair"]
gone = whole.frames[len(whole.frames) // 2].instance
torn = replace(whole.series, instances=tuple(one for one in whole.series.instances if one is not gone))
try:
    read_volume(torn)
except DataError as error:
    print(error)

# %% [markdown]
# It stops. A stack that closes the gap is a shorter head, with every outline above the gap in the wrong place.
#
# ## Names out
#
# The obvious thing is to empty the tag with the patient's name. Let us do it, and then look for the name in the bytes
# of every file, wherever it stands.

# %%
blanked = folder / "blanked"
blanked.mkdir()
for path in files:
    header = pydicom.dcmread(path)
    header.PatientName = ""
    header.save_as(blanked / path.name)


def holding(place) -> int:
    """How many files below a folder have one of the names in their bytes."""
    found = [path.read_bytes().upper() for path in place.rglob("*") if path.is_file()]
    return sum(any(name in text for name in (b"MEIER", b"OKAFOR", b"HN47-1182")) for text in found)


searched = {"as exported": holding(archive), "PatientName emptied": holding(blanked)}
pd.Series(searched, name=f"files with a name, of {len(files)}").to_frame()

# %% [markdown]
# The second number is what one emptied tag is worth. And bytes are not all: here is one of the files as a person sees
# it.

# %%
figure = Figure(figsize=(5, 2.7))
ax = figure.subplots()
captured = next(series for series in study.series if series.kind == "derived")
ax.imshow(pydicom.dcmread(captured.first.path).pixel_array)
ax.set_axis_off()
figure.suptitle("A name that no search for bytes finds")
style.alt(figure, "A screen save: white letters on black spell a patient's name and date of birth.")

# %% [markdown]
# So there is a standard for it, DICOM PS3.15 Annex E, which has a line for each tag. `helpers.data.deidentify` keeps
# what it knows to be needed and drops the rest; new numbers stand for patients and series, dates move by one secret
# distance a patient, so that weeks between visits stay weeks, and pictures of a screen are refused. That is
# **de-identification**. The table of the standard comes with the extra `clinic`; where it is not installed, the cell
# says so, and we go on with the files as they are.

# %%
from helpers.data.deidentify.folder import deidentify, in_words

clean = folder / "clean"
try:
    print(*in_words(deidentify(archive, clean)), sep="\n")
except DataError as error:
    print(error)

# %%
if clean.exists():
    searched["de-identified"] = holding(clean)
    record("files_with_a_name", searched)
study = read_one_study(clean if clean.exists() else archive)
after = pydicom.dcmread(study.series[0].first.path)
print(f"{after.PatientName}: study of {after.StudyDate}, before {header.StudyDate}; {after.SeriesDescription}")
pd.Series(searched, name="files with a name").to_frame()

# %% [markdown]
# What stays is what the way to a mask needs. And a face: the slices of a whole head show one, and a surface drawn from
# them can be recognised. Ours has no skin any more, since the data set gave us the brain alone.
#
# **Exercise 2** (core, 8 minutes). The same patient should get the same number at the next visit, and nobody outside
# should be able to go back. Write `pseudonym`: for an identity and a secret key, text and bytes, twelve digits. A right
# answer gives the same number each time, and another for another key.


# %% tags=["stub"]
def pseudonym(identity, key):
    """Twelve digits as text, for an identity (text) under a key (bytes)."""
    ...


# %% tags=["solution"]
import hashlib
import hmac


def pseudonym(identity, key):
    """Twelve digits as text, for an identity (text) under a key (bytes)."""
    digest = hmac.new(key, identity.encode(), hashlib.sha256).digest()
    return f"{int.from_bytes(digest[:16], 'big') % 10**12:012d}"


# %% tags=["check"]
with exercise_check("Exercise 2"):
    given = filled(pseudonym("4711", b"ours"))
    require(isinstance(given, str), f"you gave {type(given).__name__}; a number that keeps its zeros is text")
    require(len(given) == 12 and given.isdecimal(), f"you gave {len(given)} characters; expected twelve digits")
    require("4711" not in given, "the patient's own number can be read in it")
    require(pseudonym("4711", b"ours") == given, "the same patient got two numbers; nothing may be drawn by chance")
    require(pseudonym("4712", b"ours") != given, "two patients got one number")
    back = [n for n in range(10_000) if pseudonym(f"{n:04d}", b"not ours") == given]
    require(not back, f"without your key we tried all numbers of four digits and found {back}; let the key take part")

# %% [markdown]
# A hash without a key hides nothing: patients' numbers are few, and a machine tries them all. `Pseudonyms` in
# `helpers.data.deidentify.key` is this function, for UIDs and dates as well.
#
# ## To the network's space, and back
#
# First we need a network: one that has learned at the other hospitals, and has never met yours. It is lesson 07's,
# small and briefly trained, and it is trained as `train brain` does it.

# %%
from helpers.data.splits import keep_out
from helpers.lessons.shared_training import train_once
from helpers.tasks.brain.commands import train_brain
from helpers.tasks.brain.inference import Segmenter
from helpers.tasks.brain.recipe import Recipe

split = keep_out(theirs, KEPT, SEED)
recipe = Recipe(augmentation="none", batch_size=BATCH)
sizes = {"size": SIZE, "filters": FILTERS, "epochs": EPOCHS, "seed": SEED}


def train_theirs(place):
    settings = {"modalities": MODALITIES, "recipe": recipe, "split": split, "stored": theirs}
    train_brain(data, place / "model", log=lambda text: None, **settings, **sizes)


made = {"patients": [one.id for one in theirs], "split": split.digest, "recipe": vars(recipe), **sizes}
base = train_once(train_theirs, folder / "theirs", "other-hospitals", **made) / "model"
segmenter = replace(Segmenter.load(base), flip=False)  # without the mirrored head: half the time

# %% [markdown]
# It knows one kind of volume: FLAIR and T1ce on one grid, 1 mm, in one order of axes. The scanner made each series on a
# grid of its own, and between the two the patient moved. To lay one over the other is **registration**: find the shift
# and the turn after which the grey of one predicts the grey of the other best (mutual information; FLAIR and T1ce share
# no scale). It takes some seconds.

# %%
from helpers.prepare.network_space import find_space
from helpers.prepare.registration import Image

volumes = read_study(study, MODALITIES)
images = {kind: Image(volume.voxels, volume.affine) for kind, volume in volumes.items()}
space = find_space(images)
print(*space.notes, space.shape, sep="\n")

# %% [markdown]
# Was it right? On real patients nobody knows where the head was. **Residual motion** is what can be had: register there
# and back, each on its own, and see how far a point comes back from itself. We planted the motion, so here we can also
# look at the truth.

# %%
[(moved, found)] = space.registrations.items()
brain = np.argwhere(images[space.reference].voxels > 0)[::50]  # (points, 3)
points = np.c_[brain, np.ones(len(brain))] @ images[space.reference].affine.T  # (points, 4), mm
wrong = (found.matrix - (motion if moved == "flair" else np.linalg.inv(motion))) @ points.T
error_mm = np.linalg.norm(wrong[:3], axis=0).mean()
record("registration_error_mm", round(float(error_mm), 3))
print(f"moved {found.motion_mm:.2f} mm; there and back {found.residual_mm:.2f} mm; against the truth {error_mm:.2f} mm")

# %%
unmoved = replace(space, matrices={kind: np.eye(4) for kind in MODALITIES})  # trust the headers
still = space.to_network(space.reference) > 0  # (rows, columns, slices), the brain of the series that stays
view, k = plane(space.affine), still.shape[2] // 2
box = view.brain(still[..., None])
figure = Figure(figsize=(8, 4.4))
for ax, way, name in zip(figure.subplots(1, 2), (unmoved, space), ("as the headers say", "registered"), strict=True):
    show_slice(ax, view.cut(way.to_network(moved), k, box), view, labels=view.cut(still * 1, k, box),
               marks=way is unmoved)  # fmt: skip
    ax.set_title(name)
shown = {kind: style.MODALITY_NAMES[kind] for kind in MODALITIES}
figure.suptitle(f"{shown[moved]} under the rim of {shown[space.reference]}: does the head fill it?")
style.alt(figure, "A slice of one series with the rim of the other's brain, before and after registration.")

# %% [markdown]
# Now the network may look. What it finds goes back the same way: probabilities return to the grid of each series, and
# are decided on there. For comparison we let it look at the unregistered pair as well. Which of the two outlines fits
# the series that stayed better, and by how much? Guess first.


# %%
def outline(way, kinds):
    """The labels on the grid of each of these series, by kind."""
    voxels = np.stack([way.to_network(kind) for kind in MODALITIES], axis=-1)  # (rows, columns, slices, 2)
    seen = Scan("walk-in", voxels.astype(np.float32), MODALITIES, None, way.affine)
    return segmenter.labels_on(seen, {kind: partial(way.to_series, kind) for kind in kinds})


labels, careless = outline(space, MODALITIES), outline(unmoved, [space.reference])
fits = {
    "registered": dice(scan.seg > 0, labels[space.reference] > 0),
    "as the headers say": dice(scan.seg > 0, careless[space.reference] > 0),
}
record("cost_of_no_registration", round(fits["registered"] - fits["as the headers say"], 3))
pd.Series(fits, name=f"WT Dice on the {shown[space.reference]} slices").to_frame().round(3)

# %% [markdown]
# Nothing failed in the second row: a network draws on whatever lies on one grid. The difference of the two numbers is
# what trusting the headers costs here.

# %%
series = Scan("walk-in", volumes[moved].voxels[..., None], (moved,), None, volumes[moved].affine)
slices.compare(
    series, scan.seg, labels[moved], modality=moved, title=f"The outline on the scanner's own {shown[moved]} slices"
)

# %% [markdown]
# For the archive it becomes DICOM again: a **DICOM segmentation** is a file of its own, whose segments are coded and
# whose frames name the images that they lie on. Every viewer in the hospital can show it. We write one, open it again,
# and compare every voxel.

# %%
from helpers.data.dicom.segmentation import read_dicom_segmentation, write_dicom_segmentation

written = write_dicom_segmentation(folder / f"{moved}_seg.dcm", labels[moved], volumes[moved], "lesson 12")
same = np.array_equal(read_dicom_segmentation(written, volumes[moved]), labels[moved])
print(f"{written.stat().st_size / 1000:.0f} kB; read back, every voxel is the same: {same}")

# %% [markdown] tags=["paper: section 3 challenge 1"]
# All of this is one call, `helpers.apply.dicom.predict_dicom`, and in a terminal `python -m helpers predict`, given a
# folder of DICOM. It also refuses a head that still has its skull, and says how to get the brain out.
#
# ## A few patients of your own
#
# The outline above is another hospital's idea of a tumour. Say that somebody at yours has outlined a few patients. What
# are they worth? Two ways to use them: go on from the weights that are there, which is **fine-tuning**, or begin from
# nothing. Which wins with one patient, and which with more? Each of your patients is tested once; those of the other
# folds are there to learn from.

# %%
from helpers.data.resample import Grid
from helpers.data.store import open_store
from helpers.models.unet import unet

folds = [[one.id for one in ours[fold::FOLDS]] for fold in range(FOLDS)]
pools = [[one.id for one in ours if one.id not in tested] for tested in folds]
store = open_store([*ours, *theirs], folder / "slices", MODALITIES, Grid(SIZE))
network = segmenter.network
given = network.get_weights()  # of the other hospitals
keras.utils.set_random_seed(SEED)
nothing = unet(SIZE, len(MODALITIES), filters=FILTERS).get_weights()  # as it begins
pd.Series([len(pool) for pool in pools], name="patients to learn from, by fold").to_frame().T

# %% [markdown]
# Two things differ between the ways. What is there shall not be washed away, so fine-tuning learns at a third of the
# rate; and its encoder, which knows edges and textures already, at a tenth of that (*graded*, Howard and Ruder 2018).

# %%
from helpers.learn.augmented_model import AugmentedModel
from helpers.learn.batches import training_batches
from helpers.learn.finetuning import SHARE
from helpers.learn.layer_rates import GRADED, WHOLE, adam
from helpers.learn.learning_rate import LEARNING_RATE
from helpers.learn.losses import DiceCrossEntropy
from helpers.tasks.brain.training import validation_scores

loss = DiceCrossEntropy()
ways = {"model": (given, LEARNING_RATE * SHARE, GRADED), "nothing": (nothing, LEARNING_RATE, WHOLE)}
trainers = {}
for start, (_, rate, encoder) in ways.items():
    trainers[start] = AugmentedModel(network)
    trainers[start].compile(adam(network, rate, encoder), loss)
    trainers[start].optimizer.build(network.trainable_variables)
fresh = {
    start: [keras.ops.convert_to_numpy(one) for one in trainer.optimizer.variables]
    for start, trainer in trainers.items()
}


# %% tags=["long"]
def learn(start, ids, rehearsed=(), watched=()):
    """Train `network` on some patients, from a start of `ways`; the losses after each epoch.

    Half of each batch is drawn from patients who are rehearsed, if there are any. Of those who are watched the loss is
    measured, and nothing is learned.
    """
    network.set_weights(ways[start][0])
    trainer, epochs = trainers[start], 6
    for variable, value in zip(trainer.optimizer.variables, fresh[start], strict=True):
        variable.assign(value)  # Adam remembers; this one shall not
    losses = {"training": [], "validation": []}

    def after_epoch(epoch, logs):
        losses["training"].append(logs["loss"])
        if watched:
            losses["validation"].append(validation_scores(segmenter, store, watched, loss)["val_loss"])

    batches = training_batches(store, ids, BATCH, SEED, "none", rehearsed=rehearsed)
    watch = keras.callbacks.LambdaCallback(on_epoch_end=after_epoch)
    trainer.fit(batches, steps_per_epoch=STEPS // epochs, epochs=epochs, callbacks=[watch], verbose=0, shuffle=False)
    return losses


# %% [markdown]
# Scores are of whole patients on their own grid, as always: Dice of the whole tumour, WT.

# %%
kept = [one for one in theirs if one.id in split.test]
scans = {one.id: read_scan(one, MODALITIES) for one in [*ours, *kept]}


def score(ids):
    """WT Dice of each patient, by id."""
    drawn = {identity: segmenter.predict(scans[identity]) for identity in ids}
    return {identity: dice(scans[identity].seg > 0, labels > 0) for identity, labels in drawn.items()}


old_ids = sorted(one.id for one in kept)
before, old_before = score([one.id for one in ours]), score(old_ids)
trivial = {identity: dice(scans[identity].seg > 0, scans[identity].seg > 9) for identity in before}
pd.Series(
    {"at your hospital": np.mean([*before.values()]), "at the others": np.mean([*old_before.values()])},
    name="the model as it was",
).to_frame().round(3)

# %% [markdown]
# First one training of each kind, side by side, as figure 12 of the paper draws them: the loss on the patients that are
# learned from, and on those that are not. Compare each colour with itself: half of a training batch shows tumour, which
# is harder than a whole patient, so the two losses are not of the same slices.

# %%
most = max(COUNTS)
watched = {start: learn(start, pools[0][:most], watched=folds[0]) for start in ways}
figure = Figure(figsize=(8, 3.2))
titles = {"model": "from the other hospitals' weights", "nothing": "from nothing"}
for ax, (start, losses) in zip(figure.subplots(1, 2, sharey=True), watched.items(), strict=True):
    for (name, values), colour in zip(losses.items(), ("#0072B2", "#D55E00"), strict=True):
        ax.plot(range(1, len(values) + 1), values, marker="o", markersize=3, color=colour, label=name)
    ax.set(title=titles[start], xlabel="epoch", ylabel="loss" if start == "model" else "")
ax.legend()
ends = {start: losses["validation"][-1] for start, losses in watched.items()}
figure.suptitle(f"{most} patients: after the first epoch, which has the longer way to go?")
style.alt(figure, "; ".join(f"validation loss {titles[start]} ends at {end:.2f}" for start, end in ends.items()))

# %% [markdown]
# Now for every number of patients and every fold. What happens meanwhile at the *old* hospital, whose patients the
# model sees no more? We score those that were kept out there as well, after the first fold.


# %%
def row(name, start, count, rehearsed=()):
    """One point of the learning curve: all of our patients, and after the first fold the old ones."""
    new, old = {}, None
    for tested, pool in zip(folds, pools, strict=True):
        learn(start, pool[:count], rehearsed)
        new |= score(tested)
        if old is None and start == "model":
            old = score(old_ids)
    return {"start": name, "order": "random", "draw": 0, "k": count, "new": new, "old": old}


rows = [row(start, start, count) for count in COUNTS for start in ways]

# %% [markdown]
# And one more for the fewest patients, with a remedy that we come to: old patients shown again.

# %%
few = min(COUNTS)
rows.append(row("rehearsal", "model", few, split.train))

# %%
from helpers.show.learning_curve import learning_curve

table = {"score": "WT Dice", "base": before, "trivial": trivial, "old_base": old_before, "rows": rows}
learning_curve(table, title=f"What a patient is worth at {SITE}")

# %% [markdown]
# Each dot is a patient, as long as there are fewer than eight; an interval over so few would promise too much. Read the
# left panel from the dashed line: what the model did before it met you.

# %%
new = {(one["start"], one["k"]): list(one["new"].values()) for one in rows}
order = list(rows[0]["new"])
arms = {"the model as it was": [before[one] for one in order], "fine-tuning": new["model", most]}
gained = verdict(arms, "the model as it was", score="WT Dice")
record("dice_wt_before", round(float(np.mean([*before.values()])), 4))
record("dice_wt_fine_tuned", round(float(np.mean(new["model", most])), 4))
record("dice_wt_from_nothing", round(float(np.mean(new["nothing", most])), 4))
record("verdict_of_fine_tuning", gained.outcome)
for count in COUNTS:
    arms = {"a start from nothing": new["nothing", count], "fine-tuning": new["model", count]}
    print(f"{count}: {verdict(arms, 'a start from nothing', score='WT Dice')}")
print(f"{most}: {gained}")

# %% [markdown]
# Read these sentences before you outline the next patient. Where they cannot tell, more patients have to be tested, not
# more outlined. And look at one patient against the dashed line: given weights may get worse before they get better.
#
# **Exercise 3** (stretch, 10 minutes). An outline costs a radiologist an hour. Write `enough`: the smallest number of
# patients after which no larger one gains more than `tolerance`. A right answer is not fooled by a dip on the way.


# %% tags=["stub"]
def enough(curve, tolerance):
    """The number of patients to outline; curve: mean score by number of patients."""
    ...


# %% tags=["solution"]
def enough(curve, tolerance):
    """The number of patients to outline; curve: mean score by number of patients."""
    return min(k for k in curve if all(curve[more] - curve[k] <= tolerance for more in curve if more > k))


# %% tags=["check"]
with exercise_check("Exercise 3"):
    dip = {1: 0.5, 2: 0.49, 4: 0.7, 8: 0.705}
    value = filled(enough(dip, 0.02))
    require(value in dip, f"you gave {value!r}; expected one of the numbers of patients, {list(dip)}")
    require(value != 1, "two patients are no better than one, but four are; look at all larger numbers, not the next")
    require(value != 8, "the last step gains less than the tolerance, and costs four hours")
    require(value == 4, f"you gave {value} for {dip}; expected 4")
    require(enough({1: 0.6, 2: 0.55}, 0.02) == 1, "where more patients make it worse, one is enough")

# %% [markdown]
# ## What is forgotten
#
# The right panel is the old hospitals. A network that learns only from your patients is free to lose what they do not
# ask for; that loss is called **forgetting**. Follow the line from the fewest patients to the most: whom it learned
# from last is all that it is held to. Does it matter to you? It does if patients are referred from there, and it does
# to whoever gets your weights next. A remedy is **rehearsal**: half of each batch is old patients (Robins 1995). It
# takes their scans, which is often what cannot be had. Here are the fewest patients, without it and with it.

# %%
measured = [one for one in rows if one["k"] == few and one["old"]]
old = {one["start"]: [one["old"][identity] for identity in old_ids] for one in measured}
record("forgotten", round(float(np.mean([*old_before.values()]) - np.mean(old["model"])), 4))
arms = {"the model as it was": [old_before[identity] for identity in old_ids], "fine-tuning": old["model"]}
print("At the old hospitals.", verdict(arms, "the model as it was", score="WT Dice"))
arms = {"fine-tuning without it": old["model"], "rehearsal": old["rehearsal"]}
print("At the old hospitals.", verdict(arms, "fine-tuning without it", score="WT Dice"))
arms = {"fine-tuning without it": new["model", few], "rehearsal": new["rehearsal", few]}
print("At yours.", verdict(arms, "fine-tuning without it", score="WT Dice"))

# %% [markdown]
# **Exercise 4** (core, 6 minutes). Write `rehearsal_batch`: the patients of a batch, half of them new and half old,
# drawn with replacement. A right answer has as many new ones when there are two of them as when there are two hundred.


# %% tags=["stub"]
def rehearsal_batch(new, old, size, rng):
    """Ids of `size` patients, half of each list, drawn by rng, a numpy Generator."""
    ...


# %% tags=["solution"]
def rehearsal_batch(new, old, size, rng):
    """Ids of `size` patients, half of each list, drawn by rng, a numpy Generator."""
    return [*rng.choice(new, size // 2), *rng.choice(old, size - size // 2)]


# %% tags=["check"]
with exercise_check("Exercise 4"):
    new_ids, many = ["n1", "n2"], [f"o{n}" for n in range(50)]
    batch = [str(one) for one in filled(rehearsal_batch(new_ids, many, 16, np.random.default_rng(0)))]
    require(len(batch) == 16, f"the batch has {len(batch)} patients; 16 were asked for")
    require({*batch} <= {*new_ids, *many}, "somebody in your batch is in neither list")
    fresh_ones = sum(one in new_ids for one in batch)
    hint = "draw eight from each list; from one list of all, the few drown in the many"
    require(fresh_ones == 8, f"{fresh_ones} of 16 are new; {hint}")
    require(len({*batch} - {*new_ids}) > 1, "all old ones are the same patient; draw each anew")

# %% [markdown]
# ## Take it away
#
# What we wrote out is `helpers.tasks.finetuning`, in a terminal `python -m helpers finetune MODEL_DIR --data DIR --out
# OUT`. It draws the slices as we did, writes a folder as `train brain` does, and scores the new and the old hospital
# before and after. A short one, for its papers:

# %%
from helpers.data.splits import Split
from helpers.tasks.finetuning.commands import finetune

chosen = Split(tuple(sorted(pools[0][:most])), (), tuple(sorted(folds[0])), SEED)
tuned = finetune(
    base, data, folder / "tuned", layers="graded", site=SITE, old=data, epochs=2, split=chosen, log=lambda text: None
)
sorted(path.name for path in tuned.iterdir())

# %% [markdown]
# Weights that leave need a **model card** (Mitchell et al. 2019): from whom it learned, how well it does, where it
# fails, and that it is no medical device. Nothing in it is typed by hand; ids that are of no public set are withheld.

# %%
from IPython.display import Markdown

from helpers.apply.model_card import model_card

Markdown(model_card(tuned, licence="For teaching."))

# %% [markdown]
# And for a machine without this course, `python -m helpers export MODEL_DIR --to onnx --out FILE` writes the network
# with its z-score and grid inside, the card beside it, and a page of Python that runs it. ONNX takes the extra `onnx`;
# `--to savedmodel` takes nothing. What goes in, what comes out, and what is decided outside:

# %%
from helpers.apply.export import contract

pd.Series({name: str(value) for name, value in contract(tuned).items()}, name="contract").to_frame()

# %% [markdown] tags=["paper: section 3 challenge 2"]
# ## Back to the question
#
# What is in here that must not leave? The name, in more tags than the one that is called so, the numbers and dates that
# lead back to it, and letters in the pixels, which no header tells; so keep what you know to be needed, drop the rest,
# and search the outcome. What may leave is weights and a card, and even weights remember a little of those who taught
# them.
#
# What we left out: taking off skull and face, which needs tools with weights of their own (HD-BET, SynthStrip,
# `--brain-mask`); differential privacy and federated learning, where the scans stay and the gradients travel (Rieke et
# al. 2020); and which patients to outline first (`python -m helpers outline-first`). This is the last lesson. The next
# folder is yours.
