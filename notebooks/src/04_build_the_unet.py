# %% tags=["parameters"]
SEED = 0
DATA_DIR = ""  # folder with BraTS patients; empty: the Kaggle set, else phantoms
OUTPUT_DIR = ""  # receives slices and models; empty: a scratch folder
PATIENTS = 20  # how many of the catalogue take part in the short trainings
SIZE = 64  # pixels along each side of the window of the networks that are trained here
FILTERS = 8  # features of their first level
EPOCHS = 4  # of each of the three trainings that are compared
BATCH = 8  # slices a step
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
network = unet(SIZE, filters=FILTERS)
untrained = Segmenter(
    network, PAIR, Grid(SIZE), flip=False
)  # flip: asks twice, mirrored
slices.compare(
    scan,
    scan.seg,
    untrained.predict(scan),
    title="An untrained network has an opinion on every pixel",
)

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
scaled = grid.down(zscore(scan.images), scan.spacing, centre)  # (slices, 128, 128, 2)
image = scaled[k : k + 1]  # (1, 128, 128, 2)
view = replace(plane(scan.affine), spacing=(grid.pixel_mm, grid.pixel_mm))
image.shape, grid.pixel_mm

# %% [markdown]
# A **convolution** slides a small window over the picture. At every place it multiplies the numbers under the window
# with its **kernel**, adds them up, adds a **bias**, and, with the activation **ReLU**, replaces what is negative by
# 0. Each of its 32 kernels makes one **feature map**.

# %%
from keras import layers

he = "he_normal"  # initial values of a size that a ReLU keeps (He et al. 2015)
conv = layers.Conv2D(32, 3, padding="same", activation="relu", kernel_initializer=he)
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
# The size of the picture does not occur in it: the same kernels would serve a picture of any size. Nobody chooses
# them; they are learnt. But one can choose one, to see what a kernel does: this one takes what is left of a pixel from
# what is right of it. Watch it move over a corner of our slice, every fourth pixel of it.

# %%
from helpers.show.network import slide

coarse = view.turn(image[0, ::4, ::4, 0])  # (32, 32)
brightest = np.unravel_index(coarse.argmax(), coarse.shape)
row, column = np.clip(brightest, 4, 27)
upright_edges = np.array([[-1.0, 0, 1], [-1, 0, 1], [-1, 0, 1]])
corner = coarse[row - 4 : row + 5, column - 4 : column + 5]  # (9, 9)
slide(corner, upright_edges, "its map: orange where it brightens")

# %% [markdown]
# Every place is answered from nine pixels and no others. What kernels cannot do is see further than one pixel to each
# side.

# %% [markdown] tags=["question"]
# You double the width and the height of the slices. What happens to the number of parameters of this convolution?
#
# - It stays. :: Right: a kernel is as large as its window, and it visits more places.
# - It is multiplied by four. :: No: the work is, since there are four times as many places; the numbers to learn are
#   the kernel's.
# - The layer cannot be used any more; it was built for 128 x 128. :: No: only its kernel is fixed. A layer that joins
#   every pixel with every other one, a dense layer, could not be used.

# %% [markdown]
# ## Seeing further, by shrinking
#
# To see further, the network shrinks the picture. **Max pooling** keeps the largest of every four pixels. On the way
# back, **nearest up-sampling** writes every pixel four times. Follow the 9:

# %%
tiny = [[9, 1, 0, 0], [1, 0, 0, 4], [0, 0, 2, 0], [0, 7, 0, 3]]
tiny = np.array(tiny, "float32")[None, :, :, None]  # (1, 4, 4, 1)
pooled = layers.MaxPooling2D()(tiny)  # (1, 4, 4, 1) -> (1, 2, 2, 1)
risen = layers.UpSampling2D()(pooled)  # (1, 2, 2, 1) -> (1, 4, 4, 1)

# %%
from helpers.show.network import numbers

steps = {"picture": tiny, "pooled": pooled, "up-sampled": risen}
arrays = {name: np.array(array)[0, :, :, 0] for name, array in steps.items()}
numbers(arrays, "Pooling keeps that there was a 9, and forgets where")

# %% [markdown]
# The 9 is still there, four times over, and its corner is lost. The paper's network does this four times in a row:
# 128 pixels become 8. Suppose it did everything else perfectly: how good an outline could be drawn in 8 x 8 squares,
# each filled or left empty? Guess its **Dice**, the overlap with the truth, where 1 is perfect, for the thinnest
# region, the enhancing rim (ET).

# %% tags=["guess"]
my_guess_of_the_rim = None  # a number between 0 and 1

# %% [markdown]
# The best outline fills the squares that hold most of the region, and no more of them than pay. So: the fullest square
# first, then the next, and the Dice after each.

# %%
from helpers.data.resample import soft_labels_on
from helpers.measure.overlap import dice

soft_labels = soft_labels_on(scan.seg, grid, scan.spacing, centre)[k]  # (128, 128, 4)
truths = {
    "WT": soft_labels[..., 1:].sum(axis=-1) > 127,  # (128, 128); 255: the whole pixel
    "ET": soft_labels[..., 3] > 127,
}


