# %% tags=["parameters"]
SEED = 0
DATA_DIR = ""  # folder with BraTS patients; empty: the Kaggle set, else phantoms
OUTPUT_DIR = ""  # receives slices and models; empty: a scratch folder
PATIENTS = 20  # how many of the catalogue take part in the short trainings
SIZE = 64  # pixels along each side of the window of the networks that are trained here
FILTERS = 8  # features of their first level
EPOCHS = 6  # of the two trainings that are compared
BATCH = 8  # slices a step
STEPS = 12  # of the experiment with the logarithm
FOLDS = 2  # one part of the patients is tested, the rest trains

# %%
import tempfile
from pathlib import Path

import keras
import numpy as np

from helpers.data import sources
from helpers.data.brats import read_catalogue
from helpers.data.resample import Grid
from helpers.data.volumes import read_scan
from helpers.lessons.record import record
from helpers.models.unet import unet
from helpers.show import slices, style
from helpers.tasks.brain.inference import Segmenter

style.use()
keras.utils.set_random_seed(SEED)
PAIR = ("flair", "t1ce")  # what the paper's network looks at
patients = read_catalogue(sources.brats(DATA_DIR)).require(PAIR)[:PATIENTS]
scan = read_scan(patients[0], PAIR)

# %% [markdown]
# A slice with its mask, and what a U-Net makes of it that has not learnt anything yet.

# %%
untrained = Segmenter(unet(SIZE, filters=FILTERS), PAIR, Grid(SIZE), flip=False)
slices.compare(scan, scan.seg, untrained.predict(scan), title="An untrained network has an opinion on every pixel")

# %% [markdown]
# Its opinions are worthless, but look at their shape: they follow the edges of the head. And yet this network looks
# at the slice, on its way, through a grid of a few pixels a side. Where does it keep the edges meanwhile? To find
# out, we build it, one layer at a time.
#
# ## One convolution
#
# The network's window is a square of 128 x 128 pixels with two channels, one a modality. Here is our slice in it; a
# pixel is an average over its area, in millimetres.

# %%
from dataclasses import replace

from helpers.data.normalise import zscore
from helpers.show.panel import plane, show_slice

grid = Grid(128)
k, centre = slices.busiest(scan), grid.brain_centre(scan.images, scan.spacing)
image = grid.down(zscore(scan.images), scan.spacing, centre)[k : k + 1]  # (1, 128, 128, 2)
view = replace(plane(scan.affine), spacing=(grid.pixel_mm, grid.pixel_mm))
image.shape, grid.pixel_mm

# %% [markdown]
# A **convolution** slides a small window over the picture. At every place it multiplies the numbers under the window
# with its **kernel**, adds them up, adds a **bias**, and, with the activation **ReLU**, replaces what is negative by
# 0. Each of its 32 kernels makes one **feature map**.

# %%
from keras import layers

conv = layers.Conv2D(32, 3, padding="same", activation="relu", kernel_initializer="he_normal")
features = conv(image)  # (1, 128, 128, 2) -> (1, 128, 128, 32)
kernel, bias = conv.get_weights()  # (3, 3, 2, 32) and (32,)
tuple(features.shape), kernel.shape, bias.shape

# %% [markdown]
# One value of the output, computed by hand at the middle of the picture:

# %%
under_the_window = image[0, 63:66, 63:66]  # (3, 3, 2)
by_hand = np.maximum(np.tensordot(under_the_window, kernel, 3) + bias, 0)  # (32,)
float(np.abs(by_hand - np.array(features[0, 64, 64])).max())

# %% [markdown]
# The largest difference is rounding. How many numbers can this layer learn? Count them before you run the cell: the
# kernel's four sides multiplied, and the biases.

# %%
3 * 3 * 2 * 32 + 32, conv.count_params()

# %% [markdown]
# The size of the picture does not occur in it. The same kernels would serve a picture of any size; what they cannot
# do is see further than one pixel to each side.
#
# ## Seeing further, by shrinking
#
# To see further, the network shrinks the picture. **Max pooling** keeps the largest of every four pixels. On the way
# back, **nearest up-sampling** writes every pixel four times. Follow the 9:

# %%
tiny = np.array([[9, 1, 0, 0], [1, 0, 0, 4], [0, 0, 2, 0], [0, 7, 0, 3]], "float32")[None, :, :, None]
pooled = layers.MaxPooling2D()(tiny)  # (1, 4, 4, 1) -> (1, 2, 2, 1)
risen = layers.UpSampling2D()(pooled)  # (1, 2, 2, 1) -> (1, 4, 4, 1)

# %%
from matplotlib.figure import Figure

