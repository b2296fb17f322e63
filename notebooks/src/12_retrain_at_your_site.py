# %% tags=["parameters"]
SEED = 0  # of the folds, the weights and the order of slices
DATA_DIR = ""  # BraTS of several hospitals; empty: the Kaggle set, else phantoms
DICOM_DIR = ""  # a folder of your own archive, looked at beside ours; empty: ours alone
OUTPUT_DIR = ""  # where files and models go; empty: a scratch folder
SITE = "TCIA01"  # the hospital that plays yours
HERE = 6  # patients of yours that somebody has outlined
THERE = 10  # patients of the other hospitals
KEPT = 3  # of these are kept out, to see what is forgotten
FOLDS = 3  # one of your patients in so many is tested, in turn; others are learned from
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

from helpers.data import sources
from helpers.data.brats import read_catalogue
from helpers.data.volumes import Scan, read_scan
from helpers.lessons.checks import exercise_check, filled, require
from helpers.lessons.guess import compare_guess
from helpers.lessons.record import record
from helpers.lessons.verdict import verdict
from helpers.measure.overlap import dice
from helpers.runtime.errors import DataError
from helpers.show import retraining, slices, style

# %%
style.use()
pd.set_option("display.max_colwidth", None)  # reasons are shown whole
MODALITIES = ("flair", "t1ce")
SEQUENCES = ("flair", "t1", "t1ce", "t2")
data = sources.brats(DATA_DIR)
patients = [one for one in read_catalogue(data).require(SEQUENCES) if one.site]
ours = [one for one in patients if one.site == SITE][:HERE]
theirs = [one for one in patients if one.site != SITE][:THERE]
folder = Path(OUTPUT_DIR or tempfile.mkdtemp())
others = ", ".join(sorted({one.site for one in theirs}))
print(f"{len(ours)} patients of {SITE}, {len(theirs)} of {others}")

# %% [markdown]
# No hospital has files like those of the lessons before. What it has is an archive, and an archive hands out a folder.
# We need one to work with, so the next cell plays archive: it takes a patient of ours and writes the files as a scanner
# would, in **DICOM**, one file a slice, with names that we made up; and between two of the series the patient moved.

# %%
from helpers.data.phantoms.archive import NAMES, head_alone, write_archive

scan = head_alone(read_scan(ours[0], SEQUENCES))
archive = folder / "archive"
motion = write_archive(archive, scan, moved="flair", seed=SEED)  # (4, 4), mm

# %%
files = sorted(archive.iterdir())
headers = [pydicom.dcmread(path) for path in files]
flair = [one for one in headers if one.SeriesDescription == "t2_flair_tra"]
header = max(flair, key=lambda one: np.count_nonzero(one.pixel_array))
voxels = header.pixel_array.T[:, :, None, None].astype(np.float32)
one_slice = Scan("a slice", voxels, ("flair",), None, scan.affine)
slices.modalities(one_slice, 0, title=f"What is in one of {len(files)} files")

# %% [markdown]
# This is what the archive gave us: files with numbers for names, in no order, and in one of them this slice. Your
# models learn on another machine, perhaps in another building. **What is in here that must not leave?** Make a list
# before you run the next cell.

# %%
print(header)

# %% [markdown] tags=["paper: section 3.1 challenge 4"]
# A DICOM file is a **header** and pixels. The header is a list of **tags**, each a number, a name and a value. Beside
# what we need (spacing, position, echo time) it tells who lay in the scanner, when, where, and for whom. It says so
# several times: look for the name in the comment, and in the tag with an odd number, a **private tag**, the
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

# %% [markdown]
# **Exercise 1** (core, 8 minutes). Write `order_slices`: the order of slices along the direction that is perpendicular
# to them, the **normal**. A right answer orders axial, sagittal and tilted slices alike, from either end; the next
# figure shows a head that is stacked in such an order.


# %% tags=["stub"]
def order_slices(positions, along):
    # positions: (slices, 3), mm; along: (2, 3), the directions in the plane of a slice
    return ...  # (slices,), whole numbers: which slice comes first, and so on


# %% tags=["solution"]
def order_slices(positions, along):
    # positions: (slices, 3), mm; along: (2, 3), the directions in the plane of a slice
    normal = np.cross(*along)  # (3,)
    return np.argsort(positions @ normal)