def best_outline(side: int, truth: np.ndarray) -> np.ndarray:
    """The mask of side x side squares that overlaps best with the truth."""
    block = 128 // side
    share = truth.reshape(side, block, side, block).mean(axis=(1, 3))  # (side, side)
    squares = [share >= level for level in np.unique(share[share > 0])]
    masks = [one.repeat(block, axis=0).repeat(block, axis=1) for one in squares]
    return max(masks, key=lambda mask: dice(truth, mask))  # (128, 128)


# %%
from matplotlib.figure import Figure

figure = Figure(figsize=(8, 4.5))
survived, rims = {}, {"WT": 2, "ET": 3}  # the outermost class of each
for row, (region, truth) in zip(figure.subplots(2, 4), truths.items(), strict=True):
    for ax, side in zip(row, (64, 32, 16, 8), strict=True):
        left = best_outline(side, truth)
        score = survived[f"{region} {side}"] = dice(truth, left)
        drawn, colour = left.astype(int), {1: style.CLASS_COLOURS[rims[region]]}
        show_slice(ax, image[0, :, :, 0], view, None, drawn, colour, marks=False)
        ax.set_title(f"{region}, {side} x {side}: Dice {score:.2f}")
figure.suptitle("The best outline that a coarse grid allows, in one slice")
record("dice_through_8", {region: survived[f"{region} 8"] for region in truths})
listed = ", ".join(f"{name} squares {score:.2f}" for name, score in survived.items())
style.alt(figure, f"Tumour and rim in ever larger squares. Dice: {listed}.")

# %%
from helpers.lessons.guess import compare_guess

what = "The best Dice of the rim in 8 x 8 squares"
print(compare_guess(what, my_guess_of_the_rim, survived["ET 8"]))

# %% [markdown]
# Through 8 x 8 squares a large tumour becomes a few bricks, and a rim that is thinner than a brick becomes a brick as
# well. That is the most that 64 times yes or no can draw. The bottom of the network has more than yes and no at each
# square, so it *could* keep the place in some other way. Whether it does is a question for an experiment, at the end.
#
# **Exercise 1** (core, 5 minutes). At every level the paper's network convolves twice. Write `block(x, features)`: two
# 3 x 3 convolutions with so many features each, same padding, ReLU after each, He's initial values (`he_normal`). A
# right answer turns (1, 16, 16, 2) into (1, 16, 16, 5) for 5 features, and has 325 parameters.


# %% tags=["stub"]
def block(x, features: int):
    """Two convolutions, one after the other."""
    ...


# %% tags=["solution"]
def block(x, features: int):
    """Two convolutions, one after the other."""
    how = {"padding": "same", "activation": "relu", "kernel_initializer": "he_normal"}
    x = layers.Conv2D(features, 3, **how)(x)
    return layers.Conv2D(features, 3, **how)(x)


# %% tags=["check", "long"]
from helpers.lessons.checks import exercise_check, filled, require

with exercise_check("Exercise 1"):
    start = keras.Input((16, 16, 2))
    try:
        end = filled(block(start, 5))
    except ValueError as error:
        said = "one layer has one kernel, made for its first input; make two layers"
        require("incompatible with the layer" not in str(error), said)
        raise
    said = "your block returns {}; expected what the second convolution returns"
    require(isinstance(end, keras.KerasTensor), said.format(type(end).__name__))
    said = f"it turns 16 x 16 pixels into {end.shape[1]} x {end.shape[2]}"
    require(end.shape[1:3] == (16, 16), f"{said}; with padding='same' they stay")
    said = f"you were asked for 5 features and return {end.shape[-1]}"
    require(end.shape[-1] == 5, said)
    network = keras.Model(start, end)
    parts = [inner for one in network.layers for inner in getattr(one, "layers", [one])]
    convs = [one for one in parts if isinstance(one, layers.Conv2D)]
    said = f"your block has {len(convs)} convolution(s) on its way, expected two"
    require(len(convs) == 2, f"{said}; the second takes what the first returns")
    count = network.count_params()
    said = f"it has {count} parameters; two 3 x 3 convolutions with biases have 325"
    require(count == 95 + 230, said)
    kinds = {type(conv.kernel_initializer).__name__ for conv in convs}
    said = f"its kernels begin as {', '.join(sorted(kinds))}; asked was he_normal"
    require(kinds == {"HeNormal"}, f"{said}, for both")
    ones, minus = np.ones((3, 3, 5, 5)), -np.ones(5)
    convs[1].set_weights([ones, minus])
    lowest = float(np.min(network(np.zeros((1, 16, 16, 2)))))
    require(lowest >= 0, f"it can return {lowest:.0f}: a ReLU at the end is missing")
    convs[0].set_weights([np.zeros((3, 3, 2, 5)), minus])
    convs[1].set_weights([-ones, np.zeros(5)])
    highest = float(np.max(network(np.zeros((1, 16, 16, 2)))))
    require(highest == 0, "a ReLU between the two is missing; without, they act as one")