figure = Figure(figsize=(8, 2.7))
for ax, array, name in zip(
    figure.subplots(1, 3), (tiny, pooled, risen), ("picture", "pooled", "up-sampled"), strict=True
):
    values = np.array(array)[0, :, :, 0]
    ax.imshow(values, cmap="Blues", vmin=0, vmax=14)
    ax.set_axis_off()
    ax.set_title(f"{name}, {values.shape}")
    for (row, column), value in np.ndenumerate(values):
        ax.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=12)
figure.suptitle("Pooling keeps that there was a 9, and forgets where")
style.alt(figure, "A 4 x 4 array, its maxima of every four pixels, and these written back four times each.")

# %% [markdown]
# The 9 is still there, four times over, and its corner is lost. The paper's network does this four times in a row:
# 128 pixels become 8. Suppose it did everything else perfectly: how good an outline could it draw from 8 x 8 pixels?
# Guess its **Dice**, the overlap with the truth, where 1 is perfect: once for the whole tumour (WT), once for the
# enhancing rim (ET).

# %%
from helpers.data.resample import soft_labels_on
from helpers.measure.overlap import dice

soft_labels = soft_labels_on(scan.seg, grid, scan.spacing, centre)[k]  # (128, 128, 4), in 255ths
truths = {"WT": soft_labels[..., 1:].sum(axis=-1) > 127, "ET": soft_labels[..., 3] > 127}  # (128, 128) each


def through(side: int, truth: np.ndarray) -> np.ndarray:
    """A mask as far as it survives on side x side pixels, at its old size."""
    block = 128 // side
    small = truth.reshape(side, block, side, block).mean(axis=(1, 3)) > 0.5  # (side, side)
    return small.repeat(block, axis=0).repeat(block, axis=1)  # (128, 128)


# %%
figure = Figure(figsize=(8, 4.5))
survived = {}
for row, (region, truth) in zip(figure.subplots(2, 4), truths.items(), strict=True):
    for ax, side in zip(row, (64, 32, 16, 8), strict=True):
        left = through(side, truth)
        survived[f"{region} {side}"] = dice(truth, left)
        show_slice(ax, image[0, :, :, 0], view, None, left.astype(int), {1: style.CLASS_COLOURS[3]}, marks=False)
        ax.set_title(f"{region}, {side} x {side}: Dice {dice(truth, left):.2f}")
figure.suptitle("The best outline that a coarse grid allows")
record("dice_through_8", {region: survived[f"{region} 8"] for region in truths})
style.alt(
    figure,
    "Whole tumour and enhancing rim drawn through 64, 32, 16 and 8 pixels a side: ever coarser blocks, then nothing.",
)

# %% [markdown]
# Through 8 x 8 pixels a large tumour becomes a few bricks, and a rim that is thinner than a brick is gone. So the
# bottom of the network may know what is there, but not where. Something else has to bring the place back.
#
# ### Exercise 1: two convolutions *(core, 5 minutes)*
#
# At every level the paper's network convolves twice. Write `block(x, features)`: two 3 x 3 convolutions with so many
# features each, same padding, ReLU, He's initial values (`he_normal`). A right answer turns (1, 16, 16, 2) into (1,
# 16, 16, 5) for 5 features.


# %% tags=["stub"]
def block(x, features: int):
    """Two convolutions, one after the other."""
    ...


# %% tags=["solution"]
def block(x, features: int):
    """Two convolutions, one after the other."""
    for _ in range(2):
        x = layers.Conv2D(features, 3, padding="same", activation="relu", kernel_initializer="he_normal")(x)
    return x


# %% tags=["check"]
from helpers.lessons.checks import exercise_check, filled, require

with exercise_check("Exercise 1"):
    start = keras.Input((16, 16, 2))
    end = filled(block(start, 5))
    require(
        tuple(end.shape[1:3]) == (16, 16),
        f"your block turns 16 x 16 pixels into {end.shape[1]} x {end.shape[2]}; with padding='same' they stay",
    )
    require(end.shape[-1] == 5, f"you were asked for 5 features and return {end.shape[-1]}")
    count = keras.Model(start, end).count_params()
    require(count == 95 + 230, f"your block has {count} parameters; two 3 x 3 convolutions with biases have 95 + 230")
    lowest = float(
        np.min(keras.Model(start, end).predict(np.random.default_rng(0).normal(size=(1, 16, 16, 2)), verbose=0))
    )
    require(lowest >= 0, f"your block returns {lowest:.2f}; after a ReLU nothing is below 0")

# %% [markdown] tags=["paper: section 5.2"]
# ## The way down
#
# Now with symbols instead of pictures: `keras.Input` stands for any slice, and Keras keeps track of the shapes. The
# first level:


