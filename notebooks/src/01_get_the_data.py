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
DATA_DIR = ""  # a folder with BraTS 2020 patients; empty: Kaggle's set if attached or downloaded, else phantoms
OUTPUT_DIR = ""  # where this lesson writes; empty: a temporary folder
DOWNLOAD = False  # True brings the first patients from Kaggle where no real ones are here; False touches no network
PATIENTS_TO_DOWNLOAD = 10  # as many as this lesson needs

# %%
import json
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from scipy import ndimage

# %%
from helpers.data.audit.report import audit, refuse_errors, table
from helpers.data.brats import MODALITIES, read_catalogue
from helpers.data.chest import read_chest
from helpers.data.phantoms.chest import make_chest
from helpers.data.sets import BRATS, brats_files
from helpers.data.sources import brats, bring, find
from helpers.data.splits import load_split, make_split, save_split
from helpers.data.store import voxel_hashes
from helpers.data.volumes import read_scan
from helpers.lessons.checks import exercise_check, filled, require
from helpers.lessons.record import record
from helpers.measure.overlap import dice
from helpers.runtime.errors import DataError
from helpers.show.panel import plane, show_slice
from helpers.show.style import CLASS_COLOURS, CLASS_NAMES, alt, use

# %%
use()
if DOWNLOAD and not DATA_DIR and not find(BRATS):
    bring(BRATS, PATIENTS_TO_DOWNLOAD)
root = brats(DATA_DIR)
out = Path(OUTPUT_DIR or tempfile.mkdtemp(prefix="get_the_data_"))
out.mkdir(parents=True, exist_ok=True)
patients = read_catalogue(root).require(MODALITIES)
rng = np.random.default_rng(SEED)

# %% [markdown]
# We copy four patients into a folder of our own, and damage one of them: its mask is made smaller and then larger
# again, with interpolation, as many a data loader does. Do not print `damaged` yet.


# %%
def resize_there_and_back(path: Path) -> None:
    image = nib.load(path)
    mask = image.get_fdata()  # (rows, columns, slices)
    small = ndimage.zoom(mask, 0.5, order=1)  # order=1: linear interpolation
    back = ndimage.zoom(small, np.divide(mask.shape, small.shape), order=1)  # (rows, columns, slices)
    nib.save(nib.Nifti1Image(np.rint(back).astype(np.int16), image.affine), path)


# %%
ward = out / "ward"
originals = [patient for patient in patients if patient.grade == "HGG"][:4]
for patient in originals:
    shutil.copytree(patient.folder, ward / patient.id, dirs_exist_ok=True)
four = read_catalogue(ward).patients
damaged = four[rng.integers(4)]
resize_there_and_back(damaged.seg)

# %%
figure = Figure(figsize=(8, 2.8))
for ax, patient in zip(figure.subplots(1, 4), four, strict=True):
    flair, mask = (np.asarray(nib.load(path).dataobj) for path in (patient.images["flair"], patient.seg))
    view, k = plane(nib.load(patient.seg).affine), int((mask > 0).sum(axis=(0, 1)).argmax())
    outline = {"labels": (mask[..., k] > 0).astype(int), "colours": {1: CLASS_COLOURS[3]}}
    show_slice(ax, flair[..., k], view, **outline, marks=patient is four[0])
    ax.set_title(patient.id[-3:])
figure.suptitle("Four patients, four tumours, four good outlines")
alt(figure, "A FLAIR slice of each of four patients, the whole tumour outlined; all four look well drawn.")

# %% [markdown]
# One of these four must not be trained on. Which?
#
# Look as long as you like, and write your guess down. The answer comes further down, and not from the picture.

# %% [markdown] tags=["paper: section 4.1.1"]
# ## What lies on the disk
#
# The scans come from one of four places: a folder that you name in `DATA_DIR`; a set that Kaggle has attached to the
# notebook; a download; or, where there is none of these, phantoms in the same layout. The first that is there is taken,
# and the lesson says which it was.
#
# In a Kaggle notebook, *Add Input* attaches the set and nothing is downloaded. Where does it lie then? Kaggle has used
# two layouts, so we build both here, empty, and let the course look.

# %%
for place in (BRATS.slug, f"datasets/{BRATS.owner}/{BRATS.slug}"):
    (out / "input" / place).mkdir(parents=True, exist_ok=True)
for mount in BRATS.mounts(out / "input"):
    print("/kaggle/input/" + mount.relative_to(out / "input").as_posix())

