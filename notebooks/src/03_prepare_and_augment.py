# %% tags=["parameters"]
SEED = 0  # of everything that is drawn: flips, angles, greys
DATA_DIR = ""  # folder with BraTS patients; empty: the Kaggle set, else phantoms

# %%
from dataclasses import replace

import numpy as np
from keras import ops

from helpers.data import sources
from helpers.data.brats import read_catalogue
from helpers.data.volumes import read_scan
from helpers.lessons.record import record
from helpers.measure.overlap import dice
from helpers.show import slices, style

style.use()
PAIR = ("flair", "t1ce")
patient = read_catalogue(sources.brats(DATA_DIR)).require(PAIR)[0]

# %% [markdown]
# One slice of one patient with its mask, cut to a square of 96 x 96 pixels. A mask comes as **soft labels**: how much of
# each pixel belongs to each of the four classes, from 0 to 1.

# %%
from helpers.data.normalise import zscore
from helpers.data.resample import Grid, soft_labels_on
from helpers.show.panel import plane

scan, fine = read_scan(patient, PAIR), Grid(96)
k, centre = slices.busiest(scan), fine.brain_centre(scan.images, scan.spacing)
image = fine.down(zscore(scan.images), scan.spacing, centre)[k]  # (96, 96, 2)
shares = soft_labels_on(scan.seg, fine, scan.spacing, centre)[k]  # in 255ths
soft_labels = shares / np.float32(255)  # (96, 96, 4)
labels = soft_labels.argmax(axis=-1)  # (96, 96), 0 to 3
view = replace(plane(scan.affine), spacing=(fine.pixel_mm,) * 2)  # and a pixel's mm


# %% [markdown]
# Below, something was done to the slice, to its mask, or to both, four times over.


# %%
from helpers.prepare import augment


def augmented(strengths):
    """The slice and its soft labels after these augmentations, one after the other."""
    x, y = image[None], soft_labels[None]  # a batch of one
    for kind, strength in strengths.items():
        x, y = augment.apply(
            x, y, augment.single(kind, strength, *image.shape[1:], seed=SEED)
        )
    return ops.convert_to_numpy(x)[0], ops.convert_to_numpy(y)[0]


turned, turned_labels = augmented({"rotation": 14, "elastic": 0.04})
shaded, _ = augmented({"bias field": 0.4, "noise": 0.25})
third = labels[::3, ::3]  # (32, 32): a third of the size
there_and_back = third.repeat(3, axis=0).repeat(3, axis=1)  # and up again: (96, 96)
pairs = {
    "A": (turned, turned_labels.argmax(axis=-1)),
    "B": (image[::-1], labels),
    "C": (shaded, labels),
    "D": (image, there_and_back),
}

# %%
from helpers.show.row import Panel, row

text = "One FLAIR slice with its tumour outlined, changed in four ways, called A to D."
shown = {
    n: Panel(flair[..., 0], view, mask, (-2, 3)) for n, (flair, mask) in pairs.items()
}
row(shown, text, title="Four pairs of picture and mask")

# %% [markdown]
# **Which of these pairs are still true**, so that a network may learn from them? Put your letters into the next cell.
# One of the false ones is easy, one is harder than it looks; the end of the lesson compares.

# %% tags=["guess"]
my_guess_true_pairs = None  # the letters of the true pairs, such as "AB"

# %% [markdown] tags=["paper: section 4.1.2"]
# ## The paper's five steps
#
# The paper prepares a picture with five steps from torchvision (section 4.1.2): resize to 224 x 224, flip left to right
# with a probability of one half, turn by up to 10 degrees, scale to [0, 1] with the channels first, and **normalise**:
# subtract a mean and divide by a standard deviation, one pair for each channel. Six slices go through, each with a word
# to it: does it show tumour?

# %%
from helpers.prepare import paper

levels = [int(k) for k in np.linspace(0.2, 0.8, 6) * scan.images.shape[2]]
flair = scan.image("flair")
grey = np.uint8(255 * (flair / np.percentile(flair, 99.9)).clip(0, 1))  # 0 to 255
rgb = [
    np.repeat(grey[:, :, k].T[..., None], 3, axis=-1) for k in levels
]  # three equal channels
words = ["tumour" if scan.seg[:, :, k].any() else "no tumour" for k in levels]
rng = np.random.default_rng(SEED)
batch = np.stack([paper.transform(picture, rng) for picture in rgb])  # (6, 3, 224, 224)
print(f"a batch {batch.shape}, from {batch.min():.2f} to {batch.max():.2f}")

