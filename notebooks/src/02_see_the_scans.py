# %% tags=["parameters"]
SEED = 0  # as in every lesson; here nothing is drawn at random
DATA_DIR = ""  # folder with BraTS patients; empty: the Kaggle set, else phantoms
PATIENT = 0  # the head we look at, by its place in the catalogue
SAMPLE = 8  # patients in the comparisons, the first of the catalogue; PATIENT is one of them

# %%
from dataclasses import replace

from helpers.data import sources
from helpers.data.brats import MODALITIES, read_catalogue
from helpers.data.volumes import read_scan
from helpers.lessons.record import record
from helpers.show import slices, style
from helpers.show.viewer import api

style.use()
patients = read_catalogue(sources.brats(DATA_DIR)).require(MODALITIES)
scan = read_scan(patients[PATIENT], MODALITIES)
k = slices.busiest(scan)  # the slice with most tumour

# %% [markdown]
# One head, one slice, four pictures, taken within minutes of each other. Between them only the machine's settings
# changed, and for T1ce a contrast agent went into a vein.

# %%
unmarked = replace(scan, seg=None)
api.modalities(unmarked, k, title="One slice, four settings of the scanner. Where is the tumour?")

# %% [markdown]
# Something is wrong on one side of this head, and each picture shows it differently. Which one shows *the tumour*?
# Choose a panel before you read on, and say where you would draw the line. In a running notebook this picture has a
# slider, which the arrow keys move too: leaf through the head from the skull base to the crown, and find where the
# tumour begins and where it ends. Where nobody is there to move it, each viewer of this lesson is a still picture.
#
# ## The obvious way to look
#
# A volume is an array. Let us draw a slice of it as we would draw any picture, once from above and once from the
# side. Before you run the cell: where will the nose point?

# %%
from matplotlib.figure import Figure

