# %% tags=["parameters"]
SEED = 0  # of the weights, the order of slices and their augmentation
DATA_DIR = ""  # folder with BraTS patients; empty: the Kaggle set, else phantoms
OUTPUT_DIR = ""  # where the run's files go; empty: beside the data
SIZE = 64  # pixels along each side of the 192 mm window; 128 in the paper
FILTERS = 8  # features of the U-Net's first level; 32 in the paper
EPOCHS = 5  # of the long run, with Dice + cross-entropy
FIRST_EPOCHS = 1  # of the short run before it, with cross-entropy alone
BATCH = 8  # slices in a batch
TIMED = 4  # patients loaded for a timing
RATE_STEPS = 30  # steps for each learning rate that we try
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
devices.configure("auto" if tf.config.list_physical_devices("GPU") else "cpu:2")  # before any network
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
    flair, t1ce, seg = (nib.load(patient.file(kind)).get_fdata() for kind in (*MODALITIES, "seg"))  # float64
    n = flair.shape[2]
    x, y = np.zeros((n, SIZE, SIZE, 2)), np.zeros((n, *flair.shape[:2]))
    for k in range(n):
        x[k, ..., 0] = Image.fromarray(flair[:, :, k].astype("float32")).resize((SIZE, SIZE), Image.BILINEAR)
        x[k, ..., 1] = Image.fromarray(t1ce[:, :, k].astype("float32")).resize((SIZE, SIZE), Image.BILINEAR)
        y[k] = seg[:, :, k]
    y[y == 4] = 3
    masks = tf.image.resize(tf.one_hot(y.astype("int32"), 4), (SIZE, SIZE))  # (n, SIZE, SIZE, 4)
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
clocked(lambda i: kernel_batch(patients[i]), model, 1)  # the first call builds the graph; it does not count
durations = clocked(lambda i: kernel_batch(patients[i]), model, TIMED)

# %%
figure = Figure(figsize=(8, 1.7))
ax = figure.subplots()
ends = np.cumsum(np.ravel(durations))
for i, (end, seconds) in enumerate(zip(ends, np.ravel(durations), strict=True)):
    label = ("waiting for files", "training")[i] if i < 2 else None
    ax.barh(0, seconds, left=end - seconds, color=("#E69F00", "#0072B2")[i % 2], label=label, edgecolor="white")
ax.set(yticks=[], ylim=(-0.5, 0.5), xlabel="seconds")
ax.grid(False)
figure.legend(loc="outside upper right", ncols=2)
waiting = np.sum(durations, axis=0)[0] / np.sum(durations)
figure.suptitle(f"{waiting:.0%} of this time nothing is learnt", x=0.02, ha="left")
style.alt(figure, f"Time line of {TIMED} patients: loading and training take turns; loading is {waiting:.0%} of it.")

# %% [markdown]
# The orange part is a device that waits. **You buy a device that computes ten times as fast. What happens to the orange
# part, and how much sooner are you done?** Write a guess down. And then a second one, for the title: how much sooner
# with two devices side by side?
#
# ## What a batch costs
#
# Two speeds decide. Let us have both in the same unit, slices per second.

# %%
load_seconds, train_seconds = np.sum(durations, axis=0)
slices_seen = sum(nib.load(patient.file("seg")).shape[2] for patient in patients[:TIMED])
kernel_speed = slices_seen / load_seconds
device_speed = slices_seen // BATCH * BATCH / train_seconds
print(f"the kernel's loader delivers {kernel_speed:,.0f} slices/s")
print(f"this device trains on        {device_speed:,.0f} slices/s (SIZE {SIZE}, {FILTERS} filters)")

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
    print(f"{name:12s}{array.shape!s:22s}{array.dtype!s:9s}{array.nbytes / 1e6:6.0f} MB")

# %% [markdown]
# Why these types? A z-score lies between -5 and 5, and **float16** keeps it to three digits in two bytes. A mask on a
# coarser grid is no longer one label a pixel: a pixel on the rim is a bit of each. Its **soft labels**
# are the share of each of the four classes, in 255ths, one byte each.

