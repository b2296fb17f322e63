# %% tags=["parameters"]
SEED = 0  # of the weights, the order of slices and their augmentation
DATA_DIR = ""  # folder with BraTS patients; empty: the Kaggle set, else phantoms
OUTPUT_DIR = ""  # where the run's files go; empty: beside the data
SIZE = 64  # pixels along each side of the 192 mm window; 128 in the paper
FILTERS = 8  # features of the U-Net's first level; 32 in the paper
EPOCHS = 4  # of the training
BATCH = 8  # slices in a batch
TIMED = 4  # patients loaded for a timing
RATE_STEPS = 20  # steps for each learning rate that we try
BATCHES = (2, 8, 32)  # batch sizes whose speed we measure

# %%
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from matplotlib.figure import Figure

from helpers.data import sources
from helpers.data.brats import read_catalogue
from helpers.data.volumes import read_scan
from helpers.learn import devices
from helpers.learn.losses import DiceCrossEntropy
from helpers.lessons.checks import exercise_check, filled, require
from helpers.lessons.record import record
from helpers.models.unet import unet
from helpers.show import panel, scores, slices, style

# %%
style.use()
gpus = tf.config.list_physical_devices("GPU")
devices.configure("auto" if gpus else "cpu:2")  # before any network
keras.utils.set_random_seed(SEED)
MODALITIES = ("flair", "t1ce")
patients = read_catalogue(sources.brats(DATA_DIR)).require(MODALITIES)
folder = Path(OUTPUT_DIR) if OUTPUT_DIR else sources.home() / "lesson_07"

# %% [markdown]
# The paper's set-up is that of a public notebook on Kaggle, *3d-mri-brain-tumor-segmentation-u-net*, which many have
# copied: we call it **the kernel**. Below is the way it loads a batch, shortened but step for step: open three files,
# resize slice after slice, divide by the largest value. One batch is one patient. (Pillow resizes here; the original
# uses OpenCV.)

# %%
import nibabel as nib
from PIL import Image


def kernel_batch(patient):
    kinds = (*MODALITIES, "seg")
    flair, t1ce, seg = (nib.load(patient.file(kind)).get_fdata() for kind in kinds)
    n, size = flair.shape[2], (SIZE, SIZE)
    x, y = np.zeros((n, *size, 2)), np.zeros((n, *flair.shape[:2]))
    for k in range(n):
        for channel, volume in enumerate((flair, t1ce)):
            slice_ = Image.fromarray(volume[:, :, k].astype("float32"))
            x[k, ..., channel] = slice_.resize(size, Image.BILINEAR)
        y[k] = seg[:, :, k]
    y[y == 4] = 3
    masks = tf.image.resize(tf.one_hot(y.astype("int32"), 4), size)  # (n, *size, 4)
    return (x / np.max(x)).astype("float32"), masks


# %% [markdown]
# Now put a clock beside the loop "load a patient, train on its slices, load the next".


# %%
def clocked(load, model, rounds):
    """Seconds spent loading and training, round by round: [(load, train), ...]."""
    durations = []
    for i in range(rounds):
        start = time.perf_counter()
        x, y = load(i)
        loaded = time.perf_counter()
        for k in range(0, len(x) - BATCH + 1, BATCH):
            model.train_on_batch(x[k : k + BATCH], y[k : k + BATCH])
        durations.append((loaded - start, time.perf_counter() - loaded))
    return durations


model = unet(SIZE, len(MODALITIES), filters=FILTERS)
model.compile(keras.optimizers.Adam(1e-3), DiceCrossEntropy())
clocked(lambda i: kernel_batch(patients[i]), model, 1)  # builds the graph: not counted
durations = clocked(lambda i: kernel_batch(patients[i]), model, TIMED)

# %%
from helpers.show.timeline import draw_timelines, schedule

loading, training = np.transpose(durations).tolist()
now = schedule(loading, training)  # in turns
name = f"{TIMED} patients"
draw_timelines({name: now}, title=f"{now.waiting:.0%} of this time nothing is learnt")

# %% [markdown]
# While the upper bar is drawn, the device waits. **You buy a device that computes ten times as fast. How much sooner
# are
# you done?** And then, for the title of this lesson: how much sooner with two devices side by side?

# %% tags=["guess"]
my_guess = None  # so many times sooner, a number

# %% [markdown]
# **Exercise 1** (core, 5 minutes). Write `speedup(load, train, factor)`: how many times sooner are you done, if loading
# takes `load` seconds and training `train`, in turns, and the device becomes `factor` times as fast? A right answer for
# 1 second, 9 seconds and a device 9 times as fast is 5.


# %% tags=["stub"]
def speedup(load, train, factor):
    return ...


# %% tags=["solution"]
def speedup(load, train, factor):
    return (load + train) / (load + train / factor)


# %% tags=["check"]
with exercise_check("Exercise 1"):
    mine = filled(speedup(1.0, 9.0, 9))
    said = f"you say {mine} for 1 s, 9 s and 9 times; it was 10 s and is 2 s"
    require(not np.isclose(mine, 9), "the device is 9 times as fast; you still load")
    require(not np.isclose(mine, 0.2), "that is what is left of the time; turn it")
    said_s = "2 s is what it takes then; say how many times less that is than 10 s"
    require(not np.isclose(mine, 2), said_s)
    require(
        not np.isclose(mine, 8.1),
        "only training gets faster, loading takes 1 s as before",
    )
    require(np.isclose(mine, 5), said)
    other = speedup(3.0, 3.0, 1e9)
    said = f"with 3 s to load and 3 to train, and no end of speed, you say {other:.3g}"
    require(np.isclose(other, 2), f"{said}; half of the time stays, so it is 2")

# %% [markdown] tags=["hint"]
# Two times: how long a round takes now, and how long it takes then. Which part of it changes?

# %% [markdown] tags=["hint"]
# Now: `load + train`. Then: `load + train / factor`. Sooner means the first over the second.

# %% [markdown] tags=["teacher"]
# This is Amdahl's law. Most people answer with the factor, or with a share of it; few say first that loading is still
# there. Have them put in their own two numbers from the printed speeds, and a factor of a million.

# %%
from helpers.lessons.guess import compare_guess

faster, shared = ([seconds / n for seconds in training] for n in (10, 2))
ways = {
    "this device": now,
    "two of it": schedule(loading, shared),
    "10 x as fast": schedule(loading, faster),
    "10 x, loader ahead": schedule(loading, faster, ahead=True),
}
sooner = {name: now.seconds / one.seconds for name, one in ways.items()}
record("sooner_in_turns", round(sooner["10 x as fast"], 2))
title = f"Ten times as fast is {sooner['10 x as fast']:.1f} times sooner, in turns"
draw_timelines(ways, title=title)

