# %% tags=["parameters"]
SEED = 0  # of everything that is drawn: slices, augmentations, weights
DATA_DIR = ""  # folder with BraTS patients; empty: the Kaggle set, else phantoms
OUTPUT_DIR = ""  # where slices and models go; empty: beside the data
PATIENTS = 20  # of the catalogue
SIZE = 48  # pixels along each side of the networks' window; 128 in the paper
FILTERS = 8  # features of their first level; 32 in the paper
BATCH = 8  # slices in a batch
FOLDS = 3  # one patient in so many is tested
MENDED = 3  # of those, how many are preprocessed in every way: some ways take seconds for a volume
EPOCHS = 3  # of each training
LOSSES_TRIED = ["cross-entropy", "weighted-cross-entropy", "dice", "dice+cross-entropy"]  # of helpers.learn.losses
FOCUS_TRIED = [0.0]  # shares of a batch that come from slices with tumour; one half is tried in any case

# %%
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import ops
from matplotlib.figure import Figure

from helpers.data import sources
from helpers.data.brats import read_catalogue
from helpers.data.volumes import read_scan
from helpers.lessons.checks import exercise_check, filled, require
from helpers.lessons.record import record
from helpers.lessons.verdict import verdict
from helpers.measure.overlap import dice
from helpers.show import slices, style

style.use()
PAIR = ("flair", "t1ce")
patients = read_catalogue(sources.brats(DATA_DIR)).require(PAIR)[:PATIENTS]
folder = Path(OUTPUT_DIR) if OUTPUT_DIR else sources.home() / "lesson_03"

# %% [markdown]
# One slice with its mask, in a window of 96 x 96 pixels. A mask comes as **soft labels**: how much of each pixel
# belongs to each of the four classes, from 0 to 1.

# %%
from helpers.data.normalise import zscore
from helpers.data.resample import Grid, soft_labels_on
from helpers.show.panel import plane, show_slice

scan, fine = read_scan(patients[0], PAIR), Grid(96)
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

# %% [markdown]
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

# %%
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
# ## Mending the picture first
#
# The paper's second challenge is noise and poor quality, and its answer a "robust preprocessing pipeline" (section
# 3.1). It does not say which, nor what it gained. So here are five remedies, each with the fault that it is for. We
# plant the faults ourselves, in a scan that has little of them.


# %%
def noisy(volume):
    grain = np.random.default_rng(SEED).standard_normal(volume.shape, np.float32)
    brain = volume != 0
    return np.where(brain, np.abs(volume + 1.5 * volume[brain].std() * grain) + 1, 0)