# %% [markdown] tags=["hint"]
# The layer that was made above, `conv`, has everything but the number of features. Make two of it, one after the other.

# %% [markdown] tags=["hint"]
# `x = layers.Conv2D(features, 3, padding="same", activation="relu", kernel_initializer="he_normal")(x)`, and once more,
# with the new `x`. Then return it.

# %% [markdown] tags=["teacher"]
# Many give the activation to one of the two only: two convolutions with nothing between them are one larger
# convolution, and the check proves it by kernels of its own. Some call both on the input and return the second; the
# check counts the convolutions that are on the way. Few notice the initial values, since nothing breaks without them;
# Glorot's are half as large in variance, which a ReLU that throws half away makes too small with depth.

# %% [markdown] tags=["paper: section 5.2"]
# ## The way down
#
# Now with symbols instead of pictures: `keras.Input` stands for any slice, and Keras keeps track of the shapes. The
# first level:


# %%
def convolution(features: int, side: int = 3) -> layers.Layer:
    """The paper's convolution: same padding, ReLU, He's initial values."""
    how = {"padding": "same", "activation": "relu", "kernel_initializer": "he_normal"}
    return layers.Conv2D(features, side, **how)


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
# The same, to the digit. Nothing forces the network to throw the place away: it has room for it. But it has to learn to
# write the place into features and to read it again, at every square, from few patients.
#
# ## The way up, and the skip
#
# One level up: double the pixels, convolve, and now the trick that gives the U-Net its strength. The picture as it
# was on the way down, at this very size, is laid beside what came from below. This is a **skip**. Two convolutions
# mix the two.

# %%
x = layers.UpSampling2D()(x)  # (16, 16, 512)
x = convolution(256, side=2)(x)  # (16, 16, 256)
x = layers.Concatenate()([skips[3], x])  # (16, 16, 512): left, and below
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

# %% [markdown] tags=["paper: section 2"]
# This is the network of the paper, its section 2: the shapes you have just printed, and its number of parameters. Here
# is the letter that it is named after, drawn from the model: each box is as tall as its picture and as wide as its
# features, both by their logarithm (figures 1, 5 and 6 of the paper).

# %% tags=["paper: figure 1", "paper: figure 5", "paper: figure 6"]
from helpers.show.network import draw_unet, stages

draw_unet(model, title="Down, up, and straight across: the U of this model")

# %% [markdown] tags=["question"]
# Why does the network take more features where the picture is smaller?
#
# - To keep something of what it was: what a square no longer says by its place, it can say by its features. :: Right.
#   Half the pixels along each side and twice the features: half of the numbers are given up at each level.
# - Because deeper layers need more parameters to learn well. :: No: the parameters follow from the features. A network
#   with equal features at every level learns too.
# - Because smaller pictures would be computed too fast for the device. :: No: they are cheaper, which is what lets us
#   afford more features, but it is no reason to have them.

# %% [markdown]
# **Exercise 2** (core, 8 minutes). A U-Net for the chest X-rays of lesson 09, with three levels of pooling instead of
# four: fill in its boxes. Each is (rows, columns, features) after the two convolutions of that level. A right answer
# makes the drawing below whole, and its last box is a picture as large as the first.

# %% tags=["stub"]
my_shapes = [
    (96, 96, 1),  # the radiograph
    ...,  # down, level 0: filters=16
    ...,  # down, level 1
    ...,  # down, level 2
    ...,  # bottom
    ...,  # up, level 2
    ...,  # up, level 1
    ...,  # up, level 0
    ...,  # the probability of lung
]

# %% tags=["solution"]
my_shapes = [
    (96, 96, 1),  # the radiograph
    (96, 96, 16),  # down, level 0: filters=16
    (48, 48, 32),  # down, level 1
    (24, 24, 64),  # down, level 2
    (12, 12, 128),  # bottom
    (24, 24, 64),  # up, level 2
    (48, 48, 32),  # up, level 1
    (96, 96, 16),  # up, level 0
    (96, 96, 1),  # the probability of lung
]