# %%
print(compare_guess("So many times sooner, in turns", my_guess, sooner["10 x as fast"]))
waits = {name: f"{one.waiting:.0%}" for name, one in ways.items()}
for name in list(ways)[1:]:
    print(f"{name:19s}{sooner[name]:4.1f} times sooner, waits {waits[name]}")

# %% [markdown]
# In turns, what a faster device saves is training alone; and so do two devices side by side, which we shall train on
# below. A loader that **works ahead** loads the next patient while the
# device trains on this one; then only the slower of the two counts.
#
# ## What a batch costs
#
# Two speeds decide. Let us have both in the same unit, slices per second.

# %%
load_seconds, train_seconds = np.sum(durations, axis=0)
timed = [nib.load(patient.file("seg")).shape for patient in patients[:TIMED]]
slices_seen = sum(shape[2] for shape in timed)
kernel_speed = slices_seen / load_seconds
device_speed = slices_seen // BATCH * BATCH / train_seconds
print(f"the kernel's loader delivers {kernel_speed:,.0f} slices/s")
print(f"this device trains on        {device_speed:,.0f} slices/s")
print(f"slices of {timed[0][:2]} voxels; a BraTS slice has (240, 240)")

# %% [markdown]
# The loader does the same work in every epoch: the files have not changed, and neither have the resized slices. So do
# it once. The **slice store** reads each volume one time, measures it against its own brain (z-score, not the maximum
# of the batch), brings it to the network's grid and writes all slices of all patients into two arrays.

# %%
from helpers.data.resample import Grid
from helpers.data.store import open_store

grid = Grid(SIZE)
store = open_store(patients, folder / "slices", MODALITIES, grid)
print(f"{len(patients)} patients in {store.folder}")
for name, array in {"images": store.images, "soft_labels": store.soft_labels}.items():
    size = f"{array.nbytes / 1e6:6.0f} MB"
    print(f"{name:12s}{array.shape!s:22s}{array.dtype!s:9s}{size}")

# %% [markdown]
# Why these types? A z-score lies between -5 and 5, and **float16** keeps it to three digits in two bytes. A mask on a
# coarser grid is no longer one label a pixel: a pixel on the rim is a bit of each. Its **soft labels**
# are the share of each of the four classes, in 255ths, one byte each.

# %%
tumour, background = store.soft_labels[..., 1:].max(-1), store.soft_labels[..., 0]
mixed = (tumour > 90) & (background > 90)
rim = tuple(np.argwhere(mixed)[0])
print("a pixel on a rim (background, core, oedema, enhancing):", store.soft_labels[rim])
wide = store.images.size * 8 + store.soft_labels.size * 4
stored = store.images.nbytes + store.soft_labels.nbytes
print(f"as float64 images and float32 masks: {wide / stored:.1f} times the bytes")

# %% [markdown]
# The arrays are **memory-mapped**: they stay on the disk, look like arrays in memory, and only what you index is read.
# So 369 patients take no more memory than 20 do. A batch of slices, each from wherever it may be, is one line.

# %%
rng = np.random.default_rng(SEED)
rows = np.sort(rng.choice(len(store.images), BATCH, replace=False))
type(store.images).__name__, store.images[rows].shape  # (BATCH, SIZE, SIZE, 2)

# %% [markdown]
# How much faster is it? Two clocks: the gather alone, and the whole way to the device, through `tf.data`.

# %%
from helpers.data.splits import make_split
from helpers.learn.augmented_model import augment
from helpers.learn.batches import training_batches

split = make_split(patients, SEED)


def speed(batches, count):
    next(batches)  # starting up does not count
    start = time.perf_counter()
    for _ in range(count):
        next(batches)
    return count * BATCH / (time.perf_counter() - start)


def gathers():
    for step in range(1000):
        rows = np.random.default_rng(step).integers(len(store.images), size=BATCH)
        yield store.images[rows], store.soft_labels[rows]


gather_speed = speed(gathers(), 300)
kinds = ("none", "usual")
known = store, split.train, BATCH, SEED
plain, usual = (training_batches(*known, kind) for kind in kinds)
plain_speed = speed(iter(plain), 60)
augmented_speed = speed(map(augment, usual), 30)

# %%
speeds = {
    "the kernel's loader": kernel_speed,
    "slice store, gather alone": gather_speed,
    "slice store, as training gets it": plain_speed,
    "the same, augmented": augmented_speed,
    "what this device trains on": device_speed,
}
record("kernel_slices_per_s", round(kernel_speed))
record("gather_over_kernel", round(gather_speed / kernel_speed, 1))
record("store_over_kernel", round(plain_speed / kernel_speed, 1))
for name, value in speeds.items():
    times = f"{value / kernel_speed:8.1f} x the kernel"
    print(f"{name:34s}{value:10,.0f} slices/s{times}")

# %%
loaders = list(speeds.items())[:4]
around = 1 / plain_speed - 1 / gather_speed  # seconds a slice
added = 1 / augmented_speed - 1 / plain_speed
more = "more" if around > 1 / gather_speed else "less"
print(f"`tf.data` around the gather costs {more} than the gather itself")
share = added / (1 / augmented_speed)
print(f"augmenting is {share:.0%} of what an augmented slice costs")

# %% [markdown]
# Augmentation, which the kernel does not do at all, has to be computed anew in every epoch, so no store can hold it.
# Training therefore leaves it to the device: batches travel as they are stored, with the numbers that say how to
# augment each slice, and `augment` is the first thing in the compiled training step.
#
# With a loader that works ahead, a device of speed $d$ behind a loader of speed $l$ is busy for a share $l/d$ of the
# time, at most 1. That is all we need for any device and any loader.

# %%
from helpers.show.timeline import draw_waiting

drawn = {name: value for name, value in loaders if "gather" not in name}
marks = {"this device": device_speed, "10 x this device": 10 * device_speed}
title = "The faster the device, the more of it waits for the loader"
draw_waiting(drawn, marks, title)

# %% [markdown]
# Left of where a curve leaves the floor, the loader does not matter; right of it, a faster device buys nothing but
# waiting. Every curve depends on the files as well: those of BraTS have more voxels than a phantom's.

# %%
for name, value in loaders:
    busy = min(1, value / (10 * device_speed))
    print(f"10 x this device behind {name}: waits {1 - busy:.0%}")

# %% [markdown] tags=["question"]
# Your device waits half of the time for a loader that works ahead. You buy a second one like it. What happens?
#
# - You are done twice as fast. :: No: the loader fed half of one device; now it feeds a quarter of each of two.
# - Nothing: both wait three quarters of the time. :: Right. The loader is what is slow, and it has not changed.
# - You are done somewhat faster. :: No: the loader delivers what it delivers, however many wait for it.

# %% [markdown]
# ## What a batch holds
#
# The kernel's batch is one head, from bottom to top. Ours may hold any slices. What if we draw them evenly?

# %%
from helpers.prepare.sampling import SliceSampler