def uneven(volume):
    """Brighter towards one side of the room; the logarithm of the field is smooth."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in volume.shape), indexing="ij")
    return volume * np.exp(x + 0.6 * y * z - 0.6 * y)


def bent(volume):
    """Another curve from tissue to grey, as another scanner has it: no z-score takes it back."""
    top = np.percentile(volume[volume != 0], 99.9)
    return np.where(volume != 0, top * (volume / top) ** 2.0 + 1, 0)


faults = {"as it is": lambda volume: volume, "noise": noisy, "uneven field": uneven, "other contrast": bent}

# %% [markdown]
# A **median** filter and **non-local means** average noise away, the second among voxels whose surroundings look alike.
# **N4** estimates the slow drift of brightness that a coil leaves, the **bias field**, and divides by it. **Histogram
# matching** gives a volume the greys of another one, rank by rank; **CLAHE** spreads the greys of each neighbourhood
# over the whole scale. All of them work on the brain alone, from `helpers.prepare.preprocess`.

# %%
from helpers.data.splits import make_split
from helpers.prepare import preprocess

split = make_split(patients, SEED, FOLDS)
by_id = {patient.id: patient for patient in patients}
model_head = read_scan(by_id[split.train[0]], PAIR)  # whose greys the others are given: a patient we train on

remedies = {
    "nothing": lambda volume, _: volume,
    "median": lambda volume, _: preprocess.median(volume),
    "non-local means": lambda volume, _: preprocess.nonlocal_means(volume),
    "N4": lambda volume, _: volume / preprocess.bias_field(volume, scan.spacing),  # one spacing for all patients
    "histogram matching": lambda volume, modality: preprocess.match_histogram(volume, model_head.image(modality)),
    "CLAHE": lambda volume, _: preprocess.clahe(volume),
}
meant_for = {
    "noise": ("median", "non-local means"),
    "uneven field": ("N4",),
    "other contrast": ("histogram matching", "CLAHE"),
}

# %%
shown = {"as it is": None, "noise": "non-local means", "uneven field": "N4", "other contrast": "histogram matching"}
view, box = plane(scan.affine), plane(scan.affine).brain(scan.images)
figure = Figure(figsize=(8, 5.4))
for column, (fault, cure) in zip(figure.subplots(2, 4).T, shown.items(), strict=True):
    for ax, remedy in zip(column, ("nothing", cure), strict=True):
        ax.set_axis_off()
        if remedy:
            seen = remedies[remedy](faults[fault](scan.image("flair")), "flair")
            ax.set_title(fault if remedy == "nothing" else f"after {remedy}")
            show_slice(ax, view.cut(zscore(seen[..., None])[..., 0], k, box), view, (-2, 3), marks=not cure)
figure.suptitle("Above the fault, below its remedy")
style.alt(figure, "FLAIR as it is, with noise, uneven and with another contrast, and each after its remedy.")

# %% [markdown]
# To the eye the remedies work. Did the right thing happen, or does it only look so? Where we planted a fault, we can
# measure it.

# %%
flair, healthy = scan.image("flair"), (scan.images[..., 0] != 0) & (scan.seg == 0)
planted = uneven(flair)[healthy] / flair[healthy]
found = preprocess.bias_field(uneven(flair), scan.spacing)[healthy]
own = preprocess.bias_field(flair, scan.spacing)[healthy]  # the scan came with a field of its own
agreement = np.corrcoef(np.log(planted), np.log(found / own))[0, 1]
record("bias_field_correlation", round(float(agreement), 3))
print(f"field planted and field found: correlation {agreement:.2f}")
grainy = noisy(flair)
for name, volume in {"as it is": flair, "planted": grainy, "mended": preprocess.nonlocal_means(grainy)}.items():
    print(f"noise, {name:8s} {preprocess.noise_level(volume) / volume[healthy].std():.2f} of the brain's spread")

# %% [markdown]
# Now the question that counts: does the network draw better? We train one small U-Net on the scans as they are, and its
# twin with all kinds of augmentation; the twin has met noise, fields and contrasts in training. Neither sees the
# patients that are scored.

# %%
from helpers.data.store import open_store
from helpers.learn.budget import Budget
from helpers.lessons.shared_training import train_once
from helpers.models.unet import unet
from helpers.tasks.brain.inference import Segmenter
from helpers.tasks.brain.training import Recipe, fit_brain

grid = Grid(SIZE)
store = open_store(patients, folder / "slices", PAIR, grid)


# %%
def train(loss, focus, augmentation):
    """A network trained from the same start as all others; prints what became of it."""
    recipe = Recipe(loss, augmentation, focus, BATCH)

    def fit(place):
        keras.utils.set_random_seed(SEED)
        network = unet(SIZE, len(PAIR), filters=FILTERS)
        fit_brain(network, store, split, place, Budget(epochs=EPOCHS), recipe, SEED, log=lambda _: None)

    made = {"recipe": vars(recipe), "size": SIZE, "filters": FILTERS, "epochs": EPOCHS, "seed": SEED}
    own = folder / f"{loss}_{focus}_{augmentation}"
    place = train_once(fit, own, "brain", data=store.manifest["checksums"], split=split.digest, **made)
    best = pd.read_csv(place / "history.csv")["val_dice"].max()
    print(f"{loss}, {focus:.0%} tumour slices, augmentation {augmentation}: validation Dice {best:.2f}")
    return Segmenter(keras.models.load_model(place / "model.keras"), PAIR, grid, flip=False)


twins = {
    "trained as it is": train("dice+cross-entropy", 0.5, "none"),
    "trained with augmentation": train("dice+cross-entropy", 0.5, "all"),
}

# %% [markdown]
# Each fault with each remedy meant for it, and each remedy on scans that need none. The score is the Dice of the whole
# tumour, per patient, on the patient's own grid.

# %%
conditions = [("as it is", cure) for cure in remedies]
conditions += [(fault, cure) for fault, cures in meant_for.items() for cure in ("nothing", *cures)]
rows = []
for identity in split.test[:MENDED]:
    one = read_scan(by_id[identity], PAIR)
    for fault, remedy in conditions:
        seen = [remedies[remedy](faults[fault](one.image(modality)), modality) for modality in PAIR]
        changed = replace(one, images=np.stack(seen, axis=-1))
        for twin, segmenter in twins.items():
            rows.append((fault, remedy, twin, identity, dice(one.seg > 0, segmenter.predict(changed) > 0)))
tried = pd.DataFrame(rows, columns=["fault", "remedy", "twin", "patient", "dice"])

# %%
from helpers.measure.statistics import mean_interval


def cell(values):
    """The mean, and its 95 % interval; of fewer than eight patients the lowest and the highest."""
    low, high = mean_interval(values) or (np.min(values), np.max(values))
    return f"{np.mean(values):.2f} [{low:.2f}, {high:.2f}]"


table = pd.DataFrame(
    {twin: part.groupby(["fault", "remedy"], sort=False)["dice"].apply(cell) for twin, part in tried.groupby("twin")}
)[list(twins)]
table.loc[("any", "a model that draws nothing"), :] = cell(np.zeros(MENDED))  # each of these patients has a tumour
table

# %% [markdown]
# The mean, and in brackets its 95 % interval; or the lowest and the highest patient, where fewer than eight are too
# few for one. But the same patients stand in every row, and each can be compared with itself. What did a fault cost,
# and what did its remedy bring back? And the first rows: what did a remedy do where nothing was wrong?

# %%
wide = tried.pivot_table(index=["twin", "patient"], columns=["fault", "remedy"], values="dice")
gain = wide.sub(wide[("as it is", "nothing")], axis=0)  # against the untouched scan of the same patient
figure = Figure(figsize=(8, 4.6))
ax = figure.subplots()
for twin, colour, aside in zip(twins, ("#D55E00", "#0072B2"), (-0.15, 0.15), strict=True):
    for row, pair in enumerate(conditions[1:]):
        values = gain.loc[twin, pair].to_numpy()
        ax.plot(values, [row + aside] * len(values), ".", color=colour, alpha=0.5)
        ax.plot(values.mean(), row + aside, "o", color=colour, label=None if row else twin)
ax.axvline(0, color="#555555", linewidth=1)
ax.set_yticks(range(len(conditions) - 1), [f"{fault}: {remedy}" for fault, remedy in conditions[1:]])
ax.invert_yaxis()
ax.set_xlabel(f"change of the Dice: {len(values)} patients, each a small dot, and their mean")
figure.legend(loc="outside lower center", ncols=2)
figure.suptitle("What each fault costs, and what each remedy brings or costs")
style.alt(figure, "Change of Dice for each fault and remedy, for the model trained with and without augmentation.")

# %%
for twin, name in zip(twins, ("plain", "augmented"), strict=True):
    record(f"dice_wt_{name}", round(wide.loc[twin, ("as it is", "nothing")].mean(), 4))
    lost = {fault: round(gain.loc[twin, (fault, "nothing")].mean(), 3) for fault in meant_for}
    record(f"faults_cost_{name}", lost)
    sound = gain.loc[twin]["as it is"].mean()
    print(f"{twin:26s}", ", ".join(f"{fault} {value:+.2f}" for fault, value in lost.items()), end="; ")
    print(f"costliest remedy on a sound scan: {sound.idxmin()} {sound.min():+.2f}")

# %% [markdown]
# Three things to look for. A fault that the eye minds may cost the network little: another contrast keeps bright what
# was bright, z-scoring does the rest, and of noise a part goes when a pixel of the window averages several voxels. What
# is left of noise, and a field, is where a remedy has something to mend. And a remedy that pleases the eye is a fault
# to a network that was trained without it: see what CLAHE, which changes what a grey means from place to place, does to
# a sound scan. What is done to a test scan has to be done to the training scans as well; that would be the next row.
#
# Augmentation is the other way: let the network meet the faults in training, and nobody has to mend a scan, at no
# hospital, on no day. Whether it was enough here, the two colours say; it was short, and its fields and noise were
# weaker than ours. (On chest X-rays, a public comparison found that CLAHE, Gaussian and Laplacian filters changed the
# score by less than 1 %.)
#
# ## Bands and letters
#
# X-rays of the chest carry something else. Here are a phantom X-ray of each of two hospitals, as we shall meet them in
# lesson 08, and what `helpers.prepare.radiograph_artifacts` leaves of them.

# %%
from helpers.data.phantoms.radiograph import plan_radiograph
from helpers.data.phantoms.thorax import take_xray
from helpers.prepare import radiograph_artifacts


def expose(site, number):
    rng = np.random.default_rng([SEED, number])
    return take_xray(rng, plan_radiograph(rng, site, 192), tuberculosis=False, woman=bool(number % 2))


def cleaned(radiograph, lungs):
    """Letters painted over, bands cut off; the mask loses the same rows and columns."""
    box = radiograph_artifacts.without_bands(radiograph)
    return radiograph_artifacts.without_markers(radiograph)[box], lungs[box]


exposed = {site: [expose(site, number) for number in range(6)] for site in ("montgomery", "shenzhen")}

# %%
figure = Figure(figsize=(8, 2.7))
for pair, (site, (first, *_)) in zip(figure.subplots(1, 4).reshape(2, 2), exposed.items(), strict=True):
    for ax, (radiograph, lungs), title in zip(
        pair, (first, cleaned(*first)), (site.capitalize(), "cleaned"), strict=True
    ):
        ax.imshow(radiograph, vmin=0, vmax=255)
        ax.contour(lungs, levels=[0.5], colors=["#56B4E9"], linewidths=1.2)
        ax.set_title(title)
        ax.set_axis_off()
figure.suptitle("Band and letters say which hospital it was, and nothing about the lungs")
style.alt(
    figure, "A chest radiograph of each of two hospitals, with and without black band and letters; lungs outlined."
)


# %% [markdown]
# A band is cut off, from X-ray and mask alike; a letter is painted over with what surrounds it. Does the band matter,
# if no lung is in it? Z-score each X-ray, and look where its lungs end up.


# %%
def lung_level(radiograph, lungs):
    return np.median(radiograph[lungs] - radiograph.mean()) / radiograph.std()


levels = {
    (site, way): np.mean([lung_level(*change) for change in pairs])
    for site, some in exposed.items()
    for way, pairs in {"as it is": some, "cleaned": [cleaned(*one) for one in some]}.items()
}
for way in ("as it is", "cleaned"):
    montgomery, shenzhen = (levels[site, way] for site in exposed)
    apart = record(f"hospitals_apart_{way.replace(' ', '_')}", round(abs(montgomery - shenzhen), 3))
    print(f"{way:9s} lungs at {montgomery:+.2f} (Montgomery) and {shenzhen:+.2f} (Shenzhen), apart by {apart:.2f}")

# %% [markdown]
# The band is part of the mean that every other pixel is measured by, so it moves the lungs without touching them. But
# look which way: without it the hospitals lie further apart. The band had hidden a part of the difference, the curve
# from tissue to grey, which is left now and is what lesson 09 is about. A cleaner picture is not yet a more comparable
# one.
#
# ## Rare and small
#
# The paper's first challenge is imbalance, and its answers are a loss that weighs rare classes more, and drawing them
# more often. How rare are they? And how rare in a batch that is drawn from tumour slices alone?

# %%
from helpers.prepare.sampling import SliceSampler


def pixels_in(focus):
    sampler = SliceSampler(store, split.train, BATCH, SEED, focus)
    rows = np.concatenate([sampler(step) for step in range(200)])
    return store.voxels_per_class[rows].sum(axis=0)


focuses = [0.0, 0.5, 1.0]
balance = pd.DataFrame(
    [pixels_in(focus) for focus in focuses], index=[f"{focus:.0%} tumour slices" for focus in focuses]
)
balance.columns = [style.CLASS_NAMES[label] if label else "background" for label in balance]
balance.div(balance.sum(axis=1), axis=0).map("{:.2%}".format)

# %% [markdown]
# **Over-sampling** a few times over makes the rare classes as many times less rare, and no sampling of slices can do
# more: a slice with tumour is still mostly background. The rest is for the loss.
#
# **Weighted cross-entropy** multiplies each pixel's loss with a weight for its true class. Which weights? One over the
# class's share $s$ would let a tumour pixel count hundreds of times, and a network loses little by drawing tumour
# everywhere. A common middle way is $1/\sqrt{s}$, scaled so that the mean pixel of the training set weighs 1.
#
# **Exercise 3** (stretch, 8 minutes). Write `my_class_weights(pixels)`: from the number of pixels of each class to
# their weights, by this rule.


# %% tags=["stub"]
def my_class_weights(pixels):
    return ...


# %% tags=["solution"]
def my_class_weights(pixels):
    share = pixels / pixels.sum()
    weights = 1 / np.sqrt(share)
    return weights / (weights * share).sum()  # the mean over pixels, not over classes


# %% tags=["check"]
from helpers.learn.losses import class_weights

with exercise_check("Exercise 3"):
    toy = np.array([900.0, 64.0, 32.0, 4.0])
    given = np.asarray(filled(my_class_weights(toy)))
    require(given.shape == (4,), f"you give weights of shape {given.shape} for 4 classes")
    require(given[3] > given[0], f"the rarest class weighs {given[3]:.2f}, the commonest {given[0]:.2f}; turn it round")
    ratio = given[3] / given[0]
    require(np.isclose(ratio, 15), f"a class 225 times rarer weighs {ratio:.0f} times as much; by the root it is 15")
    mean = (given * toy).sum() / toy.sum()
    require(np.isclose(mean, 1), f"the mean pixel weighs {mean:.2f} instead of 1; did you take the mean over classes?")

# %% [markdown]
# A right answer puts the background a little below 1 and the rarest class highest. The course's default comes from the
# real patients it is tested on; here it is beside those of your own training set:

# %%
from helpers.learn.losses import CLASS_WEIGHTS

pd.DataFrame([CLASS_WEIGHTS, class_weights(pixels_in(0.0))], ["default", "these patients"], balance.columns).round(1)

# %% [markdown]
# The other answers leave off counting pixels. **Focal loss** multiplies cross-entropy by $(1-p)^2$, so that a pixel
# which is 90 % right counts a hundredth. **Dice** and **Tversky** look at overlaps, of which a small structure has one
# just as a large one has; Tversky lets a false negative pixel cost more than a false positive one. And there is the sum
# of Dice and cross-entropy. All of them are in `helpers.learn.losses`, by name.
#
# One thing at a time: the losses with half of each batch from tumour slices, then the sampling with plain
# cross-entropy. Same start, same number of steps. Guess the winner for the smallest class.

# %%
plan = [(loss, 0.5) for loss in LOSSES_TRIED] + [("cross-entropy", focus) for focus in FOCUS_TRIED]
segmenters = {("dice+cross-entropy", 0.5): twins["trained as it is"]}  # we have that one already
for loss, focus in plan:
    if (loss, focus) not in segmenters:
        segmenters[loss, focus] = train(loss, focus, "none")

# %%
names = {f"{loss}, {focus:.0%} tumour slices": segmenters[loss, focus] for loss, focus in plan}
rows = []
for identity in split.test:
    one = read_scan(by_id[identity], PAIR)
    for name, segmenter in {**names, "all background": None}.items():
        drawn = segmenter.predict(one) if segmenter else np.zeros_like(one.seg)
        by_class = {style.CLASS_NAMES[label]: dice(one.seg == label, drawn == label) for label in (1, 2, 3)}
        rows.append({"": name, **by_class, "drawn / true": (drawn > 0).sum() / (one.seg > 0).sum()})
compared = pd.DataFrame(rows).groupby("", sort=False)
compared.agg(cell)

# %% [markdown]
# The last row is the model that draws nothing. Where a patient lacks a class, it is right and has its point; so a Dice
# that equals the last row's is no find. Did any recipe help, against the first row? One verdict a class, patient by
# patient.

# %%
means = compared.mean()
found = means.drop("all background") - means.loc["all background"]  # what it adds to drawing nothing
plain, said = next(iter(names)), {}
for label in (1, 2, 3):
    tissue = style.CLASS_NAMES[label]
    sets = {name: part[tissue].to_numpy() for name, part in compared}
    said[tissue] = verdict(sets, plain, trivial="all background", score=f"{tissue} Dice")
    print(said[tissue], end="\n\n")
record("verdicts_imbalance", {tissue: one.outcome for tissue, one in said.items()})

# %% [markdown]
# Read the last column of the table too: how much tumour is drawn, against how much there is. A loss that is afraid of
# false negatives may draw too much, and the Dice of a class hides which of the two mistakes it was. Did one, here?

# %%
drawn = means["drawn / true"].drop("all background")
for word, which in {"least": drawn.idxmin(), "most": drawn.idxmax()}.items():
    print(f"{word} drawn: {drawn[which]:.0%} of the true volume, by {which}")

# %%
record("imbalance", means.round(3).T.to_dict())
record("dice_oedema_best", round(means["oedema"].max(), 4))
figure = Figure(figsize=(8, 4))
ax = figure.subplots()
for label, aside in zip((1, 2, 3), (-0.26, 0, 0.26), strict=True):
    name, colour = style.CLASS_NAMES[label], style.CLASS_COLOURS[label]
    places = np.arange(len(found)) + aside
    ax.barh(places, found[name], 0.24, color=colour, edgecolor="#555555", linewidth=0.6, label=name)
ax.axvline(0, color="#555555", linewidth=1)
ax.set_yticks(range(len(found)), found.index)
ax.invert_yaxis()
ax.set(xlim=(-1, 1), xlabel=f"Dice above all background, mean over {len(split.test)} patients")
ax.grid(axis="y", visible=False)
figure.legend(loc="outside lower center", ncols=3)
figure.suptitle(f"The smallest class, enhancing tumour. {said['enhancing'].title}")
style.alt(
    figure,
    "What core, oedema and enhancing tumour add in mean Dice to all background, for each loss and sampling.",
)

# %% [markdown]
# What may we conclude? What the three verdicts say, and no more. A bar that ends at the line has found nothing of its
# class, whatever its Dice. Which recipe is best they do not say: so short a training shows who starts early, and the
# next seed or a few patients more may turn neighbours in this table round. A public screen with trainings of 2,000
# steps on BraTS found cross-entropy at 0.70, the sum with Dice at 0.72, and Dice alone, which stalled, at 0.24. And it
# would be wrong to choose our recipe from this table: its patients are the test patients. Choices are made on
# validation patients, as lesson 06 does.
#
# ## The question again
#
# A and C are true. In A picture and mask were turned and bent by the same numbers; in C only greys changed, and a mask
# knows no greys. B is the easy one, a head that was mirrored without its mask. D is the hard one: one forgives a mask
# its coarse edge, but it came back from the smaller grid a pixel away from its tumour. So: what moves moves both; what
# is resampled is a picture or soft labels, never labels; and what mends a scan is a claim, until it is measured.
#
# Left out: k-space artefacts such as motion and ghosts (TorchIO simulates them well), resampling to one spacing, and
# normalisation across hospitals beyond matching histograms. Next we build the network that all this is for.