# %% [markdown]
# Now look at what the network gets, as the paper does in its figure 4: pictures of a batch in a row, each with its
# word. `imshow` wants channels last, so we move the axis. What do you expect to see?


# %%
from matplotlib.figure import Figure


def grid_of(pictures, title):
    """The pictures in a row, each with its word (the paper's figure 4)."""
    figure = Figure(figsize=(8, 1.9))
    for ax, picture, word in zip(figure.subplots(1, 6), pictures, words, strict=True):
        ax.imshow(picture.clip(0, 1))
        ax.set_title(word)
        ax.set_axis_off()
    figure.suptitle(title)
    return style.alt(
        figure, f"Six slices in a row, labelled tumour or no tumour. {title}."
    )


grid_of(np.moveaxis(batch, 1, -1), "Normalised: numbers for a network, not for an eye")

# %% [markdown]
# All below 0 is drawn black, and a grey head has turned coloured. It has no colours: its three channels were equal.

# %%
channels = zip(("red", "green", "blue"), batch[0], paper.MEAN, paper.STD, strict=True)
for name, channel, mean, std in channels:
    print(
        f"{name:6} minus {mean:.3f}, over {std:.3f}: black became {channel.min():.2f}"
    )

# %% [markdown]
# The six numbers are the mean and spread of ImageNet's photographs, of dogs and lemons in daylight. A network that was
# trained on those wants them. For a scan they mean nothing, and our own networks get z-scores of the patient's own
# brain (lesson 02). To look at such a batch, the steps have to be undone in the opposite order.

# %% [markdown] tags=["question"]
# You draw a normalised batch, and a grey head comes out coloured. What is wrong with the batch?
#
# - The scan was stored in colours :: No. Its three channels were equal; each lost another mean and was divided by
#   another deviation, and so they came apart.
# - Nothing: `imshow` shows numbers that were not made for an eye :: Right. The network was trained on such numbers. Undo
#   the steps to look, and leave the batch as it is.
# - It must not be normalised, since a scan is no photograph :: No. A network that learnt from normalised photographs
#   needs its input like that, even where the six numbers mean nothing; another network may be given other numbers.
# - The channels were put first, so red and blue are exchanged :: No. Where the axis stands changes what `imshow`
#   accepts, and no number; three equal channels may be exchanged as you like.

# %% [markdown]
# **Exercise 1** (core, 5 minutes). Write `my_denormalise`: from a normalised batch `(n, 3, rows, columns)` to pictures
# `(n, rows, columns, 3)`. Channels last, times the standard deviation (`paper.STD`), plus the mean (`paper.MEAN`),
# nothing outside of [0, 1]. A right answer turns the batch back into grey heads; the picture below shows them.


# %% tags=["stub"]
def my_denormalise(batch):
    """From (n, 3, rows, columns), normalised, to (n, rows, columns, 3) in [0, 1]."""
    return ...


# %% tags=["solution"]
def my_denormalise(batch):
    """From (n, 3, rows, columns), normalised, to (n, rows, columns, 3) in [0, 1]."""
    pictures = np.moveaxis(batch, 1, -1)  # (n, rows, columns, 3)
    return (pictures * paper.STD + paper.MEAN).clip(0, 1)


# %% tags=["check", "long"]
from helpers.lessons.checks import exercise_check, filled, require

