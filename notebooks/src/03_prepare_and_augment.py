# %% tags=["parameters"]
SEED = 0  # of everything that is drawn: flips, angles, greys
DATA_DIR = ""  # folder with BraTS patients; empty: the Kaggle set, else phantoms

# %%
from dataclasses import replace

import numpy as np
from keras import ops
from matplotlib.figure import Figure

from helpers.data import sources
from helpers.data.brats import read_catalogue
from helpers.data.volumes import read_scan
from helpers.lessons.checks import exercise_check, filled, require
from helpers.lessons.record import record
from helpers.measure.overlap import dice
from helpers.show import slices, style

style.use()
PAIR = ("flair", "t1ce")
patient = read_catalogue(sources.brats(DATA_DIR)).require(PAIR)[0]

# %% [markdown]
# One slice with its mask, in a window of 96 x 96 pixels. A mask comes as **soft labels**: how much of each pixel
# belongs to each of the four classes, from 0 to 1.

# %%
from helpers.data.normalise import zscore
from helpers.data.resample import Grid, soft_labels_on
from helpers.show.panel import plane, show_slice

scan, fine = read_scan(patient, PAIR), Grid(96)
k, centre = slices.busiest(scan), fine.brain_centre(scan.images, scan.spacing)
image = fine.down(zscore(scan.images), scan.spacing, centre)[k]  # (96, 96, 2)
soft_labels = soft_labels_on(scan.seg, fine, scan.spacing, centre)[k] / np.float32(255)  # (96, 96, 4)
labels = soft_labels.argmax(axis=-1)  # (96, 96), 0 to 3
view = replace(plane(scan.affine), spacing=(fine.pixel_mm,) * 2)  # how the slice lies, and a pixel's millimetres


# %% [markdown]
# Below, something was done to the slice, to its mask, or to both, four times over.


# %%
from helpers.prepare import augment


def augmented(strengths):
    """The slice and its soft labels after these augmentations, one after the other."""
    x, y = image[None], soft_labels[None]  # a batch of one
    for kind, strength in strengths.items():
        x, y = augment.apply(x, y, augment.single(kind, strength, *image.shape[1:], seed=SEED))
    return ops.convert_to_numpy(x)[0], ops.convert_to_numpy(y)[0]


turned, turned_labels = augmented({"rotation": 14, "elastic": 0.04})
shaded, _ = augmented({"bias field": 0.4, "noise": 0.25})
there_and_back = labels[::3, ::3].repeat(3, axis=0).repeat(3, axis=1)  # to a third of the size, and up again
pairs = {
    "A": (turned, turned_labels.argmax(axis=-1)),
    "B": (image[::-1], labels),
    "C": (shaded, labels),
    "D": (image, there_and_back),
}

# %%
figure = Figure(figsize=(8, 2.9))
for ax, (name, (picture, mask)) in zip(figure.subplots(1, 4), pairs.items(), strict=True):
    show_slice(ax, picture[..., 0], view, (-2, 3), mask, marks=name == "A")
    ax.set_title(name)
figure.suptitle("Four pairs of picture and mask")
style.alt(figure, "One FLAIR slice with its tumour outlined, changed in four ways, called A to D.")

# %% [markdown] tags=["paper: section 4.1.2"]
# **Which of these pairs are still true**, so that a network may learn from them? Write down your letters. One of them
# is easy, one is harder than it looks.
#
# ## The paper's five steps
#
# The paper prepares a picture with five steps from torchvision (section 4.1.2): resize to 224 x 224, flip left to right
# with a probability of one half, turn by up to 10 degrees, scale to [0, 1] with the channels first, and **normalise**:
# subtract a mean and divide by a standard deviation, one pair for each channel. Six slices go through, each with a word
# to it: does it show tumour?

# %%
from helpers.prepare import paper

levels = np.linspace(0.2, 0.8, 6) * scan.images.shape[2]
flair = scan.image("flair")
grey_levels = np.uint8(255 * (flair / np.percentile(flair, 99.9)).clip(0, 1))  # (rows, columns, slices), 0 to 255
rgb = [np.repeat(grey_levels[:, :, int(level)].T[..., None], 3, axis=-1) for level in levels]  # (columns, rows, 3) each
words = ["tumour" if scan.seg[:, :, int(level)].any() else "no tumour" for level in levels]
rng = np.random.default_rng(SEED)
batch = np.stack([paper.transform(picture, rng) for picture in rgb])  # (6, 3, 224, 224)
print("a batch:", batch.shape, batch.dtype, "from", batch.min().round(2), "to", batch.max().round(2))