# %% [markdown]
# Both are found, and both are read-only: remember that when you want to mend a file. At home you download. Is there
# room?

# %%
voxels = 240 * 240 * 155  # of one BraTS file
part = PATIENTS_TO_DOWNLOAD * 5 * voxels * 2 / 1e9  # five files a patient, two bytes a voxel
print(f"whole set: {BRATS.packed_gb} GB to download, and {BRATS.unpacked_gb} GB more once unpacked")
print(f"the first {PATIENTS_TO_DOWNLOAD} patients: {part:.1f} GB")
print(f"free here: {shutil.disk_usage(out).free / 1e9:.0f} GB")
print("its terms:", BRATS.page)

# %% [markdown]
# A few patients are enough to begin with. In a terminal they come with
#
#     python -m helpers download brats --patients 10
#
# and here with `DOWNLOAD = True` at the top. It looks for room first, can be stopped and taken up again, and shows
# a folder only when that is complete. If Kaggle asks who you are, the message says how to get a **token**, a password
# for programs. It goes into a file in your home folder and never into a notebook, since notebooks are passed on.
#
# Whichever scans you have, look at them before any library does.

# %%
folder = patients[0].folder.parent
entries = sorted(folder.iterdir())
print(folder.relative_to(root))
for path in [*entries[:3], *entries[-3:]]:
    print("   ", path.name)

# %% [markdown]
# A folder inside a folder of nearly the same name: Kaggle's upload doubled it. Then one folder a patient, and two
# tables. Inside one patient:

# %%
for path in sorted(patients[0].folder.iterdir()):
    print(f"{path.name:32} {path.stat().st_size / 1e6:6.1f} MB")

# %% [markdown]
# Four scans of one head and one mask. FLAIR, T1, T1ce and T2 are **modalities**: the same scanner, set to show
# different properties of tissue. The **mask** (`seg`) holds a label for every voxel, drawn by experts. Lesson 02 looks
# at them.

# %% [markdown]
# ## What one file holds
#
# NIfTI, the format, is an array and a header that says where in the room the array lies.

# %%
image = nib.load(patients[0].images["flair"])
print(image.shape, image.get_data_dtype())
print(image.affine.round(2))

# %% [markdown]
# The **affine** turns a voxel's indices (i, j, k) into millimetres (x, y, z). Its diagonal is the step from voxel to
# voxel, and the sign says which way. So two things can be read from it that the array alone does not know:

# %%
spacing = nib.affines.voxel_sizes(image.affine)
print("millimetres a voxel: ", spacing)
print("millimetres in all:  ", spacing * image.shape)
print("the axes run towards:", nib.aff2axcodes(image.affine))

# %% [markdown]
# The first axis runs to the patient's left and the second to the back of the head (posterior), the third up (superior).
# A program that takes the first axis for "down the picture" draws the head lying on its side.
#
# Now the voxels. nibabel offers two ways to them. Guess before you run: do they differ?

# %%
as_stored = np.asarray(image.dataobj)
as_float = image.get_fdata()
for name, array in {"dataobj": as_stored, "get_fdata()": as_float}.items():
    print(f"{name:12} {array.dtype} {array.nbytes / 1e6:6.1f} MB")

# %% [markdown]
# The numbers are the same, the memory is not. `get_fdata()` makes 64-bit floats of whatever is in the file, and keeps
# them as long as `image` lives. Over all scans of all patients that decides whether they fit:

# %%
files = len(patients) * len(MODALITIES)
for name, array in {"as stored": as_stored, "as floats": as_float}.items():
    print(f"{files} scans {name}: {files * array.nbytes / 1e9:.2f} GB")

# %% [markdown]
# The mask is small whole numbers. Which?

# %%
mask = np.asarray(nib.load(patients[0].seg).dataobj)
labels, voxels = np.unique(mask, return_counts=True)
pd.DataFrame({"voxels": voxels, "millilitres": voxels * spacing.prod() / 1000}, index=labels)

# %% [markdown]
# 0 is background, 1 the dead or non-enhancing **core**, 2 the **oedema** (swelling), 4 the **enhancing** rim. There is
# no 3: the organisers merged it into 1 in 2017 and left the others where they were. Keep the two columns apart as well.
# A voxel is no unit: the same tumour has other counts on another grid, and the same millilitres.