# %%
def convolution(features: int, side: int = 3) -> layers.Layer:
    """The paper's convolution: same padding, ReLU, He's initial values."""
    return layers.Conv2D(features, side, padding="same", activation="relu", kernel_initializer="he_normal")


inputs = keras.Input((128, 128, 2))
x = convolution(32)(inputs)  # (128, 128, 32)
x = convolution(32)(x)  # (128, 128, 32)
skips = [x]
x = layers.MaxPooling2D()(x)  # (64, 64, 32)

# %% [markdown]
# We keep `skips` for later. The next three levels do the same, each with half the pixels and twice the features. Then
# comes the bottom, the **bottleneck**, and a **dropout** that switches a fifth of its features off at random while
# training.

# %%
for features in (64, 128, 256):
    x = convolution(features)(convolution(features)(x))
    skips.append(x)
    x = layers.MaxPooling2D()(x)
    print(f"{features} features, then pooled to", tuple(x.shape[1:]))
x = convolution(512)(convolution(512)(x))  # (8, 8, 512)
x = layers.Dropout(0.2)(x)  # (8, 8, 512)

# %% [markdown]
# From 128 x 128 x 2 to 8 x 8 x 512. Is there less in it or more? Count the numbers:

# %%
{"slice": 128 * 128 * 2, "bottleneck": 8 * 8 * 512}

# %% [markdown]
# The same, to the digit. Nothing forces the network to throw anything away: it trades place for meaning.
#
# ## The way up, and the skip
#
# One level up: double the pixels, convolve, and now the trick that gives the U-Net its strength. The picture as it
# was on the way down, at this very size, is laid beside what came from below. This is a **skip**. Two convolutions
# mix the two.

# %%
x = layers.UpSampling2D()(x)  # (16, 16, 512)
x = convolution(256, side=2)(x)  # (16, 16, 256)
x = layers.Concatenate()([skips[3], x])  # (16, 16, 512): half from the left, half from below
x = convolution(256)(convolution(256)(x))  # (16, 16, 256)

# %%
for level, features in ((2, 128), (1, 64), (0, 32)):
    x = convolution(features, side=2)(layers.UpSampling2D()(x))
    x = layers.Concatenate()([skips[level], x])
    print(f"with the skip of level {level}:", tuple(x.shape[1:]))
    x = convolution(features)(convolution(features)(x))

# %% [markdown]
# The last layer is a convolution of one pixel: it turns the 32 features of a pixel into four numbers, and **softmax**
# turns those into probabilities that sum to 1.

# %%
outputs = layers.Conv2D(4, 1, activation="softmax")(x)  # (128, 128, 4)
model = keras.Model(inputs, outputs)
record("parameters", model.count_params())

# %% [markdown]
# This is the network of the paper, its section 2: the shapes you have just printed, and its number of parameters.
#
# ## Where the parameters sit
#
# ### Exercise 2: count a layer *(core, 5 minutes)*
#
# Write `parameters(side, before, after)`: the number of parameters of a convolution with kernels of side x side
# pixels, from `before` features to `after`. A right answer for our first layer is the number you counted above.


# %% tags=["stub"]
def parameters(side: int, before: int, after: int) -> int:
    """Kernel and biases of one convolution."""
    ...


# %% tags=["solution"]
def parameters(side: int, before: int, after: int) -> int:
    """Kernel and biases of one convolution."""
    return side * side * before * after + after


# %% tags=["check"]
with exercise_check("Exercise 2"):
    first = filled(parameters(3, 2, 32))
    require(first != 3 * 3 * 2 * 32, "you count the kernel and leave the 32 biases out")
    require(first == 608, f"you count {first} for 3 x 3 from 2 to 32 features; the layer above has 608")
    require(parameters(1, 32, 4) == 132, f"you count {parameters(1, 32, 4)} for the last layer; it has 132")

# %% [markdown]
# In the next cell every convolution is listed with the pixels it works on. The work it does for one slice, in
# multiplications, is its kernel times these pixels. Where would you save parameters, and where time?

# %%
import pandas as pd

rows, way = [], "down"
for layer in model.layers:
    way = "up" if isinstance(layer, layers.Dropout) else way
    if isinstance(layer, layers.Conv2D):
        side = layer.output.shape[1]
        rows.append((f"{way} {side}", layer.count_params(), layer.kernel.shape.num_elements() * side**2))
table = pd.DataFrame(rows, columns=["level", "parameters", "multiplications"]).groupby("level", sort=False).sum()
table / 1e6