# %% tags=["check", "long"]
planes = {
    "axial": np.eye(3)[:2],
    "sagittal": np.array([[0.0, 1, 0], [0, 0, -1]]),
    "tilted": np.array([[1.0, 0, 0], [0, 0.8, 0.6]]),
}
with exercise_check("Exercise 1"):
    for name, along in planes.items():
        shuffled = np.random.default_rng(1).permutation(9)
        places = 3.0 * (shuffled - 4)[:, None]  # mm, on both sides of the middle
        toy = places * np.cross(*along) - 40 * along[1]
        found = np.asarray(filled(order_slices(toy, along)))
        words = (
            f"nine slices give something of shape {found.shape}; one number for each"
        )
        require(found.shape == (9,), words)
        words = (
            "each slice belongs into the stack once; give the order, as argsort does"
        )
        require(sorted(found) == list(range(9)), words)
        steps = np.diff(shuffled[found])
        hint = "a single coordinate does not tell them apart; project on the normal"
        if name == "axial":
            hint = "in their plane all lie at one place, and a distance has no side"
            hint += "; take np.cross of the two"
        straight = abs(steps.sum()) == 8 and (abs(steps) == 1).all()
        require(bool(straight), f"{name} slices are still mixed: {hint}")

# %% [markdown] tags=["hint"]
# Slices of one series differ in place along one direction alone, and it is none of the two in `along`. Which third
# direction do two give?

# %% [markdown] tags=["hint"]
# `np.cross(*along)` is the normal. `positions @ normal` is how far along it each slice lies, and `np.argsort` turns
# that into an order.

# %% [markdown] tags=["teacher"]
# Nearly everybody sorts by the third coordinate, which is right for axial slices: the sagittal toy shows why it is not
# enough, the tilted one why choosing the coordinate that varies most is a patch. Some return the sorted distances
# instead of the order. Ask for `InstanceNumber` afterwards; somebody will have wanted it.

# %%
positions = np.array([one.ImagePositionPatient for one in flair], float)  # (slices, 3)
along = np.reshape(np.array(flair[0].ImageOrientationPatient, float), (2, 3))
order = np.argsort(positions @ np.cross(*along))
step = np.linalg.norm(positions[order[1]] - positions[order[0]])  # mm
stacks = {"by file name": heap, "by position": heap[..., order]}
aspect = step / flair[0].PixelSpacing[0]
retraining.stacked(stacks, aspect, title="The same slices, stacked twice")

# %% [markdown] tags=["question"]
# Each file has an `InstanceNumber`, which counts the images of a series. Why do we not sort by it?
#
# - It is a private tag, which only the manufacturer can read. :: No: it is a standard one and stands in nearly every
#   file.
# - Nothing ties it to a place: some scanners count from the top, some begin anew with each stack. :: Right: and a wrong
#   order raises no error, as you have just seen.
# - It is taken away by de-identification. :: No: it tells nothing of a person, and stays.

# %% [markdown]
# By name it is confetti, and no error was raised. `helpers.data.dicom` sorts by position as well, and first says what
# each series is, with a reason, since a description is free text and may lie. Such a list is a **catalogue**.

# %%
from helpers.data.dicom.catalogue import read_archive, read_one_study

study = read_one_study(archive)
rows = [(one.kind, one.images, one.reason) for one in study.series]
pd.DataFrame(rows, columns=["kind", "images", "reason"])

# %% [markdown]
# And of a folder of your own, if you have named one as `DICOM_DIR`:

# %%
if DICOM_DIR:
    for other in read_archive(DICOM_DIR).studies:
        for one in other.series:
            print(f"{one.images} images, {one.kind}: {one.reason}")
else:
    print("DICOM_DIR names no folder")

# %% [markdown]
# Now take one slice away from the middle, as a transfer that broke off does. What should a reader do: close the gap,
# fill it, or stop?

# %%
from helpers.data.dicom.study import read_study
from helpers.data.dicom.volume import read_volume