# %% [markdown]
# ## Whose files are these?
#
# To train we need pairs of scans and mask. The obvious way is to collect the masks by their name. Does it find
# everybody?

# %%
listing = {path.name: sorted(file.name for file in path.iterdir()) for path in folder.iterdir() if path.is_dir()}
last = [Path(file) for file in brats_files(355)[-5:]]  # a part of the set ends before this patient
listing.setdefault(last[0].parent.name, sorted(file.name for file in last))
found = [name for names in listing.values() for name in names if "_seg.nii" in name]
print(f"{len(listing)} patients, {len(found)} masks")

# %% [markdown]
# Nothing failed, nothing was printed in red, and somebody is gone. Who?

# %%
(lost,) = (patient for patient, names in listing.items() if not set(names) & set(found))
listing[lost]

# %% [markdown]
# The real set has this patient too, number 355, and its mask has this very name: a date, and *Segm* with a capital.
# Many public notebooks rename the file. Under `/kaggle/input` you cannot, and at home the next download brings the old
# name back. So we look for a pattern.
#
# ### Exercise 1: find the mask
#
# *5 minutes, easy.* Write `find_masks(names)`: of a list of file names, return those that are segmentations. Yours must
# find 355's as well, and nothing that is no NIfTI file.


# %% tags=["stub"]
def find_masks(names: list[str]) -> list[str]:
    return ...


# %% tags=["solution"]
def find_masks(names: list[str]) -> list[str]:
    return [name for name in names if "_seg" in name.lower() and name.endswith((".nii", ".nii.gz"))]


# %% tags=["check"]
with exercise_check("Exercise 1"):
    for name in ("BraTS20_Training_001_seg.nii", "BraTS19_TCIA_1_seg.nii.gz", "W39_1998.09.19_Segm.nii"):
        require(name in filled(find_masks([name])), f"{name} is a mask, and yours does not find it")
    for name in ("BraTS20_Training_001_t1.nii", "W39_1998.09.19_Segm.txt"):
        require(find_masks([name]) == [], f"{name} is no mask, and yours takes it for one")

# %% [markdown]
# With a pattern for the modalities beside it, a folder turns into a patient. This is the heart of a **catalogue**, the
# list of who is there with which files:

# %%
SCAN = re.compile(r"(?P<id>.+)_(?P<kind>flair|t1|t1ce|t2)\.nii(\.gz)?$", re.IGNORECASE)
matches = [match for match in map(SCAN.match, listing[lost]) if match]
matches[0]["id"], [match["kind"] for match in matches]

# %% [markdown]
# `read_catalogue` does the same for every folder below `root`, in any BraTS layout from 2018 to 2021, and reads the
# header of every file.

# %%
start = time.perf_counter()
catalogue = read_catalogue(root)
seconds = time.perf_counter() - start
print(f"{len(catalogue.patients)} patients, {len(catalogue.problems)} problems, {seconds:.1f} s")
catalogue.table().tail(6)

# %% [markdown]
# Who is called *Validation* has no mask: these are the validation patients of the challenge, whose outlines were never
# published. You ask the catalogue for what you need, and get those who have it.

# %%
with_mask = record("patients_with_mask", len(catalogue.require(MODALITIES)))
anybody = record("patients", len(catalogue.require(MODALITIES, seg=False)))
print(f"{with_mask} patients to train and test on, {anybody} to look at")

# %% [markdown]
# ## Who was it?
#
# Back to the four. `read_scan` reads a patient's files and looks at every voxel.

# %%
for patient in four:
    try:
        read_scan(patient, MODALITIES)
        print(patient.id, "is fine")
    except DataError as error:
        print(str(error).replace(str(out), "..."))

# %% [markdown]
# Label 3, which does not exist. Now look at that mask closely, beside the original. Colours are the classes; whatever
# is neither 1, 2 nor 4 is magenta.

# %%
original = next(patient for patient in originals if patient.id == damaged.id)
before, after = (np.asarray(nib.load(patient.seg).dataobj) for patient in (original, damaged))
flair = np.asarray(nib.load(original.images["flair"]).dataobj)
view, k = plane(nib.load(original.seg).affine), int((before == 4).sum(axis=(0, 1)).argmax())
where = np.argwhere(before[..., k])
box = tuple(slice(max(low - 5, 0), high + 6) for low, high in zip(where.min(0), where.max(0), strict=True))