# %% [markdown]
# Now look at what the network gets. `imshow` wants channels last, so we move the axis. What do you expect to see?


# %%
def grid_of(pictures, title):
    """The pictures in a row, each with its word (the paper's figure 4)."""
    figure = Figure(figsize=(8, 1.9))
    for ax, picture, word in zip(figure.subplots(1, 6), pictures, words, strict=True):
        ax.imshow(picture.clip(0, 1))
        ax.set_title(word)
        ax.set_axis_off()
    figure.suptitle(title)
    return style.alt(figure, f"Six slices in a row, labelled tumour or no tumour. {title}.")


grid_of(np.moveaxis(batch, 1, -1), "Normalised: numbers for a network, not for an eye")

# %% [markdown]
# All below 0 is drawn black, and a grey head has turned coloured. It has no colours: its three channels were equal.

# %%
for name, channel, mean, std in zip(("red", "green", "blue"), batch[0], paper.MEAN, paper.STD, strict=True):
    print(f"{name:6s} minus {mean:.3f}, divided by {std:.3f}: black became {channel.min():.2f}")

# %% [markdown]
# The six numbers are the mean and spread of ImageNet's photographs, of dogs and lemons in daylight. A network that was
# trained on those wants them. For a scan they mean nothing, and our own networks get z-scores of the patient's own
# brain (lesson 02). To look at such a batch, the steps have to be undone in the opposite order.
#
# **Exercise 1** (core, 5 minutes). Write `my_denormalise`: from a normalised batch `(n, 3, rows, columns)` to pictures
# `(n, rows, columns, 3)`. Channels last, times the standard deviation, plus the mean, nothing outside of [0, 1].


# %% tags=["stub"]
def my_denormalise(batch):
    return ...


# %% tags=["solution"]
def my_denormalise(batch):
    pictures = np.moveaxis(batch, 1, -1)  # (n, rows, columns, 3)
    return (pictures * paper.STD + paper.MEAN).clip(0, 1)


# %% tags=["check"]
with exercise_check("Exercise 1"):
    toy = np.random.default_rng(1).random((2, 3, 4, 5), dtype=np.float32)
    given = np.asarray(filled(my_denormalise(paper.normalise(toy))))
    require(
        given.shape == (2, 4, 5, 3), f"a batch of shape {toy.shape} became {given.shape}; it should be (2, 4, 5, 3)"
    )
    off = np.abs(given - np.moveaxis(toy, 1, -1)).max()
    require(off < 1e-5, f"there and back again is off by {off:.3g}; is it times the deviation, then plus the mean?")
    require(my_denormalise(np.full((1, 3, 2, 2), 9.0)).max() <= 1, "9 deviations above the mean must come out as 1")

# %% [markdown]
# A right answer turns the batch back into grey heads, flipped here and there and a little askew:

# %% tags=["paper: figure 4"]
back = paper.denormalise(batch)  # (6, 224, 224, 3)
grid_of(back, "Undone: the same batch, to look at")

# %%
plain = np.stack([paper.to_tensor(paper.resize(picture)) for picture in rgb])
record("round_trip_error", float(np.abs(paper.denormalise(paper.normalise(plain)) - np.moveaxis(plain, 1, -1)).max()))

# %% [markdown]
# Nothing is lost on the way but rounding, as the number shows. Two things about this recipe to keep in mind: it
# squeezes every picture into a square, whatever its shape was; and it moves the picture alone. For the words "tumour"
# and "no tumour" that is fine: a tilted head with a tumour has a tumour. A mask has a place.
#
# ## A mask is not a picture
#
# Let us resize a mask, the obvious way: as the picture was resized, with bilinear interpolation. To see what happens we
# take the enhancing rim of our slice alone, label 3, and nothing else. Before you run it: which labels will the small
# mask hold?

# %%
from PIL import Image

