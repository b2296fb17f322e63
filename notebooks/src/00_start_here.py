# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% tags=["parameters"]
SEED = 0  # of all that is drawn at random; a training still rounds as it likes
DATA_DIR = ""  # folder with BraTS patients; empty: Kaggle's set, else phantoms
OUTPUT_DIR = ""  # where this lesson writes; empty: a temporary folder
PATIENTS = 20  # at most; more take longer and outline better
SIZE = 64  # pixels along each side of the picture that the network sees
FILTERS = 8  # width of the network; the paper's has 32
EPOCHS = 6  # how often it sees as many slices as the training patients have

# %%
import keras
import numpy as np

from helpers.data.brats import read_catalogue
from helpers.data.resample import Grid
from helpers.data.sources import brats
from helpers.data.splits import make_split
from helpers.data.volumes import read_scan
from helpers.models.unet import unet
from helpers.show.slices import compare
from helpers.tasks.brain.inference import Segmenter

# %% [markdown]
# If one of these lines stopped with `ModuleNotFoundError`, the course is not installed in this kernel: the README has
# the two commands. Otherwise, let us look at somebody.

# %%
MODALITIES = ("flair", "t1ce")  # the two kinds of picture this network looks at
root = brats(DATA_DIR)
patients = read_catalogue(root).require(MODALITIES)[:PATIENTS]
split = make_split(patients, SEED)
chosen = split.test[len(split.test) // 2]
someone = next(patient for patient in patients if patient.id == chosen)
scan = read_scan(someone, MODALITIES)  # (rows, columns, slices, 2)

# %%
keras.utils.set_random_seed(SEED)
network = unet(SIZE, channels=len(MODALITIES), filters=FILTERS)
segmenter = Segmenter(network, MODALITIES, Grid(SIZE), flip=False)
before = segmenter.predict(scan)  # (rows, columns, slices), one label a voxel
compare(scan, scan.seg, before, title="Before training: its numbers are random")

# %% [markdown]
# A slice through a head, three times, seen from the feet: the letters stand for the patient's right and left, for the
# front (A, anterior) and the back (P, posterior). Left, the tumour as it should be drawn, in its three parts: a core, a
# rim that takes up contrast agent (enhancing), and swollen brain round both (oedema). Middle, what a network draws whose
# weights are random numbers. Right, the two compared: where both see tumour, where only one does. **Dice**, above the
# right panel, says how much two outlines share, from 0 (nothing) to 1 (the same).
#
# In about a minute the same network will draw the same slice again. We will not tell it what a tumour is, how bright it
# is, or where in the head to look. So what will we give it?
#
# You need not follow the code above. Each line of it returns below, one at a time.

# %% [markdown]
# ## Is this machine ready?
#
# Every package that the course stands on, and what is here. Look for the word *missing*.

# %%
from importlib import import_module

import pandas as pd


def version(package: str) -> str:
    try:
        return import_module(package).__version__
    except ImportError:
        return "missing: install the course as its README says"


packages = ["numpy", "scipy", "pandas", "nibabel", "matplotlib", "keras", "tensorflow"]
pd.DataFrame({"version": {package: version(package) for package in packages}})

# %% [markdown]
# The other two things a lesson can run out of are time and disk. On a computer without a GPU the small sizes of this
# lesson are the right ones.

# %%
import shutil
import tempfile
from pathlib import Path

from helpers.runtime.machine import device

out = Path(OUTPUT_DIR or tempfile.mkdtemp(prefix="start_here_"))
out.mkdir(parents=True, exist_ok=True)
free = shutil.disk_usage(out).free / 1e9
print(f"device: {device()}")
print(f"disk:   {free:.0f} GB free" + (", which is little" if free < 5 else ""))

# %% [markdown]
# ## Two sources of scans
#
# **Kaggle** has the BraTS 2020 set: real patients with a glioma, a tumour of the brain, each scanned in four ways (FLAIR,
# T1, T1ce and T2; lesson 02 looks at them) and outlined by experts. You attach it to a notebook there, or download it
# and name its folder in `DATA_DIR`.
#
# **Phantoms** are patients that this course makes up, so that you can begin without an account or a download. They lie
# on disk under the same names, with the same types and the same odd spots, and the same code reads them. They are
# cartoons: a score on them says how well the code works, and nothing about patients.
#
# Which of the two are you looking at?

# %%
made_up = any(root.rglob("phantom.json"))
holds = "phantoms" if made_up else "no note that it was made up, so real scans"
print(f"{root} holds {holds}")

# %% [markdown] tags=["question"]
# Your network reaches a good Dice on phantoms. What may you tell a clinic?
#
# - That it will outline their patients about as well :: No. Nobody is behind a phantom. It has no motion, no odd anatomy
#   and no scanner, and so no score on it carries over to people.
# - That the whole way runs, from files to scores :: Right. That is what phantoms are for: to show that the code works,
#   before anybody's scan is touched.
# - Nothing at all: they could as well be left out :: No. A fault in reading, resampling or scoring shows on phantoms as
#   it does on scans, and there the truth is known exactly.

# %% [markdown]
# ## The whole way, one step at a time
#
# **1. Catalogue.** Who is there, and which files does each patient have? The grade says how fast the tumour grows: HGG
# is high, LGG is low. The site is the hospital, where a file's name gives it away, and `seg` the outline.

# %%
from helpers.lessons.record import record

catalogue = read_catalogue(root)
record("patients", len(patients))
print(len(catalogue.patients), "patients,", len(catalogue.problems), "problems")
print("with both pictures and an outline, at most", PATIENTS, "of them:", len(patients))
catalogue.table().head(4)

# %% [markdown]
# **2. Split.** Some patients train the network, some choose the best moment to stop (validation), some judge it (test).
# Whoever judges is not shown to the network before, and the patient at the top of this page is one of those.

# %%
sizes = {side: len(getattr(split, side)) for side in ("train", "validation", "test")}
print(sizes)
someone.id in split.test, someone.id in split.train

# %% [markdown] tags=["question"]
# Why is the patient at the top of the page not one of those that train the network?
#
# - Because their outlines are needed elsewhere :: No. An outline can be used as often as you like; the point is who has
#   seen it.
# - Because a network can learn its own examples by heart :: Right. On a patient it has seen, a good outline may be
#   memory. Only on somebody new does it show what it has understood.
# - Because test patients are chosen to be easy :: No. They are drawn by lot, spread over grade and hospital. If they
#   were easy, the score would be of easy patients only.

# %% [markdown]
# **3. Slices.** The network looks at one slice at a time, in small: every scan is cut into square pictures, all on the
# same scale in millimetres and of the same average brightness.

# %%
from helpers.data.store import open_store

store = open_store(patients, out / "slices", MODALITIES, Grid(SIZE))
print(f"{store.grid.pixel_mm} mm a pixel, where the scan has {scan.spacing[0]} mm")
store.images.shape  # (slices, 64, 64, 2)

# %% [markdown]
# **4. Network.** A U-Net: for every pixel of a slice it gives four probabilities, one for background and one for each
# part of a tumour. We made it at the top. It is a formula with this many numbers in it, its **weights**, all of them
# random so far:

# %%
print(f"{network.input_shape[1:]} -> {network.output_shape[1:]}")
record("network_parameters", network.count_params())

# %% [markdown]
# **5. Training.** The network outlines sixteen slices, is shown how far off it was (the **loss**), changes its weights a
# little, and takes the next sixteen. An **epoch** is as many slices as the training patients have. `fit_brain` says a
# line after each; we print it, and look over the network's shoulder: what does it draw now on one slice of our patient?

# %%
images, truths = store.volume(someone.id)  # (slices, 64, 64, 2), (slices, 64, 64, 4)
fullest = int(truths[..., 1:].sum(axis=(1, 2, 3), dtype=float).argmax())
picture = np.float32(images[fullest])  # (64, 64, 2), the slice with most tumour
drawn = []


def watch(line: str) -> None:
    """Print the line without its last words, and keep what the network draws."""
    print(line.partition(" (")[0])
    drawn.append(network.predict_on_batch(picture[None])[0].argmax(axis=-1))  # (64, 64)


watch("before training")

# %% [markdown]
# Each line scores three regions: WT is the whole tumour, TC the tumour without its oedema, ET the enhancing part alone.
# Guess before you run: how large will the Dice of the whole tumour be after the last epoch, on the patients that
# validate?

# %% tags=["guess"]
my_guess_wt = None  # a number between 0 and 1

# %%
from helpers.learn.budget import Budget
from helpers.tasks.brain.training import Recipe, fit_brain

recipe = Recipe(augmentation="none")  # the slices as they are; lesson 03 varies them
budget = Budget(epochs=EPOCHS)
history = fit_brain(network, store, split, out, budget, recipe, SEED, log=watch)

# %%
from helpers.lessons.guess import compare_guess
from helpers.lessons.verdict import trend
from helpers.show import scores

last = history["val_dice_wt"].iloc[-1]
what = f"WT Dice of {len(split.validation)} validation patients after {EPOCHS} epochs"
print(compare_guess(what, my_guess_wt, last))

# %% [markdown]
# The same numbers as curves. Watch the overlap of the whole tumour: does it climb all the way?

# %%
seconds = history["seconds"].iloc[-1]
overlap = history[["epoch", "loss", "val_dice_wt", "val_dice_tc", "val_dice_et"]]
loss, wt = trend(history["loss"]), trend(history["val_dice_wt"])
title = f"{seconds:.0f} seconds. The loss {loss}\nWT's overlap {wt}"
scores.curves(overlap, title=title)

# %% [markdown]
# The title is computed from the two curves, from their first and last points, for they need not do what one hopes. The
# loss is taken over all training slices, and its curve is often the smoother one; the overlap comes from the few
# patients who validate, and may jump. The whole tumour is the largest of the three, and FLAIR shows it bright. The
# others are smaller; a curve that lies on one level has not begun.
#
# And here is what we saw over its shoulder. Which part is found first, and what is drawn that has no business there?

# %%
from dataclasses import replace

from helpers.show.moving import moving
from helpers.show.panel import plane
from helpers.show.row import Panel, row
from helpers.show.style import CLASS_COLOURS, CLASS_NAMES

view = replace(plane(scan.affine), spacing=(store.grid.pixel_mm,) * 2)
flair, truth = picture[..., 0], truths[fullest].argmax(axis=-1)  # (64, 64) each
parts = {label: CLASS_NAMES[label] for label in CLASS_COLOURS}


def frame(epoch: int):
    """The outlined slice after an epoch, beside the truth."""
    when = f"After epoch {epoch}" if epoch else "Before training"
    now = Panel(flair, view, drawn[epoch])
    panels = {"As it should be": Panel(flair, view, truth), when: now}
    return row(panels, f"{when}.", names=parts, fill=0.65, width=5.5)


text = f"A slice of {someone.id}: what the network draws on it after each epoch."
moving(map(frame, range(len(drawn))), text, seconds=0.9)

# %% [markdown]
# **6. Inference.** Now the whole patient, whom the network has not seen. What it predicts is carried back to the
# patient's own grid, voxel for voxel (a **voxel** is a pixel with a depth), and written as a mask, a file that any
# viewer of medical images opens on top of the scan.

# %%
from helpers.data.volumes import write_segmentation

after = segmenter.predict(scan)  # the same network, with other numbers in it
path = out / f"{scan.id}_seg.nii.gz"
# A mask is never written over, so that of your last run goes first.
path.unlink(missing_ok=True)
write_segmentation(path, after, scan)
print(path.name, after.shape, f"{path.stat().st_size / 1000:.0f} kB")

# %%
compare(scan, scan.seg, after, title="After: the same network, the same slice")

# %% [markdown]
# Nobody wrote a rule about brightness, and nobody pointed at a place. The network had the slices of the training
# patients, and beside each slice an outline.
#
# **7. Score.** One slice that looks right is an anecdote. So every test patient is scored, all slices, and next to the
# network stands a rival that costs nothing: the **all-background model**, which calls every voxel healthy.

# %%
from helpers.measure.evaluate import evaluate

tested = [patient for patient in patients if patient.id in split.test]
result = evaluate(segmenter.predict, tested, MODALITIES)
each = [patient["regions"] for patient in result["patients"]]
scores.regions(each, result["trivial"], title="Is each mean to the right of its cross?")

# %%
for region in ("WT", "TC", "ET"):
    ours = result["regions"][region]["dice"]["mean"]
    nothing = result["trivial"][region]["dice"]["mean"]
    record(f"dice_{region.lower()}", round(ours, 3))
    record(f"dice_{region.lower()}_trivial", round(nothing, 3))
    print(f"{region}: {ours:.2f}, all background {nothing:.2f}")

# %% [markdown]
# Look at the last line. A model that finds nothing should get nothing, and for WT and TC it does. But a patient can
# have no ET at all. Whoever draws none there is right, so that patient counts 1, even for the model that never draws.
#
# So a score means what it adds to that rival's. Does the network beat it? A **verdict** compares the two patient by
# patient.

# %%
from helpers.lessons.verdict import verdict

for region in ("WT", "TC", "ET"):
    sets = {
        name: [patient[key][region]["dice"] for patient in result["patients"]]
        for name, key in {"all background": "trivial", "the network": "regions"}.items()
    }
    print(verdict(sets, "all background", "all background", f"{region} Dice"))

# %% [markdown]
# Below eight patients a verdict counts who went which way and decides nothing. Where it says that nobody beats all
# background, the network has learnt nothing yet, and the mean alone would have passed for a beginning. This is why the
# rival stands in every table of the course.

# %% [markdown] tags=["question"]
# A test patient has no enhancing tumour, and a model draws none. Which Dice should that patient get for ET?
#
# - 0, since the two outlines share nothing :: No. Nothing was there to share, and nothing was invented. A 0 would punish
#   the one right answer.
# - 1, and so does every model that never draws any :: Right. That is the rule here. It is why the all-background model
#   has points for ET, and why its score stands beside ours.
# - None: leave the patient out of the mean :: No. Then a model that invents tumour in healthy people would not be told.

# %% [markdown]
# ## Change EPOCHS, guess, run again
#
# Would it be better with twice as many epochs? With one? Change `EPOCHS` at the top, put a guess into `my_guess_wt`, and
# run the whole lesson again in this kernel. The table below keeps what you have tried; one line is no experiment.

# %%
tried = globals().get("tried", {})  # kept while this kernel lives
dices = {
    f"{region} Dice": result["regions"][region]["dice"]["mean"] for region in each[0]
}
tried[EPOCHS] = {"seconds": seconds, **dices}
table = pd.DataFrame(tried).T.rename_axis("epochs").sort_index()
print(f"{len(tested)} test patients")
table.round(2)

# %% [markdown]
# ## How good is nothing?
#
# **Accuracy** is the share of voxels that a model labels correctly.
#
# **Exercise 1** (core, 3 minutes). Guess the accuracy of the all-background model on `scan`, then compute it.
# `scan.seg` holds the true label of every voxel, 0 for background. A right answer is a share between 0 and 1, and
# larger than most people guess.

# %% tags=["stub"]
accuracy_of_nothing = ...

# %% tags=["solution"]
accuracy_of_nothing = float((scan.seg == 0).mean())

# %% tags=["check", "long"]
from numbers import Real

from helpers.lessons.checks import exercise_check, filled, require, shortly

with exercise_check("Exercise 1"):
    value = filled(accuracy_of_nothing)
    one_number = f"you have {shortly(value)}; an accuracy is one number"
    require(isinstance(value, Real), one_number)
    expected = np.count_nonzero(scan.seg == 0) / scan.seg.size
    inside = scan.images.any(axis=-1)
    tumour, brain = 1 - expected, float((scan.seg[inside] == 0).mean())
    near = lambda other: abs(value - other) < 1e-6 * max(1, abs(other))  # noqa: E731
    counted = near(expected * scan.seg.size)
    require(not counted, f"{value} is a count of voxels; divide by all of them")
    percentage = near(100 * expected)
    require(not percentage, f"{value:.2f} is a percentage; give a share from 0 to 1")
    require(
        0 <= value <= 1, f"you have {value}; an accuracy is a share between 0 and 1"
    )
    require(not near(tumour), f"{value:.4f} is the share of tumour; what is the rest?")
    within = f"{value:.4f} counts the brain alone; a mask labels the air too"
    require(not near(brain), within)
    wrong = f"you have {value:.4f}; divide the voxels with label 0 by all voxels"
    require(near(expected), wrong)

# %% [markdown] tags=["hint"]
# The model gives every voxel the label 0. Where is it right? Compare `scan.seg` with 0: that gives True or False for
# each voxel.

# %% [markdown] tags=["hint"]
# The mean of True and False is the share of True: `(scan.seg == 0).mean()`.

# %% [markdown] tags=["teacher"]
# Most guess between a half and nine tenths. Some give a percentage, some the share of tumour, and a few count the brain
# alone, which is a fair question of its own; the check names each. Ask what the number would be if the scan had twice as
# much air round the head.

# %% [markdown]
# Here is the answer beside the accuracy of the network that you have just seen at work.

# %%
nothing = record("accuracy_all_background", float((scan.seg == 0).mean()))
ours = record("accuracy", float((scan.seg == after).mean()))
print(f"accuracy on {scan.id}: all background {nothing:.1%}, our network {ours:.1%}")
print(f"the network adds {100 * (ours - nothing):+.1f} points")

# %% [markdown]
# One of the two finds no tumour in anybody, and that difference is all the accuracy that tells them apart. Whatever
# accuracy measures, it is not what we are after. Lesson 08 goes to the bottom of this; until then we count in Dice.

# %% [markdown] tags=["question"]
# A colleague reports an accuracy of 99 % in outlining brain tumours. What do you ask first?
#
# - How many epochs it was trained for :: No. That says how long it took, and nothing about what the number is worth.
# - What a model gets that calls everything healthy :: Right. If that is 98.9 %, the 99 % are hardly anything. A score
#   without the score of doing nothing cannot be read.
# - Whether they used a GPU :: No. It changes how fast a number comes, not what it means.
# - Which loss they trained with :: No, not first. Another loss may help; but as long as the score hides what is missed,
#   you could not see it.

# %% [markdown]
# The score above was a mean, and a mean hides people. `result["patients"]` holds each of them, and of each the scores of
# the three regions. The first:

# %%
first = result["patients"][0]
print(
    first["id"],
    {region: round(first["regions"][region]["dice"], 2) for region in each[0]},
)

# %% [markdown]
# **Exercise 2** (core, 4 minutes). Whom does the network serve worst? Find the id of the test patient with the lowest
# Dice for the whole tumour. A right answer is one of the ids of the test; the picture after the check shows that patient
# beside the one with the highest.

# %% tags=["stub"]
worst = ...

# %% tags=["solution"]
worst = min((p["regions"]["WT"]["dice"], p["id"]) for p in result["patients"])[1]

# %% tags=["check", "long"]
with exercise_check("Exercise 2"):
    given = filled(worst)
    of = {p["id"]: p["regions"] for p in result["patients"]}
    a_patient = isinstance(given, dict) and "id" in given
    require(
        not a_patient,
        f"you have the whole patient; give the id, {given['id'] if a_patient else ''}",
    )
    require(
        not isinstance(given, Real),
        f"you have the number {given}; whose is it? Give the id",
    )
    known = isinstance(given, str) and given in of
    told = f"{shortly(given)} is no test patient; they are {', '.join(of)}"
    require(known, told)
    dice_of = {name: regions["WT"]["dice"] for name, regions in of.items()}
    low, high = min(dice_of.values()), max(dice_of.values())
    mine = dice_of[given]
    best = mine == high and high > low
    require(
        not best, f"{given} has {mine:.2f}, the highest of all; you want the lowest"
    )
    elsewhere = [
        r
        for r in ("TC", "ET")
        if of[given][r]["dice"] == min(x[r]["dice"] for x in of.values())
    ]
    where = (
        f", and is the lowest for {' and '.join(elsewhere)} only" if elsewhere else ""
    )
    require(
        mine == low, f"{given} has {mine:.2f}{where}; somebody has {low:.2f} for WT"
    )

# %% [markdown] tags=["hint"]
# Collect what you need first: of every patient the Dice for WT, and the id. Of pairs `min` compares the first numbers,
# and gives the whole pair.

# %% [markdown] tags=["hint"]
# `min((p["regions"]["WT"]["dice"], p["id"]) for p in result["patients"])` is the lowest Dice, with whose it is. You want
# the second of the two.

# %% [markdown] tags=["teacher"]
# The usual slips: the Dice instead of its owner, the whole patient instead of the id, and `max` for `min`, since
# "worst" sounds large. Somebody will take ET, where a patient without any can have 0 for one invented voxel: a good
# moment to ask whether that is the worst outline.

# %% [markdown]
# Here is one slice of that patient, and one of the patient whom it serves best. Is the first a hard tumour, or is there a
# part of it that the network has not understood?

# %%
heads = {one.id: read_scan(one, MODALITIES) for one in tested}
outlines = {name: segmenter.predict(head) for name, head in heads.items()}

# %%
from helpers.show.slices import busiest

wt_dice = {p["id"]: p["regions"]["WT"]["dice"] for p in result["patients"]}
panels = {}
for which in (min, max):
    name = which(wt_dice, key=wt_dice.get)
    head, here = heads[name], plane(heads[name].affine)
    k, box = busiest(head), here.brain(head.images)
    flair = here.cut(head.image("flair"), k, box)
    for what, mask in {"truth": head.seg, "network": outlines[name]}.items():
        title = f"{name[-3:]}, {what}\nDice {wt_dice[name]:.2f}"
        panels[title] = Panel(flair, here, here.cut(mask, k, box))
title = f"The lowest WT Dice of {len(wt_dice)} patients, and the highest"
text = "A slice of two test patients, each as drawn and as the network outlines it."
row(panels, text, title, names=parts, fill=0.65)

# %% [markdown]
# A doctor does not ask for Dice. She asks how large the tumour is.
#
# **Exercise 3** (core, 5 minutes). Write `tumour_ml(labels, spacing)`: the volume of the whole tumour in millilitres.
# `labels` is (rows, columns, slices), 0 for background; `spacing` holds the millimetres of a voxel along each axis. A
# millilitre is 1,000 cubic millimetres. A right answer for ten tumour voxels of 2 x 2 x 2.5 mm is 0.1.


# %% tags=["stub"]
def tumour_ml(labels, spacing):
    """Volume of all voxels that are not background, in millilitres."""
    return ...


# %% tags=["solution"]
def tumour_ml(labels, spacing):
    """Volume of all voxels that are not background, in millilitres."""
    return float((labels > 0).sum() * np.prod(spacing) / 1000)


# %% tags=["check", "long"]
with exercise_check("Exercise 3"):
    toy = np.zeros((4, 5, 3), np.uint8)
    toy[1, 1:5], toy[2, 2, :2], toy[0, 0, 0] = 1, 3, 2  # 12, 2 and 1 voxels
    toy_spacing = (2.0, 3.0, 2.5)
    value = filled(tumour_ml(toy, toy_spacing))
    one_number = f"you return {shortly(value)}; a volume is one number"
    require(isinstance(value, Real), one_number)
    cube = "you take a voxel for a cube; its three sides are three numbers"
    usual = {
        15: "you count voxels; multiply by the size of one, and divide by 1,000",
        225: "these are cubic millimetres; a millilitre has 1,000 of them",
        225_000: "you multiply by 1,000; a millilitre is larger than a cubic millimetre",
        0.015: "you take a voxel for a cubic millimetre; multiply by its sides",
        0.3: "you add up the labels; a voxel of label 3 is one voxel, as every other",
        0.9: "you measure all voxels of the picture; only those above 0 are tumour",
        0.18: "you measure label 1 alone; the whole tumour has all three labels",
        0.1125: "you add the sides of a voxel; its size is their product",
        **{15 * side**3 / 1000: cube for side in toy_spacing},
    }
    for wrong, mistake in usual.items():
        require(not np.isclose(value, wrong), mistake)
    told = f"15 voxels of 2 x 3 x 2.5 mm are {value:.4g} ml by yours; expected 0.225"
    require(np.isclose(value, 0.225), told)
    value = filled(tumour_ml(toy, (1.0, 1.0, 1.0)))
    told = f"15 voxels of 1 mm are {value} ml by yours; expected 0.015: use `spacing`"
    require(np.isclose(value, 0.015), told)

# %% [markdown] tags=["hint"]
# Count first: which voxels are tumour, whatever their label? Then ask how large one voxel is; it is a box with three
# sides.

# %% [markdown] tags=["hint"]
# `(labels > 0).sum()` voxels, each of `np.prod(spacing)` cubic millimetres, and 1,000 of those in a millilitre.

# %% [markdown] tags=["teacher"]
# Half of a class sums the labels, so that enhancing voxels count three times; a quarter forgets the spacing, and is off
# by a factor of ten on phantoms and right by luck on BraTS, whose voxels are 1 mm. Let them say which error would be
# noticed in a report.

# %% [markdown]
# The volumes that the network outlines, beside the true ones. Does the patient with the higher Dice have the better
# volume, all the way down? It need not be so: what is drawn too much in one place makes up for what is missed elsewhere,
# in millilitres but not in Dice.

# %%
volumes = {}
for name, head in heads.items():
    true, ours = (
        float((mask > 0).sum() * np.prod(head.spacing) / 1000)
        for mask in (head.seg, outlines[name])
    )
    volumes[name] = [wt_dice[name], true, ours, ours - true]
columns = ["WT Dice", "true ml", "outlined ml", "difference"]
pd.DataFrame(volumes, index=columns).T.sort_values("WT Dice").round(2)

# %% [markdown]
# ## A rival that has learnt nothing
#
# All background is an easy rival. Here is a harder one: tumour is bright on FLAIR, so call the brightest voxels of the
# brain tumour. It needs no outline and no training. Does our network beat it?
#
# **Exercise 4** (stretch, 10 minutes). Write `brightest(scan, share)`: labels (rows, columns, slices), 2 where a voxel
# is among the brightest `share` of the *brain* on FLAIR, 0 elsewhere. The brain is where FLAIR is not 0; `scan.images`
# is (rows, columns, slices, modalities), FLAIR first. A right answer labels ten voxels of a brain of a hundred, if
# `share` is 0.1.


# %% tags=["stub"]
def brightest(scan, share):
    """2 where FLAIR is among the brightest `share` of the brain, 0 elsewhere."""
    return ...


# %% tags=["solution"]
def brightest(scan, share):
    """2 where FLAIR is among the brightest `share` of the brain, 0 elsewhere."""
    flair = scan.images[..., 0]
    threshold = np.quantile(flair[flair != 0], 1 - share)
    return np.where(flair > threshold, 2, 0)


# %% tags=["check", "long"]
from types import SimpleNamespace

with exercise_check("Exercise 4"):
    ranks = np.random.default_rng(0).permutation(100).reshape(10, 10, 1) + 1
    flair_of_toy = np.concatenate([ranks**2, 0 * ranks], axis=2)  # half of it is air
    other_of_toy = np.concatenate([(101 - ranks) ** 2, 0 * ranks], axis=2)
    images_of_toy = np.stack([flair_of_toy, other_of_toy], axis=-1)
    toy = SimpleNamespace(images=images_of_toy, modalities=("flair", "t1ce"))
    labels = np.asarray(filled(brightest(toy, 0.1)))
    shape = f"you return the shape {labels.shape}; expected {flair_of_toy.shape}"
    require(labels.shape == flair_of_toy.shape, shape)
    require(labels.dtype.kind in "biuf", f"you return {labels.dtype}; expected labels")
    found = labels != 0
    bool_or_one = found.any() and labels.max() == 1
    require(
        not bool_or_one, "you mark tumour with 1, which means core; give it label 2"
    )
    allowed = set(np.unique(labels)) <= {0, 2}
    require(allowed, f"your labels are {np.unique(labels)[:5]}; expected 0 and 2")
    count = int(found.sum())
    dark = count and flair_of_toy[found].max() < 50**2
    require(
        not dark, "you label dark voxels of FLAIR; is that another modality, or `<`?"
    )
    air = "the brightest tenth of the brain's; leave the air out of the quantile"
    require(count != 20, f"you label 20 voxels: a tenth of all, where we want {air}")
    by_value = count == int((ranks**2 > 0.9 * 100**2).sum())
    value = (
        "you take a share of the largest value; take a quantile, a share of the voxels"
    )
    require(not by_value, value)
    most = "you label what is left when the brightest are gone, or too much"
    require(count < 50, f"{count} of 100 voxels of the brain: {most}")
    require(
        9 <= count <= 11, f"you label {count} of 100 voxels of the brain; expected 10"
    )
    few = int((np.asarray(brightest(toy, 0.3)) != 0).sum())
    require(29 <= few <= 31, f"with a share of 0.3 you label {few} of 100; use `share`")

# %% [markdown] tags=["hint"]
# `np.quantile(values, q)` gives the value below which a share `q` of the values lies. Which values should it see, and
# which `q` leaves `share` of them above?

# %% [markdown] tags=["hint"]
# Take `flair = scan.images[..., 0]`, the threshold `np.quantile(flair[flair != 0], 1 - share)`, and
# `np.where(flair > threshold, 2, 0)`.

# %% [markdown] tags=["teacher"]
# The air is the trap: over all voxels a quantile of 0.9 lies at the air's edge, and the whole brain is called tumour.
# The check's toy is half air and counts. A mask of True and False is returned as often; as labels, True is 1, the core.

# %% [markdown]
# Our own version, with the share of the brain that is tumour in training patients, beside the network on all test
# patients:

# %%
from helpers.measure.overlap import dice


def brightest_share(scan, share: float):
    """The rival's whole tumour: (rows, columns, slices) bool."""
    flair = scan.images[..., 0]
    return flair > np.quantile(flair[flair != 0], 1 - share)


teachers = [patient for patient in patients if patient.id in split.train][:8]
known = [read_scan(patient, MODALITIES) for patient in teachers]
share = np.mean([(one.seg > 0).sum() / one.images.any(axis=-1).sum() for one in known])
by_brightness = [
    dice(head.seg > 0, brightest_share(head, share)) for head in heads.values()
]

# %%
names = {"all background": "trivial", "the network": "regions"}
rivals = {
    n: [p[key]["WT"]["dice"] for p in result["patients"]] for n, key in names.items()
}
rivals["brightness"] = by_brightness
told = verdict(rivals, "brightness", "all background", "WT Dice")
print({name: round(float(np.mean(values)), 2) for name, values in rivals.items()})
print(told)

# %% [markdown]
# A score is only as good as the best rival that it was held against, and where a tumour is the brightest thing in the
# head, that rival is brightness. What brightness cannot do is tell the parts of a tumour from each other, or a tumour from another
# bright spot.
#
# ## What we tried

# %%
from helpers.lessons.closing import closing_table

mean = {name: f"WT Dice {np.mean(values):.2f}" for name, values in rivals.items()}
random_dice = f"WT Dice {dice(scan.seg > 0, before > 0):.2f}, one patient"
blind = f"accuracy {nothing:.1%}, {mean['all background']}"
rows = [
    ("random weights", random_dice, "no training", "where we began"),
    ("all background", blind, "no training", "accuracy hides that it is blind"),
    ("the brightest of FLAIR", mean["brightness"], "no training", "the rival to beat"),
    (f"{EPOCHS} epochs", mean["the network"], f"{seconds:.0f} s", told.title),
]
closing_table(rows)

# %% [markdown]
# ## Where the paper is
#
# The course follows a paper, and each lesson takes a part of it: its sections, its figures, and its numbers wherever
# they can be had again. [The map of the paper](PAPER.md) goes the other way, from each figure to the cell that answers it.

# %%
from helpers.lessons.manifest import read_manifest

lessons = read_manifest().lessons
parts = {f"{one.number} {one.title}": ", ".join(one.paper) for one in lessons}
pd.DataFrame({"from the paper": parts})

# %% [markdown]
# ## What a computer needs to see
#
# Examples: slices of patients, and beside each slice an outline by somebody who knows. Everything else on this page is
# care: that the files are what they seem, that whoever judges was kept out, that the mask comes back to the right
# voxels, and that the score is compared with the score of doing nothing.
#
# We left out nearly everything: what the files hold (lesson 01), what the pictures show (02), what is inside the
# network (04), how training is kept fast and honest (07), and what a score can hide (08). The next lesson begins where
# every project begins: with a folder of files that somebody gave you, and the question whether to believe them.
