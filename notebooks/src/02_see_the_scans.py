# %% tags=["parameters"]
SEED = 0  # as in every lesson; here it draws the cells of one picture
DATA_DIR = ""  # folder with BraTS patients; empty: the Kaggle set, else phantoms
PATIENT = 0  # the head we look at, by its place in the catalogue
SAMPLE = 8  # patients in the comparisons, from the first on; PATIENT is one of them

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
# changed, and for T1ce a contrast agent went into a vein. (On phantoms, T2 is a cartoon: real white matter is dark grey
# there, and not black.)

# %%
unmarked = replace(scan, seg=None)
api.modalities(unmarked, k, title="One slice, four settings. Where is the tumour?")

# %% [markdown]
# Something is wrong on one side of this head, and each picture shows it differently. Which one shows *the tumour*?
# Choose a panel before you read on, and say where you would draw the line. In a running notebook this picture has a
# slider, which the arrow keys move too: leaf through the head from the skull base to the crown, and find where the
# tumour begins and where it ends. Where nobody is there to move it, each viewer of this lesson is a still picture; so
# here is the way through the head once more, with the mask outlined, and back to our slice.

# %%
import numpy as np

from helpers.show.moving import moving
from helpers.show.panel import grey_levels, plane
from helpers.show.row import Panel, row

# %%
view = plane(scan.affine)  # how axial slices lie in this file
box = view.brain(scan.images)
window_of = {name: grey_levels(scan.image(name)) for name in ("flair", "t1ce")}


def frame(k: int):
    """One slice in two modalities, the mask outlined."""
    panels = {}
    for name, window in window_of.items():
        image, labels = (
            view.cut(volume, k, box) for volume in (scan.image(name), scan.seg)
        )
        panels[style.MODALITY_NAMES[name]] = Panel(image, view, labels, window)
    return row(panels, f"Slice {k}.", title=f"Slice {k}", width=5.0)