# %%
colours = {1: CLASS_COLOURS[1], 2: CLASS_COLOURS[2], 4: CLASS_COLOURS[3], 3: "#FF00FF"}
figure = Figure(figsize=(8, 4.2))
masks = {"As drawn": before, "Resized and back": after}
for ax, (name, labels) in zip(figure.subplots(1, 2), masks.items(), strict=True):
    show_slice(ax, view.cut(flair, k, box), view, None, view.cut(labels, k, box), colours, fill=0.75)
    ax.set_title(name)
figure.suptitle("A rim of core round the oedema, and a label that does not exist")
alt(figure, "A tumour's mask twice: resized, its oedema has a rim of core, with magenta at borders.")

# %% [markdown]
# Interpolation takes averages, and the average of two labels is another label. Halfway from background (0) to oedema
# (2) lies 1, and 1 means core. Halfway from oedema (2) to enhancing (4) lies 3, and 3 means nothing. What would have
# come of it without the check?

# %%
classes = {1: CLASS_NAMES[1], 2: CLASS_NAMES[2], 3: "no such label", 4: CLASS_NAMES[3]}
counts = {name: {classes[c]: (labels == c).sum() for c in classes} for name, labels in masks.items()}
invented = record("invented_core_voxels", int(((after == 1) & (before != 1)).sum()))
print(f"{invented} voxels became core that were not")
pd.DataFrame(counts)

# %% [markdown]
# A network trained on this learns that swelling ends in dead tissue. No error would have told you; a slightly worse
# score would, perhaps.
#
# So the check is a good one. Is it good enough? Some tumours do not enhance, and their masks have only 0, 1 and 2. We
# make such a mask, by turning the rim of one patient into core, and do the same to it.

# %%
quiet = next(patient for patient in patients if patient not in originals)
shutil.copytree(quiet.folder, out / "quiet" / quiet.id, dirs_exist_ok=True)
(copy,) = read_catalogue(out / "quiet").patients
image = nib.load(quiet.seg)
rimless = np.where(np.asarray(image.dataobj) == 4, 1, image.dataobj).astype(np.int16)
nib.save(nib.Nifti1Image(rimless, image.affine), copy.seg)

# %%
truth = read_scan(copy, MODALITIES).seg
resize_there_and_back(copy.seg)
spoilt = read_scan(copy, MODALITIES).seg
share = dice(truth == 1, spoilt == 1)
print(f"not refused; overlap of its core with the core as drawn (Dice, 1 is all): {share:.2f}")

# %% [markdown]
# It passes. Between 0 and 2 lies 1, and 1 is a label like any other. A check on labels finds labels that cannot be; it
# cannot find an outline that is wrong. What protects you is the rule behind it: **never resize a mask of labels**.
# Lesson 03 shows what to resize instead.

# %% [markdown]
# ## Five more faults
#
# Copies of five other patients, and one fault each. They are worth meeting here, where you know who is guilty.

# %%
bad = out / "bad"
others = [patient for patient in patients if patient not in (*originals, quiet)][:5]
for patient in others:
    shutil.copytree(patient.folder, bad / patient.id, dirs_exist_ok=True)
short, dotted, shifted, doubled, lacking = read_catalogue(bad).patients

# %% [markdown]
# **Cut short.** A download stopped after two thirds of a file. Is it still a NIfTI file?

