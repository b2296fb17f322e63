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
SEED = 0  # of everything random: the same seed gives the same numbers
DATA_DIR = ""  # a folder with BraTS patients; empty: Kaggle's set where it is attached, else phantoms
OUTPUT_DIR = ""  # where this lesson writes; empty: a temporary folder
PATIENTS = 20  # how many patients to use at most; more take longer and outline better
SIZE = 64  # pixels along each side of the picture that the network sees
FILTERS = 8  # width of the network; the paper's has 32
EPOCHS = 6  # how often the network sees as many slices as the training patients have

# %%
import tempfile
from pathlib import Path

import keras
import numpy as np
import pandas as pd

# %%
from helpers.data.brats import read_catalogue
from helpers.data.resample import Grid
from helpers.data.sources import brats
from helpers.data.splits import make_split
from helpers.data.store import open_store
from helpers.data.volumes import read_scan, write_segmentation
from helpers.learn.budget import Budget
from helpers.lessons.checks import exercise_check, filled, require
from helpers.lessons.record import record
from helpers.lessons.verdict import trend, verdict
from helpers.measure.evaluate import evaluate
from helpers.models.unet import unet
from helpers.show import scores
from helpers.show.slices import compare
from helpers.tasks.brain.inference import Segmenter
from helpers.tasks.brain.training import Recipe, fit_brain

# %% [markdown]
# If one of these lines stopped with `ModuleNotFoundError`, the course is not installed in this kernel: the README has
# the two commands. Otherwise, let us look at somebody.