with exercise_check("Exercise 1"):
    toy = np.random.default_rng(1).random((2, 3, 4, 5), dtype=np.float32)
    batch_of_toys = paper.normalise(toy)
    try:
        given = np.asarray(filled(my_denormalise(batch_of_toys)))
    except ValueError as error:
        meets = (
            "the channels are still axis 1 where they meet three deviations or means"
        )
        require("broadcast" not in str(error), f"{meets}; move that axis to the end")
        raise
    require(
        given.dtype.kind in "fiu", f"you return {given.dtype}; it should be numbers"
    )
    expected = f"it should be (2, 4, 5, 3) from {toy.shape}"
    require(given.shape != (2, 3, 4, 5), f"the channels are still axis 1; {expected}")
    require(given.shape != (2, 5, 4, 3), f"rows and columns changed places; {expected}")
    require(
        given.shape == (2, 4, 5, 3), f"you return the shape {given.shape}; {expected}"
    )
    moved = np.moveaxis(batch_of_toys, 1, -1)
    reshaped = batch_of_toys.reshape(2, 4, 5, 3)
    shown = np.moveaxis(toy, 1, -1)  # what a right answer gives
    white = np.allclose(given, 255 * shown, atol=0.01)
    require(not white, "your greys run to 255; leave them between 0 and 1")
    usual = {
        "reshape deals the numbers out anew; np.moveaxis moves an axis": (
            reshaped * paper.STD + paper.MEAN
        ),
        "you add the mean before you multiply; undo the steps in the opposite order": (
            (moved + paper.MEAN) * paper.STD
        ),
        "you normalise a second time; multiply by the deviation and add the mean": (
            (moved - paper.MEAN) / paper.STD
        ),
        "the mean is missing": moved * paper.STD,
        "you clip while the numbers are still normalised; clip last": (
            moved.clip(0, 1) * paper.STD + paper.MEAN
        ),
        "you stretch from the least to the greatest; undo the two steps instead": (
            (moved - moved.min()) / np.ptp(moved)
        ),
        "the numbers are still normalised; only the axis has moved": moved,
    }
    for mistake, wrong in usual.items():
        require(not np.allclose(given.clip(0, 1), wrong.clip(0, 1), atol=1e-5), mistake)
    off = np.abs(given - shown).max()
    require(off < 1e-5, f"there and back again is off by {off:.3g}; it should be 0")
    wild = np.asarray(
        my_denormalise(
            np.array([-9.0, 9.0]).reshape(2, 1, 1, 1) * np.ones((1, 3, 2, 2))
        )
    )
    require(
        wild.min() >= 0 and wild.max() <= 1,
        f"what lies 9 deviations off the mean came out as {wild.min():.2f} and "
        f"{wild.max():.2f}; clip to the range from 0 to 1",
    )

# %% [markdown] tags=["hint"]
# Print `batch.shape` and `paper.STD.shape`. NumPy lines shapes up from their ends, so three deviations fit an array whose
# *last* axis has length 3. One function of NumPy moves an axis and leaves the order of the others alone.

# %% [markdown] tags=["hint"]
# `np.moveaxis(batch, 1, -1)` puts the channels last. What was done last is undone first: multiply by `paper.STD`, then
# add `paper.MEAN`, then `.clip(0, 1)`.

# %% [markdown] tags=["teacher"]
# Most of a class reaches for `reshape` or `.T`. Both give an array that draws as noise or lies on its side; the check
# names each, so ask what the two do to a single pixel. Some add the mean first, and a few forget `clip`, which `imshow`
# hides by clipping for them. Whoever multiplies before the axis is moved meets NumPy's broadcast error on paper: let
# them say the two shapes aloud.

# %% [markdown]
# The same batch, undone: grey heads again, flipped here and there and a little askew.

# %% tags=["paper: figure 4"]
back = paper.denormalise(batch)  # (6, 224, 224, 3)
grid_of(back, "Undone: the same batch, to look at")

# %% [markdown]
# Is anything lost on the way? Six pictures without the flips and turns, there and back:

# %%
plain = np.stack([paper.to_tensor(paper.resize(picture)) for picture in rgb])
again = paper.denormalise(paper.normalise(plain))
lost = float(np.abs(again - np.moveaxis(plain, 1, -1)).max())
print(f"the largest difference is {record('round_trip_error', lost):.0e}, of 1")

# %% [markdown]
# A difference of that size is rounding. Two things about this recipe to keep in mind: it
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
resized = Image.fromarray(rim).resize((64, 64), Image.Resampling.BILINEAR)
small = np.asarray(resized)  # (64, 64)
print("labels before:", np.unique(rim), "  after:", np.unique(small))
invented = float(np.isin(small, (1, 2)).sum() / (small > 0).sum())
record("invented_label_share", round(invented, 3))
print(f"{invented:.0%} of the pixels with a label have one that nobody drew")