rim = np.where(labels == 3, 3, 0).astype("uint8")  # (96, 96), holds 0 and 3
small = np.asarray(Image.fromarray(rim).resize((64, 64), Image.Resampling.BILINEAR))  # (64, 64)
print("labels before:", np.unique(rim), "  after:", np.unique(small))
invented = np.isin(small, (1, 2)).sum() / (small > 0).sum()
record("invented_label_share", round(float(invented), 3))
print(f"of the pixels that have a label, {invented:.0%} have one that the patient does not have there")

# %%
from matplotlib.patches import Patch

figure = Figure(figsize=(8, 3.4))
x, y = np.array([view.place(pixel, rim.shape) for pixel in np.argwhere(rim)]).T  # where the rim is drawn, in mm
for ax, (title, mask) in zip(figure.subplots(1, 2), {"Before": rim, "After": small}.items(), strict=True):
    here = replace(view, spacing=(fine.extent_mm / len(mask),) * 2)
    show_slice(ax, np.full(mask.shape, 0.15), here, (0, 1), mask, fill=1.0, marks=False)
    ax.set(title=title, xlim=(x.min() - 6, x.max() + 6), ylim=(y.max() + 6, y.min() - 6))
names = {style.CLASS_NAMES[label]: colour for label, colour in style.CLASS_COLOURS.items()}
handles = [Patch(color=colour, label=name) for name, colour in names.items()]
figure.legend(handles=handles, loc="outside lower center", ncols=3)
figure.suptitle("Interpolated labels grow tissue that nobody drew")
style.alt(figure, "A ring of one label before resizing, and with rims of two other labels after it.")

# %% [markdown]
# Halfway between 0 and 3 lies 1.5, and after rounding that is a label: "core" or "oedema". Labels are names, and there
# is nothing between two names.
#
# So most people take the nearest pixel. OpenCV's `INTER_NEAREST` takes, for new pixel $i$, old pixel
# `floor(i * old / new)`: the first of those that the new pixel covers, not the middle one. Down to a third and up
# again, pixels 0, 1 and 2 all become what pixel 0 was. That is a shift of one pixel on average, and your letter D. What
# does it make of the paper's sizes, 240 to 128 and back?


# %%
def nearest(old, new):
    """Which old pixel each new pixel takes."""
    return np.floor(np.arange(new) * old / new).astype(int)


def moved_mm(before, after):
    return (np.argwhere(after > 0).mean(axis=0) - np.argwhere(before > 0).mean(axis=0)) * fine.pixel_mm


round_trip = nearest(240, 128)[nearest(128, 240)]  # for each of 240 pixels, the one it shows afterwards
shift = record("nearest_shift_pixels", round(float(np.mean(np.arange(240) - round_trip)), 3))
print(f"240 to 128 and back: a pixel shows what was {shift:.2f} pixels before it, on average")
print("letter D: the tumour's middle moved by", moved_mm(labels, there_and_back).round(2), "mm along rows and columns")
print(f"          and overlaps itself with Dice {dice(labels > 0, there_and_back > 0):.3f}")

# %% [markdown]
# The coarse edge of letter D is easily seen and easily forgiven; the shift is not seen at all. A network meets it in
# every patient, always in the same direction, and learns it.
#
# What may be interpolated are the soft labels, one picture for each class: half a pixel of rim is a half, and no other
# class gains by it. The label comes last, as the class with the largest value.

# %%
smaller = Grid(32)
small_soft_labels = soft_labels_on(scan.seg, smaller, scan.spacing, centre)[k : k + 1] / np.float32(
    255
)  # (1, 32, 32, 4)
shape = (96, 96, 1)
up = smaller.up(small_soft_labels, shape, (fine.pixel_mm,) * 2, (96.0, 96.0))[:, :, 0]  # (96, 96, 4)
from_soft_labels = up.argmax(axis=-1)
record("nearest_dice", round(dice(labels > 0, there_and_back > 0), 3))
after = record("shares_dice", round(dice(labels > 0, from_soft_labels > 0), 3))
print(
    "soft labels, to a third and back: moved by", moved_mm(labels, from_soft_labels).round(2), f"mm, Dice {after:.3f}"
)

# %% [markdown]
# The same small grid, a better overlap, and no drift. `Grid` and `soft_labels_on` in `helpers.data.resample` do this
# for all that follows.
#
# ## Both or neither
#
# **Augmentation** shows the network more heads than there are: tilted, larger, mirrored, noisier. What moves the
# picture must move the mask. How bad is it, if it does not? Letter B is the flip.