# %%
MODALITIES = ("flair", "t1ce")  # the two kinds of picture that this network looks at
root = brats(DATA_DIR)
patients = read_catalogue(root).require(MODALITIES)[:PATIENTS]
split = make_split(patients, SEED)
someone = next(patient for patient in patients if patient.id == split.test[len(split.test) // 2])
scan = read_scan(someone, MODALITIES)  # (rows, columns, slices, 2)

# %%
keras.utils.set_random_seed(SEED)
network = unet(SIZE, channels=len(MODALITIES), filters=FILTERS)
segmenter = Segmenter(network, MODALITIES, Grid(SIZE), flip=False)
before = segmenter.predict(scan)  # (rows, columns, slices), one label a voxel
compare(scan, scan.seg, before, title="Before: the network outlines everything and nothing")

# %% [markdown]
# A slice through a head, three times. Left, the tumour as it should be drawn, in its three parts. Middle, what a
# network draws whose weights are random numbers. Right, the two compared.
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

from helpers.runtime.machine import device

out = Path(OUTPUT_DIR or tempfile.mkdtemp(prefix="start_here_"))
out.mkdir(parents=True, exist_ok=True)
free = shutil.disk_usage(out).free / 1e9
print(f"device: {device()}")
print(f"disk:   {free:.0f} GB free where this lesson writes" + (", which is little" if free < 5 else ""))

# %% [markdown]
# ## Two sources of scans
#
# **Kaggle** has the BraTS 2020 set: real patients with a glioma, each scanned in four ways and outlined by experts. You
# attach it to a notebook there, or download it and name its folder in `DATA_DIR`.
#
# **Phantoms** are patients that this course makes up, so that you can begin without an account or a download. They lie
# on disk under the same names, with the same types and the same odd spots, and the same code reads them. They are
# cartoons: a score on them says how well the code works, and nothing about patients.
#
# Which of the two are you looking at?

# %%
made_up = any(root.rglob("phantom.json"))
print(f"{root} holds", "phantoms" if made_up else "no note that it was made up, so real scans")

# %% [markdown]
# ## The whole way, one step at a time
#
# **1. Catalogue.** Who is there, and which files does each patient have? The grade says how fast the tumour grows: HGG
# is high, LGG is low.

# %%
catalogue = read_catalogue(root)
record("patients", len(patients))
print(len(catalogue.patients), "patients,", len(catalogue.problems), "problems; we use", len(patients))
catalogue.table().head(4)

# %% [markdown]
# **2. Split.** Some patients train the network, some choose the best moment to stop (validation), some judge it (test).
# Whoever judges is not shown to the network before, and the patient at the top of this page is one of those.

# %%
print(len(split.train), "train,", len(split.validation), "validate,", len(split.test), "test")
someone.id in split.test, someone.id in split.train

# %% [markdown]
# **3. Slices.** The network looks at one slice at a time, in small: every scan is cut into square pictures, all on the
# same scale in millimetres and of the same average brightness.

# %%
store = open_store(patients, out / "slices", MODALITIES, Grid(SIZE))
print(f"{store.grid.pixel_mm} mm a pixel, where the scan has {scan.spacing[0]} mm")
store.images.shape  # (slices, 64, 64, 2)

# %% [markdown]
# **4. Network.** A U-Net: for every pixel of a slice it gives four probabilities, one for background and one for each
# part of a tumour. We made it at the top. It is a formula with this many numbers in it, all of them random so far:

# %%
print(f"{network.input_shape[1:]} -> {network.output_shape[1:]}")
record("network_parameters", network.count_params())

# %% [markdown]
# **5. Training.** The network outlines sixteen slices, is shown how far off it was, changes its numbers a little, and
# takes the next sixteen. Each line below is an **epoch**: as many slices as the training patients have. **Dice** says
# how much two outlines share, from 0 (nothing) to 1 (the same). Watch the first of the three columns: does it climb
# all the way?

# %%
as_they_are = Recipe(augmentation="none")  # lesson 03 shows the network more slices than there are
history = fit_brain(network, store, split, out, Budget(epochs=EPOCHS), as_they_are, SEED)

# %%
seconds = history["seconds"].iloc[-1]
overlap = history[["epoch", "loss", "val_dice_wt", "val_dice_tc", "val_dice_et"]]
error, wt = trend(history["loss"]), trend(history["val_dice_wt"])
title = f"{seconds:.0f} seconds. The error {error}\nWT's overlap {wt}"
scores.curves(overlap, title=title)

# %% [markdown]
# WT is the whole tumour, TC its core, ET the part that takes up contrast agent. The title is computed from the two
# curves, for they need not do what one hopes: the error is taken over all training slices and falls smoothly, while the
# overlap comes from a few patients who validate, and jumps. The whole tumour is the largest of the three, and FLAIR
# shows it bright. The others are smaller; a curve that lies on one level has not begun.
#
# **6. Inference.** Now the patient whom the network has not seen. What it predicts is carried back to the patient's own
# grid, voxel for voxel, and written as a mask, a file that any viewer of medical images opens on top of the scan.

# %%
after = segmenter.predict(scan)  # the same network, with other numbers in it
path = out / f"{scan.id}_seg.nii.gz"
path.unlink(missing_ok=True)  # a mask is never written over; this one is from your last run of this cell
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
tested = [patient for patient in patients if patient.id in split.test]
result = evaluate(segmenter.predict, tested, MODALITIES)
each = [patient["regions"] for patient in result["patients"]]
scores.regions(each, result["trivial"], title="Is each mean to the right of its cross?")

# %%
for region in ("WT", "TC", "ET"):
    ours, nothing = result["regions"][region]["dice"]["mean"], result["trivial"][region]["dice"]["mean"]
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
for region in ("WT", "TC", "ET"):
    sets = {
        name: [patient[key][region]["dice"] for patient in result["patients"]]
        for name, key in {"all background": "trivial", "the network": "regions"}.items()
    }
    print(verdict(sets, "all background", trivial="all background", score=f"{region} Dice"))

# %% [markdown]
# Below eight patients a verdict counts who went which way and decides nothing. Where it says that nobody beats all
# background, the network has learnt nothing yet, and the mean alone would have passed for a beginning. This is why the
# rival stands in every table of the course.

# %% [markdown]
# ## Exercise 1: how good is nothing?
#
# *3 minutes, easy.* **Accuracy** is the share of voxels that a model labels correctly. Guess the accuracy of the
# all-background model on `scan`, then compute it. `scan.seg` holds the true label of every voxel, 0 for background.
# The answer is a share between 0 and 1.

# %% tags=["stub"]
accuracy_of_nothing = ...

# %% tags=["solution"]
accuracy_of_nothing = float((scan.seg == 0).mean())

# %% tags=["check"]
with exercise_check("Exercise 1"):
    value = filled(accuracy_of_nothing)
    require(0 <= value <= 1, f"you have {value}; an accuracy is a share between 0 and 1")
    expected = np.count_nonzero(scan.seg == 0) / scan.seg.size
    require(abs(value - expected) < 1e-6, f"you have {value:.4f}; divide the voxels with label 0 by all voxels")

# %% [markdown]
# Here is the answer beside the accuracy of the network that you have just seen at work.

# %%
nothing = record("accuracy_all_background", float((scan.seg == 0).mean()))
ours = record("accuracy", float((scan.seg == after).mean()))
print(f"all background {nothing:.1%}, our network {ours:.1%}")

# %% [markdown]
# The model that finds no tumour in anybody is nearly as accurate as the one that outlines it. Whatever accuracy
# measures, it is not what we are after. Lesson 08 goes to the bottom of this; until then we count in Dice.

# %% [markdown]
# The score above was a mean, and a mean hides people. `result["patients"]` holds each of them. The first:

# %%
first = result["patients"][0]
first["id"], first["regions"]["WT"]

# %% [markdown]
# ## Exercise 2: whom does it serve worst?
#
# *5 minutes, medium.* Find the id of the test patient with the lowest Dice for the whole tumour.

# %% tags=["stub"]
worst = ...

# %% tags=["solution"]
worst = min(result["patients"], key=lambda patient: patient["regions"]["WT"]["dice"])["id"]

# %% tags=["check"]
with exercise_check("Exercise 2"):
    given = filled(worst)
    dice_of = {patient["id"]: patient["regions"]["WT"]["dice"] for patient in result["patients"]}
    require(given in dice_of, f"{given!r} is no test patient; they are {', '.join(dice_of)}")
    lowest = min(dice_of.values())
    require(dice_of[given] == lowest, f"{given} has {dice_of[given]:.2f}, and somebody has {lowest:.2f}")

# %% [markdown]
# A right answer looks like this. Is it a hard patient, or a part of the tumour that the network has not understood?

# %%
lowest = min(tested, key=lambda patient: each[tested.index(patient)]["WT"]["dice"])
lowest_scan = read_scan(lowest, MODALITIES)
title = f"{lowest.id}: where we are worst"
compare(lowest_scan, lowest_scan.seg, segmenter.predict(lowest_scan), title=title)

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