def class_frequencies(rows):
    voxels = store.voxels_per_class[rows]
    return {
        "tumour": (voxels[:, 1:].sum(axis=1) > 0).mean(),
        "enhancing": (voxels[:, 3] > 0).mean(),
    }


sampler = SliceSampler(store, split.train, BATCH, SEED)
all_rows = store.rows(split.train)
evenly = class_frequencies(all_rows[store.has_brain[all_rows]])
drawn = class_frequencies(np.concatenate([sampler(step) for step in range(200)]))
for name in evenly:
    ours = f"by our sampler {drawn[name]:4.0%}"
    print(f"slices with {name:10s} drawn evenly {evenly[name]:4.0%}   {ours}")

# %% [markdown]
# The sampler fills half of each batch from any slice that
# shows brain, a quarter from slices with tumour, a quarter from slices with enhancing tumour. Here is a batch, in that
# order.

# %%
scan = read_scan(patients[0], MODALITIES)
view = replace(panel.plane(scan.affine), spacing=(grid.pixel_mm, grid.pixel_mm))
rows = sampler(0)
heads = {one for one in split.train if np.isin(store.rows([one]), rows).any()}
figure = Figure(figsize=(8, 17 / (BATCH // 2) + 0.6))
panels = figure.subplots(2, BATCH // 2).ravel()
for i, (ax, row) in enumerate(zip(panels, rows, strict=True)):
    image = store.images[row, ..., 0].astype("float32")
    labels = store.soft_labels[row].argmax(axis=-1)
    panel.show_slice(ax, image, view, (-2, 3), labels, marks=i == 0)
    ax.set_title(("any brain", "any brain", "tumour", "enhancing")[4 * i // BATCH])
figure.suptitle(f"{BATCH} slices from {len(heads)} heads: FLAIR, tumour outlined")
told = "half of any kind, a quarter with tumour, a quarter with enhancing tumour"
style.alt(figure, f"A batch of {BATCH} slices: {told}.")

# %% [markdown]
# Each slice is then augmented, image and soft labels together, as in lesson 03: what moves a picture moves its mask.
#
# ## What training makes small
#
# The paper's loss is **cross-entropy**: in each pixel, minus the logarithm of the probability $p$ given to the true
# class $y$, averaged. Written out, with one value for each slice of the batch:


# %%
def my_cross_entropy(truth, probabilities):
    logs = ops.log(ops.clip(probabilities, 1e-30, 1.0))
    per_pixel = -ops.sum(truth * logs, axis=-1)  # (batch, rows, columns)
    return ops.mean(per_pixel, axis=(1, 2))  # (batch,)


from helpers.learn.losses import cross_entropy  # the same code

row = int(np.argmax(store.voxels_per_class[:, 1:].sum(axis=1)))  # most tumour of all
truth = store.soft_labels[row][None] / np.float32(255)  # (1, SIZE, SIZE, 4)
background = np.float32([0.97, 0.01, 0.01, 0.01])  # 97 % sure, everywhere
asleep = np.broadcast_to(background, truth.shape)
knowing_nothing = my_cross_entropy(truth, np.full_like(truth, 0.25))
print("cross-entropy of knowing nothing: ", float(knowing_nothing[0]))
print("cross-entropy of 'all background':", float(cross_entropy(truth, asleep)[0]))

# %% [markdown]
# The second model has found no tumour in the slice with the largest tumour of all, and its loss is lower than that of
# the first, which at least does not say no. Cross-entropy averages over pixels, and nearly all pixels are background.
#
# ### A training that stops before it began
#
# There is a trap in that function: its floor. The logarithm of 0 is infinite, so one keeps p above a floor. Keras's own
# is `keras.config.epsilon()`, 1e-7, and many losses written by hand copy it. Ours is 1e-30. Can such a small number
# matter? Take one pixel of tumour in a network that is overdoing it: its score for background is 20 above that for
# tumour. Softmax, clip, logarithm, and the slope of the loss, by which the score would be moved:


# %%
def pixel_loss(score: float, floor: float) -> float:
    """Cross-entropy of a tumour pixel with this score, where background has 0."""
    p = 1 / (1 + np.exp(-score))  # softmax of two
    return -np.log(max(p, floor))


def learn(floor: float, rate: float = 1.0, steps: int = 60) -> list[float]:
    """The probability of tumour, step by step down the slope of the loss."""
    score, path = -20.0, []
    for _ in range(steps):
        above, below = (pixel_loss(score + step, floor) for step in (1e-3, -1e-3))
        slope = (above - below) / 2e-3
        score -= rate * slope
        path.append(1 / (1 + np.exp(-score)))
    return path


woken = {f"floor {floor:g}": learn(floor) for floor in (keras.config.epsilon(), 1e-30)}
_ = record("tumour_after_the_floor", {name: path[-1] for name, path in woken.items()})

# %%
figure = Figure(figsize=(8, 2.6))
ax = figure.subplots()
for name, path in woken.items():
    ax.plot(np.arange(1, len(path) + 1), path, label=f"{name}: ends at {path[-1]:.2g}")
ax.set(yscale="log", xlabel="step", ylabel="p of tumour")
ax.yaxis.set_major_formatter("{x:g}")
figure.legend(loc="outside upper right", ncols=2)
figure.suptitle("Below the floor nothing moves", x=0.02, ha="left")
style.alt(figure, "Probability of tumour by step, for two floors.")

# %% [markdown]
# Below the floor the clipped logarithm is flat; flat means no slope, and no slope means that nothing will ever pull the
# pixel back. A U-Net that in its first steps learns "all is background" so well that tumour falls below 1e-7 stays
# there: its loss stands still at the share of tumour times 16, which is -log of the floor. Keras's own
# `CategoricalCrossentropy` avoids the trap where it can, by looking behind the softmax for the scores; a loss that you
# write yourself does not. When a training stands still, print the gradient.

# %% [markdown] tags=["question"]
# The loss of a training stands still. Which of these tells the trap from a network that has learnt all it can?
#
# - The loss: in the trap it is high. :: No: with one per cent of tumour the trap's loss is small, about 0.16.
# - The accuracy: in the trap it is low. :: No: all background is nearly always right, pixel by pixel.
# - The length of the gradient, and the Dice. :: Right: in the trap both are 0; who has learnt all has a Dice.

# %% [markdown]
# **Soft Dice** looks at a structure as a whole instead. For one class, with $y$ the true soft labels and $p$ the
# probabilities,
#
# $$D = \frac{2 \sum y\,p + 1}{\sum y + \sum p + 1}$$
#
# The two ones make the Dice of a class that is neither there nor predicted 1, not 0/0. The loss is 1 minus the mean of
# $D$ over the three tumour classes.
#
# **Exercise 2** (core, 8 minutes). Write the soft Dice loss. Leave the background out, sum over rows and columns, and
# return one value for each slice: shape `(batch,)`. A right answer gives 0 for a perfect mask, and nearly 1 for one
# that
# misses a large tumour.


# %% tags=["stub"]
def my_soft_dice_loss(truth, probabilities):
    return ...


# %% tags=["solution"]
def my_soft_dice_loss(truth, probabilities):
    y, p = truth[..., 1:], probabilities[..., 1:]  # (batch, rows, columns, 3)
    shared = ops.sum(y * p, axis=(1, 2))  # (batch, 3)
    total = ops.sum(y, axis=(1, 2)) + ops.sum(p, axis=(1, 2))
    return 1 - ops.mean((2 * shared + 1) / (total + 1), axis=-1)  # (batch,)


# %% tags=["check", "long"]
from helpers.learn.losses import soft_dice_loss

with exercise_check("Exercise 2"):
    rng = np.random.default_rng(0)
    toy_p = rng.dirichlet(np.ones(4), (5, 8, 8)).astype("float32")  # (5, 8, 8, 4)
    toy_y = np.eye(4, dtype="float32")[rng.choice(4, (5, 8, 8), p=(0.7, 0.1, 0.1, 0.1))]
    toy_y[2] = np.eye(4)[0]  # a slice without tumour
    mine = np.asarray(filled(my_soft_dice_loss(toy_y, toy_p)), float)
    said = f"your loss has shape {mine.shape} for a batch of 5; expected (5,)"
    require(mine.shape == (5,), f"{said}, one value a slice")
    y, p = toy_y, toy_p
    every = (2 * (y * p).sum((1, 2)) + 1) / (y.sum((1, 2)) + p.sum((1, 2)) + 1)
    true, with_background = 1 - every[:, 1:].mean(-1), 1 - every.mean(-1)
    require(
        not np.allclose(mine, 1 - true, atol=1e-4),
        "that is the Dice; the loss is 1 minus it",
    )
    said = "the background is among your classes, and is too kind to who finds nothing"
    require(not np.allclose(mine, with_background, atol=1e-4), said)
    shared, total = (y * p)[..., 1:].sum((1, 2, 3)), (y + p)[..., 1:].sum((1, 2, 3))
    pooled = (2 * shared + 1) / (total + 1)
    said = "the three classes are in one pot; take a Dice for each, then the mean"
    require(not np.allclose(mine, 1 - pooled, atol=1e-4), said)
    bare = 2 * (y * p).sum((1, 2)) / np.maximum(y.sum((1, 2)) + p.sum((1, 2)), 1e-9)
    said = "the ones are missing: on a slice without tumour nothing can be right"
    require(not np.allclose(mine, 1 - bare[:, 1:].mean(-1), atol=1e-4), said)
    above = (2 * (y * p).sum((1, 2)) + 1) / (y.sum((1, 2)) + p.sum((1, 2)))
    said = (
        "a one stands above the line and none below it; a perfect mask gets less than 0"
    )
    require(not np.allclose(mine, 1 - above[:, 1:].mean(-1), atol=1e-4), said)
    said = f"you get {mine.round(3)}; expected {true.round(3)}"
    require(np.allclose(mine, true, atol=1e-4), said)
    perfect = np.asarray(my_soft_dice_loss(toy_y, toy_y))
    require(np.allclose(perfect, 0, atol=1e-5), f"a perfect mask gets {perfect}, not 0")

# %% [markdown] tags=["hint"]
# `truth[..., 1:]` leaves the background out. Sums over rows and columns have shape (batch, 3): `axis=(1, 2)`.

# %% [markdown] tags=["hint"]
# The Dice of each class is `(2 * ops.sum(y * p, axis=(1, 2)) + 1) / (ops.sum(y, axis=(1, 2)) + ops.sum(p, axis=(1, 2))
# +
# 1)`; the mean over the last axis, and 1 minus it.

# %% [markdown] tags=["teacher"]
# The formula is easy, the axes are not: a mean over everything gives one number, a sum over classes too puts the rim
# and the oedema into one pot, in which the rim does not count. The check names these, the background and the missing
# ones.

# %%
print("soft Dice loss of 'all background':", float(soft_dice_loss(truth, asleep)[0]))

# %% [markdown] tags=["paper: section 5.3.2"]
# Dice sees the sleeper, but on a slice without tumour it has nothing to pull on. So we add the two, in equal parts:
# `DiceCrossEntropy` in `helpers.learn.losses` is your function plus `cross_entropy`.
#
# ## Two devices
#
# A **replica** is a device with a copy of all weights. Each takes its part of the batch, and before a step is made the
# gradients are added, so that the copies stay alike. A step of two:

# %%
from helpers.show.timeline import step_of_two

step_of_two()

# %% [markdown]
# The memory of two cards is not one memory: the paper counts 32 GB for two T4, and each of them has 16, for all
# weights and half of a batch.
#
# Why did our losses give one value per slice, when the optimizer wants a single number? Because of the adding. Keras
# averages each half over its slices and, knowing the number of replicas, halves it. A loss that is already a single
# number passes as it is.

# %%
per_slice = np.array([0.9, 0.7, 0.8, 0.6, 0.5, 0.9, 0.4, 0.8])
halves = per_slice[:4], per_slice[4:]
print("one device:                           ", per_slice.mean())
print("two replicas, one value per slice:    ", sum(half.mean() / 2 for half in halves))
print("two replicas, each a single number:   ", sum(half.mean() for half in halves))

# %% [markdown] tags=["paper: section 5.3.2"]
# The last line is twice the first: a learning rate doubled without a word.
#
# **Exercise 3** (core, 6 minutes). Mend a scalar loss. A tutorial has `ops.mean((truth - probabilities) ** 2)`: one
# number. Write `mended(truth, probabilities)`, which two replicas may use, of arrays (batch, rows, columns, classes). A
# right answer has shape (batch,), and its mean over the batch is the tutorial's number.


# %% tags=["stub"]
def mended(truth, probabilities):
    return ...


# %% tags=["solution"]
def mended(truth, probabilities):
    return ops.mean((truth - probabilities) ** 2, axis=(1, 2, 3))


# %% tags=["check", "long"]
with exercise_check("Exercise 3"):
    rng = np.random.default_rng(0)
    toy_y, toy_p = rng.uniform(size=(2, 3, 6, 5, 4)).astype("float32")
    toy_p[1] = toy_y[1]  # the second slice is all right
    mine = filled(mended(toy_y, toy_p))
    shape = np.shape(mine)
    said = "it is still one number: two replicas would make a step twice as large"
    require(shape != (), said)
    require(shape == (3,), f"your loss has shape {shape} for 3 slices; expected (3,)")
    mine, true = np.asarray(mine, float), ((toy_y - toy_p) ** 2).mean((1, 2, 3))
    said = "all slices have the same loss, that of the batch; each needs its own"
    require(not np.allclose(mine, mine[0]), said)
    said = "you sum where the tutorial takes the mean: the step grows with the picture"
    require(not np.allclose(mine, true * 120, rtol=1e-3), said)
    said = "divided by two it is right on two replicas and wrong on one; Keras divides"
    require(not np.allclose(mine, true / 2), said)
    require(np.allclose(mine, true, rtol=1e-3), f"you get {mine}; expected {true}")

# %% [markdown] tags=["hint"]
# `ops.mean` without `axis` takes the mean over everything. Which axes belong to one slice?

# %% [markdown] tags=["hint"]
# All but the first: `ops.mean(..., axis=(1, 2, 3))`.

# %% [markdown] tags=["teacher"]
# Two answers look clever: to divide by the number of replicas, which is wrong on one device and twice divided in Keras;
# and to repeat the scalar for each slice, which has the right shape and the right step as long as all parts of the
# batch
# are equally large. Both are told apart.

# %% [markdown]
# So much for arithmetic; now for two devices that really train. `devices.configure`, at the top, chose which there are:
# your GPUs, or the CPU made into two, which trains no faster but goes the same way. (With a single GPU there is one
# replica, and nothing below goes wrong.) A network belongs to the replicas if it is built inside `devices.scope()`. Two
# levels are enough for this, and are built sooner.

# %%
keras.utils.set_random_seed(SEED)
shape = {"channels": len(MODALITIES), "filters": FILTERS, "depth": 2}
one = unet(SIZE, **shape, dropout=0.0)  # dropout draws on each replica for itself
with devices.scope():
    two = unet(SIZE, **shape, dropout=0.0)
record("replicas", devices.replicas(two))
counts = f"{devices.replicas(one)} replica and {devices.replicas(two)}"
print(f"{devices.describe()}: {counts}")

# %% [markdown]
# The promise is that nothing else changes: batch, learning rate and result. Ten steps from the same weights on the same
# batches, by plain gradient descent, once with each. How far apart do they end, and how far has each come?

# %%
few = training_batches(store, split.train, BATCH, SEED, "none").take(RATE_STEPS)
batches = [augment(batch) for batch in few]
parts = zip(*batches[:10], strict=True)
x, y = (ops.convert_to_numpy(ops.concatenate(part)) for part in parts)
start = one.get_weights()


def trained(network, loss, x, y):
    network.set_weights(start)
    with devices.scope(network):
        network.compile(keras.optimizers.SGD(0.01), loss)
    network.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
    return network.get_weights()


def apart(some, others):
    pairs = zip(some, others, strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


alone, together = (trained(network, DiceCrossEntropy(), x, y) for network in (one, two))
record("replicas_apart", float(f"{apart(alone, together):.1e}"))
moved, off = apart(alone, start), apart(alone, together)
print(f"moved {moved:.2g}; one and two replicas end {off:.1g} apart")

# %% [markdown]
# The second number is rounding: sums are taken in another order. Now the same with a loss that returns a single number,
# the mean that every tutorial writes. One step, and how far the weights go.


# %%
def one_number(truth, probabilities):
    return ops.mean(DiceCrossEntropy().call(truth, probabilities))  # not (batch,)


x, y = x[:BATCH], y[:BATCH]
pair = (apart(trained(network, one_number, x, y), start) for network in (one, two))
step, doubled = pair
record("scalar_loss_step", round(doubled / step, 3))
count = devices.replicas(two)
times = f"{doubled / step:.3f} times"
print(f"one replica moves {step:.2e}, {count} move {doubled:.2e}: {times}")

# %% [markdown]
# No error and no warning. Two more traps lie on the way. Asked to predict a batch, each replica predicts all of it, and
# a batch that cannot be dealt out evenly gives one replica's slices more weight than the other's.

# %%
from helpers.runtime.errors import DataError

print(f"for a batch of {len(x)}:")
print("predict_on_batch:           ", two.predict_on_batch(x).shape)
print("devices.predict_distributed:", devices.predict_distributed(two, x).shape)
try:
    devices.check_divisible(two, BATCH + 1)
except DataError as error:
    print(error)

# %% [markdown] tags=["question"]
# You train with a batch of 16 on one GPU. Now there are two. What do you change to get the same weights?
#
# - Halve the learning rate, since gradients are added. :: No: Keras has divided each part's loss by the number of
#   replicas already, if the loss has one value a slice.
# - Nothing: the batch of 16 is dealt out, eight to each. :: Right, if the loss gives one value a slice and nothing in
# the
#   network looks at a batch as a whole.
# - Double the batch, so that each has its 16. :: No: that is another training, with half as many steps an epoch; you
# may
#   want it, but it is not the same.

# %% [markdown]
# What is gained? On two GPUs, up to twice the slices a second, provided the loader keeps up and the batch is large
# enough to fill both. If you have five folds to train, there is a simpler way: a fold on each GPU, and nothing to add
# up. `python -m helpers train brain --folds 5` does that by itself.
#
# ## How large a batch, and in how many bits
#
# A batch costs a fixed part, for starting every operation, and a part for each slice. **Half precision**, 16 bits for
# what convolutions take and give, can halve the second part where the chip has circuits for it. Weights stay in 32
# bits, and so do the sums of Dice and the probabilities. Which 16 bits depends on the chip.

# %%
from helpers.learn import precision

chips = {
    "V100": (7, 0),
    "T4": (7, 5),
    "A100": (8, 0),
    "P100": (6, 0),
    "a CPU without bfloat16": None,
}
for name, capability in chips.items():
    print(f"{name:24s}{precision.policy_for(capability, frozenset())}")
advised = precision.select_policy()
print(f"{'here':24s}{advised} (a CPU must gain {precision.GAIN} times in its trial)")

# %% [markdown]
# float16 has fine steps and a short reach: a gradient below 6e-8 becomes 0, so the loss is multiplied by a large number
# first and the gradients divided by it afterwards (**loss scaling**). bfloat16 reaches as far as float32, in coarse
# steps, and needs none of that. How many slices a second does this
# network get through here? We time the way there alone, which is compiled in a second; the way back is about twice the
# work.


# %%
def slices_per_second(policy, sizes):
    """Of the paper's network in our size, on the way there, by batch size."""
    keras.mixed_precision.set_global_policy(policy)
    network = unet(SIZE, len(MODALITIES), filters=FILTERS)
    keras.mixed_precision.set_global_policy("float32")
    found = []
    for size in sizes:
        x = store.images[:size].astype("float32")
        seconds = []
        for _ in range(6):
            start = time.perf_counter()
            network.predict_on_batch(x)
            seconds.append(time.perf_counter() - start)
        found.append(size / np.median(seconds[2:]))  # the first builds the graph
    return found


half = "mixed_float16" if advised == "mixed_float16" else "mixed_bfloat16"
rates = {policy: slices_per_second(policy, BATCHES) for policy in ("float32", half)}

# %%
figure = Figure(figsize=(8, 2.6))
ax = figure.subplots()
blue_and_orange = ("#0072B2", "#D55E00")
for (policy, speed_of), colour in zip(rates.items(), blue_and_orange, strict=True):
    ax.plot(BATCHES, speed_of, color=colour, marker="o", label=policy)
ax.set(xscale="log", xlabel="slices in a batch", ylabel="slices/s", ylim=(0, None))
ax.set_xticks(BATCHES, [str(size) for size in BATCHES], minor=False)
ax.minorticks_off()
figure.legend(loc="outside upper right", ncols=2)
ratios = np.divide(rates[half], rates["float32"])
word = "gains" if ratios.min() > 1.1 else "loses" if ratios.max() < 0.9 else "is mixed"
title = "Half precision: to gain or to lose is up to the batch"
title = title if word == "is mixed" else f"Half precision {word} on this device"
figure.suptitle(title, x=0.02, ha="left")
style.alt(figure, f"Slices per second against batch size, in float32 and in {half}.")

# %%
for size, ratio in zip(BATCHES, ratios, strict=True):
    print(f"batch {size:3d}: {half} is {ratio:.2f} times as fast as float32")
fits = (advised == half) == (ratios[-1] > 1)
print(f"advised was {advised}, by a trial of two convolutions:", end=" ")
print("the network agrees" if fits else "the network says otherwise; trust the network")

# %% [markdown]
# Where half precision is slower, the chip has no circuits for it, or too little of the time is convolution. A trial of
# two convolutions is not the network, and a larger network gains more.
#
# A large batch has its price: fewer steps in an epoch, and memory. The way back needs what the layers gave on the way
# there, so it is kept. Add up all layers of the paper's network:

# %%
paper = unet(128, 2, filters=32)
numbers = sum(np.prod(layer.output.shape[1:]) for layer in paper.layers)  # a slice
for size in (16, 64, 256):
    values = size * numbers / 1e9
    print(f"batch {size:3d}: {4 * values:4.1f} GB in float32", end=", ")
    print(f"{2 * values:4.1f} GB in 16 bits")

# %% [markdown]
# About so much: some layers need not be kept, and weights, gradients and Adam's moments come on top.
#
# **Exercise 4** (stretch, 10 minutes). What would a training cost on your card? Write
# `hours(slices, epochs, gflop, tflops, reached, cards, loader)`: a slice costs `gflop` thousand million operations, a
# card does `tflops` million million a second by its data sheet and reaches a share `reached` of it, there are so many
# cards, and the loader, which works ahead, delivers `loader` slices a second. A right answer never gets below what the
# loader allows.


# %% tags=["stub"]
def hours(slices, epochs, gflop, tflops, reached, cards, loader):
    return ...


# %% tags=["solution"]
def hours(slices, epochs, gflop, tflops, reached, cards, loader):
    a_second = cards * reached * tflops * 1e12 / (gflop * 1e9)
    return slices * epochs / min(a_second, loader) / 3600


# %% tags=["check", "long"]
with exercise_check("Exercise 4"):
    much = np.inf  # slices/s: a loader that keeps nobody waiting
    mine = filled(hours(36_000, 10, 20, 10, 0.2, 1, much))  # 100 slices/s
    require(np.ndim(mine) == 0, f"you return {np.shape(mine)}; expected one number")
    require(not np.isclose(mine, 3600), "these are seconds; an hour has 3600")
    require(not np.isclose(mine, 60), "these are minutes; an hour has 60")
    said = "the card reaches a share of its data sheet; you take all of it"
    require(not np.isclose(mine, 0.2), said)
    require(not np.isclose(mine, 0.1), "that is one epoch; there are 10")
    said = f"you are off by {mine:.3g} times: GFLOP are 1e9, TFLOP/s 1e12"
    thousands = np.log10(mine) / 3
    off_by_units = np.isclose(thousands, np.round(thousands))
    require(not off_by_units or np.isclose(mine, 1), said)
    said = f"360,000 slices at 100 a second take 1 hour; you say {mine:.3g}"
    require(np.isclose(mine, 1), said)
    two_cards = hours(36_000, 10, 20, 10, 0.2, 2, much)
    require(np.isclose(two_cards, 0.5), f"two cards take half; you say {two_cards:.3g}")
    slow = hours(36_000, 10, 20, 10, 0.2, 2, 50)
    said = f"behind a loader of 50 slices/s it takes 2 hours; you say {slow:.3g}"
    require(not np.isclose(slow, 2.5), f"{said}: it works ahead, times do not add up")
    require(not np.isclose(slow, 1), f"{said}: one loader feeds both cards, not each")
    require(np.isclose(slow, 2), said)

# %% [markdown] tags=["hint"]
# How many slices a second does one card train on? Two of them? And what if the loader brings fewer?

# %% [markdown] tags=["hint"]
# `cards * reached * tflops * 1e12 / (gflop * 1e9)` slices a second by the cards; the smaller of this and `loader`
# counts. Seconds divided by 3600.

# %% [markdown] tags=["teacher"]
# The units are where it goes wrong, and the loader: some add its time, which is the loop that takes turns; some give
# each card a loader of its own. Have everybody fill in the card they would rent, and what share of it they believe.

# %% [markdown]
# So on Kaggle: BraTS 2020's 369 patients, four fifths of them to train on, two T4. The paper does not say how many
# epochs; 30 are our assumption. Count the multiplications of its network for one slice, three times, since the way back
# is twice the way there. A T4 has 65 TFLOP/s in float16 by its data sheet; a U-Net reaches a part of that, and how much
# we can only guess.

# %%
there = 0
for layer in paper.layers:
    if hasattr(layer, "kernel"):
        there += 2 * np.prod(layer.kernel.shape) * np.prod(layer.input.shape[1:3])
slices_shown, epochs = int(0.8 * 369) * 155, 30
here = np.prod(timed[0][:2])  # voxels of a slice; BraTS has 240 x 240
kernel_there = kernel_speed * here / 240**2
print(f"{3 * there / 1e9:.0f} GFLOP a slice, {epochs * slices_shown:,} slices")
for reached in (0.1, 0.3):
    card = reached * 65e12 / (3 * there)  # slices/s of one T4
    for name, loader in {
        "never waiting": np.inf,
        "behind the kernel": kernel_there,
    }.items():
        time_taken = epochs * slices_shown / min(2 * card, loader) / 3600
        what = f"at {reached:.0%}, {card:4.0f} slices/s a card"
        print(f"{what}, {name}: {time_taken:.1f} h")

# %% [markdown] tags=["paper: section 5.3.1"]
# **An estimate**, until somebody has run it there: the share that a T4 reaches was guessed, and the loader's speed is
# your machine's, for files of BraTS's size as far as its cost follows the number of voxels.
#
# ## How large a step
#
# **Adam** moves each weight by about the **learning rate**, whatever the size of its gradient. The paper first set it
# to 0.1, saw it overshoot, and ended at 0.001 (section 5.3.2). Same weights, same batches, both rates. Guess the two
# curves.


# %%
keras.utils.set_random_seed(SEED)
weights = unet(SIZE, len(MODALITIES), filters=FILTERS).get_weights()  # random ones


def descend(rates, given=batches):
    """The loss before each step, a rate for each; after the last batch the first."""
    model.set_weights(weights)
    for variable in model.optimizer.variables:
        variable.assign(ops.zeros_like(variable))  # Adam forgets its past
    path = []
    for k, rate in enumerate(rates):
        model.optimizer.learning_rate = rate
        model.reset_metrics()  # else we get the mean over all steps so far
        path.append(float(model.train_on_batch(*given[k % len(given)])))
    return path


paths = {rate: descend([rate] * RATE_STEPS) for rate in (0.1, 0.001)}

# %%
figure = Figure(figsize=(8, 2.8))
ax = figure.subplots()
for (rate, path), colour in zip(paths.items(), ("#D55E00", "#0072B2"), strict=True):
    look = {"color": colour, "marker": "o", "markersize": 3}
    ax.plot(np.arange(RATE_STEPS), path, label=f"rate {rate:g}", **look)
    first, top = f"first {path[0]:.2f}", f"highest {np.nanmax(path):.3g}"
    print(f"rate {rate:<6g} loss of the batch: {first}, {top}, last {path[-1]:.2f}")
ax.set(xlabel="steps taken before", ylabel="loss of the batch", ylim=(0, 5))
ax.xaxis.get_major_locator().set_params(integer=True)
figure.legend(loc="outside upper right", ncols=2)
lower = min(paths, key=lambda rate: np.nan_to_num(paths[rate][-1], nan=np.inf))
title = f"After {RATE_STEPS} steps the loss is lower with a rate of {lower:g}"
figure.suptitle(title, x=0.02, ha="left")
style.alt(figure, f"Loss over {RATE_STEPS} steps with learning rates 0.1 and 0.001.")

# %% [markdown]
# Both start at the same height, before the first step, from the same random weights. Every step has another batch, an
# easy or a hard one, so a curve is rough. Steps of 0.1 throw the weights far, and the loss may end as no number at all
# (`nan`), which no curve can show. Must one try rate after rate? A **range test** (Smith 2017) tries them all in one go:
# a step with a tiny rate, the next with a slightly larger one, until the loss climbs. We give it one batch, always the
# same, so that the curve shows the rate and not the batch.

# %%
tried = np.geomspace(1e-5, 0.3, 2 * RATE_STEPS)
losses = descend(tried, batches[:1])
lowest = int(np.nanargmin(losses))
climbs = not losses[-1] < 1.2 * losses[lowest]  # nan is a climb too

figure = Figure(figsize=(8, 2.8))
ax = figure.subplots()
ax.plot(tried, losses, color="#0072B2", marker="o", markersize=3)
for rate, colour in zip(paths, ("#D55E00", "#0072B2"), strict=True):
    ax.axvline(rate, color=colour, linewidth=1, linestyle=":")
ax.set(xscale="log", xlabel="learning rate of the step", ylabel="loss of the batch")
ax.set_ylim(0, 5)
ax.xaxis.set_major_formatter("{x:g}")
after = "then the loss climbs" if climbs else "and it has not climbed yet"
figure.suptitle(f"Lowest at a rate of {tried[lowest]:.2g}, {after}", x=0.02, ha="left")
print(f"lowest loss {losses[lowest]:.2f}; at {tried[-1]:.2g} it is {losses[-1]:.2f}")
style.alt(figure, f"Loss against a learning rate that grows, over {len(tried)} steps.")

# %% [markdown]
# On the left the steps are too small to get far; where the curve climbs they are too large. A rate well left of the
# lowest point, where the loss is still falling, is a good one to start with (the dotted lines are the paper's two).
#
# We keep 0.001, and treat it with care at both ends: a **warm-up** over the first 20 steps, while Adam knows little
# about the gradients, then half a **cosine** down to zero, so that the last steps only polish. The training loop of all
# tasks, `helpers.learn.training_loop.fit`, does this; `fit_brain` in `helpers.tasks.brain.training` calls it.
#
# ## Training
#
# After each epoch `fit_brain` segments the validation patients whole and scores them. Watch two numbers: the accuracy,
# and the Dice of the three regions (1 is perfect, 0 is nothing found).

# %%
from helpers.learn.budget import Budget
from helpers.tasks.brain.training import Recipe, fit_brain


def silent(_) -> None:
    """Takes the lines of a training's log, and prints none."""


keras.utils.set_random_seed(SEED)
model = unet(SIZE, len(MODALITIES), filters=FILTERS)
recipe = Recipe("dice+cross-entropy", "none", batch_size=BATCH)
place, budget = folder / "both", Budget(epochs=EPOCHS)
history = fit_brain(model, store, split, place, budget, recipe, SEED, silent)

# %%
from helpers.lessons.verdict import trend

lines = {"accuracy": "val_accuracy", "Dice of WT": "val_dice_wt"}
lines |= {"Dice of TC": "val_dice_tc", "Dice of ET": "val_dice_et"}
count = len(split.validation)
for name, column in lines.items():
    print(f"{name}, {count} patients: {trend(history[column], digits=3)}")
labels = [store.volume(one)[1].argmax(axis=-1) for one in split.validation]
lazy = np.mean([(one == 0).mean() for one in labels])
print(f"accuracy of calling everything background: {lazy:.3f}")
told = f"Accuracy {trend(history.val_accuracy, digits=3)} ({count} patients)"
scores.curves(history, title=told)

# %% [markdown]
# Hold the accuracy against the last line: a model that says "background" to every pixel has nearly as much, so there is
# hardly anything between it and any model that one could choose by accuracy. So the **model selection** of `fit_brain`
# goes by the **validation Dice per patient**: the mean over the three regions and over patients that are not trained
# on. (The two loss curves lie apart because a training batch is half tumour on purpose, and a validation patient is
# not. Compare their shapes, not their heights.)
#
# **Exercise 5** (core, 4 minutes). Write `epoch_to_keep`: from such a table, the number of the epoch whose model you
# keep. A right answer for ours is printed below.


# %% tags=["stub"]
def epoch_to_keep(history):
    return ...


# %% tags=["solution"]
def epoch_to_keep(history):
    return int(history.epoch[history.val_dice.idxmax()])


# %% tags=["check", "long"]
import pandas as pd

with exercise_check("Exercise 5"):
    toy = pd.DataFrame({"epoch": range(1, 6), "val_dice": [0.0, 0.6, 0.5, 0.4, 0.3]})
    toy["accuracy"] = [0.98, 0.985, 0.98, 0.98, 0.99]
    toy["val_accuracy"] = [0.97, 0.98, 0.98, 0.99, 0.98]
    toy["val_loss"] = [0.3, 0.2, 0.1, 0.2, 0.2]
    epoch = filled(epoch_to_keep(toy))
    because = {
        1: "epochs count from 1, rows from 0",
        3: "that is the one with the least loss",
        4: "that is the most accurate one",
        5: "that is the last one",
    }.get(epoch if np.ndim(epoch) == 0 else None, "that is none of them")
    said = f"you keep epoch {epoch} of the toy table: {because}; best Dice: epoch 2"
    require(np.ndim(epoch) == 0 and epoch == 2, said)

# %% [markdown] tags=["hint"]
# Which column is about tumour found, and in patients that the model has not trained on?

# %% [markdown] tags=["hint"]
# `history.val_dice.idxmax()` is the row; its number of epoch is in the column `epoch`.

# %% [markdown] tags=["teacher"]
# Row for epoch is the slip that everybody makes once. The answers by loss and by accuracy are defensible to those who
# hold them: let them say which patients their model would miss.

# %%
best = history.loc[history.val_dice.idxmax()]
record("kept_epoch", int(best.epoch))
record("val_dice", round(best.val_dice, 4))
record("val_dice_wt", round(best.val_dice_wt, 4))
rules = {"most accurate": history.loc[history.val_accuracy.idxmax()], "best Dice": best}
rules["the last one"] = history.iloc[-1]
for rule, row in rules.items():
    number = f"epoch {row.epoch:.0f} of {len(history)}"
    print(f"{rule:14s} {number}, mean Dice {row.val_dice:.3f}")
kept = {int(row.epoch) for row in rules.values()}
differ = f"the rules keep {len(kept)} different models"
print("the rules agree here" if len(kept) == 1 else differ)

# %% [markdown]
# Since `fit_brain` writes a model only when it beats all before it, a run that is killed in the night still leaves its
# best.
#
# ## A run that is stopped
#
# A night's training on Kaggle is stopped after 12 hours, whoever is in the middle of what. What must be kept so that it
# goes on as if nothing had happened? Not the weights alone: Adam's two moments for each of them, the state that dropout
# draws from, the number of the step, from which the order of slices and the learning rate follow. A `Checkpoint` keeps
# all of it, and the training loop, `helpers.learn.training_loop.fit`, goes on from one. Here is a short run in one go,
# and the same run stopped in its first epoch by the error that Ctrl-C raises.

# %%
from functools import partial

from helpers.learn.augmented_model import AugmentedModel
from helpers.learn.checkpoint import Checkpoint
from helpers.learn.training_loop import fit


class Stop(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        if batch == 7:
            raise KeyboardInterrupt


def short_run(name, callbacks=()):
    keras.utils.set_random_seed(SEED)
    network, budget = unet(SIZE, **shape), Budget(epochs=2)  # with dropout
    trainer = AugmentedModel(network)
    trainer.compile(keras.optimizers.Adam(), DiceCrossEntropy())
    (folder / name).mkdir(exist_ok=True)
    with Checkpoint(folder / name, seconds=0) as checkpoint:
        batches = partial(training_batches, store, split.train, BATCH, SEED, "usual")
        how = {"checkpoint": checkpoint, "callbacks": callbacks, "log": silent}
        fit(trainer, batches, 10, budget, **how)
    return network.get_weights()


# %%
whole = short_run("whole")
try:
    short_run("stopped", [Stop()])
except KeyboardInterrupt as stopped:
    print(stopped)

# %%
went_on = short_run("stopped")  # the same command again
record("resumed_apart", apart(whole, went_on))
print("largest difference between the weights of the two runs:", apart(whole, went_on))

# %% [markdown]
# Dropout and augmentation were on. A checkpoint is written beside the old one and then put in its place, so that a kill
# while it is written costs what was learnt since the last one, never the run. Every `train` command works so: run it
# again and it goes on.
#
# ## What a run leaves behind

# %%
for path in sorted(folder.rglob("*")):
    if path.is_file():
        print(f"{path.stat().st_size / 1e3:10,.0f} kB  {path.relative_to(folder)}")

# %% [markdown]
# `model.keras` holds layers and weights; nothing of this notebook is needed to use it. Is that so? Load it and compare.

# %%
loaded = keras.models.load_model(folder / "both" / "model.keras")
batch = store.images[sampler(1)].astype("float32")  # (BATCH, SIZE, SIZE, 2)
pair = [network.predict_on_batch(batch) for network in (loaded, model)]
print(f"largest difference, memory against file: {np.abs(pair[0] - pair[1]).max():g}")

# %% [markdown]
# No list of custom objects was needed: the losses are registered with Keras under a name. Last, inference: what the
# selected model makes of a patient that it has not trained on, on the patient's own grid.

# %%
from helpers.tasks.brain.inference import Segmenter

patient = next(patient for patient in patients if patient.id == split.validation[0])
scan = read_scan(patient, MODALITIES)
labels = Segmenter(loaded, MODALITIES, grid).predict(scan)  # (rows, columns, slices)
title = f"What the kept model makes of {patient.id}"
slices.compare(scan, scan.seg, labels, title=title)

# %%
from helpers.lessons.closing import closing_table

times = speeds["slice store, as training gets it"] / kernel_speed
over_last = best.val_dice - history.val_dice.iloc[-1]
what = [
    ("10 times as fast, in turns", f"{sooner['10 x as fast']:.1f} times sooner"),
    ("the slice store", f"{times:.1f} times the slices/s"),
    ("two replicas", "not measured on two GPUs"),
    (f"{half}, batch {BATCHES[-1]}", f"{ratios[-1]:.2f} times the slices/s"),
    ("keep the best Dice, not the last", f"{over_last:+.3f} in mean Dice"),
]
cost = ["a device", f"{stored / 1e6:.0f} MB on the disk", "a loss a slice"]
cost += ["fewer digits", "validation patients"]
said = [f"waits {waits['10 x as fast']}", "measured here"]
said += [f"weights {off:.1g} apart, moved {moved:.2g}", f"{word}, here"]
said += [f"{len(split.validation)} patients, no verdict"]
rows = [(*pair, *rest) for pair, *rest in zip(what, cost, said, strict=True)]
closing_table(rows)

# %% [markdown]
# ## The question again
#
# Your device is ten times as fast as the last one. Why is training not?

# %%
for name in ("10 x as fast", "10 x, loader ahead", "two of it"):
    print(f"{name}: {sooner[name]:.1f} times sooner, the device waits {waits[name]}")

# %% [markdown]
# Because a faster device shortens training and leaves loading as it was; and once the loader is the slower of the two,
# no device helps. The cure is to do the loader's work once, in the store, to let it work ahead, and to leave to the
# device what has to be done anew each time.
#
# Two devices are twice one at best, and only behind a loader that feeds both; a loss that is a number, a network built
# outside the scope or an uneven batch spoil the result without a word.
#
# Left out: several machines, which need JAX (`helpers.learn.devices` says how). The scores above come from the patients
# that chose the model, and from the network's grid. Both flatter. The next lesson measures honestly.