# %%
deep = table.loc[["down 16", "down 8", "up 16"]].sum() / table.sum()
figure = Figure(figsize=(8, 2.8))
for ax, column in zip(figure.subplots(1, 2), table, strict=True):
    ax.bar(
        table.index,
        table[column] / 1e6,
        color=["#0072B2" if way.split()[1] in ("16", "8") else "#BBBBBB" for way in table.index],
    )
    ax.set_title(f"millions of {column}: {deep[column]:.0%} in the bottom three")
    ax.tick_params(axis="x", rotation=60)
    ax.grid(False, axis="x")
figure.suptitle("The parameters sit at the bottom, the work is spread over all levels")
record("share_of_parameters_at_the_bottom", float(deep["parameters"]))
style.alt(
    figure,
    "Parameters and multiplications per level: parameters peak where the picture is smallest, work where it is large.",
)

# %% [markdown] tags=["paper: section 2"]
# One level down there are a quarter of the pixels and twice the features on both sides of a kernel: four times the
# parameters for the same work. Who wants a smaller file makes the bottom narrower; who wants a faster network has to
# look elsewhere.
#
# ## The same, from helpers
#
# `helpers.models.unet` holds this code as a function, with width, depth and inputs as arguments. Is it the same? Give
# it our weights, and both networks our slice.

# %%
theirs = unet()
theirs.set_weights(model.get_weights())
ours, same = np.array(model(image)), np.array(theirs(image))  # (1, 128, 128, 4) twice
float(np.abs(ours - same).max())

# %% [markdown]
# For the experiments below we want to tamper with the skips, so here it is once more in one piece, with a place to do
# so: `across` is what a skip does on its way.


# %% tags=["long"]
def build(across, size: int = SIZE, filters: int = FILTERS) -> keras.Model:
    """The U-Net; `across` is applied to every skip."""
    inputs = keras.Input((size, size, 2))
    x, skips = inputs, []
    for level in range(4):
        x = convolution(filters * 2**level)(x)
        x = convolution(filters * 2**level)(x)  # (size, size, filters), half as wide and twice as deep each time
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = convolution(filters * 16)(x)
    x = convolution(filters * 16)(x)
    x = layers.Dropout(0.2)(x)
    for level in reversed(range(4)):
        x = convolution(filters * 2**level, side=2)(layers.UpSampling2D()(x))
        x = layers.Concatenate()([across(skips[level]), x])
        x = convolution(filters * 2**level)(x)
        x = convolution(filters * 2**level)(x)
    return keras.Model(inputs, layers.Conv2D(4, 1, activation="softmax")(x))


# %% [markdown]
# ## How far a pixel sees
#
# We shrank the picture to see further. How far does a value at the bottom see? Let us measure it: the gradient of one
# value with respect to the input is 0 wherever a pixel cannot change it. The extent of the rest is its **receptive
# field**. A network with positive weights only, so that no ReLU hides anything:

# %%
import tensorflow as tf

tf.get_logger().setLevel("ERROR")  # it warns of many networks in one notebook, which is what we want
probe = build(lambda skip: skip, size=192, filters=4)
probe.set_weights([np.abs(weight) for weight in probe.get_weights()])
joins = [layer for layer in probe.layers if isinstance(layer, layers.Concatenate)]
bottom = next(layer for layer in probe.layers if isinstance(layer, layers.Dropout))
taps = keras.Model(probe.inputs, [join.input[0] for join in joins[::-1]] + [bottom.output])
noise = tf.random.stateless_uniform((8, 192, 192, 2), (SEED, 0))


# %%
def field(level: int) -> int:
    """Width in pixels of what the middle value of a level sees."""
    with tf.GradientTape() as tape:
        tape.watch(noise)
        level_output = taps(noise)[level]
        middle = level_output.shape[1] // 2
        seen = tf.reduce_sum(level_output[:, middle, middle])
    gradient = np.abs(tape.gradient(seen, noise)).sum(axis=(0, 2, 3))  # (192,)
    return int(np.flatnonzero(gradient)[-1] - np.flatnonzero(gradient)[0] + 1)


fields = {f"{128 // 2**level} x {128 // 2**level}": field(level) for level in range(5)}
record("receptive_field_px", fields)

# %%
figure = Figure(figsize=(6.4, 4.6))
ax = figure.subplots()
show_slice(ax, image[0, :, :, 0], view)
ax.set_title("What one value of each level sees")
for (level, width), colour in zip(fields.items(), ("#F0E442", "#E69F00", "#D55E00", "#CC79A7", "#56B4E9"), strict=True):
    edge = 96 + min(width, 127) / 2 * grid.pixel_mm * np.array([-1, 1])  # no wider than the window
    label = f"{level}: {width} pixels, {width * grid.pixel_mm:.0f} mm"
    ax.plot(edge[[0, 1, 1, 0, 0]], edge[[0, 0, 1, 1, 0]], color=colour, label=label)