# %%
whole = others[0].images["t2"].read_bytes()
short.images["t2"].write_bytes(whole[: 2 * len(whole) // 3])
nib.load(short.images["t2"]).shape

# %% [markdown]
# It opens, and says the shape it should have. Only whoever reads the voxels is stopped, which in a long training is
# in the middle of the night.
#
# **NaN.** One voxel of one scan is "not a number", as a division by zero leaves it. What is the mean of all voxels?

# %%
image = nib.load(dotted.images["flair"])
voxels = image.get_fdata(dtype=np.float32)
voxels[tuple(np.array(voxels.shape) // 2)] = np.nan
nib.save(nib.Nifti1Image(voxels, image.affine), dotted.images["flair"])
voxels.size, voxels.mean()

# %% [markdown]
# One voxel of so many, and the mean is gone. Normalising subtracts it from every other voxel, the loss averages
# over them, and after one step every number in the network is NaN.
#
# **Shifted.** T1ce gets another affine: the same array, said to lie elsewhere. Can you see it in the voxels?

# %%
image = nib.load(shifted.images["t1ce"])
elsewhere = image.affine.copy()
elsewhere[0, 3] += 20
array = np.asarray(image.dataobj).copy()  # the file is about to be overwritten
nib.save(nib.Nifti1Image(array, elsewhere), shifted.images["t1ce"])
np.array_equal(array, nib.load(shifted.images["t1ce"]).dataobj), np.allclose(elsewhere, image.affine)

# %% [markdown]
# The voxels are the same. If the affine is right, the scan was moved by two centimetres against the others; if it is
# wrong, nothing was. The files cannot tell us which, so nobody should guess.
#
# **Twice.** One patient's folder was copied, as happens when two people download into one place. And one patient
# **lacks** T2.

# %%
shutil.copytree(doubled.folder, bad / "new" / doubled.id, dirs_exist_ok=True)
lacking.images["t2"].unlink(missing_ok=True)

# %% [markdown]
# How many of the five does the catalogue see, which reads headers only?

# %%
headers = read_catalogue(bad)
print(record("problems_in_headers", len(headers.problems)), "problems:")
for problem in headers.problems:
    print(f"    {problem.patient} touches {', '.join(problem.touches)}")

# %% [markdown]
# Three: the short file, because its size is less than the header promises, the shifted scan, and the patient who is
# there twice. An **audit** reads every file to its end, and compares what it has read. Which two does it add?

# %%
pd.set_option("display.max_colwidth", None)
findings = audit([bad])
table(findings).drop(columns="folder").replace(re.escape(f"{bad}{os.sep}"), "", regex=True)

# %% [markdown]
# The NaN, and the patient who lacks T2. That one is a note: a missing file is a fact, and who needs no T2 may go on. So
# is the count, since this is a part of a set. The others are **errors**. The copy of a patient is the costliest of
# them: one goes to training, the other to the test, and the test score rises. A training that begins like this does not
# begin:

# %%
try:
    refuse_errors(findings)
    print("training ...")
except DataError as error:
    print(str(error).splitlines()[0])

# %% [markdown]
# In a terminal, `python -m helpers audit` and the name of the folder print the same table. The catalogue is less
# strict: it refuses whoever asks for patients as long as a problem touches what was asked for.

# %%
try:
    headers.require(("flair", "t2"))
except DataError as error:
    print(str(error).replace(str(bad), "..."))

# %% [markdown]
# The shifted T1ce is not in the list: nobody asked for T1ce. We mend the two that are.

# %%
short.images["t2"].write_bytes(whole)
shutil.rmtree(bad / "new", ignore_errors=True)
mended = read_catalogue(bad)
print("with FLAIR and T2:", [patient.id[-3:] for patient in mended.require(("flair", "t2"))])
print("with FLAIR alone: ", [patient.id[-3:] for patient in mended.require(("flair",))])

# %% [markdown]
# The patient without T2 is left out of the first list and stands in the second. The one with the NaN is in both, since
# no header shows it. `read_scan` would stop there, as it did at the resized mask.
#
# Everything in this course that trains reads its patients through these two doors, `require` and `read_scan`.

# %% [markdown]
# ## One patient, many names
#
# BraTS came out every year, and every year the patients were given new names. Say you train on the set of 2020 and
# want a fresh test: the set of 2019. Do they share anybody?

# %%
mapping = pd.read_csv(next(root.rglob("name_mapping.csv")))
names_2019 = mapping["BraTS_2019_subject_ID"].dropna().tolist()
names_2020 = mapping["BraTS_2020_subject_ID"].tolist()
print(len(set(names_2019) & set(names_2020)), "names in common")

# %% [markdown]
# Not one name. That looks like a clean test. Now the table that those two lists came from:

# %%
mapping[[f"BraTS_{year}_subject_ID" for year in (2017, 2018, 2019, 2020)]].head(6)

# %% [markdown]
# Each row is one person. In the real sets all 335 training patients of 2019 are in the training set of 2020, so a test
# on them is a test on the training data.
#
# ### Exercise 2: who is in both?
#
# *10 minutes, medium.* Write `in_both(older, newer, mapping)`: the 2020 ids of the patients who are in the list `older`
# of 2019 names and in the list `newer` of 2020 names.


# %% tags=["stub"]
def in_both(older: list[str], newer: list[str], mapping: pd.DataFrame) -> set[str]:
    return ...


# %% tags=["solution"]
def in_both(older: list[str], newer: list[str], mapping: pd.DataFrame) -> set[str]:
    rows = mapping[mapping["BraTS_2019_subject_ID"].isin(older)]
    return set(rows["BraTS_2020_subject_ID"]) & set(newer)


# %% tags=["check"]
with exercise_check("Exercise 2"):
    everybody = filled(in_both(names_2019, names_2020, mapping))
    found = len(everybody)
    require(found == len(names_2019), f"you find {found} patients; {len(names_2019)} are in both")
    require(everybody <= set(names_2020), "you return names of 2019; give the same people's ids of 2020")
    require(in_both([], names_2020, mapping) == set(), "with nobody in `older`, nobody can be in both")
    some = in_both(names_2019, names_2020[:3], mapping)
    require(some <= set(names_2020[:3]), "yours returns patients who are not in `newer`")

# %%
shared = record("patients_2019_in_2020", int(mapping["BraTS_2019_subject_ID"].notna().sum()))
print(f"{shared} of {len(mapping)} patients of 2020 were in the set of 2019 under another name")

# %% [markdown]
# And without a table? The voxels know. Here a patient gets the name of 2019, and the files another type:

# %%
person = patients[0]
alias = out / "older" / "BraTS19_somebody"
alias.mkdir(parents=True, exist_ok=True)
for kind, path in person.images.items():
    nib.save(nib.load(path), alias / f"BraTS19_somebody_{kind}.nii.gz")

# %%
(twin,) = read_catalogue(out / "older").patients
one, other = (voxel_hashes(read_scan(patient, ("flair",), seg=False)) for patient in (person, twin))
print(person.id, one, twin.id, other, sep="\n")

# %% [markdown]
# A **hash** is a short number computed from all voxels: the same voxels, the same hash, whatever the file is called.
# The course keeps the hashes of those a model was trained on, and `evaluate` refuses to test it on them. The audit
# compares them over all folders it is given. Give it the ones that you train on and the ones that you test on,
# together:

# %%
both = audit([person.folder, alias])
table(both).drop(columns="folder")

# %% [markdown]
# An error: the same person on both sides, under two names. The notes say that both folders are parts of sets, and that
# we copied no mask.

# %% [markdown]
# ## Is every finding a fault?
#
# The second half of the course outlines lungs in chest X-rays, from two hospitals. Here are a few phantoms of them,
# laid out as Kaggle's set is. Its folder `test/` looks like a gift. Before you run the second cell: would you test on
# it?

# %%
radiographs = make_chest(out / "radiographs", montgomery=4, shenzhen=11, size=128)
chest = read_chest(radiographs)
chest.table()[["site", "label", "mask"]].value_counts(sort=False).unstack(fill_value=0)

# %%
notes = table(audit([radiographs])).drop(columns="folder")
notes.replace(re.escape(f"{radiographs}{os.sep}"), "", regex=True)

# %% [markdown]
# No errors, only notes: a training may start. But the notes name the images without a mask, and they say that `test/`
# holds these very images once more. Nobody there is new, and nobody there can be scored. They also name a
# second copy of everything, which the set brings along: whoever collects files from its root has each patient twice.

# %% [markdown] tags=["paper: section 6.1"]
# ## Who are they?
#
# Before we deal the patients out, see who is there. Do grade and hospital go together?

# %%
people = pd.DataFrame({"site": p.site or "not known", "grade": p.grade or "not known"} for p in patients)
counts = people.value_counts(["site", "grade"]).unstack(fill_value=0)
counts = counts.loc[counts.sum(axis=1).sort_values().index]
figure = Figure(figsize=(8, 0.45 * len(counts) + 1.2))
ax = figure.subplots()
counts.plot.barh(stacked=True, ax=ax, color=["#0072B2", "#E69F00", "#999999"][: counts.shape[1]])
ax.set(xlabel="patients", ylabel="")
ax.grid(axis="y", visible=False)
figure.suptitle("Grades are spread unevenly over the hospitals")
alt(figure, f"Patients per hospital and grade: {counts.to_dict('index')}")

# %% [markdown]
# The site is part of the older name, so whoever joined in 2020 has none. High-grade tumours are the majority, and they
# are not shared out evenly. Shuffle patients blindly and a test set may
# hold no low grade at all, or one scanner only. So the dealing has to look at both.

# %% [markdown]
# ## Who trains, who judges
#
# The network sees slices. So let us do the obvious thing: put all slices in one bag and draw one in five for the test.

# %%
depth = {patient.id: nib.load(patient.seg).shape[2] for patient in patients}
bag = [(name, k) for name, slices in depth.items() for k in range(slices)]
drawn = rng.permutation(len(bag))[: len(bag) // 5]
test = {bag[i] for i in drawn}
train = set(bag) - test
print(f"{len(train)} slices to train, {len(test)} to test, {len(train & test)} in both")

# %% [markdown]
# No slice is on both sides. But what lies next to a test slice?

# %%
beside = [(name, k - 1) in train or (name, k + 1) in train for name, k in test]
share = record("slice_split_with_neighbour", round(float(np.mean(beside)), 3))
print(f"{share:.0%} of the test slices have a neighbour of the same patient in training")

# %%
flair, stranger = (read_scan(patient, ("flair",)).image("flair") for patient in patients[:2])
k = flair.shape[2] // 2
for name, other in {"the next slice": flair[..., k + 1], "another patient": stranger[..., k]}.items():
    inside = (flair[..., k] > 0) & (other > 0)
    print(f"{name:16} correlation {np.corrcoef(flair[..., k][inside], other[inside])[0, 1]:.2f}")

# %% [markdown]
# A slice and the next one are nearly the same picture. A network that has learnt one by heart knows the other, and the
# test calls that skill. The remedy is to deal out people:

# %%
split = make_split(patients, SEED)
sides = {"train": split.train, "validation": split.validation, "test": split.test}
side = {name: i for i, names in enumerate(sides.values()) for name in names}
grades = pd.Series([patient.grade for patient in patients], name="grade")
where = pd.Series([list(sides)[side[patient.id]] for patient in patients], name="")
pd.crosstab(grades, where)[list(sides)]

# %% [markdown]
# Where a set has both grades, train and test have both. So few validation patients cannot hold every kind: count,
# before you trust a set.
#
# Here are the two ways of dealing, side by side. Follow one row from left to right.

# %%
pictures = np.full((2, len(depth), max(depth.values())), np.nan)  # (splits, patients, slices)
for row, (name, slices) in enumerate(depth.items()):
    pictures[0, row, :slices] = [2 * ((name, k) in test) for k in range(slices)]
    pictures[1, row, :slices] = side[name]
figure = Figure(figsize=(8, 3.6))
shades = ListedColormap(["#D9D9D9", "#56B4E9", "#D55E00"])
titles = ("Slices dealt out", "Patients dealt out")
for ax, picture, title in zip(figure.subplots(1, 2), pictures, titles, strict=True):
    ax.imshow(picture, cmap=shades, vmin=0, vmax=2, aspect="auto")
    ax.set(title=title, xlabel="slice", ylabel="patient", yticks=[])
    ax.grid(visible=False)
figure.suptitle("Left, every patient is on both sides (test in red, validation in blue)")
alt(figure, "A row a patient, a column a slice. Left, test slices lie in all rows; right, rows are whole.")

# %% [markdown]
# `make_split` lines the patients up by grade and site, shuffles within, and deals them out like cards. It needs the ids
# and a seed, so every machine deals the same. Then the split becomes a file that goes with the model.

# %%
path = out / "split.json"
save_split(split, path)
record("split_digest", split.digest)
print(load_split(path) == split, split.digest)

# %% [markdown]
# The **digest** is eight characters made from who sits where. It stands in every result of this course, so two scores
# can be compared at a glance: same digest, same test patients. What if somebody moves one patient and tells nobody?

# %%
content = json.loads(path.read_text())
content["train"].append(content["test"].pop())
edited = out / "edited.json"
edited.write_text(json.dumps(content))
try:
    load_split(edited)
except DataError as error:
    print(str(error).replace(str(out), "..."))

# %% [markdown]
# ## The answer
#
# Which of the four must not be trained on? This one. Was it your guess?

# %%
print(damaged.id)

# %% [markdown]
# The damaged copies go, so that nobody takes them for patients one day.

# %%
for name in ("input", "ward", "quiet", "bad", "older", "radiographs"):
    shutil.rmtree(out / name, ignore_errors=True)
sorted(path.name for path in out.iterdir())

# %% [markdown]
# Train on nobody without looking, and look with something better than eyes: a program that knows what a file should be
# and names the one that is not. What no program can tell from a file, as with the second resized mask, you have to know
# about its history.
#
# We left out faults that sit in the picture itself, such as a head that moved or a wrong modality under the right name:
# they are seen, not computed. That is the next lesson. It opens the scans, and asks what the four modalities show.