# %%
rim = np.argwhere((store.soft_labels[..., 1:].max(axis=-1) > 90) & (store.soft_labels[..., 0] > 90))[0]
print("one pixel on a rim, soft labels of (background, core, oedema, enhancing):", store.soft_labels[tuple(rim)])
wide = store.images.size * 8 + store.soft_labels.size * 4
stored = store.images.nbytes + store.soft_labels.nbytes
print(f"as float64 images and float32 masks: {wide / stored:.1f} times the bytes")

# %% [markdown]
# The arrays are **memory-mapped**: they stay on the disk, look like arrays in memory, and only what you index is read.
# So 369 patients fit beside 20 on the same laptop. A batch of slices, each from wherever it may be, is one line.

# %%
rows = np.sort(np.random.default_rng(SEED).choice(len(store.images), BATCH, replace=False))
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
plain_speed = speed(iter(training_batches(store, split.train, BATCH, SEED, "none")), 60)
augmented_speed = speed(map(augment, training_batches(store, split.train, BATCH, SEED, "usual")), 30)

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
    print(f"{name:34s}{value:10,.0f} slices/s{value / kernel_speed:8.1f} x the kernel")

# %% [markdown]
# Go down the lines. The gather is so fast that `tf.data` around it now costs more than reading. And augmentation, which
# the kernel does not do at all, costs more than everything before it: it has to be computed anew in every epoch, so no
# store can hold it. Training therefore leaves it to the device: batches travel as they are stored, with the numbers
# that say how to augment each slice, and `augment` is the first thing in the compiled training step.
#
# With a loader that works ahead, in the background, a device of speed $d$ behind a loader of speed $l$ is busy for a
# share $l/d$ of the time, at most 1. That is all we need for the question of the opening.

# %%
possible = np.geomspace(20, 20_000, 200)
marks = {"this device": device_speed, "10 x this device": 10 * device_speed, "V100": 352, "V100, half precision": 895}
figure = Figure(figsize=(8, 3.4))
ax = figure.subplots()
drawn = {
    "the kernel's loader": "#D55E00",
    "slice store, as training gets it": "#0072B2",
    "the same, augmented": "#CC79A7",
}
for name, colour in drawn.items():
    ax.plot(possible, 100 * np.maximum(0, 1 - speeds[name] / possible), color=colour, label=name)
for name, value in marks.items():
    ax.axvline(value, color="#555555", linewidth=1, linestyle=":")
    ax.text(value, 98, name, rotation=90, fontsize=8.5, ha="right", va="top", color="#555555")
ax.set(xscale="log", xlim=(20, 20_000), ylim=(-2, 100), xlabel="slices/s the device could train on", ylabel="waits (%)")
figure.legend(loc="outside lower center", ncols=3)
figure.suptitle("The faster the device, the more of it waits for the loader")
style.alt(figure, "Share of time a device waits against its speed, one curve per loader; the kernel's rises first.")

# %% [markdown]
# Left of where a curve leaves the floor, the loader does not matter; right of it, a faster device buys nothing but
# waiting. (The V100 marks are NVIDIA's figures for another 2-D U-Net, on 192 x 160 slices: nnU-Net for TensorFlow 2 in
# its DeepLearningExamples.) Every curve depends on the files as well: the scans you use here are this large.

# %%
busy = min(1, kernel_speed / (10 * device_speed))
print("slices of", nib.load(patients[0].file("seg")).shape[:2], "voxels; a BraTS slice has (240, 240)")
print(f"behind the kernel's loader, a device 10 x as fast trains {10 * busy:.1f} x as fast and waits {1 - busy:.0%}")

# %% [markdown]
# ## What a batch holds
#
# The kernel's batch is one head, from bottom to top. Ours may hold any slices. What if we draw them evenly?

# %%
from helpers.prepare.sampling import SliceSampler


def class_frequencies(rows):
    voxels = store.voxels_per_class[rows]
    return {"tumour": (voxels[:, 1:].sum(axis=1) > 0).mean(), "enhancing": (voxels[:, 3] > 0).mean()}


sampler = SliceSampler(store, split.train, BATCH, SEED)
evenly = class_frequencies(store.rows(split.train)[store.has_brain[store.rows(split.train)]])
drawn = class_frequencies(np.concatenate([sampler(step) for step in range(200)]))
for name in evenly:
    print(f"slices with {name:10s} drawn evenly {evenly[name]:4.0%}   by our sampler {drawn[name]:4.0%}")