figure.legend(loc="outside right center")
style.alt(
    figure,
    "Squares round the middle of the brain, from a few millimetres at the first level to the whole window at the last.",
)

# %% [markdown]
# A value of the first level sees a few millimetres, less than a fold of the cortex. A value at the bottom sees
# further than the window is wide. Up there the network sees edges without knowing what they belong to, down there it
# knows the head without seeing an edge. The skips let the two meet.
#
# ## A training that stops before it began
#
# Before we train, a trap. **Cross-entropy** makes the probability of each pixel's true class large: it is the mean of
# -log p. The logarithm of 0 is infinite, so one keeps p above a floor. Keras's own floor is `keras.config.epsilon()`,
# and many losses written by hand copy it. Ours, in `helpers`, has a far lower one. Can such a small number matter?
#
# First the slices, prepared once for all that follows, and a split by patient.

# %%
from helpers.data.splits import make_split
from helpers.data.store import open_store

folder = Path(OUTPUT_DIR or tempfile.mkdtemp())
store = open_store(patients, folder / "slices", PAIR, Grid(SIZE))
split = make_split(patients, SEED, folds=FOLDS)
print(f"{len(split.train)} patients train, {len(split.validation)} choose the best epoch, {len(split.test)} are tested")

# %%
rng = np.random.default_rng(SEED)
rows = store.rows(split.train)
some = np.sort(rng.choice(rows[store.has_brain[rows]], 16, replace=False))
images = tf.constant(store.images[some], tf.float32)  # (16, size, size, 2)
soft_labels = tf.constant(store.soft_labels[some] / np.float32(255))  # (16, size, size, 4)
print(f"{1 - float(tf.reduce_mean(soft_labels[..., 0])):.1%} of these pixels are tumour")

# %% [markdown]
# Sixteen slices, shown again and again: any network should learn them by heart. We watch the loss, and the length of
# the gradient, which is what moves the weights.