# %%
angles = [0, 2, 5, 10, 20]
for degrees in angles:
    _, moved = augmented({"rotation": degrees})
    both = moved.argmax(axis=-1) > 0
    print(f"picture turned by {degrees:2d} degrees, mask left behind: Dice {dice(both, labels > 0):.2f}")
mirrored = dice(labels[::-1] > 0, labels > 0)
print(f"picture mirrored, mask left behind:          Dice {record('mirrored_dice', round(mirrored, 3)):.2f}")

# %% [markdown]
# Each line is the best a network could score on such a pair. So in `helpers.prepare.augment` picture and soft
# labels are put into one array and resampled once; they cannot part.
#
# **Exercise 2** (core, 6 minutes). Write `my_flip(images, soft_labels)` for a batch: exchange the two sides of the head
# in both. In our arrays rows run from one side to the other, and columns from front to back.


# %% tags=["stub"]
def my_flip(images, soft_labels):
    """Both mirrored: (n, rows, columns, channels) and (n, rows, columns, classes)."""
    return ...


# %% tags=["solution"]
def my_flip(images, soft_labels):
    """Both mirrored: (n, rows, columns, channels) and (n, rows, columns, classes)."""
    return images[:, ::-1], soft_labels[:, ::-1]


# %% tags=["check"]
with exercise_check("Exercise 2"):
    dot, its_label = np.zeros((2, 6, 6, 2)), np.zeros((2, 6, 6, 4))
    dot[0, 1, 2], its_label[0, 1, 2, 3] = 5, 1
    given = filled(my_flip(dot, its_label))
    require(len(given) == 2, f"you return {len(given)} things; it should be two, images and soft labels")
    where = tuple(int(i) for i in np.argwhere(np.asarray(given[0]))[0][:3])
    require(where[0] == 0, "the dot went to another slice of the batch; flip within a slice, not the batch")
    require(where != (0, 1, 3), "the dot at row 1, column 2 went to column 3: that exchanges face and back of the head")
    require(where == (0, 4, 2), f"the dot at row 1, column 2 went to {where[1:]}; expected (4, 2)")
    place = tuple(int(i) for i in np.argwhere(np.asarray(given[1]))[0])
    require(place == (0, 4, 2, 3), f"the image went to (4, 2), but its label 3 is now at {place[1:]}; move both")

# %% [markdown]
# A right answer flips the tumour with its head. May we flip at all? A brain's sides look alike, so a mirrored head
# could be a patient. A mirrored chest has its heart on the right, and a head upside down is nobody's.
#
# Here is every augmentation of a head that training can draw, each alone, at the end of its slider. With a person at
# the keyboard there is a slider for each; move them, and watch that the outline stays on the tumour.

# %%
from helpers.show.viewer import api

api.playground(image, soft_labels, PAIR, SEED, title="Ways to augment one slice; the mask goes along")

# %% [markdown]
# Two laws hold for each of them. Turned there and back, a mask keeps its labels and nearly its area; and the same seed
# gives the same batch, on any machine.

# %%
_, there = augmented({"rotation": 15})
back = augment.apply(image[None], there[None], augment.single("rotation", -15, *image.shape[1:]))[1]
back = ops.convert_to_numpy(back)[0].argmax(axis=-1)
again = [augment.draw(np.random.default_rng(SEED), 2, 96, 2, augment.ALL).noise for _ in range(2)]
print("labels before", np.unique(labels), "and after", np.unique(back))
area = record("area_kept", round(float((back > 0).sum() / (labels > 0).sum()), 4))
print(f"area after 15 degrees there and back: {area:.1%}")
print("same seed, same noise:", np.array_equal(*again))

# %% [markdown]
# ## The question again
#
# A and C are true. In A picture and mask were turned and bent by the same numbers; in C only greys changed, and a mask
# knows no greys. B is the easy one, a head that was mirrored without its mask. D is the hard one: one forgives a mask
# its coarse edge, but it came back from the smaller grid a pixel away from its tumour. So: what moves moves both, and
# what is resampled is a picture or soft labels, never labels.
#
# Left out: k-space artefacts such as motion and ghosts (TorchIO simulates them well), and resampling to one spacing.
# What a remedy for bad scans is worth has to wait until there is a network to ask, in lesson 05. Next we build it.