counted = tuple(axis for axis in range(3) if axis != view.axis)
within = np.flatnonzero(scan.images.any(axis=(*counted, 3)))  # slices with brain
few = within[:: max(1, len(within) // 16)]
text = f"The head of {scan.id} from the skull base to the crown, its tumour outlined."
moving(map(frame, [*few, k]), text, seconds=0.35, dpi=72)

# %% [markdown]
# ## The obvious way to look
#
# A volume is an array. Let us draw a slice of it as we would draw any picture, once from above and once from the
# side. Before you run the cell: where will the nose point?

# %%
from matplotlib.figure import Figure

flair = scan.image("flair")  # (rows, columns, slices)
figure = Figure(figsize=(8, 4))
cuts = (flair[:, :, k], flair[flair.shape[0] // 2])
for ax, slice_ in zip(figure.subplots(1, 2), cuts, strict=True):
    ax.imshow(slice_)
    ax.grid(False)
    ax.set_title(f"imshow of {slice_.shape}")
style.alt(
    figure, "Two slices of the head as imshow draws them: the head lies on its side."
)

# %% [markdown]
# The head lies on its side, twice. `imshow` puts the first axis of the array downwards and the second to the right,
# and nobody told it what those axes are. So turn the left picture until the nose points up.

# %%
turned = np.rot90(flair[:, :, k], -1)  # a quarter turn, clockwise
figure = Figure(figsize=(4, 4.4))
ax = figure.subplots()
ax.imshow(turned)
ax.grid(False)
ax.set_title("Nose up. Does it look right to you?")
style.alt(figure, "The slice from above, turned so that the nose points up.")

# %% [markdown]
# It looks like a head. In which hemisphere is the tumour, then? The file knows: its **affine** is a 4 x 4 matrix that
# carries a voxel's index to millimetres in the room. Two things can be read off it: where each axis runs to, and how
# far one step is, the **spacing**.

# %%
import nibabel as nib

print(np.round(scan.affine, 2))
print("axes run to", nib.aff2axcodes(scan.affine))
print("one step is", scan.spacing, "mm")

# %% [markdown]
# The letters are the directions that the index grows in: **L**eft, **R**ight, **A**nterior (the face), **P**osterior,
# **S**uperior (the crown), **I**nferior. They are the patient's left and right, not yours. A radiologist looks from
# the feet: the patient's right stands on the left of the picture. With rows that run to the left and columns that run
# to the back, that is the transpose, and no rotation will ever give it.

# %%
from helpers.show.panel import Plane

by_hand = Panel(turned, Plane(2, ("P", "L"), view.spacing))  # as the array lies
by_affine = Panel(flair[:, :, k], view)
text = "The slice drawn by its affine, and its mirror image, turned by hand."
shown = {"Drawn by the affine": by_affine, "Turned by hand, nobody knows": by_hand}
row(shown, text, title="Both look like a head, and one is the mirror image")

# %% [markdown]
# The two are mirror images. Both look like a head, and the right one puts the tumour into the wrong hemisphere. That
# is why every picture of this course carries its letters: a figure without R and L is a guess.

# %% [markdown] tags=["question"]
# A report says "tumour on the left". In the radiological picture that came with it, on which side of your screen do you
# look for it?
#
# - On the left of the screen :: No. That is the patient's right: you look from the feet, as if the patient lay before you
#   with the face up.
# - On the right of the screen :: Right. Left and right are the patient's, and in this view the patient's left is on your
#   right. The letters in the picture say so.
# - On either: left and right cannot be told in a picture :: No. They cannot be told from the grey values; the affine
#   knows them, and the letters show what it knows.

# %% [markdown]
# **Exercise 1** (core, 7 minutes). Here is an affine. On which side is the tumour? Write `side(tumour, affine)`, which
# returns "left" or "right", of the patient. `tumour` is a boolean volume of a head that fills it, so the middle of the
# array is the middle of the head. In a NIfTI affine x grows towards the patient's *right*, y to the front, z to the crown;
# the volume's axes may run anywhere. A right answer is right for all five files of the check.


# %% tags=["stub"]
def side(tumour: np.ndarray, affine: np.ndarray) -> str:
    """The patient's side on which the tumour lies: "left" or "right"."""
    ...


# %% tags=["solution"]
def side(tumour: np.ndarray, affine: np.ndarray) -> str:
    """The patient's side on which the tumour lies: "left" or "right"."""
    tumour_index = np.argwhere(tumour).mean(axis=0)  # (3,)
    middle_index = (np.array(tumour.shape) - 1) / 2
    moved = affine[:3, :3] @ (tumour_index - middle_index)  # mm from the middle
    return "right" if moved[0] > 0 else "left"


# %% tags=["check", "long"]
from helpers.lessons.checks import exercise_check, filled, require, shortly

with exercise_check("Exercise 1"):
    ras, lps = np.diag([1.0, 1, 1, 1]), np.diag([-1.0, -1, 1, 1])
    ras[0, 3], lps[0, 3] = -7.5, 7.5  # the room's zero in the middle of the head
    far = ras.copy()
    far[0, 3] = 300  # the room's zero lies far outside of the head
    turned_axes = np.array(
        [[0.0, -2, 0, 40], [2, 0, 0, -9], [0, 0, 2, 0], [0, 0, 0, 1]]
    )
    files = {  # affine, a voxel of the tumour, and the side
        "axes to R, A, S": (ras, (1, 12, 5), "left"),
        "axes to L, P, S": (lps, (1, 12, 5), "right"),
        "axes to R, A, S, and its zero far away": (far, (2, 3, 5), "left"),
        "axes to A, L, S": (turned_axes, (2, 3, 5), "right"),
        "axes to A, L, S, and the tumour in front": (turned_axes, (14, 14, 5), "left"),
    }
    said = {}
    for name, (affine, place, _) in files.items():
        volume = np.zeros((16, 17, 12), bool)
        volume[place] = True
        given = filled(side(volume, affine))
        a_side = isinstance(given, str) and given.lower() in ("left", "right")
        told = f"you return {shortly(given)}; it should be 'left' or 'right'"
        require(a_side, told)
        said[name] = given.lower()
    asked = "the tumour's place and the affine must both have a say"
    require(len(set(said.values())) > 1, f"you say the same of all five files; {asked}")
    wrong = [name for name, (*_, truth) in files.items() if said[name] != truth]
    require(
        len(wrong) < 5,
        "all five are the wrong way round; x grows to the patient's right, and the "
        "sides are the patient's, not the screen's",
    )
    require(
        "axes to R, A, S" not in wrong,
        "you are wrong where the first axis runs to the right and the tumour has index "
        "1 of 16: near 0 is the left; where does its place come in?",
    )
    require(
        "axes to L, P, S" not in wrong,
        "with axes to L, P, S you are wrong: a negative step runs to the left",
    )
    zero = "axes to R, A, S, and its zero far away" in wrong
    require(
        not zero, "x is above 0 in the whole third file; compare with the head's middle"
    )
    first_axis = "in the fourth and fifth file another axis runs from side to side"
    require(not wrong, f"you are wrong for {wrong[0] if wrong else ''}; {first_axis}")

# %% [markdown] tags=["hint"]
# The affine carries an index to millimetres: `affine @ (i, j, k, 1)`. Carry two points there, the tumour's and the middle
# of the array. Which number of the result tells left from right?

# %% [markdown] tags=["hint"]
# `moved = affine[:3, :3] @ (tumour_index - middle_index)` needs no shift, since both points have the same. If
# `moved[0] > 0`, the tumour lies to the patient's right of the middle.

# %% [markdown] tags=["teacher"]
# The first answer compares an index with half of the first axis and ignores the affine: right for one file of two. The
# second looks at the sign of x, which is no side where the room's zero lies outside of the head. The third gets all of it
# and answers for the screen. A class enjoys being told that wrong-side operations happen, and that the two pictures above
# both looked right.

# %% [markdown]
# ## A voxel is not a pixel
#
# Now the view from the side. How large is the tumour? Count its voxels, and take each for a cube of a millimetre, as
# most notebooks do without saying so.

# %%
voxels = int((scan.seg > 0).sum())
ml_per_voxel = float(np.prod(scan.spacing)) / 1000  # 1 ml is 1,000 mm³
print(f"counted as millimetre cubes: {voxels / 1000:6.1f} ml")
tumour_ml = record("tumour_ml", voxels * ml_per_voxel)
print(f"with the spacing:            {tumour_ml:6.1f} ml")

# %% [markdown]
# If the two lines agree, your voxels happen to be millimetre cubes. On any other grid the first line is wrong by the
# volume of a voxel, and so is the picture from the side. Scans of the daily routine have slices of 5 mm and more; we make
# such a scan by keeping every second or third slice.

# %%
keep = max(2, round(5 / scan.spacing[2]))
thick = flair[flair.shape[0] // 2, :, ::keep]  # (columns, fewer slices)
as_pixels = plane(np.diag([-1.0, -1.0, 1.0, 1.0]), "sagittal")  # a pixel a voxel
to_scale = plane(scan.affine @ np.diag([1.0, 1.0, keep, 1.0]), "sagittal")
panels = {
    "To scale": Panel(thick, to_scale),
    "One pixel a voxel, and so no scale": Panel(thick, as_pixels),
}
text = "A head from the side: in proportion to scale, and squashed with square voxels."
row(panels, text, title=f"The same slices, {keep * scan.spacing[2]:g} mm thick")

# %% [markdown]
# The pictures from here on do what we did by hand: they take directions and spacing from the affine.

# %% [markdown] tags=["question"]
# Hospital A outlined 20,000 voxels of tumour, hospital B 10,000. Whose tumour is larger?
#
# - A's, as it has twice the voxels :: No. If A's voxels are 1 mm and B's are 2 x 2 x 2.5 mm, B's tumour is five times as
#   large.
# - B's, since its voxels must be larger :: No. They may be; the counts do not tell. A coarse grid and a small tumour look
#   like this too.
# - That cannot be said from the counts :: Right. A voxel is no unit. Multiply by the volume of one, and give millilitres.

# %% [markdown]
# ## The mask
#
# Every patient comes with a mask: drawn by hand and approved by neuroradiologists where the patient is real, known
# exactly where it is a phantom. Here is our slice, its mask, and both together.

# %% tags=["paper: figure 10"]
api.image_and_mask(scan, k, title="The slice, its mask, and both together")

# %% [markdown]
# The brightest part is not the whole of it. The mask has three classes; on disk they are numbered 1, 2 and 4, since a
# class 3 was given up years ago. In memory we number them 1, 2, 3, so that a class can be an index.

# %%
import pandas as pd

labels, counts = np.unique(scan.seg[scan.seg > 0], return_counts=True)
names = [style.CLASS_NAMES[label] for label in labels]
parts = {"label": labels, "ml": counts * ml_per_voxel, "share": counts / counts.sum()}
pd.DataFrame(parts, index=names).round(2)

# %% [markdown]
# **Oedema** is swollen brain round the tumour, the **enhancing** part is living tumour whose leaky vessels let the
# contrast agent out, the **core** here is what lies inside: dead tissue and tumour that does not enhance. Nobody
# scores these classes. Scored are three **regions**, nested like shells: the whole tumour (WT) is everything, the
# tumour core (TC) leaves the oedema away, and the enhancing tumour (ET) is the rim alone.

# %%
from helpers.measure.regions import REGIONS, mask

image = view.cut(scan.image("t1ce"), k, box)
colours = dict(enumerate(style.REGION_COLOURS.values(), start=1))
panels = {}
for number, region in enumerate(REGIONS, start=1):
    shell = mask(scan.seg, region)
    name = f"{region}: {shell.sum() * ml_per_voxel:.0f} ml"
    panels[name] = Panel(image, view, number * view.cut(shell, k, box))
text = "Whole tumour, tumour core and enhancing tumour, each inside the one before."
row(panels, text, "Three regions, each inside the one before", colours, fill=0.5)

# %% [markdown]
# Now walk through the whole of it. The three planes below meet in one voxel, the crosshair; the line under them says
# what is there. Two things to find: the lowest slice that holds enhancing tumour, and a voxel of the core that is darker
# on T1ce than the brain beside the tumour.

# %%
api.patient(scan, title="Three planes through one voxel: each line shows another cut")

# %% [markdown]
# Did you find them? The next cell did, without eyes:

# %%
holds = [
    bool((scan.seg.take(i, view.axis) == 3).any())
    for i in range(scan.seg.shape[view.axis])
]
lowest = str(holds.index(True)) if any(holds) else "none: this tumour does not enhance"
t1ce = scan.image("t1ce")
brain_grey = np.median(t1ce[(t1ce != 0) & (scan.seg == 0)])
core_voxels = np.argwhere(scan.seg == 1)
darker = [tuple(map(int, v)) for v in core_voxels if t1ce[tuple(v)] < brain_grey]
print("lowest slice with enhancing tumour:", lowest)
print(f"{len(darker)} of {len(core_voxels)} voxels of the core are darker than brain")

# %% [markdown]
# And here it is as a body. With [ipyniivue](https://github.com/niivue/ipyniivue) installed (`pip install
# "biomedseg-course[solid]"`) a running notebook lets you turn it with the mouse; without it this is a still picture. Mind
# the letters: you look from above now, so left is left.

# %%
from helpers.show.solid import solid

solid(scan, title="The tumour in its head")

# %% [markdown]
# ## Which modality shows what
#
# Now the mask over all four: press *mask* if you have it as a viewer. Compare the blue region with FLAIR and the
# yellow one with T1ce.

# %% tags=["paper: figure 9"]
api.modalities(scan, k, title="The mask beside what four settings show")

# %% [markdown]
# The eye is quickly convinced. Walk along one line instead, from the patient's right to the left through the core, and
# look at how the greys change from one tissue to the next. They are drawn as deviations from the mean of the brain; why,
# comes below. Which curve would tell you that you have entered the tumour, and which that you stand in the rim?

# %%
from helpers.show.intensity_profile import intensity_profile
from helpers.show.landmarks import core_centre

centre = core_centre(scan.seg)
intensity_profile(scan, centre, title="One line through four modalities")

# %% [markdown]
# Now numbers, for more than one line. Take one voxel of the oedema and one of the healthy brain, at random: how often is
# the first one brighter? This is the **AUC**, the area under the ROC curve. 1 means always, 0 never, and 0.5 means that
# brightness tells you nothing.


# %%
def auc(tissue: np.ndarray, rest: np.ndarray) -> float:
    """Chance that a voxel of `tissue` is brighter than one of `rest`; a tie is half."""
    rest = np.sort(rest)
    below, upto = (np.searchsorted(rest, tissue, side) for side in ("left", "right"))
    return float((below + upto).mean() / 2 / len(rest))


auc(np.array([5, 6, 7]), np.array([1, 2])), auc(np.array([1, 2]), np.array([1, 2]))

# %% [markdown]
# Before the next cells, guess: which modality tells the enhancing part best from the rest of the tumour?

# %% tags=["guess"]
my_guess_rim = None  # "FLAIR", "T1", "T1ce" or "T2"


# %%
def comparisons(one):
    """Each tissue of a patient, whom it is compared with, and the two masks."""
    brain, tumour = one.images.any(axis=-1), one.seg > 0
    for label in np.unique(one.seg[tumour]):
        tissue = one.seg == label
        yield style.CLASS_NAMES[label], "other brain", tissue, brain & ~tumour
        yield (
            style.CLASS_NAMES[label],
            "the rest of the tumour",
            tissue,
            tumour & ~tissue,
        )


scans = [read_scan(patient, MODALITIES) for patient in patients[:SAMPLE]]
found = []
for one in scans:
    for tissue_name, against, tissue, rest in comparisons(one):
        for modality, shown in style.MODALITY_NAMES.items():
            image = one.image(modality)
            found.append((against, tissue_name, shown, auc(image[tissue], image[rest])))

# %%
found = pd.DataFrame(found, columns=["against", "tissue", "modality", "auc"])
table = found.groupby(["against", "tissue", "modality"])["auc"].mean().unstack()
table = table[list(style.MODALITY_NAMES.values())]
text = f"AUC, mean of {len(scans)} patients; strong colour: brightness alone tells"
painted = table.style.format("{:.2f}").set_caption(text)
painted.background_gradient("PuOr_r", vmin=0, vmax=1)

# %%
from helpers.lessons.guess import compare_guess

strength = table.sub(0.5).abs()
best = strength.idxmax(axis=1)
rim = table.loc[("the rest of the tumour", "enhancing")]
record("auc_enhancing_in_tumour", rim.round(3).to_dict())
best_for_rim = best.loc[("the rest of the tumour", "enhancing")]
print(compare_guess("The modality that tells the rim best", my_guess_rim, best_for_rim))
for (against, tissue_name), modality in best.items():
    told = table.loc[(against, tissue_name), modality]
    way = "brighter" if told > 0.5 else "darker"
    told = f"{way} in {max(told, 1 - told):.0%}"
    print(f"{tissue_name} against {against}: {modality}, {told}")
print(f"{best.nunique()} modalities are the best somewhere, of {table.shape[1]}")

# %% [markdown]
# The upper half of that list is the question of the surgeon, what part of the brain is ill; the lower half that of the
# treatment, which part is which. Where the same modality answers both, the colours of its column say so. A cell near
# white says that *brightness* tells nothing there: what it leaves open, a network has to settle by shape and place. And
# where several modalities share the best places, no single picture shows the tumour. The paper's network gets two of the
# four, FLAIR and T1ce.

# %% [markdown] tags=["question"]
# A tumour is treated, and you are asked whether living tumour is left. You may have one picture only. Which?
#
# - FLAIR, since it shows most :: No. It shows how far the disease reaches, and what is swollen or scarred shines as well
#   as what lives.
# - T1ce, since living tumour leaks contrast agent :: Right. That is what ET is: the part that enhances. What does not leak
#   it cannot show, which is why nobody likes to have one picture only.
# - T1, since it has no contrast agent to confuse you :: No. Without the agent the rim is hardly told from what lies beside
#   it; the table above has its number.
# - T2, since fluid is bright on it :: No. Oedema, dead core and the fluid of the ventricles are all bright.

# %% [markdown]
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
ours = median_of[scan.id]
other = max(scans, key=lambda one: abs(np.log(median_of[one.id] / ours)))
sites = {patient.id: patient.site or "site unknown" for patient in patients}
pair = {f"{one.id} ({sites[one.id]})": one for one in (scan, other)}
medians = {name: median_of[one.id] for name, one in pair.items()}
ratio = record("flair_median_ratio", max(medians.values()) / min(medians.values()))
print(medians, f"{ratio:.1f} to 1", sep="\n")

# %%
window = (0, max(np.percentile(one.image("flair"), 99.9) for one in pair.values()))
panels = {}
for name, one in pair.items():
    here = plane(one.affine)
    cut = here.cut(one.image("flair"), slices.busiest(one), here.brain(one.images))
    panels[f"{name}\nmedian {medians[name]:.0f}"] = Panel(cut, here, window=window)
text = "FLAIR of two patients in the same grey window: one is darker than the other."
row(panels, text, title=f"One window for both; healthy brain differs {ratio:.1f} to 1")

# %% [markdown]
# An intensity of MRI has no unit. Unlike the Hounsfield numbers of CT, it depends on the coil, the sequence and the gain
# that the scanner chose on that day, and a network trained on the first head would be lost on the second. Something has
# to be divided out.
#
# The obvious thing, which a public notebook for this data set does (lesson 08 takes it apart), is to divide by the
# largest value. What grey does healthy brain get then, in each of our patients? And how much hangs on the few brightest
# voxels?

# %%
rows = {}
for one in scans:
    bright = np.sort(one.image("t1ce")[one.image("t1ce") != 0])[::-1]
    grey = np.median(healthy(one, "t1ce"))
    rows[one.id] = [grey / bright[left_out] for left_out in (0, 1, 10, 100)]
columns = ["by the brightest", "without 1 voxel", "without 10", "without 100"]
divided = pd.DataFrame(rows, index=columns).T
moved = divided["without 100"] / divided["by the brightest"] - 1
least, most = divided.iloc[:, 0].min(), divided.iloc[:, 0].max()
print(f"healthy brain becomes {least:.2f} to {most:.2f}")
hit = next(one for one in scans if one.id == moved.idxmax())
size = np.count_nonzero(hit.image("t1ce"))
print(f"100 of {size:,} voxels move it by up to {moved.max():.0%}, in {hit.id}")
divided.round(3)

# %%
where = np.unravel_index(hit.image("t1ce").argmax(), hit.seg.shape)
print(
    "the brightest voxel of", hit.id, "lies in:", style.CLASS_NAMES[int(hit.seg[where])]
)
title = "The cross marks the voxel that sets the scale for all others"
slices.three_planes(hit, where, modality="t1ce", title=title)

# %% [markdown]
# The first column is the same tissue of several people, and its greys are as far apart as the line above the table says.
# A few voxels, in a vessel or in the rim, decide about all the others. We would rather measure a brain against itself:
# subtract its mean, divide by its spread, over brain voxels only. That is **z-scoring**.
#
# **Exercise 2** (core, 6 minutes). Write `my_zscore(image)`: the brain, which is where `image` is not 0, to mean 0 and
# standard deviation 1; the background stays 0. A right answer gives the brain voxels 10, 20 and 30 the values -1.22, 0
# and 1.22, however much air lies round them.


# %% tags=["stub"]
def my_zscore(image: np.ndarray) -> np.ndarray:
    """Brain to mean 0 and standard deviation 1; the background stays 0."""
    ...


# %% tags=["solution"]
def my_zscore(image: np.ndarray) -> np.ndarray:
    """Brain to mean 0 and standard deviation 1; the background stays 0."""
    brain = image != 0
    mean, spread = image[brain].mean(), image[brain].std()
    return np.where(brain, (image - mean) / spread, 0)


# %% tags=["check", "long"]
with exercise_check("Exercise 2"):
    toy = np.zeros((4, 5, 3))
    inside = np.zeros(toy.shape, bool)
    inside[1:3, 1:4] = True
    toy[inside] = np.random.default_rng(0).normal(300, 40, inside.sum())
    given = np.asarray(filled(my_zscore(toy.copy())))
    require(given.dtype.kind == "f", f"you return {given.dtype}; it should be numbers")
    shape = f"you return the shape {given.shape}; it should stay {toy.shape}"
    require(given.shape == toy.shape, shape)
    over_all = np.allclose(given[inside], ((toy - toy.mean()) / toy.std())[inside])
    require(
        not over_all, "the air is in your mean and deviation; take the brain's alone"
    )
    mean, spread = float(given[inside].mean()), float(given[inside].std())
    variance = np.isclose(spread * toy[inside].std(), 1)
    require(not variance, "you divide by the variance; the spread is its square root")
    require(
        abs(mean) < 1e-6, f"the brain's mean came out as {mean:.3g}; it should be 0"
    )
    told = f"the brain's standard deviation came out as {spread:.3g}; it should be 1"
    require(abs(spread - 1) < 0.05, told)
    air = given[~inside]
    require(
        not air.any(),
        f"the air came out as {air[np.argmax(np.abs(air))]:.2f}; leave it at 0",
    )
    exact = "nearly: you divide by n - 1 where np.std divides by n, or round"
    require(abs(spread - 1) < 1e-6, exact)

# %% [markdown] tags=["hint"]
# `image[image != 0]` are the brain's voxels, in one long row. Which two numbers do you need of them? And what happens to
# the zeros when you subtract a mean from the whole image?

# %% [markdown] tags=["hint"]
# With `brain = image != 0`, mean and standard deviation of `image[brain]`, and `np.where(brain, ..., 0)` around the
# whole, the air stays 0.

# %% [markdown] tags=["teacher"]
# `(image - image.mean()) / image.std()` is what most people write: ask how the result changes if the file has more air
# round the head. The next trap is the background, which becomes a dark grey; a network then sees where the file ends.
# `var` for `std` is rare and costs an hour of training.

# %% [markdown]
# Why brain voxels only? Because most of the array is air, and the mean of a head with much air round it would be
# another one. `helpers` has the same function; it also clips at five deviations, which a vessel can exceed. All three
# ways side by side, one line a patient, healthy brain only. Watch how far apart the peaks are.

# %%
from helpers.data.normalise import zscore

ways = {
    "as on disk": lambda image: image,
    "divided by the maximum": lambda image: image / image.max(),
    "z-scored": lambda image: zscore(image[..., None])[..., 0],
}
brains, apart = {}, {}
for way, change in ways.items():
    greys = [change(one.image("flair")) for one in scans]
    pairs = zip(greys, scans, strict=True)
    brains[way] = [g[(one.image("flair") != 0) & (one.seg == 0)] for g, one in pairs]
    scatter = np.std([np.median(brain) for brain in brains[way]])
    apart[way] = float(scatter / np.mean([brain.std() for brain in brains[way]]))

# %%
record("peaks_apart", apart)
figure = Figure(figsize=(8, 2.9))
for ax, (way, greys_of) in zip(figure.subplots(1, 3), brains.items(), strict=True):
    edges = np.linspace(*np.percentile(np.concatenate(greys_of), [0.1, 99.9]), 60)
    for brain in greys_of:
        density = np.histogram(brain, edges, density=True)[0]
        ax.plot(edges[:-1], density, linewidth=1.2, color="#0072B2", alpha=0.7)
    ax.set_title(f"{way}\npeaks apart: {apart[way]:.2f} of a brain's spread")
    ax.set_yticks([])
figure.suptitle(f"Healthy brain on FLAIR, {len(scans)} patients")
text = "Histograms of healthy brain: as on disk, divided by the maximum, and z-scored."
style.alt(figure, text)

# %% [markdown]
# The number above each panel says how far the patients' medians scatter, measured by the width of one brain's
# histogram. Z-scoring leaves something over, because the tumour itself is part of the mean: a large bright one makes
# the rest look darker.

# %% [markdown] tags=["question"]
# Two heads are z-scored over all voxels, air included. One file has twice as much air round the head. What happens?
#
# - Nothing: air is 0 and adds nothing :: No. It adds nothing to the sum, and is counted: the mean sinks and the spread
#   changes.
# - The same brain gets another grey in each file :: Right. The brain is then measured against its file. Over brain voxels
#   only, the air has no say.
# - The brain of the fuller file gets the same grey, and its air another :: No. Mean and deviation are shared by all
#   voxels, so brain and air both move.

# %% [markdown]
# **Exercise 3** (core, 4 minutes). A screen shows 256 greys, a scan has thousands of values. Write `window(image, low,
# high)`: values at or below `low` become 0, at or above `high` become 1, and in between they rise in a straight line. A
# right answer makes 0.5 of the middle of the window, whatever the window.


# %% tags=["stub"]
def window(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """Grey levels from 0 to 1."""
    ...


# %% tags=["solution"]
def window(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """Grey levels from 0 to 1."""
    return np.clip((image - low) / (high - low), 0, 1)


# %% tags=["check", "long"]
with exercise_check("Exercise 3"):
    values = np.array([5.0, 10.0, 15.0, 20.0, 60.0])
    grey = np.asarray(filled(window(values, 10, 20)))
    require(grey.dtype.kind in "fiu", f"you return {grey.dtype}; it should be numbers")
    require(
        grey.shape == (5,), f"five values became {grey.shape}; the shape should stay"
    )
    clipped_only = np.allclose(grey, values.clip(10, 20))
    require(
        not clipped_only, "you clip to the window; now bring it to the range 0 to 1"
    )
    by_high = np.allclose(grey, ((values - 10) / 20).clip(0, 1))
    require(
        not by_high, "you divide by `high`; divide by the window's width, high - low"
    )
    stretched = np.allclose(grey, (values - 5) / 55)
    require(
        not stretched, "you stretch from the image's own least to its greatest value"
    )
    loose = np.allclose(grey, (values - 10) / 10)
    require(
        not loose,
        f"greys run from {grey.min():g} to {grey.max():g}; clip them to 0 to 1",
    )
    cut = grey[0] == 0 and grey[-1] == 1
    ends = f"5 and 60 lie outside of 10 to 20 and became {grey[0]:g} and {grey[-1]:g}"
    require(cut, f"{ends}; expected 0 and 1")
    middle = f"15 lies in the middle of 10 to 20 and became {grey[2]:g}; expected 0.5"
    require(abs(grey[2] - 0.5) < 1e-6, middle)
    wide = np.asarray(window(np.array([-3.0, 0.0, 3.0]), -3, 3))
    told = f"-3, 0, 3 in the window -3 to 3 became {wide}; expected 0, 0.5, 1"
    require(np.allclose(wide, [0, 0.5, 1]), told)

# %% [markdown] tags=["hint"]
# Shift the window so that it begins at 0, then shrink it so that it ends at 1. What lies outside is cut off last.

# %% [markdown] tags=["hint"]
# `np.clip((image - low) / (high - low), 0, 1)`.

# %% [markdown] tags=["teacher"]
# Dividing by `high` works as long as `low` is 0, which is the window that people try first; the check's begins at 10.
# Some take the image's own minimum and maximum, which is no window but what `imshow` does unasked: then two panels
# cannot be compared.

# %% [markdown]
# A `Panel` has a `window`, which does the same. Two of them on one z-scored slice:

# %%
z = view.cut(zscore(scan.images)[..., MODALITIES.index("t1ce")], k, box)
windows = {"all of it, -5 to 5": (-5, 5), "brain, -1.5 to 3": (-1.5, 3)}
panels = {
    f"T1ce, {name}": Panel(z, view, window=edges) for name, edges in windows.items()
}
text = "One T1ce slice in a wide grey window, and in a narrow one with more contrast."
row(panels, text, title="The same numbers, two windows")

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
axes, codes = figure.subplots(1, 3, sharey=True), nib.aff2axcodes(scan.affine)
for axis, (ax, profile, to) in enumerate(zip(axes, profiles, codes, strict=True)):
    ax.plot(profile, color=style.REGION_COLOURS["TC"])
    ax.axvline(peaks[axis], color="#555555", linewidth=1)
    ax.set_title(f"axis {axis}, running to {to}: peak at {peaks[axis]}")
figure.suptitle("Voxels of tumour core in every slice, along each axis")
style.alt(figure, "Three curves of core voxels per slice, with their peaks marked.")

# %% [markdown]
# Three peaks give a point, but nothing obliges it to lie in the core: a core of two lumps can have its peaks in
# different lumps, and the output above says how it went here. The viewer below takes the voxel of the core nearest
# its centre of mass, which is inside by construction. Move one slider until the core ends, and the arrow vanishes.

# %% tags=["paper: figure 11"]
api.core(scan, title="The tumour core from above, from the front and from the side")

# %% [markdown]
# A surgeon's navigation does not know voxels: it wants millimetres in the room, whatever file they came from.
#
# **Exercise 4** (stretch, 10 minutes). Write `centre_mm(core, affine)`: the core's centre of mass in millimetres in the
# room, a tuple of three. A right answer for a single voxel at (2, 1, 3) and the affine of the check is (-14, 18, 7.5).


# %% tags=["stub"]
def centre_mm(core: np.ndarray, affine: np.ndarray) -> tuple[float, float, float]:
    """Centre of mass of a boolean volume, in millimetres in the room."""
    ...


# %% tags=["solution"]
def centre_mm(core: np.ndarray, affine: np.ndarray) -> tuple[float, float, float]:
    """Centre of mass of a boolean volume, in millimetres in the room."""
    index = np.argwhere(core).mean(axis=0)  # (3,)
    place = affine @ np.append(index, 1)  # (4,)
    return tuple(float(mm) for mm in place[:3])


# %% tags=["check", "long"]
with exercise_check("Exercise 4"):
    room = np.array([[-2.0, 0, 0, -10], [0, -2, 0, 20], [0, 0, 2.5, 0], [0, 0, 0, 1]])
    toy = np.zeros((6, 5, 4), bool)
    toy[2, 1, 3] = True
    given = np.asarray(filled(centre_mm(toy, room)))
    require(
        given.dtype.kind in "fiu", f"you return {given.dtype}; it should be numbers"
    )
    require(
        given.shape != (4,),
        "you return four numbers; the last is only a helper, drop it",
    )
    require(
        given.shape == (3,),
        f"you return the shape {given.shape}; it should be three numbers",
    )
    usual = {
        "these are indices; carry them through the affine": (2, 1, 3),
        "you multiply by the steps and leave out the shift, the last column": (
            -4,
            -2,
            7.5,
        ),
        "these are lengths; the steps have signs and there is a shift": (4, 2, 7.5),
        "you carry an index that begins at 1; Python counts from 0": (-16, 16, 10),
        "you carry the index in the opposite order; it is (rows, columns, slices)": (
            -16,
            18,
            5,
        ),
    }
    for mistake, wrong in usual.items():
        require(not np.allclose(given, wrong), mistake)
    one = f"you place the single voxel at {given.tolist()}; expected (-14, 18, 7.5)"
    require(np.allclose(given, (-14, 18, 7.5)), one)
    toy[5, 1, 3] = toy[5, 2, 3] = True
    given = np.asarray(centre_mm(toy, room))
    box_middle = np.allclose(given, (-17, 17, 7.5))
    require(
        not box_middle,
        "that is the middle of the core's box; take the mean of its voxels",
    )
    three = f"with three voxels you answer {given.tolist()}; expected (-18, 17.33, 7.5)"
    require(np.allclose(given, (-18, 52 / 3, 7.5)), three)

# %% [markdown] tags=["hint"]
# First the centre as an index: `np.argwhere(core)` lists the voxels, and its mean over axis 0 is a point between them.
# Then the affine, which takes four numbers.

# %% [markdown] tags=["hint"]
# Put a 1 behind the index, `np.append(index, 1)`, multiply `affine @` that, and keep the first three numbers.

# %% [markdown] tags=["teacher"]
# Most multiply by the spacing, which loses signs and shift: right in length, and in the wrong place of the room. The
# fourth coordinate puzzles whoever has not met it; let them leave it out and see the shift go missing. A centre of mass
# need not lie in the core; ask for a core of which it does not.

# %% [markdown]
# ## How little of a scan is tumour
#
# One number will follow us to the end of the course. How large a share of all voxels is tumour? Guess before you
# look.

# %% tags=["guess"]
my_guess_share = None  # a number between 0 and 1

# %%
from helpers.show import scores

shares = [{label: (one.seg == label).mean() for label in range(4)} for one in scans]
fractions = pd.DataFrame(shares)
tumour_share = float(fractions[[1, 2, 3]].sum(axis=1).mean())
record("tumour_share", tumour_share)
print(compare_guess("The share of tumour", my_guess_share, tumour_share))
scores.class_balance(
    fractions, title=f"{1 - tumour_share:.1%} is no tumour, {len(scans)} patients"
)

# %%
affected = [(one.seg > 0).any(axis=(0, 1)).mean() for one in scans]
in_brain = [(one.seg > 0).sum() / one.images.any(axis=-1).sum() for one in scans]
slices_share = record("affected_slices", float(np.mean(affected)))
print(f"slices that show any tumour: {slices_share:.0%}")
print(f"brain that is tumour:        {np.mean(in_brain):.1%}")
print(f"voxels right if you say 'nothing' everywhere: {1 - tumour_share:.2%}")

# %% [markdown]
# The last line is a warning. A program that never finds a tumour is right about nearly every voxel. Keep that number
# in mind for lesson 08.
#
# ## The same question under a microscope
#
# The U-Net was made for pictures of another size: cells. The paper's figure 2 shows such a task, and here is one of our
# own, drawn by code: cells as phase contrast shows them, the mask that a network should draw, and, in a colour each, the
# cells that a biologist wants to count. Before you run it: how many lumps has the mask?

# %% tags=["paper: figure 2"]
from scipy import ndimage

from helpers.data.phantoms.microscopy import border_weights, cells

picture, cell_of = cells(seed=SEED)  # (160, 160) greys, and which cell a pixel is of
drawn = cell_of > 0  # the mask that a network learns
lumps, count = ndimage.label(drawn)
weights = border_weights(cell_of)  # (160, 160)

# %%
shown = {
    "the picture": (picture, "gray"),
    f"the mask: {count} lumps": (drawn, "gray"),
    f"the truth: {cell_of.max()} cells": (np.ma.masked_equal(cell_of, 0), "hsv"),
    "weights of the borders": (weights, "magma"),
}
figure = Figure(figsize=(8, 2.8))
for ax, (name, (array, colour)) in zip(
    figure.subplots(1, 4), shown.items(), strict=True
):
    ax.imshow(array, cmap=colour)
    ax.set_title(name)
    ax.set_axis_off()
figure.suptitle("A mask says what is cell, and not which")
style.alt(
    figure, f"{cell_of.max()} touching cells, their mask in {count} lumps, and weights."
)

# %% [markdown]
# A mask says what is cell, and not which: cells that touch become one lump. Ronneberger and colleagues did not change the
# network for that. They changed what a mistake costs, by **border weights**: background between two cells weighs most
# where the gap is narrowest, as in the last panel. Our tumours have no such neighbours, but lesson 05 weighs classes in the same spirit.
#
# ## What we tried

# %%
from helpers.lessons.closing import closing_table

nearest = min(apart, key=apart.get)
cube = abs(ml_per_voxel * 1000 - 1) < 1e-3
luck = "right by luck here" if cube else "use the spacing"
counted, true = f"{voxels / 1000:.1f} ml", f"truly {tumour_ml:.1f} ml"
several, most = f"{best.nunique()} are best somewhere", f"{rim.max():.2f} for the rim"
rows = [
    ("imshow and a turn", "nose up", "the wrong hemisphere", "ask the affine"),
    ("voxels as millimetre cubes", counted, true, luck),
    ("one modality", most, several, "take several"),
]
for way, gap in apart.items():
    told = "the least apart" if way == nearest else "further apart"
    rows.append(
        (f"greys {way}", f"peaks {gap:.2f} apart", f"{len(scans)} patients", told)
    )
closing_table(rows)

# %% [markdown]
# ## The question of the beginning
#
# Which of the four pictures shows the tumour? Look at your own table: a modality that finds what is ill need not tell
# which part is which. On most patients FLAIR shows how far the disease reaches, T1ce the living rim, and the core is
# known by what it lacks. A picture is worth believing once it has its letters and its scale, and two pictures can be
# compared once each was measured against its own brain.
#
# We left out what happened before these files were written: the four series were aligned with each other, resampled
# to one grid and stripped of the skull. We also left the slow drift of brightness across a head, the bias field,
# alone (Tustison et al. 2010, N4ITK). Lesson 03 prepares the slices for a network, and lesson 04 builds the one that gets
# FLAIR and T1ce and has to draw the mask.