# %%
def learn_by_heart(floor: float) -> np.ndarray:
    """Loss and length of the gradient at every step, (steps, 2)."""
    keras.utils.set_random_seed(SEED)
    network, adam = build(lambda skip: skip, filters=16), keras.optimizers.Adam(1e-3)
    adam.build(network.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            p = tf.clip_by_value(network(images, training=True), floor, 1.0)
            loss = tf.reduce_mean(-tf.reduce_sum(soft_labels * tf.math.log(p), axis=-1))
        gradients = tape.gradient(loss, network.trainable_variables)
        adam.apply(gradients, network.trainable_variables)
        return loss, tf.linalg.global_norm(gradients)

    return np.array([[float(value) for value in step()] for _ in range(STEPS)])


# %%
floors = {"floor 1e-7": learn_by_heart(keras.config.epsilon()), "floor 1e-30": learn_by_heart(1e-30)}
figure = Figure(figsize=(8, 3))
for ax, column, name in zip(figure.subplots(1, 2), (0, 1), ("loss", "length of the gradient"), strict=True):
    for floor, values in floors.items():
        ax.plot(np.arange(1, STEPS + 1), values[:, column], label=floor)
    ax.set_title(name)
    ax.set_xlabel("step")
ax.legend()
figure.suptitle("With the higher floor nothing moves any more")
style.alt(
    figure,
    "Loss and gradient per step for two floors: with the floor of 1e-7 the gradient falls to 0 and the loss stays.",
)

# %%
last = {floor: values[-1] for floor, values in floors.items()}
record("gradient_at_the_end", {floor: float(values[1]) for floor, values in last.items()})
pd.DataFrame(last, index=["loss", "length of the gradient"]).T

# %% [markdown]
# Look at the first line's gradient. In a few steps the network has learnt that nearly everything is background, and
# it overdoes it: in the tumour's pixels too the true class falls below the floor. There the clipped logarithm is
# flat. Flat means no gradient, and no gradient means that nothing will ever pull those pixels back. The loss it stays
# at is exactly the price of the tumour: its share of the pixels, times -log of the floor.

# %%
-np.log(keras.config.epsilon()) * float(1 - tf.reduce_mean(soft_labels[..., 0])), float(last["floor 1e-7"][0])

# %% [markdown]
# The network at the lower floor goes through the same moment and comes back. Keras's own `CategoricalCrossentropy`
# avoids the trap where it can, by looking behind the softmax for the numbers before it; a loss that you write
# yourself does not. When a training stands still, print the gradient.
#
# ## What a skip carries
#
# Now a short training with the loss of `helpers`, which lesson 07 explains. One line an epoch:

# %%
from helpers.learn.budget import Budget
from helpers.tasks.brain.training import Recipe, fit_brain

keras.utils.set_random_seed(SEED)
plain = build(lambda skip: skip)
history = fit_brain(
    plain,
    store,
    split,
    folder / "plain",
    Budget(epochs=EPOCHS),
    recipe=Recipe(augmentation="none", batch_size=BATCH),
    seed=SEED,
)

# %% [markdown]
# It has learnt something. So now look at the last join, where the skip of the first level meets what came up from the
# bottom. Four feature maps of each, those that vary most:


# %%
def at_the_join(network: keras.Model) -> list[np.ndarray]:
    """The last skip, and what it is joined with, for our slice: each (size, size, filters)."""
    join = [layer for layer in network.layers if isinstance(layer, layers.Concatenate)][-1]
    both = keras.Model(network.inputs, join.input).predict(
        store.volume(scan.id)[0][k : k + 1].astype("float32"), verbose=0
    )
    return [maps[0] for maps in both]


def strongest(maps: np.ndarray) -> np.ndarray:
    """The four maps that vary most over the picture."""
    return np.argsort(maps.std(axis=(0, 1)))[::-1][:4]


# %%
carried, risen = at_the_join(plain)
coarse_view = replace(view, spacing=(store.grid.pixel_mm, store.grid.pixel_mm))
figure = Figure(figsize=(8, 4.6))
for row, maps, name in zip(figure.subplots(2, 4), (carried, risen), ("skip", "from below"), strict=True):
    for ax, feature in zip(row, strongest(maps), strict=True):
        show_slice(ax, maps[..., feature], coarse_view, (0, float(maps[..., feature].max())), marks=False)
        ax.set_title(f"{name}, map {feature}")
figure.suptitle("Above: the skip carries edges. Below: what came up from the bottom is blurred")
style.alt(
    figure, "Feature maps of the skip show the brain's texture; those from below are blurred patches round the tumour."
)

# %% [markdown]
# Compare how finely the two rows are drawn. The bright frame below is no anatomy: it is the zeros that padding adds
# at every level, grown on the way up. How much do the drawings depend on the skips? Cut the skips: the same weights,
# with zeros in place of what the skips carry.

# %%
from helpers.measure.regions import REGIONS, mask

cut = build(lambda skip: skip * 0.0)
cut.set_weights(plain.get_weights())
tested = [patient for patient in patients if patient.id in split.test]
example = read_scan(tested[0], PAIR)
drawn = {
    name: Segmenter(net, PAIR, store.grid, flip=False).predict(example) for name, net in (("with", plain), ("cut", cut))
}

# %%
slices.compare(example, example.seg, drawn["with"], title="A patient the network never saw, with skips")

# %%
slices.compare(example, example.seg, drawn["cut"], title="The same network, its skips cut")

# %% [markdown]
# What is left is not a blurred version of the right answer. The convolutions after each join have learnt to rely on
# both halves, and from one of them alone they make nonsense, or nothing. This is no fair comparison, since a network
# trained without skips would have made do; that is the stretch exercise.
#
# ## Sharper skips
#
# The skip carries edges. Would it help to carry them sharper? Sharp U-Net (Zunair and Ben Hamza 2021, arXiv
# 2107.12461) sends every skip through a fixed filter: eight times a pixel, less its eight neighbours.

# %%
from helpers.models.unet import SHARPEN, sharpen

np.array(SHARPEN)[:, :, 0, 0]

# %% [markdown]
# On a plain grey square with one step in it, guess what remains of the plain parts.

# %%
step = np.where(np.arange(8) < 4, 1.0, 3.0) * np.ones((8, 1))
np.array(sharpen(step[None, :, :, None].astype("float32")))[0, 1:-1, 1:-1, 0]

# %% [markdown]
# Nothing remains of them: inside, only the step is left, with both its signs. (We cut the rim of the array off, where
# the filter meets the zeros beyond the edge.) A filter called sharpening in fact removes everything but edges. On a
# real skip:

# %%
sharp_maps = np.array(sharpen(carried[None]))[0]
chosen = strongest(carried)[:2]
figure = Figure(figsize=(8, 2.6))
for ax, (maps, feature, name) in zip(
    figure.subplots(1, 4),
    [(m, f, n) for f in chosen for m, n in ((carried, "skip"), (sharp_maps, "sharpened"))],
    strict=True,
):
    limit = float(np.abs(maps[..., feature]).max()) * 0.7
    ax.imshow(coarse_view.turn(maps[..., feature]), vmin=0 if name == "skip" else -limit, vmax=limit)
    ax.set_axis_off()
    ax.set_title(f"{name}, map {feature}")
figure.suptitle("What was a region becomes its outline")
style.alt(figure, "Two feature maps of the skip and the same after the Laplacian: plain areas become grey, edges stay.")

# %% [markdown]
# It has nothing to learn, so the number of trainable parameters stays. We train it as long as its sibling, from the
# same seed, on the same slices.

# %%
from helpers.lessons.shared_training import train_once


def train_sharp(place):
    keras.utils.set_random_seed(SEED)
    recipe = Recipe(augmentation="none", batch_size=BATCH)
    fit_brain(build(sharpen), store, split, place, Budget(epochs=EPOCHS), recipe, SEED)


made = {"data": store.manifest["checksums"], "split": split.digest, "seed": SEED}
made |= {"size": SIZE, "filters": FILTERS, "batch": BATCH, "epochs": EPOCHS}
place = train_once(train_sharp, folder / "sharp", "sharp-unet", **made)  # or another run of this lesson has
sharp = keras.models.load_model(place / "model.keras")
trainable = {
    name: sum(w.shape.num_elements() for w in net.trainable_weights)
    for name, net in (("plain", plain), ("sharp", sharp))
}
trainable

# %% [markdown]
# Which one is better? Both draw every test patient, on the patient's own grid, all slices. Beside them stands the
# model that finds nothing.


# %%
def patient_dice(labels_of) -> pd.DataFrame:
    """Dice of every test patient (rows) and region (columns)."""
    rows = []
    for patient in tested:
        one = read_scan(patient, PAIR)
        labels = labels_of(one)
        rows.append({region: dice(mask(one.seg, region), mask(labels, region)) for region in REGIONS})
    return pd.DataFrame(rows, index=[patient.id for patient in tested])


scored = {
    name: patient_dice(Segmenter(net, PAIR, store.grid, flip=False).predict)
    for name, net in (("plain", plain), ("sharp", sharp))
}
scored["nothing"] = patient_dice(lambda one: np.zeros_like(one.seg))

# %%
from helpers.measure.statistics import bootstrap_ci

means = pd.DataFrame({name: scores.mean() for name, scores in scored.items()}).T
record("dice", {name: row.to_dict() for name, row in means.iterrows()})
means.round(3)

# %% [markdown]
# Did you expect the model that finds nothing to score at ET? Where a patient has no enhancing tumour, nothing is the
# right answer. So a network that scores there what nothing scores has not found the rim; trainings as short as ours
# may well end there.
#
# The two siblings differ. So would two trainings of one network, or two sets of patients. The right comparison is
# patient by patient: how much better is sharp than plain on the same head, and how sure is the mean of that?

# %%
gain = scored["sharp"] - scored["plain"]  # (patients, regions)
intervals = {region: bootstrap_ci(gain[region]) for region in REGIONS}
record(
    "sharp_gain", {region: {"mean": float(gain[region].mean()), "ci95": list(intervals[region])} for region in REGIONS}
)
for region, (low, high) in intervals.items():
    verdict = "cannot tell them apart" if low <= 0 <= high else "sharp is ahead" if low > 0 else "plain is ahead"
    print(f"{region}: {gain[region].mean():+.3f}, between {low:+.3f} and {high:+.3f}: {verdict}")

# %%
figure = Figure(figsize=(8, 2.6))
ax = figure.subplots()
for row, region in enumerate(REGIONS):
    ax.scatter(gain[region], np.full(len(gain), row), color=style.REGION_COLOURS[region], alpha=0.45, s=24)
    ax.plot(intervals[region], [row + 0.25] * 2, color="black")
    ax.plot(gain[region].mean(), row + 0.25, "o", color="black", markersize=5)
ax.axvline(0, color="#555555", linewidth=1)
ax.set_yticks(range(3), REGIONS)
ax.set_xlabel("Dice of sharp less Dice of plain, one dot a patient; black: mean with its 95 % interval")
figure.suptitle("Right of the line the sharpened skips helped")
style.alt(figure, "Per patient and region the gain in Dice from sharpened skips, with mean and interval.")

# %% [markdown]
# A dot far out at ET is a patient without enhancing tumour in whom one of the two saw a few voxels of it: by our rule
# such a patient jumps from 1 to 0. Read the verdicts and then distrust them a little. The interval covers other
# patients, not other seeds: we trained each network once, briefly, and small. Change SEED or EPOCHS at the top and
# see which verdicts survive. The paper of Sharp U-Net reports gains on its own data sets; on yours, this is the
# experiment to repeat, at full length and with several seeds, before you believe either of us.
#
# ### Exercise 3: a network without skips *(stretch, 20 minutes)*
#
# Cutting the skips of a trained network was unfair. Write `no_skips(skip)`, to be given to `build`, so that nothing
# of the encoder goes across but the shapes still fit, then train `build(no_skips)` as we trained `plain` and compare
# `patient_dice`. A right answer gives zeros of the skip's shape; the trained network gets regions right and edges
# wrong.


# %% tags=["stub"]
def no_skips(skip):
    """What goes across instead of the skip."""
    ...


# %% tags=["solution"]
def no_skips(skip):
    """What goes across instead of the skip."""
    return keras.ops.zeros_like(skip)


# %% tags=["check"]
with exercise_check("Exercise 3"):
    given = np.array(filled(no_skips(keras.ops.ones((1, 4, 4, 3)))))
    require(
        given.shape == (1, 4, 4, 3), f"a skip of shape (1, 4, 4, 3) became {given.shape}; the shapes must still fit"
    )
    require(not given.any(), "something of the skip still goes across; expected zeros")
    require(build(no_skips).count_params() == plain.count_params(), "the network changed its number of parameters")

# %% [markdown]
# ## From 2015 to today
#
# The network you built is the U-Net of 2015. What has been added since is mostly small, and the same function builds
# it. Guess first: which of these rows adds the most numbers to learn, and which the fewest?

# %%
today = {
    "the paper's": {},
    "batch normalisation": {"normalisation": "batch"},
    "instance normalisation": {"normalisation": "instance"},
    "residual blocks": {"residual": True},
    "all four modalities": {"channels": 4},
    "2.5-D: the slices above and below": {"channels": 6},
}
grown = {name: unet(SIZE, **{"channels": 2, "filters": FILTERS, **more}).count_params() for name, more in today.items()}
pd.DataFrame({"parameters": grown}).assign(
    more=lambda table: table["parameters"] / grown["the paper's"] - 1
).style.format({"parameters": "{:,}", "more": "{:+.1%}"})

# %% [markdown]
# **Normalisation** keeps the features of a layer at mean 0 and deviation 1, over a batch or over each picture by
# itself. A **residual block** adds what went in to what comes out. The last two rows show the network more of the
# patient. And two things leave it as it is. In a **crop** a step of the training sees two thirds of the window, at
# a random place: it costs less than half, so the same minutes hold more steps, of more slices. The **decision** makes
# a mask of the probabilities by the highest expected Dice, where the usual way takes the largest.
#
# Which of them helps? Phantoms cannot say, and a lesson is too short. The command
#
# `python -m helpers recipes --data DIR --out OUT --rows paper,decision,crop,four,batch --minutes 5`
#
# trained each row on real patients, once for each hospital, on the patients of the *other* hospitals. So every
# patient is a stranger to the network that outlines them. What it measured is kept with the course:

# %%
from helpers.lessons.measured import read_recipes
from helpers.show.comparison import recipes

measured = read_recipes()
recipes(measured, title=f"{len(measured['rows']) - 1} recipes at hospitals that they never saw")

# %%
first, *others = measured["rows"]
for row in others:
    scores = {region: row["regions"][region]["difference"] for region in REGIONS}
    better = [region for region, one in scores.items() if one["told"] and one["mean"] > 0]
    worse = [region for region, one in scores.items() if one["told"] and one["mean"] < 0]
    told = [f"{word} at {', '.join(found)}" for word, found in (("better", better), ("worse", worse)) if found]
    print(f"{row['name']} ({row['help']}): {' and '.join(told) or 'cannot be told'}")
print(f"\npatients {measured['n']}, seeds {measured['seeds']}, minutes of each training {measured['minutes']:g}")

# %% [markdown]
# Every row but the first also decides by expected Dice, and every row below crop trains on crops: compare these with
# crop, not with the paper's. Five minutes on two cores are few, and favour what is cheap for a step; whoever trains
# for a day may find another order. That is a reason to run the command on your own machine with your own patients,
# and none to believe a list of improvements, this one among them.
#
# ## The question of the beginning
#
# How does a network that shrinks its picture sixteen times still draw a sharp outline? It does not draw it from what
# it shrank: every level hands its picture across before it is pooled, so what the bottom understood is drawn along
# edges that never left the top.
#
# We left out attention gates and networks in three dimensions; nnU-Net (Isensee et al. 2021) shows how little of what
# was added since 2015 is needed when data and training are right. That is where we go next: lesson 07 trains this
# network for longer than a few epochs.