flair = scan.image("flair")  # (rows, columns, slices)
figure = Figure(figsize=(8, 4))
for ax, slice_ in zip(figure.subplots(1, 2), (flair[:, :, k], flair[flair.shape[0] // 2]), strict=True):
    ax.imshow(slice_)
    ax.grid(False)
    ax.set_title(f"imshow of {slice_.shape}")
style.alt(figure, "Two slices of the head as imshow draws them: the head lies on its side in both.")

# %% [markdown]
# The head lies on its side, twice. `imshow` puts the first axis of the array downwards and the second to the right,
# and nobody told it what those axes are. So turn the left picture until the nose points up.

# %%
import numpy as np

turned = np.rot90(flair[:, :, k], -1)  # a quarter turn, clockwise
figure = Figure(figsize=(4, 4.4))
ax = figure.subplots()
ax.imshow(turned)
ax.grid(False)
ax.set_title("Nose up. Does it look right to you?")
style.alt(figure, "The slice from above, turned so that the nose points up.")

# %% [markdown]
# It looks like a head. In which hemisphere is the tumour, then? The file knows: its **affine** is a 4 x 4 matrix that
# carries a voxel's index to millimetres in the head. Two things can be read off it: where each axis runs to, and how
# far one step is, the **spacing**.

# %%
import nibabel as nib

print(np.round(scan.affine, 2))
print("axes run to", nib.aff2axcodes(scan.affine), "and one step is", scan.spacing, "mm")

# %% [markdown]
# The letters are the directions that the index grows in: **L**eft, **R**ight, **A**nterior (the face), **P**osterior,
# **S**uperior (the crown), **I**nferior. They are the patient's left and right, not yours. A radiologist looks from
# the feet: the patient's right stands on the left of the picture. With rows that run to the left and columns that run
# to the back, that is the transpose, and no rotation will ever give it.

# %%
from helpers.show.panel import Plane, plane, show_slice

view = plane(scan.affine)  # how axial slices lie in this file
figure = Figure(figsize=(8, 4.2))
naive, right = figure.subplots(1, 2)
show_slice(naive, turned, Plane(2, ("P", "L"), view.spacing), marks=False)  # as the array lies
naive.set_title("Turned by hand: which side is this?")
show_slice(right, flair[:, :, k], view)
right.set_title("Drawn by the affine")
style.alt(figure, "The hand-turned slice is the mirror image of the slice drawn by its affine.")

# %% [markdown]
# The two are mirror images. Both look like a head, and the left one puts the tumour into the wrong hemisphere. That
# is why every picture of this course carries its letters: a figure without R and L is a guess.
#
# ## A voxel is not a pixel
#
# Now the view from the side. How large is the tumour? Count its voxels, and take each for a cube of a millimetre, as
# most notebooks do without saying so.

# %%
voxels = int((scan.seg > 0).sum())
ml_per_voxel = float(np.prod(scan.spacing)) / 1000  # 1 ml is 1,000 mm³
print(f"counted as millimetre cubes: {voxels / 1000:6.1f} ml")
print(f"with the spacing:            {record('tumour_ml', voxels * ml_per_voxel):6.1f} ml")

# %% [markdown]
# If the two lines agree, your voxels happen to be millimetre cubes. On any other grid the first line is wrong by the
# volume of a voxel, and so is the picture from the side:

# %%
side = plane(scan.affine, "sagittal")
figure = Figure(figsize=(8, 2.9))
flat, right = figure.subplots(1, 2)
flat.imshow(side.turn(flair[flair.shape[0] // 2]))
flat.grid(False)
flat.set_title("The right way up, one pixel a voxel")
show_slice(right, flair[flair.shape[0] // 2], side)
right.set_title("To scale")
style.alt(figure, "Head from the side: squashed where voxels are drawn as squares, in proportion where drawn to scale.")

# %% [markdown]
# `show_slice` does from now on what we did by hand: it takes directions and spacing from the affine.
#
# ## The mask
#
# Every patient comes with a mask: drawn by hand and approved by neuroradiologists where the patient is real, known
# exactly where it is a phantom. Here is our slice, its mask, and both together.

# %% tags=["paper: figure 10"]
api.image_and_mask(scan, k, title="The tumour is not what is bright: the mask holds dark parts too")

# %% [markdown]
# The brightest part is not the whole of it. The mask has three classes; on disk they are numbered 1, 2 and 4, since a
# class 3 was given up years ago. In memory we number them 1, 2, 3, so that a class can be an index.

# %%
import pandas as pd

labels, counts = np.unique(scan.seg[scan.seg > 0], return_counts=True)
names = [style.CLASS_NAMES[label] for label in labels]
pd.DataFrame({"label": labels, "ml": counts * ml_per_voxel, "share": counts / counts.sum()}, index=names).round(2)

# %% [markdown]
# **Oedema** is swollen brain round the tumour, the **enhancing** part is living tumour whose leaky vessels let the
# contrast agent out, the **core** here is what lies inside: dead tissue and tumour that does not enhance. Nobody
# scores these classes. Scored are three **regions**, nested like shells: the whole tumour (WT) is everything, the
# tumour core (TC) leaves the oedema away, and the enhancing tumour (ET) is the rim alone.

# %%
from helpers.measure.regions import REGIONS, mask

box = view.brain(scan.images)
figure = Figure(figsize=(8, 3.6))
for ax, region in zip(figure.subplots(1, 3), REGIONS, strict=True):
    shell, colour = mask(scan.seg, region), {1: style.REGION_COLOURS[region]}
    show_slice(ax, view.cut(scan.image("t1ce"), k, box), view, None, view.cut(shell, k, box), colour, fill=0.5)
    ax.set_title(f"{region} = {' + '.join(map(str, REGIONS[region]))}: {shell.sum() * ml_per_voxel:.0f} ml")
figure.suptitle("Three regions, each inside the one before")
style.alt(figure, "Whole tumour, tumour core and enhancing tumour in one slice, each inside the one before.")

# %% [markdown]
# Now walk through the whole of it. The three planes below meet in one voxel, the crosshair; the line under them says
# what is there. Three things to find: the lowest slice that holds enhancing tumour; a voxel of the core that is darker
# on T1ce than the brain beside the tumour; and the place where the oedema comes nearest to the middle of the head.

# %%
api.patient(scan, title="Three planes through one voxel: the lines in each show where the other two cut")

# %% [markdown]
# ## Which modality shows what
#
# Now the mask over all four: press *mask* if you have it as a viewer. Compare the blue region with FLAIR and the
# yellow one with T1ce.

# %% tags=["paper: figure 9"]
api.modalities(scan, k, title="Oedema shows on FLAIR, the rim only on T1ce")

# %% [markdown]
# The eye is quickly convinced, so let us put numbers to it. Take one voxel of the oedema and one of the healthy
# brain, at random: how often is the first one brighter? This is the **AUC**, the area under the ROC curve. 1 means
# always, 0 never, and 0.5 means that brightness tells you nothing.


# %%
def auc(tissue: np.ndarray, rest: np.ndarray) -> float:
    """Chance that a voxel of `tissue` is brighter than one of `rest`; a tie counts half."""
    rest = np.sort(rest)
    below, not_above = (np.searchsorted(rest, tissue, side) for side in ("left", "right"))
    return float((below + not_above).mean() / 2 / len(rest))


auc(np.array([5, 6, 7]), np.array([1, 2])), auc(np.array([1, 2]), np.array([1, 2]))

# %% [markdown]
# Before the next cell, guess: which modality separates the core from healthy brain best? And the enhancing part?

# %%
scans = [read_scan(patient, MODALITIES) for patient in patients[:SAMPLE]]
rows = []
for one in scans:
    brain = one.images.any(axis=-1)
    for modality in MODALITIES:
        image = one.image(modality)
        for label in np.unique(one.seg[one.seg > 0]):
            tissue, name = one.seg == label, style.CLASS_NAMES[label]
            for against, rest in {
                "other brain": brain & (one.seg == 0),
                "the rest of the tumour": (one.seg > 0) & ~tissue,
            }.items():
                rows.append((against, name, style.MODALITY_NAMES[modality], auc(image[tissue], image[rest])))
found = pd.DataFrame(rows, columns=["against", "tissue", "modality", "auc"])
table = found.groupby(["against", "tissue", "modality"])["auc"].mean().unstack()[list(style.MODALITY_NAMES.values())]
table.round(2)

# %%
figure = Figure(figsize=(8, 2.9))
for ax, (against, part) in zip(figure.subplots(1, 2, sharey=True), table.groupby("against"), strict=True):
    ax.imshow(part, cmap="PuOr_r", vmin=0, vmax=1, aspect="auto")
    ax.set_xticks(range(part.shape[1]), part.columns)
    ax.set_yticks(range(len(part)), part.index.get_level_values("tissue"))
    ax.grid(False)
    ax.set_title(f"against {against}")
    for (row, column), value in np.ndenumerate(part.to_numpy()):
        ax.text(
            column, row, f"{value:.2f}", ha="center", va="center", color="white" if abs(value - 0.5) > 0.35 else "black"
        )
figure.suptitle("Strong colour: brightness alone tells the tissue; white: it tells nothing")
style.alt(figure, "AUC of each modality and tissue, against other brain and against the rest of the tumour.")

# %%
best = table.sub(0.5).abs().idxmax(axis=1)
rim = table.loc[("the rest of the tumour", "enhancing")]
record("auc_enhancing_in_tumour", rim.round(3).to_dict())
best.rename("best single modality").to_frame()

# %% [markdown]
# Read the two halves against each other. Against other brain, FLAIR finds all three classes, because all of it is
# ill; and for the same reason it says little about which class is which. Inside the tumour T1ce decides about the
# rim, and core and oedema part on T1 and T1ce, where the core is dark. So no picture shows the tumour: FLAIR shows
# how far it reaches, T1ce what lives in it. The paper's network gets these two. And no number is 1: what brightness
# leaves open, a network has to settle by shape and place.
#
# ## The same tissue on two scanners
#
# Now a second head: of those we have read, the one whose healthy brain, tumour left out, differs most from ours on the
# same modality. Do you expect another grey?


# %%
def healthy(one, modality: str) -> np.ndarray:
    """The brain's voxels outside the tumour."""
    image = one.image(modality)
    return image[(image != 0) & (one.seg == 0)]


median_of = {one.id: float(np.median(healthy(one, "flair"))) for one in scans}
other = max(scans, key=lambda one: abs(np.log(median_of[one.id] / median_of[scan.id])))
sites = {patient.id: patient.site or "site unknown" for patient in patients}
pair = {f"{one.id} ({sites[one.id]})": one for one in (scan, other)}
medians = {name: median_of[one.id] for name, one in pair.items()}
record("flair_median_ratio", max(medians.values()) / min(medians.values()))
medians

# %%
figure = Figure(figsize=(8, 4.2))
window = (0, max(np.percentile(one.image("flair"), 99.9) for one in pair.values()))
for ax, (name, one) in zip(figure.subplots(1, 2), pair.items(), strict=True):
    here = plane(one.affine)
    show_slice(ax, here.cut(one.image("flair"), slices.busiest(one), here.brain(one.images)), here, window)
    ax.set_title(f"{name}\nmedian {medians[name]:.0f}")
figure.suptitle("One window for both: the same tissue, a different grey")
style.alt(figure, "FLAIR of two patients in the same grey window: one is much darker than the other.")

# %% [markdown]
# An intensity of MRI has no unit. Unlike the Hounsfield numbers of CT, it depends on the coil, the sequence and the
# machine's mood, and a network trained on the first head would be lost on the second. Something has to be divided
# out.
#
# The obvious thing, and what the public notebook for this data set does, is to divide by the largest value. Look at
# what that value depends on: leave out the brightest voxels of T1ce, one, ten, a hundred, of many thousands.

# %%
bright = np.sort(scan.image("t1ce")[scan.image("t1ce") != 0])[::-1]
for left_out in (0, 1, 10, 100):
    top = bright[left_out]
    print(
        f"without the {left_out:3d} brightest of {len(bright):,}: divide by {top:5.0f}, "
        f"brain becomes {np.median(bright) / top:.3f}"
    )

# %%
where = np.unravel_index(scan.image("t1ce").argmax(), scan.seg.shape)
print("label at the brightest voxel:", style.CLASS_NAMES[int(scan.seg[where])])
slices.three_planes(scan, where, modality="t1ce", title="The cross marks the voxel that sets the scale for all others")

# %% [markdown]
# A handful of voxels, in a vessel or in the rim, decides how dark all the others will look to the network. Another
# head has other such voxels. We would rather measure a brain against itself: subtract its mean, divide by its spread,
# over brain voxels only. That is **z-scoring**.


# %%
def zscored(image: np.ndarray) -> np.ndarray:
    """Brain to mean 0 and standard deviation 1; the background stays 0."""
    brain = image != 0
    mean, spread = image[brain].mean(), image[brain].std()
    return np.where(brain, (image - mean) / spread, 0)


ways = {
    "as on disk": lambda image: image,
    "divided by the maximum": lambda image: image / image.max(),
    "z-scored": zscored,
}

# %% [markdown]
# Why brain voxels only? Because most of the array is air, and the mean of a head with much air round it would be
# another one. All three ways side by side, one line a patient, healthy brain only. Watch how far apart the peaks are.

# %%
figure = Figure(figsize=(8, 2.9))
apart = {}
for ax, (way, change) in zip(figure.subplots(1, 3), ways.items(), strict=True):
    brains = [change(one.image("flair"))[(one.image("flair") != 0) & (one.seg == 0)] for one in scans]
    edges = np.linspace(*np.percentile(np.concatenate(brains), [0.1, 99.9]), 60)
    for brain in brains:
        ax.plot(edges[:-1], np.histogram(brain, edges, density=True)[0], linewidth=1.2, color="#0072B2", alpha=0.7)
    apart[way] = float(np.std([np.median(brain) for brain in brains]) / np.mean([brain.std() for brain in brains]))
    ax.set_title(f"{way}\npeaks apart: {apart[way]:.2f} of a brain's spread")
    ax.set_yticks([])
figure.suptitle(f"Healthy brain on FLAIR, {len(scans)} patients")
style.alt(
    figure, "Histograms of healthy brain: far apart as on disk, nearer divided by the maximum, together z-scored."
)

# %%
record("peaks_apart", apart)

# %% [markdown]
# The number above each panel says how far the patients' medians scatter, measured by the width of one brain's
# histogram. Z-scoring leaves something over, because the tumour itself is part of the mean: a large bright one makes
# the rest look darker. `helpers` has the same function; it also clips at five deviations, which a vessel can exceed.

# %%
from helpers.data.normalise import zscore

ours, theirs = zscored(scan.image("flair")), zscore(scan.images)[..., 0]
float(np.abs(np.clip(ours, -5, 5) - theirs).max())

# %% [markdown]
# ### Exercise 1: a window *(core, 5 minutes)*
#
# A screen shows 256 greys, a scan has thousands of values. Write `window(image, low, high)`: values at or below `low`
# become 0, at or above `high` become 1, and in between they rise in a straight line. A right answer makes 0.5 of the
# middle of the window, whatever the window.


# %% tags=["stub"]
def window(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """Grey levels from 0 to 1."""
    ...


# %% tags=["solution"]
def window(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """Grey levels from 0 to 1."""
    return np.clip((image - low) / (high - low), 0, 1)


# %% tags=["check"]
from helpers.lessons.checks import exercise_check, filled, require

with exercise_check("Exercise 1"):
    grey = np.asarray(filled(window(np.array([-3.0, 0.0, 1.0, 2.0, 9.0]), 0, 2)))
    require(
        grey.min() >= 0 and grey.max() <= 1,
        f"greys run from {grey.min():g} to {grey.max():g}; they must stay in 0 to 1",
    )
    require(
        grey[0] == 0 and grey[-1] == 1,
        f"-3 and 9 lie outside of 0 to 2 and became {grey[0]:g} and {grey[-1]:g}; expected 0 and 1",
    )
    require(abs(grey[2] - 0.5) < 1e-6, f"1 lies in the middle of 0 to 2 and became {grey[2]:g}; expected 0.5")
    shifted = window(np.array([10.0, 15.0, 20.0]), 10, 20)
    require(
        np.allclose(shifted, [0, 0.5, 1]), f"10, 15, 20 in the window 10 to 20 became {shifted}; expected 0, 0.5, 1"
    )

# %% [markdown]
# The rest of the lesson uses the `window` of `show_slice`, which does the same. Two windows on one z-scored slice:

# %%
z = view.cut(zscore(scan.images)[..., MODALITIES.index("t1ce")], k, box)
figure = Figure(figsize=(8, 4.6))
for ax, (low, high) in zip(figure.subplots(1, 2), ((-5, 20), (-1.5, 3)), strict=True):
    show_slice(ax, z, view, (low, high))
    ax.set_title(f"T1ce, from {low:g} to {high:g} deviations")
figure.suptitle("The same numbers: a wide window hides what a narrow one shows")
style.alt(figure, "One T1ce slice in a wide window, nearly uniform grey, and in a narrow one, with the bright rim.")

# %% [markdown]
# ## Finding the core from three axes
#
# A slice shows two dimensions; a surgeon needs three. Project the core onto each axis, that is, count its voxels in
# every slice along that axis. Three curves, three peaks, one point:

# %%
core = mask(scan.seg, "TC")  # (rows, columns, slices)
profiles = [core.sum(axis=tuple({0, 1, 2} - {axis})) for axis in range(3)]
peaks = tuple(int(profile.argmax()) for profile in profiles)
print("peaks at", peaks, "- inside the core:", bool(core[peaks]))

# %%
figure = Figure(figsize=(8, 2.4))
for ax, profile, peak, axis, to in zip(
    figure.subplots(1, 3, sharey=True), profiles, peaks, range(3), nib.aff2axcodes(scan.affine), strict=True
):
    ax.plot(profile, color=style.REGION_COLOURS["TC"])
    ax.axvline(peak, color="#555555", linewidth=1)
    ax.set_title(f"axis {axis}, running to {to}: peak at {peak}")
figure.suptitle("Voxels of tumour core in every slice, along each axis")
style.alt(figure, "Three curves of core voxels per slice, with their peaks marked.")

# %% [markdown]
# Three peaks give a point, but nothing obliges it to lie in the core: a core of two lumps can have its peaks in
# different lumps, and the output above says how it went here. The viewer below takes the voxel of the core nearest
# its centre of mass, which is inside by construction. Move one slider until the core ends, and the arrow vanishes.

# %% tags=["paper: figure 11"]
api.core(scan, title="The tumour core, seen from above, from the front and from the side")

# %% [markdown]
# ## How little of a scan is tumour
#
# One number will follow us to the end of the course. How large a share of all voxels is tumour? Guess before you
# look.

# %%
from helpers.show import scores

fractions = pd.DataFrame([{label: (one.seg == label).mean() for label in range(4)} for one in scans])
record("tumour_share", float(fractions[[1, 2, 3]].sum(axis=1).mean()))
scores.class_balance(fractions, title="Nearly everything is not tumour")

# %%
affected = [(one.seg > 0).any(axis=(0, 1)).mean() for one in scans]
in_brain = [(one.seg > 0).sum() / one.images.any(axis=-1).sum() for one in scans]
print(f"slices that show any tumour: {record('affected_slices', float(np.mean(affected))):.0%}")
print(f"brain that is tumour:        {np.mean(in_brain):.1%}")
print(f"voxels right if you say 'nothing' everywhere: {1 - fractions[[1, 2, 3]].sum(axis=1).mean():.2%}")

# %% [markdown]
# The last line is a warning. A program that never finds a tumour is right about nearly every voxel. Keep that number
# in mind for lesson 08.
#
# ### Exercise 2: the slice to look at first *(core, 5 minutes)*
#
# Write `largest_slice(labels)`: the number of the slice, along the last axis, with most tumour voxels, whatever their
# class. On our patient a right answer is the slice you have been looking at since the beginning.


# %% tags=["stub"]
def largest_slice(labels: np.ndarray) -> int:
    """Slice with most tumour; `labels` is (rows, columns, slices)."""
    ...


# %% tags=["solution"]
def largest_slice(labels: np.ndarray) -> int:
    """Slice with most tumour; `labels` is (rows, columns, slices)."""
    return int((labels > 0).sum(axis=(0, 1)).argmax())


# %% tags=["check"]
with exercise_check("Exercise 2"):
    toy = np.zeros((4, 4, 3), np.uint8)
    toy[0, 0, 0], toy[:2, :2, 1] = 3, 1  # one voxel of class 3, and four of class 1
    given = filled(largest_slice(toy))
    require(
        given != 0,
        "you answer slice 0 of the toy, which has one voxel of class 3; slice 1 has four of class 1, "
        "so count voxels and do not add up labels",
    )
    require(given == 1, f"you answer {given} for a toy whose slice 1 holds four of its five tumour voxels")
    require(largest_slice(scan.seg) == k, f"you answer {largest_slice(scan.seg)} for our patient; it is {k}")

# %% [markdown]
# ### Exercise 3: the core's centre *(stretch, 10 minutes)*
#
# Write `centre_mm(core, spacing)`: the core's centre of mass in millimetres from the first voxel, a tuple of three. A
# right answer for a single voxel at index (2, 1, 3) with voxels of 2 x 2 x 2.5 mm is (4, 2, 7.5).


# %% tags=["stub"]
def centre_mm(core: np.ndarray, spacing: tuple[float, float, float]) -> tuple[float, float, float]:
    """Centre of mass of a boolean volume, in millimetres."""
    ...


# %% tags=["solution"]
def centre_mm(core: np.ndarray, spacing: tuple[float, float, float]) -> tuple[float, float, float]:
    """Centre of mass of a boolean volume, in millimetres."""
    return tuple(float(mm) for mm in np.argwhere(core).mean(axis=0) * spacing)


# %% tags=["check"]
with exercise_check("Exercise 3"):
    toy = np.zeros((4, 4, 5), bool)
    toy[2, 1, 3] = True
    given = filled(centre_mm(toy, (2, 2, 2.5)))
    require(np.allclose(given, (4, 2, 7.5)), f"you place the single voxel at {given}; expected (4, 2, 7.5)")
    toy[0, 1, 3] = True
    given = centre_mm(toy, (2, 2, 2.5))
    require(
        np.allclose(given, (2, 2, 7.5)),
        f"with a second voxel at (0, 1, 3) you answer {given}; expected the middle, (2, 2, 7.5)",
    )

# %% [markdown]
# ## The question of the beginning
#
# Which of the four pictures shows the tumour? None of them alone: FLAIR shows how far the disease reaches, T1ce shows
# the living rim, and the core is known by what it lacks. A picture is worth believing once it has its letters and its
# scale, and two pictures can be compared once each was measured against its own brain.
#
# We left out what happened before these files were written: the four series were aligned with each other, resampled
# to one grid and stripped of the skull. We also left the slow drift of brightness across a head, the bias field,
# alone (Tustison et al. 2010, N4ITK). In lesson 04 we build the network that gets FLAIR and T1ce and has to draw the
# mask.