whole = read_study(study, ["flair"])["flair"]
gone = whole.frames[len(whole.frames) // 2].instance
rest = tuple(one for one in whole.series.instances if one is not gone)
try:
    read_volume(replace(whole.series, instances=rest))
except DataError as error:
    print(error)

# %% [markdown]
# It stops. A stack that closes the gap is a shorter head, with every outline above the gap in the wrong place.
#
# ## Names out
#
# The obvious thing is to empty the tag with the patient's name. Let us do it, and then look for the name in the bytes
# of every file, wherever it stands. In how many will it still be?

# %% tags=["guess"]
my_guess = None  # of all files, how many hold one of the names once the tag is empty

# %% tags=["long"]
blanked = folder / "blanked"
blanked.mkdir()
for path in files:
    header = pydicom.dcmread(path)
    header.PatientName = ""
    header.save_as(blanked / path.name)


def holding(place) -> int:
    """How many files below a folder have one of the names in their bytes."""
    found = [path.read_bytes().upper() for path in place.rglob("*") if path.is_file()]
    names = [name.upper().encode() for name in NAMES]
    return sum(any(name in text for name in names) for text in found)


searched = {"as exported": holding(archive), "PatientName emptied": holding(blanked)}
still = searched["PatientName emptied"]
print(compare_guess(f"Of {len(files)} files the number with a name", my_guess, still))

# %% [markdown]
# The second number is what one emptied tag is worth. And bytes are not all: here is one of the files as a person sees
# it.

# %%
from matplotlib.figure import Figure

captured = next(series for series in study.series if series.kind == "derived")
figure = Figure(figsize=(5, 2.7))
ax = figure.subplots()
ax.imshow(pydicom.dcmread(captured.first.path).pixel_array, cmap="gray")
ax.set_axis_off()
figure.suptitle("A name that no search for bytes finds")
style.alt(
    figure, "A screen save: white letters on black spell a name and a date of birth."
)

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
print(f"{after.PatientName}, {after.SeriesDescription}")
print(f"study of {after.StudyDate}, before {header.StudyDate}")
pd.Series(searched, name=f"of {len(files)} files, with a name").to_frame()

# %%
if DICOM_DIR:
    try:
        print(*in_words(deidentify(DICOM_DIR, folder / "yours_clean")), sep="\n")
    except DataError as error:
        print(error)

# %% [markdown] tags=["question"]
# No tag, no private tag and no byte of a file has a name in it. May it leave?
#
# - Yes. :: No: letters in the pixels are in no byte that you can search, and a head with its skin has a face.
# - When dates, numbers and pixels have been looked at as well, and the hospital has agreed. :: Right: a name is one of
#   many ways back to a person.
# - No scan may ever leave. :: No: data sets like ours exist because somebody did this with care.

# %% [markdown]
# What stays is what the way to a mask needs. And a face: the slices of a whole head show one, and a surface drawn from
# them can be recognised. Ours has no skin any more, since the data set gave us the brain alone.

# %% [markdown]
# **Exercise 2** (core, 8 minutes). The same patient should get the same number at the next visit, and nobody outside
# should be able to go back. Write `pseudonym`: for an identity and a secret key, text and bytes, twelve digits. A right
# answer gives the same number each time, and another for another key.


# %% tags=["stub"]
def pseudonym(identity, key):
    # identity: text, key: bytes
    return ...  # twelve digits, as text


# %% tags=["solution"]
import hashlib
import hmac


def pseudonym(identity, key):
    digest = hmac.new(key, identity.encode(), hashlib.sha256).digest()
    return f"{int.from_bytes(digest[:16], 'big') % 10**12:012d}"


# %% tags=["check", "long"]
with exercise_check("Exercise 2"):
    given = filled(pseudonym("4711", b"ours"))
    kind = type(given).__name__
    words = f"you gave {kind}; a number that keeps its zeros is text"
    require(isinstance(given, str), words)
    words = f"you gave {given!r}, {len(given)} characters; expected twelve digits"
    require(len(given) == 12 and given.isdecimal(), words)
    require("4711" not in given, "the patient's own number can be read in it")
    again = pseudonym("4711", b"ours") == given
    require(again, "the same patient got two numbers; nothing may be drawn by chance")
    require(pseudonym("4712", b"ours") != given, "two patients got one number")
    tried = range(4000, 5000)
    back = [n for n in tried if pseudonym(f"{n:04d}", b"not ours") == given]
    words = f"without your key we tried a thousand numbers and found {back}"
    require(not back, f"{words}; let the key take part")

# %% [markdown] tags=["hint"]
# A hash gives the same bytes for the same text, and no way back but trying. What keeps others from trying?

# %% [markdown] tags=["hint"]
# `hmac.new(key, identity.encode(), hashlib.sha256).digest()` mixes the key in. Make a whole number of its bytes
# (`int.from_bytes`), take it modulo 10**12, and write it with its zeros: `f"{number:012d}"`.

# %% [markdown] tags=["teacher"]
# Three answers are usual: a hash without the key, which the check undoes by trying a thousand numbers; hexadecimal
# letters; a random number kept nowhere, so that the next visit is another person. Python's own `hash` of a text differs
# from run to run: a good question for those who used it.

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
    settings = {"modalities": MODALITIES, "recipe": recipe, "split": split}
    quiet = {"stored": theirs, "log": lambda text: None}
    train_brain(data, place / "model", **settings, **quiet, **sizes)


# %%
made = {"patients": [one.id for one in theirs], "split": split.digest}
made |= {"recipe": vars(recipe), **sizes}
base = train_once(train_theirs, folder / "theirs", "other-hospitals", **made) / "model"
segmenter = Segmenter.load(base)
segmenter = replace(segmenter, flip=False)  # without the mirrored head: half the time

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
homogeneous = np.c_[brain, np.ones(len(brain))]  # (points, 4)
points = homogeneous @ images[space.reference].affine.T  # (points, 4), mm
planted = motion if moved == "flair" else np.linalg.inv(motion)  # (4, 4), mm
wrong = (found.matrix - planted) @ points.T  # (4, points), mm
error_mm = np.linalg.norm(wrong[:3], axis=0).mean()
record("registration_error_mm", round(float(error_mm), 3))
print(f"moved {found.motion_mm:.2f} mm; there and back {found.residual_mm:.2f} mm")
print(f"against the truth {error_mm:.2f} mm")

# %%
nobody_moved = {kind: np.eye(4) for kind in MODALITIES}
unmoved = replace(space, matrices=nobody_moved)  # trust the headers
stays = space.to_network(space.reference) > 0  # the brain of the series that stays
ways = {"as the headers say": unmoved, "registered": space}
laid = {name: way.to_network(moved) for name, way in ways.items()}
shown = {kind: style.MODALITY_NAMES[kind] for kind in MODALITIES}
heading = f"{shown[moved]} under the rim of {shown[space.reference]}: does it fill it?"
retraining.under_rim(laid, stays, space.affine, title=heading)

# %% [markdown]
# Now the network may look. What it finds goes back the same way: probabilities return to the grid of each series, and
# are decided on there. For comparison we let it look at the unregistered pair as well. Which of the two outlines fits
# the series that stayed better, and by how much?

# %% tags=["guess"]
my_guess_dice = None  # what registration adds to the WT Dice; below 0 if it takes away


# %%
def outline(way, kinds):
    """The labels on the grid of each of these series, by kind."""
    voxels = [way.to_network(kind) for kind in MODALITIES]
    voxels = np.stack(voxels, axis=-1).astype(np.float32)  # (rows, columns, slices, 2)
    seen = Scan("walk-in", voxels, MODALITIES, None, way.affine)
    grids = {kind: partial(way.to_series, kind) for kind in kinds}
    return segmenter.labels_on(seen, grids)


labels, careless = outline(space, MODALITIES), outline(unmoved, [space.reference])
true, kind = scan.seg > 0, space.reference
fits = {"registered": dice(true, labels[kind] > 0)}
fits["as the headers say"] = dice(true, careless[kind] > 0)
worth = fits["registered"] - fits["as the headers say"]
record("cost_of_no_registration", round(worth, 3))
print(compare_guess("What registration adds", my_guess_dice, worth))
pd.Series(fits, name=f"WT Dice on the {shown[kind]} slices").to_frame().round(3)

# %% [markdown]
# Nothing failed in the second row: a network draws on whatever lies on one grid. The difference of the two numbers is
# what trusting the headers costs here.

# %%
voxels = volumes[moved].voxels[..., None]
series = Scan("walk-in", voxels, (moved,), None, volumes[moved].affine)
heading = f"The outline on the scanner's own {shown[moved]} slices"
slices.compare(series, scan.seg, labels[moved], modality=moved, title=heading)

# %% [markdown]
# For the archive it becomes DICOM again: a **DICOM segmentation** is a file of its own, whose segments are coded and
# whose frames name the images that they lie on. Every viewer in the hospital can show it. We write one, open it again,
# and compare every voxel.

# %%
from helpers.data.dicom.segmentation import (
    read_dicom_segmentation,
    write_dicom_segmentation,
)

target, volume = folder / f"{moved}_seg.dcm", volumes[moved]
written = write_dicom_segmentation(target, labels[moved], volume, "lesson 12")
same = np.array_equal(read_dicom_segmentation(written, volume), labels[moved])
print(f"{written.stat().st_size / 1000:.0f} kB; every voxel is the same: {same}")

# %% [markdown]
# All of this is one call, `helpers.apply.dicom.predict_dicom`, and in a terminal `python -m helpers predict`, given a
# folder of DICOM. It also refuses a head that still has its skull, and says how to get the brain out.

# %%
from helpers.apply.dicom import predict_dicom

if DICOM_DIR:
    try:
        predict_dicom(base, [DICOM_DIR], folder / "of_yours")
    except DataError as error:
        print(error)

# %% [markdown] tags=["paper: section 3 challenge 1"]
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
pd.Series(
    [len(pool) for pool in pools], name="patients to learn from, by fold"
).to_frame().T

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
ways = {
    "model": (given, LEARNING_RATE * SHARE, GRADED),
    "nothing": (nothing, LEARNING_RATE, WHOLE),
}

# %%
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
    """Train on some patients, from a start of `ways`; the losses after each epoch.

    Half of each batch is of patients who are rehearsed, if there are any. Of those who
    are watched the loss is measured, and nothing is learned.
    """
    network.set_weights(ways[start][0])
    trainer, epochs = trainers[start], 6
    for variable, value in zip(trainer.optimizer.variables, fresh[start], strict=True):
        variable.assign(value)  # Adam remembers; this one shall not
    losses = {"training": [], "validation": []}

    def after_epoch(epoch, logs):
        losses["training"].append(logs["loss"])
        if watched:
            losses["validation"].append(
                validation_scores(segmenter, store, watched, loss)["val_loss"]
            )

    batches = training_batches(store, ids, BATCH, SEED, "none", rehearsed=rehearsed)
    watch = keras.callbacks.LambdaCallback(on_epoch_end=after_epoch)
    trainer.fit(
        batches,
        steps_per_epoch=STEPS // epochs,
        epochs=epochs,
        callbacks=[watch],
        verbose=0,
        shuffle=False,
    )
    return losses


# %% [markdown]
# Scores are of whole patients on their own grid, as always: Dice of the whole tumour, WT.

# %%
kept = [one for one in theirs if one.id in split.test]
scans = {one.id: read_scan(one, MODALITIES) for one in [*ours, *kept]}


def overlap(identity, labels):
    return dice(scans[identity].seg > 0, labels > 0)


def score(ids):
    """WT Dice of each patient, by id."""
    return {one: overlap(one, segmenter.predict(scans[one])) for one in ids}


old_ids = sorted(one.id for one in kept)
before, old_before = score([one.id for one in ours]), score(old_ids)
trivial = {one: overlap(one, np.zeros_like(scans[one].seg)) for one in before}
sides = {"at your hospital": before, "at the others": old_before}
as_it_was = {side: np.mean([*one.values()]) for side, one in sides.items()}
pd.Series(as_it_was, name="the model as it was").to_frame().round(3)

# %% [markdown] tags=["paper: figure 12"]
# First one training of each kind, side by side, as figure 12 of the paper draws them: the loss on the patients that are
# learned from, and on those that are not. Compare each colour with itself: half of a training batch shows tumour, which
# is harder than a whole patient, so the two losses are not of the same slices.

# %%
most = max(COUNTS)
watched = {start: learn(start, pools[0][:most], watched=folds[0]) for start in ways}
titles = {"model": "from the other hospitals' weights", "nothing": "from nothing"}
trainings = {titles[start]: losses for start, losses in watched.items()}
ends = [losses["validation"][-1] for losses in trainings.values()]
counts = f"{most} patients, {len(folds[0])} validated"
heading = f"{counts}: ends at {ends[0]:.2f} and at {ends[1]:.2f}"
retraining.losses(trainings, title=heading)

# %% [markdown]
# Now for every number of patients and every fold. What happens meanwhile at the *old* hospital, whose patients the
# model sees no more? We score those that were kept out there as well, after the first fold.


# %%
def row(name, start, count, rehearsed=()):
    """A point of the learning curve: our patients, and after one fold the old ones."""
    new, old = {}, None
    for tested, pool in zip(folds, pools, strict=True):
        learn(start, pool[:count], rehearsed)
        new |= score(tested)
        if old is None and start == "model":
            old = score(old_ids)
    return {
        "start": name,
        "order": "random",
        "draw": 0,
        "k": count,
        "new": new,
        "old": old,
    }


rows = [row(start, start, count) for count in COUNTS for start in ways]

# %% [markdown]
# And one more for the fewest patients, with a remedy that we come to: old patients shown again.

# %%
few = min(COUNTS)
rows.append(row("rehearsal", "model", few, split.train))

# %%
from helpers.show.learning_curve import learning_curve

table = {
    "score": "WT Dice",
    "base": before,
    "trivial": trivial,
    "old_base": old_before,
    "rows": rows,
}
learning_curve(table, title=f"What a patient is worth at {SITE}")

# %% [markdown]
# Each dot is a patient, as long as there are fewer than eight; an interval over so few would promise too much. Read the
# left panel from the dashed line: what the model did before it met you.

# %%
new = {(one["start"], one["k"]): list(one["new"].values()) for one in rows}
order = list(rows[0]["new"])
arms = {
    "the model as it was": [before[one] for one in order],
    "fine-tuning": new["model", most],
}
gained = verdict(arms, "the model as it was", score="WT Dice")
record("dice_wt_before", round(float(np.mean([*before.values()])), 4))
record("dice_wt_fine_tuned", round(float(np.mean(new["model", most])), 4))
record("dice_wt_from_nothing", round(float(np.mean(new["nothing", most])), 4))
record("verdict_of_fine_tuning", gained.outcome)
for count in COUNTS:
    arms = {
        "a start from nothing": new["nothing", count],
        "fine-tuning": new["model", count],
    }
    said = verdict(arms, "a start from nothing", score="WT Dice")
    print(f"Learned from {count} of yours. {said}")
print(f"Learned from {most} of yours. {gained}")

# %% [markdown]
# Read these sentences before you outline the next patient. Where they cannot tell, more patients have to be tested, not
# more outlined. And look at one patient against the dashed line: given weights may get worse before they get better.

# %% [markdown] tags=["question"]
# With one patient of yours to learn from, the model may score less at your hospital than before it had learned
# anything. What would that mean?
#
# - Fine-tuning does not work here. :: No: one point of a curve says nothing of the others; look at two and four
#   patients.
# - One patient has pulled the weights towards what is special about that patient. :: Right: every step is on one head,
#   so they learn the head; whether more patients mend it is what the curve is drawn for.
# - The old hospitals' model was better and should be kept. :: No: perhaps, but these are very few patients, and a line
#   of the sentences above may well say that they cannot tell.

# %% [markdown]
# **Exercise 3** (stretch, 10 minutes). An outline costs a radiologist an hour. Write `enough`: the smallest number of
# patients after which no larger one gains more than `tolerance`. A right answer is not fooled by a dip on the way.


# %% tags=["stub"]
def enough(curve, tolerance):
    # curve: mean score by number of patients, such as {1: 0.5, 2: 0.6, 4: 0.7}
    return ...  # one of the numbers of patients


# %% tags=["solution"]
def enough(curve, tolerance):
    def later(k):
        return [curve[more] - curve[k] for more in curve if more > k]

    return min(k for k in curve if all(gain <= tolerance for gain in later(k)))


# %% tags=["check", "long"]
with exercise_check("Exercise 3"):
    dip = {1: 0.5, 2: 0.49, 4: 0.7, 8: 0.705}
    value = filled(enough(dip, 0.02))
    number = isinstance(value, int) and value in dip
    words = f"you gave {value!r}; expected one of the numbers of patients, {list(dip)}"
    require(number, words)
    words = (
        "two patients are no better than one, but four are; look at all larger numbers"
    )
    require(value not in (1, 2), f"you gave {value}: {words}")
    words = "the last step gains less than the tolerance, and costs four hours"
    require(value != 8, f"you gave 8: {words}")
    value = enough({1: 0.6, 2: 0.55}, 0.02)
    require(
        value == 1, f"where more patients make it worse you gave {value}; one is enough"
    )
    value = enough({1: 0.1, 2: 0.4, 4: 0.8}, 0.02)
    require(value == 4, f"where each step gains you gave {value}; take the last, 4")

# %% [markdown] tags=["hint"]
# For one number of patients: which other points of the curve decide whether it is enough? Not the next one alone.

# %% [markdown] tags=["hint"]
# `all(curve[more] - curve[k] <= tolerance for more in curve if more > k)` says whether k is enough. Take the smallest
# such k.

# %% [markdown] tags=["teacher"]
# The usual answer looks at the next point and stops in the dip. The next takes the highest point, whatever it costs.
# The check has a curve for each, and one where more patients hurt. Ask the class what the tolerance should be: an hour
# of a radiologist against a hundredth of Dice.

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
record(
    "forgotten",
    round(float(np.mean([*old_before.values()]) - np.mean(old["model"])), 4),
)
arms = {
    "the model as it was": [old_before[identity] for identity in old_ids],
    "fine-tuning": old["model"],
}
print("At the old hospitals.", verdict(arms, "the model as it was", score="WT Dice"))
arms = {"fine-tuning without it": old["model"], "rehearsal": old["rehearsal"]}
rehearsed = verdict(arms, "fine-tuning without it", score="WT Dice")
print("At the old hospitals.", rehearsed)
arms = {"fine-tuning without it": new["model", few], "rehearsal": new["rehearsal", few]}
print("At yours.", verdict(arms, "fine-tuning without it", score="WT Dice"))

# %% [markdown]
# **Exercise 4** (core, 6 minutes). Write `rehearsal_batch`: the patients of a batch, half of them new and half old,
# drawn with replacement. A right answer has as many new ones when there are two of them as when there are two hundred.


# %% tags=["stub"]
def rehearsal_batch(new, old, size, rng):
    # new, old: lists of ids; rng: a numpy Generator
    return ...  # ids of `size` patients, half of each list


# %% tags=["solution"]
def rehearsal_batch(new, old, size, rng):
    return [*rng.choice(new, size // 2), *rng.choice(old, size - size // 2)]


# %% tags=["check"]
with exercise_check("Exercise 4"):
    new_ids, many = ["n1", "n2"], [f"o{n}" for n in range(50)]
    batch = filled(rehearsal_batch(new_ids, many, 16, np.random.default_rng(0)))
    batch = [str(one) for one in batch]
    require(len(batch) == 16, f"the batch has {len(batch)} patients; 16 were asked for")
    words = "somebody in your batch is in neither list"
    require({*batch} <= {*new_ids, *many}, words)
    fresh_ones = sum(one in new_ids for one in batch)
    hint = "draw eight from each list; from one list of all, the few drown in the many"
    require(fresh_ones == 8, f"{fresh_ones} of 16 are new; {hint}")
    words = "all old ones are the same patient; draw each anew"
    require(len({*batch} - {*new_ids}) > 1, words)

# %% [markdown] tags=["hint"]
# Two lists, two draws. What does a draw from two patients look like if eight are wanted?

# %% [markdown] tags=["hint"]
# `rng.choice(new, size // 2)` draws with replacement; the same for `old`, with what is left of `size`.

# %% [markdown] tags=["teacher"]
# Joining the lists and drawing sixteen is the usual answer: two new patients among fifty are then seen once in a while,
# which is the forgetting turned round. `replace=False` stops with an error, since eight cannot be drawn from two. It is
# the same trick as drawing half of a batch with tumour (lesson 07).

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
settings = {"layers": "graded", "site": SITE, "old": data, "epochs": 2}
quiet = {"split": chosen, "log": lambda text: None}
tuned = finetune(base, data, folder / "tuned", **settings, **quiet)
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

pd.Series(
    {name: str(value) for name, value in contract(tuned).items()}, name="contract"
).to_frame()

# %% [markdown]
# ## What we tried

# %% tags=["long"]
from helpers.lessons.closing import closing_table

emptied = f"{len(files) - still} of {len(files)} files lose their names"
searching = f"{searched.get('de-identified', 'no')} files hold a name afterwards"
gain = f"WT Dice {np.mean(new['model', most]) - np.mean([*before.values()]):+.3f}"
kept_more = f"old WT Dice {np.mean(old['rehearsal']) - np.mean(old['model']):+.3f}"
closing_table(
    [
        ("emptying PatientName", emptied, "a line", f"{still} files still hold one"),
        ("de-identification", searching, "the extra `clinic`", "letters are refused"),
        (
            "registration",
            f"WT Dice {worth:+.3f}",
            "some seconds",
            "one patient: no test",
        ),
        (f"fine-tuning on {most}", gain, f"{most} outlines", gained.title),
        ("rehearsal", kept_more, "the old scans", rehearsed.title),
    ]
)

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