# %%
rows, columns = (slice(max(i.min() - 6, 0), i.max() + 7) for i in np.nonzero(rim))
masks = {"Before": rim[rows, columns]}
scale = len(small) / len(rim)  # of a pixel's place in the two masks
rows, columns = (
    slice(int(i.start * scale), int(i.stop * scale)) for i in (rows, columns)
)
masks["After"] = small[rows, columns]
step = {"Before": fine.pixel_mm, "After": fine.pixel_mm / scale}
views = {name: replace(view, spacing=(mm, mm)) for name, mm in step.items()}

# %%
text = (
    "A ring of one label before resizing, and with rims of two other labels after it."
)
names = {label: style.CLASS_NAMES[label] for label in style.CLASS_COLOURS}
shown = {
    n: Panel(np.full(m.shape, 0.15), views[n], m, (0, 1)) for n, m in masks.items()
}
title = f"Interpolated, {invented:.0%} of the labels are of tissue that nobody drew"
row(shown, text, title, names=names, fill=1.0, width=6.0)

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


round_trip = nearest(240, 128)[nearest(128, 240)]  # for each of 240, whom it shows
shift = float(np.mean(np.arange(240) - round_trip))
record("nearest_shift_pixels", round(shift, 3))
print(f"240 to 128 and back: a pixel shows what was {shift:.2f} before it, on average")


# %%
def moved_mm(mask):
    """How far the tumour's middle lies from where it was."""
    middles = [np.argwhere(m > 0).mean(axis=0) for m in (labels, mask)]
    return float(np.linalg.norm(middles[1] - middles[0]) * fine.pixel_mm)


nearest_dice = record("nearest_dice", round(dice(labels > 0, there_and_back > 0), 3))
nearest_mm = moved_mm(there_and_back)
print(f"letter D: moved by {nearest_mm:.2f} mm; Dice with itself {nearest_dice:.3f}")

# %% [markdown]
# The coarse edge of letter D is easily seen and easily forgiven; the shift is easily taken for a part of it. A network
# meets it in every patient, always in the same direction, and learns it.
#
# What may be interpolated are the soft labels, one picture for each class: half a pixel of rim is a half, and no other
# class gains by it. The label comes last, as the class with the largest value.
#
# **Exercise 2** (core, 6 minutes). Write `my_soft_labels(labels)`: from labels `(rows, columns)`, 0 to 3, to soft labels
# of half the size, `(rows / 2, columns / 2, 4)`: of each block of 2 x 2 pixels the share of each class, background
# included. A right answer gives the block `0 0 / 2 3` the shares `0.5, 0, 0.25, 0.25`.


# %% tags=["stub"]
def my_soft_labels(labels):
    """From (rows, columns) int, 0 to 3, to (rows / 2, columns / 2, 4) shares."""
    return ...