# %% tags=["check", "long"]
with exercise_check("Exercise 2"):
    right = [
        *((96, 96, 1), (96, 96, 16), (48, 48, 32), (24, 24, 64), (12, 12, 128)),
        *((24, 24, 64), (48, 48, 32), (96, 96, 16), (96, 96, 1)),
    ]
    require(isinstance(my_shapes, list), "my_shapes should stay a list of nine shapes")
    given = [filled(one) for one in my_shapes]
    require(len(given) == 9, f"there are {len(given)} shapes; the drawing has 9 boxes")
    names = ["the radiograph", *(f"down, level {level}" for level in range(3))]
    names += ["the bottom", *(f"up, level {level}" for level in (2, 1, 0)), "the end"]
    for name, mine, true in zip(names, given, right, strict=True):
        said = f"{name}: {mine!r} is no (rows, columns, features)"
        require(isinstance(mine, tuple) and len(mine) == 3, said)
        side, features = true[0], true[2]
        pooled, joined = (side // 2, side // 2, features), (side, side, 2 * features)
        said = f"{name}: {mine} is what pooling leaves of it; the box stands before it"
        require("down" not in name or mine != pooled, said)
        said = f"{name}: {mine} is with its skip beside it; two convolutions follow"
        require("up" not in name or mine != joined, said)
        said = f"{name}: one number a pixel will do, since what is not lung is the rest"
        require(name != "the end" or mine[:2] != true[:2] or mine == true, said)
        said = f"{name}: with {mine[2]} features; they double with each level, from 16"
        require(mine[:2] != true[:2] or mine == true, f"{said}, and halve again")
        require(mine == true, f"{name}: {mine} has not the side of this level, {side}")

# %% [markdown] tags=["hint"]
# Write the rows first: 96, halved by each pooling, doubled by each up-sampling. How many poolings lie before each box?

# %% [markdown] tags=["hint"]
# Features: 16 on level 0, twice as many on each level below; on the way up a level has what it had on the way down,
# since two convolutions follow the join. The last layer makes one number a pixel.

# %% [markdown] tags=["teacher"]
# Two usual mistakes, each named by the check: the shape after pooling is written into the box before it, and on the way
# up the features are doubled, as they are right after the skip is laid beside. Let the class say aloud what happens
# between two boxes; the drawing shows boxes only.

# %%
chest = unet(96, channels=1, classes=1, filters=16, depth=3)
labels = [" x ".join(map(str, one)) if one is not ... else "?" for one in my_shapes]
whole = labels if len(labels) == len(stages(chest)) else ["?"] * len(stages(chest))
draw_unet(chest, whole, title="Your U for a radiograph")

# %% [markdown]
# ## Where the parameters sit
#
# **Exercise 3** (core, 5 minutes). Write `parameters(side, before, after)`: the number of parameters of a convolution
# with kernels of side x side pixels, from `before` features to `after`. A right answer for our first layer is the
# number you counted above, and for the last, from 32 features to 4 classes, 132.


# %% tags=["stub"]
def parameters(side: int, before: int, after: int) -> int:
    """Kernel and biases of one convolution."""
    ...


# %% tags=["solution"]
def parameters(side: int, before: int, after: int) -> int:
    """Kernel and biases of one convolution."""
    return side * side * before * after + after


# %% tags=["check"]
with exercise_check("Exercise 3"):
    first, last = filled(parameters(3, 2, 32)), parameters(1, 32, 4)
    require(first != 576, "you count 576 for 3 x 3 from 2 to 32: 32 biases are missing")
    require(first != 578, "you give each of 2 features a bias; each of the 32 has one")
    said = f"you count {first} for 3 x 3 from 2 to 32 features; the layer above has 608"
    require(first != 640, f"{said}: a kernel has one bias, not one a feature it reads")
    require(first != 224, f"{said}: a kernel is a square, so its side counts twice")
    require(first != 320, f"{said}: each of 32 kernels looks at both features")
    require(first == 608, said)
    require(last == 132, f"you count {last} for 1 x 1 from 32 to 4 features; not 132")

# %% [markdown] tags=["hint"]
# One kernel has side x side numbers for every feature it reads. How many kernels are there, and what comes to each?

# %% [markdown] tags=["hint"]
# `side * side * before` numbers a kernel, `after` kernels, and one bias for each of those.

# %% [markdown] tags=["teacher"]
# Forgetting that a kernel reaches through all features below it is the mistake that matters: it makes deep layers look
# cheap. The check tells it apart from the forgotten biases and from the side taken once.

# %% [markdown]
# In the next cell every convolution is listed with the pixels it works on. The work it does for one slice, in
# multiplications, is its kernel times these pixels. Where would you save parameters, and where time?

# %%
import pandas as pd

rows, way = [], "down"
for layer in model.layers:
    way = "up" if isinstance(layer, layers.Dropout) else way
    if isinstance(layer, layers.Conv2D):
        side, kernel_size = layer.output.shape[1], layer.kernel.shape.num_elements()
        rows.append((f"{way} {side}", layer.count_params(), kernel_size * side**2))
listed = pd.DataFrame(rows, columns=["level", "parameters", "multiplications"])
table = listed.groupby("level", sort=False).sum()
(table / 1e6).round(2)  # millions

# %%
deep = table.loc[["down 16", "down 8", "up 16"]].sum() / table.sum()
figure = Figure(figsize=(8, 2.8))
bottom = [one.split()[1] in ("16", "8") for one in table.index]
colours = ["#0072B2" if one else "#BBBBBB" for one in bottom]
for ax, column in zip(figure.subplots(1, 2), table, strict=True):
    ax.bar(table.index, table[column] / 1e6, color=colours)
    ax.set_title(f"millions of {column}: {deep[column]:.0%} in the bottom three")
    ax.tick_params(axis="x", rotation=60)
    ax.grid(False, axis="x")
figure.suptitle("Parameters sit at the bottom, the work is spread over all levels")
record("share_of_parameters_at_the_bottom", float(deep["parameters"]))
told = "Parameters peak where the picture is smallest; work is alike at all levels "
style.alt(figure, f"{told}of a way, larger on the way up: a join doubles features.")

# %% [markdown] tags=["paper: section 2"]
# One level down there are a quarter of the pixels and twice the features on both sides of a kernel: four times the
# parameters for the same work. Who wants a smaller file makes the bottom narrower; who wants a faster network has to
# look elsewhere.

# %% [markdown] tags=["question"]
# You leave the bottom level out. What becomes of the network's parameters, and of the time for a slice?
#
# - Most parameters go, little time. :: Right: the bottom and the level above hold most of the numbers, and do a small
#   part of the multiplications.
# - Both go down by the same share. :: No: parameters depend on the features alone, the work on features times pixels.
# - Most of the time goes, few parameters. :: No: it is the other way round; look at the blue bars.

# %% [markdown]
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
        x = convolution(filters * 2**level)(x)  # (size, size, filters) and on
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
# We shrank the picture to see further. How far does a value at the bottom see? The extent of the pixels that can change
# it is its **receptive field**. A 3 x 3 convolution adds one step to each side, pooling one step to one side, and after
# each pooling a step is twice as long, in pixels of the slice.

# %%
width, step, fields = 1, 1, {}
for level in range(5):
    width += 2 * 2 * step  # two convolutions, a step to each side
    fields[f"{128 // 2**level} x {128 // 2**level}"] = width
    width, step = width + step, 2 * step  # pooling
record("receptive_field_px", fields)

# %%
from helpers.show.network import receptive_fields

receptive_fields(image[0, :, :, 0], view, fields, "What one value of each level sees")

# %% [markdown]
# A value of the first level sees a few millimetres, less than a fold of the cortex. A value at the bottom sees
# further than the window is wide. Up there the network sees edges without knowing what they belong to, down there it
# knows the head without seeing an edge. The skips let the two meet. That is the idea; does it hold?
#
# ## What a skip carries
#
# Now a short training, with the loss of `helpers`, which lesson 07 explains. First the slices, prepared once for all
# that follows, and a split by patient.

# %%
from helpers.data.splits import make_split
from helpers.data.store import open_store

folder = Path(OUTPUT_DIR or tempfile.mkdtemp())
store = open_store(patients, folder / "slices", PAIR, Grid(SIZE))
split = make_split(patients, SEED, folds=FOLDS)
parts = {
    "train": split.train,
    "choose the best epoch": split.validation,
    "are tested": split.test,
}
print("patients:", ", ".join(f"{len(ids)} {what}" for what, ids in parts.items()))

# %%
from helpers.learn.budget import Budget
from helpers.lessons.shared_training import train_once
from helpers.tasks.brain.training import Recipe, fit_brain

recipe = Recipe(augmentation="none", batch_size=BATCH)
made = {"data": store.manifest["checksums"], "split": split.digest, "seed": SEED}
made |= {"size": SIZE, "filters": FILTERS, "batch": BATCH, "epochs": EPOCHS}


# %% tags=["long"]
def train(across, name: str, start: keras.Model | None = None) -> keras.Model:
    """A U-Net with `across` on its skips; with `start` it begins with those weights."""

    def fit(place):
        keras.utils.set_random_seed(SEED)
        budget = Budget(epochs=EPOCHS)
        network = build(across)
        if start:
            network.set_weights(start.get_weights())
        fit_brain(network, store, split, place, budget, recipe, SEED, lambda _: None)

    how = made | {"across": name, "start": bool(start)}
    place = train_once(fit, folder / name, f"unet-{name}", **how)
    history = pd.read_csv(place / "history.csv")
    print(
        f"{name}: validation Dice of the tumour, by epoch:",
        *history["val_dice_wt"].round(2),
    )
    return keras.models.load_model(place / "model.keras")


# %%
networks = {"skips": train(lambda skip: skip, "skips")}

# %% [markdown]
# It has learnt something. So now look at the last join, where the skip of the first level meets what came up from the
# bottom. Four feature maps of each, those that vary most:


# %%
def at_the_join(network: keras.Model) -> list[np.ndarray]:
    """The last skip, and what it is joined with: (size, size, filters) each."""
    join = [one for one in network.layers if isinstance(one, layers.Concatenate)][-1]
    both = keras.Model(network.inputs, join.input)
    slice_ = store.volume(scan.id)[0][k : k + 1].astype("float32")
    return [maps[0] for maps in both.predict(slice_, verbose=0)]


def strongest(maps: np.ndarray) -> np.ndarray:
    """The four maps that vary most over the picture."""
    return np.argsort(maps.std(axis=(0, 1)))[::-1][:4]


# %%
carried, risen = at_the_join(networks["skips"])
coarse_view = replace(view, spacing=(store.grid.pixel_mm, store.grid.pixel_mm))
figure = Figure(figsize=(8, 4.6))
rows = {"skip": carried, "from below": risen}
for axes, (name, maps) in zip(figure.subplots(2, 4), rows.items(), strict=True):
    for ax, feature in zip(axes, strongest(maps), strict=True):
        window = 0, float(maps[..., feature].max())
        show_slice(ax, maps[..., feature], coarse_view, window, marks=False)
        ax.set_title(f"{name}, map {feature}")
figure.suptitle("Above: what the skip carries. Below: what came up from the bottom")
style.alt(figure, "Four feature maps of the skip, and four of what came from below.")

# %% [markdown]
# Compare how finely the two rows are drawn. A bright frame below is no anatomy: it is the zeros that padding adds at
# every level, grown on the way up. How much does the drawing depend on the skips? Two ways to ask. **Cut** the skips:
# the same weights, with zeros in place of what the skips carry. Or, the fair way, let the cut network **train on
# without**, as long again, so that it can learn to do without. From random weights it would take longer than this
# lesson has; the head start is in its favour.


# %%
def nothing(skip):
    """Zeros in the shape of the skip."""
    return layers.Rescaling(0.0)(skip)


cut = build(nothing)
cut.set_weights(networks["skips"].get_weights())
draw_unet(cut, across=False, title="Without skips everything goes through the bottom")

# %% [markdown]
# Before you train it: what the network with skips reaches is printed above, as the Dice of the whole tumour in the
# validation patients. What will the one without skips reach in the test patients, on average, after twice the
# training?

# %% tags=["guess"]
my_guess = None  # a number between 0 and 1

# %%
networks["no skips"] = train(nothing, "no skips", networks["skips"])

# %% [markdown]
# One patient that neither has seen, drawn in all three ways.

# %%
from helpers.measure.regions import REGIONS, mask

tested = [patient for patient in patients if patient.id in split.test]
example = read_scan(tested[0], PAIR)
ways = {"with skips": networks["skips"], "the same, cut": cut}
ways["trained without"] = networks["no skips"]
drawn = {"the truth": example.seg}
for name, network in ways.items():
    drawn[name] = Segmenter(network, PAIR, store.grid, flip=False).predict(example)

# %%
figure = Figure(figsize=(8, 2.9))
at, native = slices.busiest(example), plane(example.affine)
box = native.brain(example.images)
flair = native.cut(example.image("flair"), at, box)
for ax, (name, labels) in zip(figure.subplots(1, 4), drawn.items(), strict=True):
    outlined = native.cut(labels, at, box)
    show_slice(ax, flair, native, None, outlined, marks=name == "the truth")
    overlap = dice(example.seg > 0, labels > 0)
    ax.set_title(name if name == "the truth" else f"{name}: {overlap:.2f}")
figure.suptitle("One patient, with skips and without; numbers: Dice of the tumour")
style.alt(figure, "A slice with its true outline, and with, cut and without skips.")

# %% [markdown]
# What the cut network draws, if anything, is no blurred right answer: the convolutions after each join have learnt
# to rely on both halves. That says nothing about what skips are worth. The last panel does, and one patient is an
# anecdote. So every test patient, on the patient's own grid, all slices, beside **all background**, the model that
# finds nothing in anybody:


# %%
def patient_dice(labels_of) -> pd.DataFrame:
    """Dice of every test patient (rows) and region (columns)."""
    rows = []
    for patient in tested:
        one = read_scan(patient, PAIR)
        labels = labels_of(one)
        pairs = [(mask(one.seg, region), mask(labels, region)) for region in REGIONS]
        rows.append([dice(*pair) for pair in pairs])
    return pd.DataFrame(rows, [patient.id for patient in tested], REGIONS)


scored = {"all background": patient_dice(lambda one: np.zeros_like(one.seg))}
for name, network in networks.items():
    segmenter = Segmenter(network, PAIR, store.grid, flip=False)
    scored[name] = patient_dice(segmenter.predict)
pd.DataFrame({name: scores.mean() for name, scores in scored.items()}).T.round(3)

# %%
from helpers.lessons.verdict import verdict

worth = {}
for region in REGIONS:
    arms = {name: scores[region] for name, scores in scored.items()}
    worth[region] = verdict(arms, "no skips", "all background", f"{region} Dice")
    print(worth[region])
record("verdicts_skips", {region: one.outcome for region, one in worth.items()})
without = scored["no skips"]["WT"].mean()
print(compare_guess("The WT Dice without skips", my_guess, float(without)))

# %% [markdown]
# A region of which nobody beats all background has not been found at all: where a patient has no
# enhancing tumour, nothing is the right answer and scores 1. The verdicts hold for networks as small as these, trained
# this briefly, once.

# %% [markdown] tags=["question"]
# You cut the skips of a trained network and its outline falls to pieces. What have you shown?
#
# - That skips are what makes a U-Net good. :: No: a network trained without them might have done as well by another
#   way. That is the experiment above.
# - That this network, with these weights, relies on its skips. :: Right, and no more: its later layers expect both
#   halves of each join.
# - That the bottom of the network has learnt nothing. :: No: its maps may well say where the tumour is, and the layers
#   after the join cannot read them alone.

# %% [markdown]
# ## Sharper skips
#
# If edges are what a skip is for, would it help to carry them sharper? Sharp U-Net (Zunair and Ben Hamza 2021, arXiv
# 2107.12461) sends every skip through a fixed filter: eight times a pixel, less its eight neighbours.

# %%
from helpers.models.unet import SHARPEN, sharpen

np.array(SHARPEN)[:, :, 0, 0]

# %% [markdown]
# On a plain grey square with one step in it, guess what remains of the plain parts.

# %%
two_greys = np.where(np.arange(8) < 4, 1.0, 3.0) * np.ones((8, 1))
np.array(sharpen(two_greys[None, :, :, None].astype("float32")))[0, 1:-1, 1:-1, 0]

# %% [markdown]
# Nothing remains of them: inside, only the step is left, with both its signs. (We cut the rim of the array off, where
# the filter meets the zeros beyond the edge.) A filter called sharpening in fact removes everything but edges. On a
# real skip:

# %%
sharp_maps = np.array(sharpen(carried[None]))[0]
figure = Figure(figsize=(8, 2.6))
axes = figure.subplots(1, 4)
for pair, feature in zip((axes[:2], axes[2:]), strongest(carried)[:2], strict=True):
    both = {"skip": carried, "sharpened": sharp_maps}
    for ax, (name, maps) in zip(pair, both.items(), strict=True):
        limit = float(np.abs(maps[..., feature]).max()) * 0.7
        lowest = 0 if name == "skip" else -limit
        ax.imshow(coarse_view.turn(maps[..., feature]), vmin=lowest, vmax=limit)
        ax.set_axis_off()
        ax.set_title(f"{name}, map {feature}")
figure.suptitle("What was a region becomes its outline")
told = "Two maps of the skip, and both filtered: plain areas grey, edges stay."
style.alt(figure, told)

# %% [markdown]
# It has nothing to learn, so the number of trainable parameters stays. We train it as long as its siblings, from the
# same seed, on the same slices, and hold it against the plain skips, patient by patient.

# %%
networks["sharpened skips"] = train(sharpen, "sharpened skips")
segmenter = Segmenter(networks["sharpened skips"], PAIR, store.grid, flip=False)
scored["sharpened skips"] = patient_dice(segmenter.predict)
pair = [networks[name].trainable_weights for name in ("skips", "sharpened skips")]
trainable = [sum(w.shape.num_elements() for w in weights) for weights in pair]
print("numbers to learn, plain and sharpened:", *trainable)

# %%
sharper, compared = {}, ("all background", "skips", "sharpened skips")
for region in REGIONS:
    arms = {name: scored[name][region] for name in compared}
    sharper[region] = verdict(arms, "skips", "all background", f"{region} Dice")
    print(sharper[region])
record("verdicts_sharp", {region: one.outcome for region, one in sharper.items()})
means = {name: scores.mean().to_dict() for name, scores in scored.items()}
record("dice", means)
pd.DataFrame(means).T.round(3)

# %%
from helpers.show.comparison import paired_strips

order = ["all background", "no skips", "skips", "sharpened skips"]
by_region = {one: {name: scored[name][one] for name in order} for one in REGIONS}
title = f"What goes across, and what it is worth: {len(tested)} patients, a line each"
paired_strips(by_region, title=title)

# %% [markdown]
# Where a line falls from 1 to 0 at ET, one of the networks saw a few voxels of enhancing tumour in a patient who has
# none. Read the verdicts and then distrust them a little. The interval covers other patients, not other seeds: we
# trained each network once, briefly, and small. Change SEED or EPOCHS at the top and see which verdicts survive. The
# paper of Sharp U-Net reports gains on its own data sets; on yours, this is the experiment to repeat, at full length
# and with several seeds, before you believe either of us.
#
# **Exercise 4** (stretch, 15 minutes). How much of a skip is needed? Write `thin(skip)`, to be given to `train`: a 1 x 1
# convolution with ReLU squeezes the skip to a single feature map. A right answer turns (1, 8, 8, 16) into (1, 8, 8, 1).
# Then run `networks["thin"] = train(thin, "thin")` and its `patient_dice`: where does it land, between "no skips" and
# "skips"? Guess first.


# %% tags=["stub"]
def thin(skip):
    """One feature map instead of many."""
    ...


# %% tags=["solution"]
def thin(skip):
    """One feature map instead of many."""
    return layers.Conv2D(1, 1, activation="relu", kernel_initializer="he_normal")(skip)


# %% tags=["check"]
with exercise_check("Exercise 4"):
    many = keras.Input((8, 8, 16))
    one = filled(thin(many))
    require(hasattr(one, "shape"), f"you return {one!r}; expected a feature map")
    require(one.shape[1:3] == (8, 8), f"8 x 8 became {one.shape[1]} x {one.shape[2]}")
    require(one.shape[-1] == 1, f"{one.shape[-1]} feature maps are left; expected one")
    network = keras.Model(many, one)
    count = network.count_params()
    require(count != 0, "nothing in it can learn which of the 16 maps matter")
    said = f"it has {count} parameters; a 1 x 1 convolution of 16 features has 17"
    require(count == 17, said)
    lowest = float(np.min(network(np.random.default_rng(0).normal(size=(4, 8, 8, 16)))))
    require(lowest >= 0, f"it returns {lowest:.2f}; after a ReLU nothing is below 0")

# %% [markdown] tags=["hint"]
# The last layer of the network does the same for its four classes: it mixes the features of a pixel, and looks at no
# neighbour.

# %% [markdown] tags=["hint"]
# `layers.Conv2D(1, 1, activation="relu")(skip)`. The joins get narrower by themselves, since `build` asks for shapes.

# %% [markdown] tags=["teacher"]
# Some take the mean or the first of the maps: right shape, nothing to learn, and the check says so. The result differs
# from seed to seed, which is the lesson in it: have several pairs run it with seeds of their own, and put the numbers
# on the board before anybody names a winner.

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
plain = {"channels": 2, "filters": FILTERS}
built = {name: unet(SIZE, **plain | more) for name, more in today.items()}
grown = {name: network.count_params() for name, network in built.items()}
listed = pd.DataFrame({"parameters": grown})
listed["more"] = listed["parameters"] / grown["the paper's"] - 1
listed.style.format({"parameters": "{:,}", "more": "{:+.1%}"})

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
# patient is a stranger to the network that outlines them. What it measured is kept with the course. A dot is filled
# where both tell the row from the paper's: the interval, and a permutation test that is corrected for the number of
# comparisons (Holm).

# %%
from helpers.lessons.measured import read_recipes
from helpers.show.comparison import recipes

measured = read_recipes()
count = len(measured["rows"]) - 1
recipes(measured, title=f"{count} recipes at hospitals that they never saw")

# %%
first, *others = measured["rows"]
for row in others:
    told = {region: row["regions"][region]["difference"] for region in REGIONS}
    told = {region: one["mean"] for region, one in told.items() if one["told"]}
    better = [region for region, mean in told.items() if mean > 0]
    worse = [region for region, mean in told.items() if mean < 0]
    ways = {"better": better, "worse": worse}
    told = [f"{word} at {', '.join(found)}" for word, found in ways.items() if found]
    row["said"] = " and ".join(told) or "cannot be told"
    print(f"{row['name']} ({row['help']}): {row['said']}")
minutes = f"minutes of each training {measured['minutes']:g}"
print(f"\npatients {measured['n']}, seeds {measured['seeds']}, {minutes}")

# %% [markdown]
# Every row but the first also decides by expected Dice, and every row below crop trains on crops: compare these with
# crop, not with the paper's. Five minutes on two cores are few, and favour what is cheap for a step; whoever trains
# for a day may find another order. That is a reason to run the command on your own machine with your own patients,
# and none to believe a list of improvements, this one among them.

# %%
from helpers.lessons.closing import closing_table


def gains(each: dict[str, float]) -> str:
    return ", ".join(f"{region} {gain:+.3f}" for region, gain in each.items())


def where(verdicts) -> str:
    """The outcomes, and the regions of each."""
    found = {}
    for region, one in verdicts.items():
        found.setdefault(one.outcome, []).append(region)
    return "; ".join(
        f"{outcome} at {', '.join(all_)}" for outcome, all_ in found.items()
    )


said = []
for name, verdicts, cost in (
    ("skips", worth, "memory, on the way down"),
    ("sharpened skips", sharper, "a fixed filter a skip"),
):
    each = {
        region: one.comparisons[name].difference for region, one in verdicts.items()
    }
    said.append((f"{name}; {len(tested)} patients", gains(each), cost, where(verdicts)))

# %%
count, minutes = measured["n"], f"{measured['minutes']:g} minutes each"
for row in others:
    each = {name: one["difference"]["mean"] for name, one in row["regions"].items()}
    what = f"{row['name']}; {count} real patients"
    said.append((what, gains(each), minutes, row["said"]))
closing_table(said)

# %% [markdown]
# ## The question of the beginning
#
# How does a network that shrinks its picture sixteen times still draw a sharp outline? The run answers:

# %%
drawn = worth["WT"]
print(drawn)
if drawn.outcome == "helped":
    print("It draws along edges that its skips bring across, past the bottom.")
else:
    print("This run does not show that it needs its skips for that.")

# %% [markdown]
# Every level hands its picture across before it is pooled, so what the bottom understood can be drawn where the top has
# seen an edge. What that is worth, the sentence above says for these patients and this training.
#
# We left out attention gates and networks in three dimensions; nnU-Net (Isensee et al. 2021) shows how little of what
# was added since 2015 is needed when data and training are right. Lesson 05 asks what else may help the same network: a
# mended picture, or a loss that weighs the rare.