# %% [markdown]
# Drawn evenly, most slices of a batch show no tumour at all. The sampler fills half of each batch from any slice that
# shows brain, a quarter from slices with tumour, a quarter from slices with enhancing tumour. Here is a batch, in that
# order.

# %%
scan = read_scan(patients[0], MODALITIES)
view = replace(panel.plane(scan.affine), spacing=(grid.pixel_mm, grid.pixel_mm))  # the head, on the network's grid
rows = sampler(0)
heads = {one for one in split.train if np.isin(store.rows([one]), rows).any()}
figure = Figure(figsize=(8, 17 / (BATCH // 2) + 0.6))
for i, (ax, row) in enumerate(zip(figure.subplots(2, BATCH // 2).ravel(), rows, strict=True)):
    image, labels = store.images[row, ..., 0].astype("float32"), store.soft_labels[row].argmax(axis=-1)
    panel.show_slice(ax, image, view, (-2, 3), labels, marks=i == 0)
    ax.set_title(("any brain", "any brain", "tumour", "enhancing")[4 * i // BATCH])
figure.suptitle(f"{BATCH} slices from {len(heads)} heads: FLAIR, tumour outlined")
style.alt(
    figure, f"A batch of {BATCH} slices: half of any kind, a quarter with tumour, a quarter with enhancing tumour."
)

# %% [markdown]
# ## Image and mask move together
#
# A head may lie askew in the scanner, and the next scanner is brighter. **Augmentation** shows the network such heads
# by changing those it has: turn, scale, shift, mirror; contrast, brightness, noise. The obvious way is to augment the
# images. Look at the third panel.

# %%
from helpers.prepare import augment as augmentation

row = int(np.argmax(store.voxels_per_class[:, 1:].sum(axis=1)))  # the slice with most tumour
images = np.repeat(store.images[row][None].astype("float32"), 3, axis=0)  # (3, SIZE, SIZE, 2)
soft_labels = np.repeat(store.soft_labels[row][None] / np.float32(255), 3, axis=0)  # (3, SIZE, SIZE, 4)
params = augmentation.draw(np.random.default_rng(SEED + 4), 3, SIZE, 2)
moved, moved_labels = (ops.convert_to_numpy(part) for part in augmentation.apply(images, soft_labels, params))

panels = {
    "as it is": (images[0], soft_labels[0]),
    "both moved": (moved[0], moved_labels[0]),
    "only the image moved": (moved[0], soft_labels[0]),
    "both, another draw": (moved[1], moved_labels[1]),
}
figure = Figure(figsize=(8, 2.8))
for ax, (name, (image, mask)) in zip(figure.subplots(1, 4), panels.items(), strict=True):
    panel.show_slice(ax, image[..., 0], view, (-2, 3), mask.argmax(axis=-1), marks=name == "as it is")
    ax.set_title(name)
figure.suptitle("A mask that stays behind teaches the network to miss")
style.alt(
    figure, "One slice as it is, moved with its mask, moved without its mask, and moved another way with its mask."
)

# %%
stays = moved_labels[0].argmax(axis=-1) > 0, soft_labels[0].argmax(axis=-1) > 0
overlap = 2 * (stays[0] & stays[1]).sum() / (stays[0].sum() + stays[1].sum())
print(f"overlap of the mask that stayed with the mask that moved: Dice {overlap:.2f}")

# %% [markdown]
# No network can score above that overlap on such a pair, and it would be taught to miss by as much. `apply` in
# `helpers.prepare.augment` puts image and soft labels into one array before it resamples, so they cannot part. Soft
# labels may be interpolated; labels may not, since half of label 3 and half of label 1 is not label 2.
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

truth = soft_labels[:1]  # (1, SIZE, SIZE, 4), the slice with most tumour of all
asleep = np.broadcast_to(np.float32([0.97, 0.01, 0.01, 0.01]), truth.shape)  # "background", everywhere, 97 % sure
print("cross-entropy of knowing nothing:  ", float(my_cross_entropy(truth, np.full_like(truth, 0.25))[0]))
print("cross-entropy of 'all background': ", float(cross_entropy(truth, asleep)[0]))

# %% [markdown]
# The second model has found no tumour in the slice with the largest tumour of all, and its loss is already a fraction
# of the first. Cross-entropy averages over pixels, and nearly all pixels are background.
#
# **Soft Dice** looks at a structure as a whole instead. For one class, with $y$ the true soft labels and $p$ the
# probabilities,
#
# $$D = \frac{2 \sum y\,p + 1}{\sum y + \sum p + 1}$$
#
# The two ones make the Dice of a class that is neither there nor predicted 1, not 0/0. The loss is 1 minus the mean of
# $D$ over the three tumour classes.
#
# **Exercise 1** (core, 8 minutes). Write the soft Dice loss. Leave the background out, sum over rows and columns, and
# return one value for each slice: shape `(batch,)`.


# %% tags=["stub"]
def my_soft_dice_loss(truth, probabilities):
    return ...


# %% tags=["solution"]
def my_soft_dice_loss(truth, probabilities):
    y, p = truth[..., 1:], probabilities[..., 1:]  # (batch, rows, columns, 3)
    shared = ops.sum(y * p, axis=(1, 2))  # (batch, 3)
    total = ops.sum(y, axis=(1, 2)) + ops.sum(p, axis=(1, 2))
    return 1 - ops.mean((2 * shared + 1) / (total + 1), axis=-1)  # (batch,)


# %% tags=["check"]
from helpers.learn.losses import soft_dice_loss

with exercise_check("Exercise 1"):
    given = np.asarray(filled(my_soft_dice_loss(moved_labels, soft_labels)))
    require(
        given.shape == (3,), f"your loss has shape {given.shape} for a batch of 3; it needs one value per slice, (3,)"
    )
    perfect = float(my_soft_dice_loss(np.round(soft_labels), np.round(soft_labels))[0])
    require(abs(perfect) < 1e-6, f"a perfect mask gets {perfect:.3f}; it should get 0")
    lazy = float(my_soft_dice_loss(truth, np.eye(4, dtype="float32")[np.zeros(truth.shape[:3], int)])[0])
    require(
        lazy > 0.6,
        f"a mask of background only gets {lazy:.2f}, which is too kind; is the background among the classes?",
    )
    require(
        np.allclose(given, soft_dice_loss(moved_labels, soft_labels), atol=1e-5), "close, but not the formula above"
    )

# %% [markdown]
# A right answer gives 0 for a perfect mask and nearly 1 for the sleeper:

# %%
print("soft Dice loss of 'all background':", float(soft_dice_loss(truth, asleep)[0]))

# %% [markdown]
# Dice sees the sleeper, but on a slice without tumour it has nothing to pull on. So we add the two, in equal parts:
# `DiceCrossEntropy` in `helpers.learn.losses` is your function plus `cross_entropy`.
#
# Why one value per slice, when the optimizer wants a single number? Because of the second device. Each **replica**
# takes half of the batch, and their gradients are *added*. Keras averages each half over its slices and, knowing the
# number of replicas, halves it. A loss that is already a single number passes as it is.

# %%
per_slice = np.array([0.9, 0.7, 0.8, 0.6, 0.5, 0.9, 0.4, 0.8])
halves = per_slice[:4], per_slice[4:]
print("one device:                           ", per_slice.mean())
print("two replicas, one value per slice:    ", sum(half.mean() / 2 for half in halves))
print("two replicas, each a single number:   ", sum(half.mean() for half in halves))

# %% [markdown] tags=["paper: section 5.3.2"]
# The last line is twice the first: a learning rate doubled without a word.
#
# ## Two devices
#
# So much for arithmetic; now for two devices that really train. A **replica** is a device with a copy of all weights.
# Each takes its part of the batch, and before a step is made the gradients are added, so that the copies stay alike.
# `devices.configure`, at the top, chose which there are: your GPUs, or the CPU made into two, which trains no faster
# but goes the same way. (With a single GPU there is one replica, and nothing below goes wrong.) A network belongs to
# the replicas if it is built inside `devices.scope()`.

# %%
keras.utils.set_random_seed(SEED)
one = unet(SIZE, len(MODALITIES), filters=FILTERS, dropout=0.0)  # dropout draws on each replica for itself
with devices.scope():
    two = unet(SIZE, len(MODALITIES), filters=FILTERS, dropout=0.0)
record("replicas", devices.replicas(two))
print(f"{devices.describe()}: {devices.replicas(one)} replica and {devices.replicas(two)}")

# %% [markdown]
# The promise is that nothing else changes: batch, learning rate and result. Ten steps from the same weights on the same
# batches, by plain gradient descent, once with each. How far apart do they end, and how far has each come?

# %%
batches = [augment(batch) for batch in training_batches(store, split.train, BATCH, SEED, "none").take(RATE_STEPS)]
x, y = (ops.convert_to_numpy(ops.concatenate(part)) for part in zip(*batches[:10], strict=True))
weights = one.get_weights()


def trained(network, loss, x, y):
    network.set_weights(weights)
    with devices.scope(network):
        network.compile(keras.optimizers.SGD(0.01), loss)
    network.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
    return network.get_weights()


def apart(some, others):
    return max(float(np.abs(a - b).max()) for a, b in zip(some, others, strict=True))


alone, together = (trained(network, DiceCrossEntropy(), x, y) for network in (one, two))
record("replicas_apart", float(f"{apart(alone, together):.1e}"))
print(f"moved {apart(alone, weights):.2g}; one and two replicas end {apart(alone, together):.1g} apart")

# %% [markdown]
# They agree but for rounding: sums are taken in another order. Now the same with a loss that returns a single number,
# the mean that every tutorial writes. One step, and how far the weights go.


# %%
def one_number(truth, probabilities):
    return ops.mean(DiceCrossEntropy().call(truth, probabilities))  # a number, not (batch,)


x, y = x[:BATCH], y[:BATCH]
step, doubled = (apart(trained(network, one_number, x, y), weights) for network in (one, two))
record("scalar_loss_step", round(doubled / step, 3))
print(f"one replica moves {step:.2e}, {devices.replicas(two)} move {doubled:.2e}: {doubled / step:.3f} times as far")

# %% [markdown]
# No error and no warning. Two more traps lie on the way. Asked to predict a batch, each replica predicts all of it, and
# a batch that cannot be dealt out evenly gives one replica's slices more weight than the other's.

# %%
from helpers.runtime.errors import DataError

print("predict_on_batch:           ", two.predict_on_batch(x).shape, "for a batch of", len(x))
print("devices.predict_distributed:", devices.predict_distributed(two, x).shape)
try:
    devices.check_divisible(two, BATCH + 1)
except DataError as error:
    print(error)

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

chips = {"V100": (7, 0), "T4": (7, 5), "A100": (8, 0), "P100": (6, 0), "a CPU without bfloat16": None}
for name, capability in chips.items():
    print(f"{name:24s}{precision.policy_for(capability, frozenset())}")
print(f"{'here':24s}{precision.select_policy()} (a CPU must gain {precision.GAIN} times in its trial)")

# %% [markdown]
# float16 has fine steps and a short reach: a gradient below 6e-8 becomes 0, so the loss is multiplied by a large number
# first and the gradients divided by it afterwards (**loss scaling**). bfloat16 reaches as far as float32, in coarse
# steps, and needs none of that. How many slices a second does this device train on?


# %%
def training_speed(policy, size):
    keras.mixed_precision.set_global_policy(policy)
    network = unet(SIZE, len(MODALITIES), filters=FILTERS)
    keras.mixed_precision.set_global_policy("float32")
    network.compile(precision.with_loss_scaling(keras.optimizers.Adam(1e-3), network), DiceCrossEntropy())
    network.optimizer.build(network.trainable_variables)  # else the first step is traced twice
    x, y = store.images[:size].astype("float32"), store.soft_labels[:size] / np.float32(255)
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        network.train_on_batch(x, y)
        seconds.append(time.perf_counter() - start)
    return size / np.median(seconds[2:])  # the first builds the graph


half = "mixed_float16" if precision.select_policy() == "mixed_float16" else "mixed_bfloat16"
rates = {policy: [training_speed(policy, size) for size in BATCHES] for policy in ("float32", half)}

# %%
figure = Figure(figsize=(8, 2.6))
ax = figure.subplots()
for (policy, speed_of), colour in zip(rates.items(), ("#0072B2", "#D55E00"), strict=True):
    ax.plot(BATCHES, speed_of, color=colour, marker="o", label=policy)
ax.set(xscale="log", xlabel="slices in a batch", ylabel="slices/s", ylim=(0, None))
ax.set_xticks(BATCHES, [str(size) for size in BATCHES], minor=False)
ax.minorticks_off()
figure.legend(loc="outside upper right", ncols=2)
figure.suptitle("What a batch costs on this device", x=0.02, ha="left")
style.alt(figure, f"Slices per second against batch size, in float32 and in {half}.")

# %% [markdown]
# Where the orange curve lies below the blue one, half precision is a loss: the chip has no circuits for it, or too
# little of the time is convolution. So `precision.select_policy` looks at the chip, and on a CPU it times two
# convolutions. Such a trial is not the network: it may say float32 where the orange curve lies above, and a larger
# network gains more.
#
# A large batch has its price: fewer steps in an epoch, and memory. The way back needs what the layers gave on the way
# there, so it is kept. Add up all layers of the paper's network:

# %%
paper = unet(128, 2, filters=32)
numbers = sum(np.prod(layer.output.shape[1:]) for layer in paper.layers)  # that they give, for one slice
for size in (16, 64, 256):
    values = size * numbers / 1e9
    print(f"batch {size:3d}: {4 * values:4.1f} GB in float32, {2 * values:4.1f} GB in 16 bits")

# %% [markdown]
# About so much: some layers need not be kept, and weights, gradients and Adam's moments come on top. A T4 has 16 GB,
# and of two replicas each holds half a batch.
#
# So what would the paper's training cost on Kaggle: 369 patients, four fifths of them to train on, 30 epochs, two T4?
# Count the multiplications of its network for one slice, three times, since the way back is twice the way there. A T4
# has 65 TFLOP/s in float16 by its data sheet; a U-Net reaches a part of that, and how much we can only guess.

# %%
there = sum(2 * np.prod(layer.kernel.shape) * np.prod(layer.input.shape[1:3])
            for layer in paper.layers if hasattr(layer, "kernel"))  # fmt: skip
slices_shown = 30 * int(0.8 * 369) * 155
here = np.prod(nib.load(patients[0].file("seg")).shape[:2])  # voxels of a slice; BraTS has 240 x 240
kernel_there = kernel_speed * here / 240**2
print(f"{3 * there / 1e9:.0f} GFLOP a slice, {slices_shown:,} slices")
for reached in (0.1, 0.3):
    card = reached * 65e12 / (3 * there)  # slices/s of one T4
    loaders = {"never waiting": np.inf, "behind the kernel's loader": kernel_there}
    hours = {name: slices_shown / min(2 * card, loader) / 3600 for name, loader in loaders.items()}
    print(f"at {reached:.0%}: {card:4.0f} slices/s a card; " + ", ".join(f"{h:.1f} h {n}" for n, h in hours.items()))

# %% [markdown] tags=["paper: section 5.3.1"]
# **An estimate**, until somebody has run it there: the share that a T4 reaches was guessed, and the loader's speed is
# your machine's, for files of BraTS's size as far as its cost follows the number of voxels. The faster the cards, the
# more of the bill is waiting.
#
# ## How large a step
#
# **Adam** moves each weight by about the **learning rate**, whatever the size of its gradient. The paper first set it
# to 0.1, saw it overshoot, and ended at 0.001 (section 5.3.2). Same weights, same batches, both rates. Guess the two
# curves.


# %%
def descend(rates):
    model.set_weights(weights)
    for variable in model.optimizer.variables:
        variable.assign(ops.zeros_like(variable))  # Adam forgets the gradients it has seen
    path = []
    for k, rate in enumerate(rates):
        model.optimizer.learning_rate = rate
        model.reset_metrics()  # else we get the mean over all steps so far
        path.append(float(model.train_on_batch(*batches[k % RATE_STEPS])))
    return path


paths = {rate: descend([rate] * RATE_STEPS) for rate in (0.1, 0.001)}

# %%
figure = Figure(figsize=(8, 2.8))
ax = figure.subplots()
for (rate, path), colour in zip(paths.items(), ("#D55E00", "#0072B2"), strict=True):
    ax.plot(np.arange(RATE_STEPS), path, color=colour, marker="o", markersize=3, label=f"rate {rate:g}")
ax.set(xlabel="steps before", ylabel="loss of the batch", ylim=(0, 5))
ax.xaxis.get_major_locator().set_params(integer=True)
figure.legend(loc="outside upper right", ncols=2)
figure.suptitle("One of them jumps over the valley", x=0.02, ha="left")
for rate, path in paths.items():
    print(f"rate {rate:<6g} loss of the first batch {path[0]:.2f}, highest {np.nanmax(path):.3g}, last {path[-1]:.2f}")
style.alt(figure, f"Loss over {RATE_STEPS} steps with learning rates 0.1 and 0.001.")

# %% [markdown]
# Both start at the same height, before the first step. Steps of 0.1 throw the weights so far that the loss jumps about,
# and it may end as no number at all (`nan`). Must one try rate after rate? A **range test** (Smith 2017) tries them all
# in one go: a step with a tiny rate, the next with a slightly larger one, until the loss climbs.

# %%
tried = np.geomspace(1e-5, 0.3, 2 * RATE_STEPS)
losses = descend(tried)

figure = Figure(figsize=(8, 2.8))
ax = figure.subplots()
ax.plot(tried, losses, color="#0072B2", marker="o", markersize=3)
for rate, colour in zip(paths, ("#D55E00", "#0072B2"), strict=True):
    ax.axvline(rate, color=colour, linewidth=1, linestyle=":")
ax.set(xscale="log", xlabel="learning rate of the step", ylabel="loss of the batch", ylim=(0, 5))
figure.suptitle("The loss falls, then the steps are too large for it", x=0.02, ha="left")
lowest = int(np.nanargmin(losses))
print(f"lowest loss {losses[lowest]:.2f} at rate {tried[lowest]:.2g}; at {tried[-1]:.2g} it is {losses[-1]:.2f}")
style.alt(figure, f"Loss against a learning rate that grows from step to step, over {len(tried)} steps.")

# %% [markdown]
# Left, steps too small to get far; right of the lowest point, too large. A rate somewhat left of the lowest point is a
# good one to start with (the dotted lines are the paper's two).
#
# We keep 0.001, and treat it with care at both ends: a **warm-up** over the first 20 steps, while Adam knows little
# about the gradients, then half a **cosine** down to zero, so that the last steps only polish. The training loop of all
# tasks, `helpers.learn.training_loop.fit`, does this; `fit_brain` in `helpers.tasks.brain.training` calls it.
#
# ## Training, first as the paper does it
#
# Cross-entropy alone. After each epoch `fit_brain` segments the validation patients whole and scores them. Watch two
# numbers: the accuracy, and the Dice of the three regions (1 is perfect, 0 is nothing found).

# %%
from helpers.learn.budget import Budget
from helpers.tasks.brain.training import Recipe, fit_brain

keras.utils.set_random_seed(SEED)
model = unet(SIZE, len(MODALITIES), filters=FILTERS)
first = fit_brain(
    model,
    store,
    split,
    folder / "cross_entropy",
    Budget(epochs=FIRST_EPOCHS),
    Recipe("cross-entropy", "none", batch_size=BATCH),
    SEED,
)
first[["epoch", "val_accuracy", "val_dice_wt", "val_dice_tc", "val_dice_et"]].round(3)

# %%
background = np.mean([(store.volume(one)[1].argmax(axis=-1) == 0).mean() for one in split.validation])
reached = record("first_epoch_accuracy", round(first.val_accuracy[0], 4))
found = record("first_epoch_dice", round(first.val_dice[0], 4))
print(f"after the first epoch: accuracy {reached:.1%}, mean Dice {found:.3f}")
print(f"calling everything background: accuracy {background:.1%}")

# %% [markdown]
# An accuracy to be proud of. Then look at the Dice of the smallest region, and at the last line: a model that says
# "background" to every pixel is nearly as accurate. Choose a model by accuracy and you choose among sleepers. So the
# **model selection** of `fit_brain` goes by the **validation Dice per patient**: the mean over the three regions and
# over patients that are not trained on.
#
# Now with both losses, and longer.

# %%
keras.utils.set_random_seed(SEED)
model = unet(SIZE, len(MODALITIES), filters=FILTERS)
recipe = Recipe("dice+cross-entropy", "none", batch_size=BATCH)
history = fit_brain(model, store, split, folder / "both", Budget(epochs=EPOCHS), recipe, SEED)

# %%
scores.curves(history, title="Accuracy is flat from the start; Dice is still learning")

# %% [markdown]
# Read the panels from the right. The regions wake up one after the other, the small ones last, if they do; and while
# they do, accuracy hardly moves: they are a handful of pixels. (The two loss curves lie apart because a training batch
# is half tumour on purpose, and a validation patient is not. Compare their shapes, not their heights.)
#
# **Exercise 2** (core, 4 minutes). Write `epoch_to_keep`: from such a table, the number of the epoch whose model you
# keep.


# %% tags=["stub"]
def epoch_to_keep(history):
    return ...


# %% tags=["solution"]
def epoch_to_keep(history):
    return int(history.epoch[history.val_dice.idxmax()])


# %% tags=["check"]
import pandas as pd

with exercise_check("Exercise 2"):
    toy = pd.DataFrame(
        {"epoch": [1, 2, 3, 4], "accuracy": [0.98, 0.99, 0.98, 0.98], "val_accuracy": [0.97, 0.98, 0.98, 0.99],
         "val_loss": [0.3, 0.2, 0.1, 0.2], "val_dice": [0.0, 0.6, 0.5, 0.4]}
    )  # fmt: skip
    epoch = filled(epoch_to_keep(toy))
    because = {4: "that is the last one, and the most accurate", 3: "that is the one with the least loss",
               1: "epochs count from 1, rows from 0"}.get(epoch, "that is none of them")  # fmt: skip
    require(epoch == 2, f"you keep epoch {epoch} of the toy table: {because}; the best Dice is in epoch 2")

# %% [markdown]
# And this is what each rule would have kept from our run:

# %%
best = history.loc[history.val_dice.idxmax()]
record("kept_epoch", int(best.epoch))
record("val_dice", round(best.val_dice, 4))
record("val_dice_wt", round(best.val_dice_wt, 4))
accurate, last = history.loc[history.val_accuracy.idxmax()], history.iloc[-1]
for rule, row in {"most accurate": accurate, "best Dice": best, "the last one": last}.items():
    print(f"{rule:14s} epoch {row.epoch:.0f} of {len(history)}, mean Dice {row.val_dice:.3f}")

# %% [markdown]
# The rules need not agree, and where Dice falls towards the end, the last model is not the one to keep. Since
# `fit_brain` writes a model only when it beats all before it, a run that is killed in the night still leaves its best.
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
    network, budget = unet(SIZE, len(MODALITIES), filters=FILTERS), Budget(epochs=2)
    trainer = AugmentedModel(network)
    trainer.compile(keras.optimizers.Adam(), DiceCrossEntropy())
    (folder / name).mkdir(exist_ok=True)
    with Checkpoint(folder / name, seconds=0) as checkpoint:
        batches = partial(training_batches, store, split.train, BATCH, SEED, "usual")
        fit(trainer, batches, 10, budget, checkpoint=checkpoint, callbacks=callbacks, log=lambda _: None)
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
difference = np.abs(loaded.predict_on_batch(batch) - model.predict_on_batch(batch)).max()
print(f"largest difference between the selected model in memory and the one from the file: {difference:g}")

# %% [markdown]
# No list of custom objects was needed: the losses are registered with Keras under a name. Last, inference: what the
# selected model makes of a patient that it has not trained on, on the patient's own grid.

# %%
from helpers.tasks.brain.inference import Segmenter

patient = next(patient for patient in patients if patient.id == split.validation[0])
scan = read_scan(patient, MODALITIES)
labels = Segmenter(loaded, MODALITIES, grid).predict(scan)  # (rows, columns, slices)
slices.compare(scan, scan.seg, labels, title=f"{patient.id}, after {len(history)} epochs")

# %% [markdown]
# ## The question again
#
# A device ten times as fast makes the blue part ten times shorter and leaves the orange part as it was, so you are done
# sooner by less than ten; and once the loader is the slower of the two, no device helps. The cure is to do the loader's
# work once, in the store, and to let the device do what has to be done anew each time.
#
# Two devices are twice one at best, and only behind a loader that feeds both; a loss that is a number, a network built
# outside the scope or an uneven batch spoil the result without a word.
#
# Left out: several machines, which need JAX (`helpers.learn.devices` says how). The scores above come from the patients
# that chose the model, and from the network's grid. Both flatter. The next lesson measures honestly.