# %% tags=["solution"]
def my_soft_labels(labels):
    """From (rows, columns) int, 0 to 3, to (rows / 2, columns / 2, 4) shares."""
    rows, columns = labels.shape
    each = labels[..., None] == np.arange(4)  # (rows, columns, 4): is it this class?
    blocks = each.reshape(rows // 2, 2, columns // 2, 2, 4)
    return blocks.mean(axis=(1, 3))  # (rows / 2, columns / 2, 4)


# %% tags=["check", "long"]
with exercise_check("Exercise 2"):
    toy = np.array(
        [[0, 0, 1, 1, 3, 3], [2, 3, 1, 1, 3, 0], [2, 2, 0, 0, 1, 2], [2, 2, 0, 3, 3, 0]]
    )
    given = np.asarray(filled(my_soft_labels(toy)))
    right = np.stack(
        [(toy == c).reshape(2, 2, 3, 2).mean(axis=(1, 3)) for c in range(4)], axis=-1
    )
    expected = f"labels of shape {toy.shape} should give shares of shape {right.shape}"
    require(
        given.dtype.kind in "fiub", f"you return {given.dtype}; it should be numbers"
    )
    require(
        given.shape != (2, 3),
        "yours has one number a pixel; an average of labels is no label, so keep the "
        "classes apart",
    )
    require(given.shape != (4, 2, 3), f"yours has the classes first; {expected}")
    require(
        given.shape != (2, 3, 3),
        f"yours has three classes; background is one too, so {expected}",
    )
    require(given.shape != (4, 6, 4), f"yours has not shrunk; {expected}")
    require(
        given.shape == right.shape, f"yours has the shape {given.shape}; {expected}"
    )
    sums = given.astype(float).sum(axis=-1)
    require(
        not np.allclose(sums, 4),
        "the shares of a pixel sum to 4: you count; divide by the four of a block",
    )
    require(
        np.allclose(sums, 1),
        f"the shares of a pixel sum to {sums.min():.2g} up to {sums.max():.2g}; "
        "all must sum to 1",
    )
    require(
        not np.isin(given, (0, 1)).all(),
        "every pixel of yours has one class; of a block with two, both have a share",
    )
    wrong = np.argwhere(~np.isclose(given, right).all(axis=-1))
    for place in map(tuple, wrong[:1]):
        require(
            False,
            f"the shares sum to 1, and block {tuple(map(int, place))} has "
            f"{given[place].tolist()}, expected {right[place].tolist()}; does each of "
            "your blocks hold four neighbours?",
        )

# %% [markdown] tags=["hint"]
# Two steps, in this order: first a picture for each class that says where it is (1) and where not (0), then the average
# of each over blocks of four pixels. `labels[..., None] == np.arange(4)` does the first.

# %% [markdown] tags=["hint"]
# Reshape to `(rows // 2, 2, columns // 2, 2, 4)`: axis 1 then counts the rows within a block and axis 3 its columns.
# Take the mean over those two.

# %% [markdown] tags=["teacher"]
# The usual answer averages the labels themselves and gets a picture of 1.25s: ask what tissue 1.25 is. The next takes
# every second pixel of the one-hot mask, which is nearest again, and the check says that each pixel has one class only.
# `reshape(rows // 2, columns // 2, 2, 2, 4)` has the right shape and mixes pixels of one row: the sums are right and the
# places wrong, which is why the check looks at both. Leaving out background makes the shares of a border pixel sum to
# less than 1.

# %% [markdown]
# `soft_labels_on` in `helpers.data.resample` does the same for any two grids. Here are the soft labels of our slice at a
# third of the size, brought up again, and only then turned into labels.

# %%
smaller = Grid(32)
shares = soft_labels_on(scan.seg, smaller, scan.spacing, centre)[k : k + 1]
low = shares / np.float32(255)  # (1, 32, 32, 4)
middle = (fine.extent_mm / 2,) * 2
up = smaller.up(low, (96, 96, 1), (fine.pixel_mm,) * 2, middle)[:, :, 0]  # (96, 96, 4)
from_soft = up.argmax(axis=-1)  # (96, 96): the label comes last

# %%
soft_dice, soft_mm = dice(labels > 0, from_soft > 0), moved_mm(from_soft)
record("shares_dice", round(soft_dice, 3))
print(f"nearest:     moved by {nearest_mm:.2f} mm, Dice {nearest_dice:.3f}")
print(f"soft labels: moved by {soft_mm:.2f} mm, Dice {soft_dice:.3f}")
less = "less" if soft_mm < nearest_mm else "not less"
closer = "closer to" if soft_dice > nearest_dice else "not closer to"
print(f"On this slice soft labels move the tumour {less}, and come {closer} the mask.")

# %% [markdown]
# The same small grid for both. What is left of the shift has no direction of its own: parts that are thinner than a
# large pixel are outvoted, and so the middle of what remains is another. Nearest adds a step that is the same for
# everybody.

# %% [markdown] tags=["question"]
# A mask of labels has to go from 240 to 128 pixels for a network. What do you do?
#
# - Interpolate linearly and round :: No. Between 0 and 3 lie 1 and 2, which are names of other tissue; the picture above
#   shows them growing round the rim.
# - Take the nearest pixel, so that no label is invented :: No. That invents none, but `floor(i * old / new)` shifts the
#   mask against its picture, in every patient alike, and throws thin parts away.
# - Average each class over the new pixel's area, and keep the shares :: Right. Soft labels do not move, and a half stays
#   a half. The label is taken at the very end, on the patient's own grid.
# - Round the shares to labels at once, so that the network learns from clear cases :: No. A class with a third of every
#   pixel would vanish; the shares are what you have, and a loss can take them.

# %% [markdown]
# ## Both or neither
#
# **Augmentation** shows the network more heads than there are: tilted, larger, mirrored, noisier. What moves the
# picture must move the mask. How bad is it, if it does not? Guess first: the head is turned by ten degrees, as far
# as the paper turns, and its mask stays. How much of the tumour do the two still share, as a Dice from 0 to 1?

# %% tags=["guess"]
my_guess_turned = None  # a number between 0 and 1

# %%
from helpers.lessons.guess import compare_guess

left_behind = {}
for degrees in (0, 2, 5, 10, 20):
    _, moved = augmented({"rotation": degrees})
    left_behind[degrees] = dice(moved.argmax(axis=-1) > 0, labels > 0)
    print(
        f"turned by {degrees:2d} degrees, mask left behind: "
        f"Dice {left_behind[degrees]:.2f}"
    )
mirrored = record("mirrored_dice", round(dice(labels[::-1] > 0, labels > 0), 3))
print(f"mirrored, mask left behind (letter B):  Dice {mirrored:.2f}")
print(compare_guess("Dice after ten degrees", my_guess_turned, left_behind[10]))

# %% [markdown]
# Each line is the best that a network could score on such a pair of this slice: the further the tumour lies from the
# middle, the worse. So in `helpers.prepare.augment` picture and soft labels are put into one array and resampled once;
# they cannot part.
#
# **Exercise 3** (core, 6 minutes). Write `my_flip(images, soft_labels)` for a batch: exchange the two sides of the head
# in both. In our arrays rows run from one side to the other, and columns from front to back. A right answer moves what
# is in row 1 of six to row 4, and leaves its column alone.


# %% tags=["stub"]
def my_flip(images, soft_labels):
    """Both mirrored: (n, rows, columns, channels) and (n, rows, columns, classes)."""
    return ...


# %% tags=["solution"]
def my_flip(images, soft_labels):
    """Both mirrored: (n, rows, columns, channels) and (n, rows, columns, classes)."""
    return images[:, ::-1], soft_labels[:, ::-1]


# %% tags=["check", "long"]
with exercise_check("Exercise 3"):
    dot, its_label = np.zeros((3, 6, 6, 2)), np.zeros((3, 6, 6, 4))
    dot[0, 1, 2], its_label[0, 1, 2, 3] = 5, 1
    given = filled(my_flip(dot.copy(), its_label.copy()))
    both = isinstance(given, tuple | list) and len(given) == 2
    require(
        both,
        f"you return {type(given).__name__}; it should be images and soft labels",
    )
    for name, array, before in zip(
        ("images", "soft labels"), given, (dot, its_label), strict=True
    ):
        require(
            np.shape(array) == before.shape,
            f"the {name} came back with shape {np.shape(array)}; "
            f"it should stay {before.shape}",
        )
        require(np.any(array), f"the {name} came back as nothing but 0")
    images, mask = (
        tuple(map(int, np.argwhere(np.asarray(array))[0])) for array in given
    )
    require(
        images != (0, 1, 2, 0),
        "the dot at row 1, column 2 has not moved; flip the images too",
    )
    require(
        images[0] == 0,
        "the dot went to another slice; flip within a slice, not the batch",
    )
    require(
        images[:3] != (0, 1, 3),
        "the dot at row 1, column 2 went to column 3: that exchanges face and back",
    )
    require(
        images[:3] != (0, 4, 3),
        "the dot went to (4, 3): that turns the head by 180 degrees",
    )
    require(
        images[:3] == (0, 4, 2),
        f"the dot at (1, 2) went to {images[1:3]}; expected (4, 2)",
    )
    require(
        mask[3] == 3,
        f"label 3 of the dot has become {mask[3]}; flip the rows, not the classes",
    )
    require(
        mask[:3] == (0, 4, 2),
        f"the dot went to (4, 2), and its label is at {mask[1:3]}; move both",
    )

# %% [markdown] tags=["hint"]
# A batch is `(n, rows, columns, channels)`. Which of the four axes runs from one side of the head to the other? A slice
# with a step of -1 turns an axis round.

# %% [markdown] tags=["hint"]
# `images[:, ::-1]` turns the rows of every picture round. Do the same to the soft labels and return both.

# %% [markdown] tags=["teacher"]
# Who writes `[::-1]` flips the batch, so patients exchange their masks where one of the two is forgotten; who thinks of
# a photograph writes `[:, :, ::-1]`, and face and back of the head change places. The check plants one bright dot and
# says where it went. `np.flip` without an axis turns the classes round as well, and enhancing becomes background.

# %% [markdown]
# A right answer flips the tumour with its head. May we flip at all? A brain's sides look alike, so a mirrored head
# could be a patient. A mirrored chest has its heart on the right, and a head upside down is nobody's.

# %% [markdown] tags=["question"]
# An augmentation darkens a picture and adds noise. What has to be done to the mask?
#
# - Nothing: no pixel has moved :: Right. That is letter C. A mask says where tissue is, and knows no greys.
# - The same, so that picture and mask go together :: No. Noise on a mask is tissue that nobody drew; only what moves has
#   to move both.
# - It has to be smoothed a little, since the edge is harder to see :: No. The tumour ends where it ended, however well
#   it can be seen. A blurred mask would teach another edge.

# %% [markdown] tags=["question"]
# You augment chest radiographs for a network that outlines the lungs. Which of these may you use?
#
# - A mirror image, left to right, of radiograph and mask :: No, or with care: the heart would lie on the right, as in
#   one person among thousands, and the network learns from radiographs that it will not meet.
# - A turn by a few degrees, of radiograph and mask :: Right. People stand askew in front of the detector, so there are
#   such radiographs.
# - A turn by 180 degrees, of radiograph and mask :: No. Pairs stay true, but nobody's radiograph hangs upside down; the
#   network spends its effort on what does not occur.
# - A turn by a few degrees of the radiograph alone, since lungs are large :: No. The edge of a large organ moves as far as
#   that of a small one, and the edge is what is to be learnt.

# %% [markdown]
# Here is every augmentation of a head that training can draw, each alone, at the end of its slider. With a person at
# the keyboard there is a slider for each; move them, and watch that the outline stays on the tumour.

# %%
from helpers.show.viewer import api

api.playground(
    image,
    soft_labels,
    PAIR,
    SEED,
    title="Ways to augment one slice; the mask goes along",
)

# %% [markdown]
# Two laws hold for each of them. Turned there and back, a mask keeps its labels and nearly its area; and the same seed
# gives the same batch, on any machine.

# %%
_, there = augmented({"rotation": 15})
undo = augment.single("rotation", -15, *image.shape[1:])
back = ops.convert_to_numpy(augment.apply(image[None], there[None], undo)[1])[0]
print("labels before", np.unique(labels), "and after", np.unique(back.argmax(axis=-1)))
area = float((back.argmax(axis=-1) > 0).sum() / (labels > 0).sum())
record("area_kept", round(area, 4))
print(f"area after 15 degrees there and back: {area:.1%}")

# %%
rngs = (np.random.default_rng(SEED) for _ in range(2))
first, second = (augment.draw(rng, 2, 96, 2, augment.ALL).noise for rng in rngs)
print("same seed, same noise:", np.array_equal(first, second))

# %% [markdown]
# Somebody hands you an augmentation. Does it keep picture and mask together? Reading its code helps only if you find
# the line; letter B needs one forgotten `[:, ::-1]`. Better to have a test that needs no code.
#
# **Exercise 4** (stretch, 10 minutes). Write `moves_together(augmentation)`: True if it moves images and soft labels
# alike. It is called as `images, soft_labels = augmentation(images, soft_labels)`, with a batch `(n, rows, columns,
# channels)`; you make the batch. What makes pictures only darker or brighter moves nothing, and is fine. A right answer
# judges all seven augmentations of the check.


# %% tags=["stub"]
def moves_together(augmentation):
    """Whether what moves the images moves the soft labels too."""
    return ...


# %% tags=["solution"]
def moves_together(augmentation):
    """Whether what moves the images moves the soft labels too."""
    labels = np.random.default_rng(0).integers(0, 4, (2, 8, 8))  # no two places alike
    soft = np.eye(4)[labels]  # (2, 8, 8, 4)
    images, soft = augmentation(soft.copy(), soft.copy())  # the picture is the mask
    return bool((images.argmax(axis=-1) == soft.argmax(axis=-1)).all())


# %% tags=["check", "long"]
with exercise_check("Exercise 4"):
    judged = {
        "an augmentation that changes nothing": (True, lambda x, y: (x, y)),
        "one that mirrors both": (True, lambda x, y: (x[:, ::-1], y[:, ::-1])),
        "one that makes the images brighter": (True, lambda x, y: (1.5 * x + 0.25, y)),
        "one that mirrors the images alone": (False, lambda x, y: (x[:, ::-1], y)),
        "one that mirrors the masks alone": (False, lambda x, y: (x, y[:, ::-1])),
        "one that shifts the masks by a pixel": (
            False,
            lambda x, y: (x, np.roll(y, 1, axis=2)),
        ),
        "one that mirrors the two along different axes": (
            False,
            lambda x, y: (x[:, ::-1], y[:, :, ::-1]),
        ),
    }
    said = {}
    for name, (_, one) in judged.items():
        verdict = np.asarray(filled(moves_together(one)))
        require(
            verdict.shape == () and verdict.dtype.kind == "b",
            f"for {name} you return {verdict}; it should be True or False",
        )
        said[name] = bool(verdict)
    require(
        any(said.values()),
        "yours calls all seven false; what moves nothing, or both alike, is true",
    )
    require(
        not all(said.values()),
        "yours calls all seven true; plant something whose place you can see later, "
        "in picture and mask",
    )
    bright = "one that makes the images brighter"
    require(
        said[bright],
        f"{bright} moves nothing, and yours calls it false; compare where, "
        "not how bright",
    )
    for name, (truth, _) in judged.items():
        require(
            said[name] == truth,
            f"{name} is {truth}, and yours says {said[name]}; compare place by place, "
            "with a picture that no flip leaves as it is",
        )

# %% [markdown] tags=["hint"]
# You choose the batch. Which picture would tell you, after it was moved, where each of its pixels came from? And how
# would you see that its mask came from the same place?

# %% [markdown] tags=["hint"]
# Give it a picture that *is* the mask: random labels as `np.eye(4)[labels]`, for both arguments. Afterwards the class
# with the largest value must be the same in both, everywhere; brightness does not change which one that is.

# %% [markdown] tags=["teacher"]
# Areas or sums are compared first, and a flip keeps both. Then a single dot in the middle is planted, which every flip
# leaves where it is. Then the arrays are compared as they are, and whatever changes greys is called a liar. The idea to
# get across is that of a test by planting: give a function an input whose right output you know. It returns in lesson
# 08, where scores are tested so.

# %% [markdown]
# What we tried on this one slice, with numbers from this run:

# %%
from helpers.lessons.closing import closing_table

better = "better" if soft_dice > nearest_dice else "no better"
near = f"moved by {nearest_mm:.1f} mm, Dice {nearest_dice:.3f}"
soft = f"moved by {soft_mm:.1f} mm, Dice {soft_dice:.3f}"
never = "never; the pair is false"
rows = [
    ("labels, interpolated", "a smooth edge", f"{invented:.0%} invented", never),
    ("labels, nearest pixel", "none invented", near, "not for training"),
    ("soft labels, averaged", soft, "four numbers a pixel", f"{better} than nearest"),
    ("the picture turned alone", "none", f"Dice {left_behind[10]:.2f} at best", never),
    ("both turned, there and back", "a new head", f"area {area:.1%}", "not measured"),
]
closing_table(rows)

# %%
print(compare_guess("The answer to the four pairs", my_guess_true_pairs, "AC"))

# %% [markdown]
# ## The question again
#
# A and C are true. In A picture and mask were turned and bent by the same numbers; in C only greys changed, and a mask
# knows no greys. B is the easy one, a head that was mirrored without its mask. D is the hard one: one forgives a mask
# its coarse edge, but it came back from the smaller grid beside its tumour. So: what moves moves both, and
# what is resampled is a picture or soft labels, never labels.
#
# Left out: k-space artefacts such as motion and ghosts (TorchIO simulates them well), and resampling to one spacing.
# What a remedy for bad scans is worth has to wait until there is a network to ask, in lesson 05. Next we build it.
