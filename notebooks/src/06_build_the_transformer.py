# %% tags=["parameters"]
SEED = 0
DATA_DIR = ""  # folder with BraTS patients; empty: the Kaggle set, else phantoms
OUTPUT_DIR = ""  # receives the slices; empty: a scratch folder
WEIGHTS = ""  # of a ViT-B/16, file or folder; empty: what Kaggle attached, else none
PATIENTS = 20  # how many of the catalogue take part
SIZE = 64  # pixels along each side of the slices that are trained on
WIDTH = 64  # features of a token, in the networks that are trained
DEPTH = 3  # their blocks
EPOCHS = 4  # of each training
FOLDS = 2  # one part of the patients is tested, the rest trains

# %%
import math
import tempfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from helpers.data import sources
from helpers.data.brats import read_catalogue
from helpers.data.resample import Grid
from helpers.data.splits import make_split
from helpers.data.store import open_store
from helpers.data.volumes import read_scan
from helpers.lessons.record import record
from helpers.show import style
from helpers.show.panel import plane, show_slice
from helpers.tasks.gate.recipe import MODALITIES, OPTIONAL

style.use()
keras.utils.set_random_seed(SEED)

# %%
needed = tuple(name for name in MODALITIES if name not in OPTIONAL)
patients = read_catalogue(sources.brats(DATA_DIR)).require(needed)[:PATIENTS]
split = make_split(patients, SEED, folds=FOLDS)
folder = Path(OUTPUT_DIR or tempfile.mkdtemp())
grid = Grid(SIZE)
store = open_store(patients, folder / "slices", MODALITIES, grid, optional=OPTIONAL)

# %% [markdown]
# Slices of one head, from low to high, and what a transformer says that has not learnt anything yet: its probability
# that there is tumour in the slice.

# %%
from matplotlib.figure import Figure

from helpers.models.transformer import Shape, transformer

one = next(patient for patient in patients if patient.id == split.test[0])
affine = read_scan(one, needed).affine
view = replace(plane(affine), spacing=(grid.pixel_mm, grid.pixel_mm))
brain = [row for row in store.rows([one.id]) if store.has_brain[row]]
shares = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9)
six = [brain[int(share * len(brain))] for share in shares]
untrained = transformer(SIZE, len(MODALITIES), 2, Shape(8, WIDTH, DEPTH, heads=4))
few = store.images[six].astype("float32")  # (6, size, size, 3)
predicted = untrained.predict(few, verbose=0)[:, 1]

figure = Figure(figsize=(8, 5.9))
for i, ax in enumerate(figure.subplots(2, 3).ravel()):
    show_slice(ax, few[i, :, :, 0], view, marks=i == 0)
    ax.set_title(f"says {predicted[i]:.2f}")
figure.suptitle("In which of these is tumour? The network does not know yet")
style.alt(figure, "Six FLAIR slices of a head, each with a probability near one half.")

# %% [markdown]
# The paper puts such a network before the U-Net: a **gate** that says whether a slice is abnormal at all. At the end
# of this lesson it will know more. Then another question begins, which a physician asks and a probability does not
# answer:
# when it says yes, where was it looking?
#
# ## Three modalities, three colours
#
# Transformers come from photographs, with three channels. We have three modalities: FLAIR as red, T1ce as green, T2
# as blue. From our z-scored slices we make pictures of whole numbers from 0 to 255.


# %%
def pictures(rows) -> np.ndarray:
    """(n, size, size, 3) uint8, columns from one side of the patient to the other."""
    images = store.images[rows].astype("float32")  # (n, size, size, 3), z-scored
    grey = np.where(images == 0, 0, np.clip((images + 2) / 6, 0.02, 1))
    return (255 * grey).astype("uint8").swapaxes(1, 2)


picture = pictures([six[2]])[0]  # (64, 64, 3)
picture.shape, picture.dtype, picture.max()

# %% [markdown] tags=["paper: section 4.1.2"]
# Lesson 03 has taken the paper's transforms apart (section 4.1.2): resize to 224 x 224, flip, turn by up to 10 degrees, scale to
# [0, 1], and subtract ImageNet's mean colour and divide by its spread. Here is our slice after them, three times, and
# normalising undone for the eye.

# %%
from helpers.prepare import paper

rng = np.random.default_rng(SEED)
transformed = np.stack([paper.transform(picture, rng) for _ in range(3)])
shown = [picture / 255, *paper.denormalise(transformed)]  # from (3, 3, 224, 224)
figure = Figure(figsize=(8, 2.3))
for ax, image in zip(figure.subplots(1, 4), shown, strict=True):
    ax.imshow(image)
    ax.set_axis_off()
first = figure.axes[0]
for x, side in ((0.02, "R"), (0.92, "L")):
    first.text(x, 0.5, side, color="white", transform=first.transAxes)
figure.suptitle("One slice in three colours, and what the paper makes of it")
told = "FLAIR as red, T1ce as green, T2 as blue; and three turned or mirrored copies."
style.alt(figure, told)

# %% [markdown]
# Where a patient has no T2, blue stays empty. A brain has two sides that look alike, so mirroring does no harm here;
# in a chest X-ray it would move the heart to the right.
#
# ## An image as a sentence
#
# A **transformer** reads sentences: a row of words, each a list of numbers. So the picture has to become a row. The
# vision transformer (Dosovitskiy et al. 2021, "An image is worth 16x16 words") cuts it into squares, **patches**.

# %%
image = transformed[0].transpose(1, 2, 0)[None]  # (1, 224, 224, 3)
cut = image.reshape(1, 14, 16, 14, 16, 3).swapaxes(2, 3)  # (1, 14, 14, 16, 16, 3)
words = cut.reshape(1, 196, 16 * 16 * 3)  # (1, 196, 768): 196 words of 768 numbers
cut.shape, words.shape

# %%
figure = Figure(figsize=(8, 3.9))
left, right = figure.subplots(1, 2)
shuffled_words = words[0, rng.permutation(196)]
sentences = {"in their order": words[0], "in any order": shuffled_words}
for ax, (name, sentence) in zip((left, right), sentences.items(), strict=True):
    squares = sentence.reshape(14, 14, 16, 16, 3).transpose(0, 1, 4, 2, 3)
    frame = ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0))  # a white pixel round each
    spaced = np.pad(paper.denormalise(squares), frame, constant_values=1)
    ax.imshow(spaced.swapaxes(1, 2).reshape(14 * 18, 14 * 18, 3))
    ax.set_axis_off()
    ax.set_title(f"196 patches, {name}")
figure.suptitle("What follows sees both of these alike")
style.alt(figure, "A slice cut into 14 x 14 squares, and the same squares shuffled.")

# %% [markdown]
# Each word goes through one matrix, the same for all, and becomes a **token**: a list of as many numbers as the
# network is wide. Libraries write this as a convolution whose kernel is a patch wide and steps a patch at a time. Is
# that the same thing?

# %%
from keras import layers, ops

patches = layers.Conv2D(96, 16, strides=16)  # 96: the width of this transformer
as_convolution = np.array(patches(image)).reshape(1, 196, 96)  # from (1, 14, 14, 96)
kernel, bias = patches.get_weights()  # (16, 16, 3, 96), (96,)
tokens = words @ kernel.reshape(768, 96) + bias  # (1, 196, 768) -> (1, 196, 96)
float(np.abs(as_convolution - tokens).max())

# %% [markdown]
# It is, but for rounding. And look what is missing already: nothing in a token says where its patch was.
#
# ## Attention
#
# So far every token knows its own square. To find a tumour they must compare notes. In **attention** every token asks
# a question, the **query** q; every token shows what it can answer, its **key** k; and hands out what it has, its
# **value** v. All three are made by a matrix each from the token, which has been given mean 0 and spread 1 before.

# %%
draw = np.random.default_rng(SEED)
to_query, to_key, to_value = draw.normal(0, 96**-0.5, (3, 96, 96))
centred = tokens - tokens.mean(axis=-1, keepdims=True)
normed = centred / tokens.std(axis=-1, keepdims=True)  # (1, 196, 96)
q, k, v = normed @ to_query, normed @ to_key, normed @ to_value  # (1, 196, 96) each
scores = q @ k.swapaxes(1, 2)  # (1, 196, 96) @ (1, 96, 196) -> (1, 196, 196)
scores.shape

# %% [markdown]
# A **score** says how well a key fits a query. Softmax turns the scores of a query into weights that sum to 1. Do it
# the obvious way, and look at the largest weight of each query: how many of 196 tokens does it listen to?

# %%
from scipy.special import softmax

obvious = softmax(scores, axis=-1)  # (1, 196, 196)
scaled = softmax(scores / 96**0.5, axis=-1)


def listened_to(weights) -> float:
    """How many tokens a query hears, on average: 1 for one alone, 196 for all alike."""
    return float((1 / (weights**2).sum(axis=-1)).mean())


{"as they are": listened_to(obvious), "divided by the root": listened_to(scaled)}

# %% [markdown]
# A score is a sum over 96 products, so scores grow with the width; softmax makes of large scores a few loud voices,
# and a softmax that is all but decided passes hardly any gradient. Dividing by the root of the width brings the
# scores back to a size that does not depend on it. That is all of attention:
#
# $$\mathrm{attention}(Q, K, V) = \mathrm{softmax}\left(\frac{Q K^T}{\sqrt{d}}\right) V$$
#
# **Exercise 1** (core, 5 minutes). Write `attention(q, k, v)` for arrays of shape (n, tokens, d), with `ops` from
# Keras:
# `ops.matmul`, `ops.transpose`, `ops.softmax`. A right answer has the shape of v, and lies between the values: it is
# their weighted mean.


# %% tags=["stub"]
def attention(q, k, v):
    """What each token takes from the values of all."""
    ...


# %% tags=["solution"]
def attention(q, k, v):
    """What each token takes from the values of all."""
    scores = ops.matmul(q, ops.transpose(k, (0, 2, 1))) / q.shape[-1] ** 0.5
    return ops.matmul(ops.softmax(scores, axis=-1), v)


# %% tags=["check", "long"]
from helpers.lessons.checks import exercise_check, filled, require

with exercise_check("Exercise 1"):
    toy = np.random.default_rng(1).normal(0, 2, (3, 5, 5, 5))  # tokens as features
    q_, k_, v_ = toy
    mine = filled(attention(q_, k_, v_))
    said = f"you return {np.shape(mine)} for values of (5, 5, 5); expected the same"
    require(np.shape(mine) == (5, 5, 5), said)
    mine, fit = np.array(mine), q_ @ k_.swapaxes(1, 2)
    right = softmax(fit / 5**0.5, axis=-1)
    usual = {
        "you return the weights; they still have to weigh v": right,
        "you leave the scores as they are; divide by d's root": softmax(fit, -1) @ v_,
        "you divide by d; it is the root of d": softmax(fit / 5, -1) @ v_,
        "you divide by the root of 96; d is q's own": softmax(fit / 96**0.5, -1) @ v_,
        "your weights sum to 1 over the queries": softmax(fit / 5**0.5, 1) @ v_,
        "your softmax runs over the batch": softmax(fit / 5**0.5, 0) @ v_,
        "k is not transposed": softmax(q_ @ k_ / 5**0.5, -1) @ v_,
        "ops.transpose(k) turns all three axes": softmax(q_ @ k_.T / 5**0.5, -1) @ v_,
        "the softmax is missing": fit / 5**0.5 @ v_,
    }
    for message, wrong in usual.items():
        require(not np.allclose(mine, wrong, atol=1e-4), message)
    said = "your answer is not softmax(q k^T / sqrt(d)) v"
    require(np.allclose(mine, right @ v_, atol=1e-4), said)
    wide = attention(np.ones((1, 4, 9)), np.ones((1, 4, 9)), np.ones((1, 4, 9)))
    require(np.shape(wide) == (1, 4, 9), "it works for 5 tokens of 5 features alone")

# %% [markdown] tags=["hint"]
# Three steps: scores of every query with every key, a softmax over the keys, the weighted sum of the values. Which axis
# of the scores counts the keys?

# %% [markdown] tags=["hint"]
# `scores = ops.matmul(q, ops.transpose(k, (0, 2, 1))) / q.shape[-1] ** 0.5` is (n, queries, keys). Then
# `ops.softmax(scores, axis=-1)`, and a product with v.

# %% [markdown] tags=["teacher"]
# The axis is the mistake that runs without an error: weights that sum to 1 over the queries give a result of the right
# shape. The check tries a square toy, in which every wrong axis and every missing transposition would run, and names
# each. Ask what a query listens to if its weights sum to 3.

# %% [markdown]
# Now shuffle the tokens, as in the figure above, and see what attention makes of it.

# %%
from helpers.models.transformer import SelfAttention

keras.utils.set_random_seed(SEED)
attend = SelfAttention(heads=3)
order = rng.permutation(196)
in_order, mixed_up = np.array(attend(tokens)), np.array(attend(tokens[:, order]))
float(np.abs(in_order[:, order] - mixed_up).max())

# %% [markdown]
# Nothing but rounding: shuffled tokens come out shuffled and otherwise the same. A head cut to pieces and a head are
# the same to it. So each place gets a vector of its own, learnt like any weight and added to the token: its
# **position**. And one more token joins, the **class token**, which stands for no patch and collects the answer.

# %%
from helpers.models.transformer import ClassToken, Positions

joined = ClassToken()(tokens)  # (1, 196, 96) -> (1, 197, 96)
placed = Positions()(joined)  # (1, 197, 96)
tuple(placed.shape)

# %% [markdown] tags=["question"]
# You leave the positions out and train the gate as well as you can. What can it still do?
#
# - Nothing: without order there is no picture. :: No: it still sees every patch, and a patch of bright tumour looks
#   unlike others wherever it lies.
# - Tell slices apart by which patches they hold, not by how these lie to each other. :: Right. It is a bag of patches.
# - All that it can do with them; attention finds the neighbours by itself. :: No: two equal patches are the same token,
#   wherever they were.

# %% [markdown]
# ## Several heads, and a block
#
# One set of weights lets a token ask one question. So the width is shared among several **heads**, each with its own
# query, key and value; here 3 heads of 32 features. A last matrix mixes what they found. Written out:


# %%
def heads_of(x, heads: int = 3):
    """(n, tokens, width) to (n, heads, tokens, width / heads)."""
    n, count, width = x.shape
    parted = ops.reshape(x, (n, count, heads, width // heads))
    return ops.transpose(parted, (0, 2, 1, 3))


matrices = (attend.query, attend.key, attend.value)
q, k, v = (heads_of(part(placed)) for part in matrices)  # (1, 3, 197, 32) each
scores = ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) / 32**0.5  # (1, 3, 197, 197)
weights = ops.softmax(scores, axis=-1)
mixed = ops.transpose(ops.matmul(weights, v), (0, 2, 1, 3))  # (1, 197, 3, 32)
by_hand = attend.out(ops.reshape(mixed, (1, 197, 96)))  # (1, 197, 96)
float(np.abs(np.array(by_hand) - np.array(attend(placed))).max())

# %% [markdown]
# `SelfAttention` from `helpers.models.transformer` holds this code. Keras has a layer of its own; with the same
# weights it should agree:

# %%
theirs = layers.MultiHeadAttention(num_heads=3, key_dim=32)
theirs(placed, placed)
pairs = zip(attend.get_weights(), theirs.weights, strict=True)
theirs.set_weights([np.reshape(ours, other.shape) for ours, other in pairs])
difference = np.array(theirs(placed, placed)) - np.array(attend(placed))
record("difference_to_keras", float(np.abs(difference).max()))

# %% [markdown]
# A **block** is attention, in which tokens talk, and a small network of two layers, the **MLP**, in which each thinks
# for itself. Both add to the token instead of replacing it, and before both stands a **layer norm**, which gives each
# token mean 0 and spread 1.

# %%
x = placed
x = x + attend(layers.LayerNormalization(epsilon=1e-6)(x))  # (1, 197, 96)
normed = layers.LayerNormalization(epsilon=1e-6)(x)
hidden = layers.Dense(4 * 96, activation="gelu")(normed)  # (1, 197, 384)
x = x + layers.Dense(96)(hidden)  # (1, 197, 96)
first = layers.LayerNormalization(epsilon=1e-6)(x)[:, 0]  # (1, 96): the class token
tuple(layers.Dense(2, activation="softmax")(first).shape)  # (1, 2): no tumour, tumour

# %% [markdown]
# Stack a dozen of these blocks and you have a vision transformer. The paper's base size, ViT-B/16, is 768 wide, has
# 12 blocks, and its head tells 1,000 classes of photographs.
#
# **Exercise 2** (core, 10 minutes). Write `parameters(width, depth, patch, size, channels, classes)`. Patches, class
# token, positions; a block with two norms (two numbers a feature), four matrices of attention and two of the MLP, all
# with biases; a last norm; the head. A right answer for ViT-B/16, `parameters(768, 12)`, is 86,567,656.


# %% tags=["stub"]
def parameters(width, depth, patch=16, size=224, channels=3, classes=1000) -> int:
    """Of a vision transformer whose MLP is four times as wide."""
    ...


# %% tags=["solution"]
def parameters(width, depth, patch=16, size=224, channels=3, classes=1000) -> int:
    """Of a vision transformer whose MLP is four times as wide."""
    embedding = patch**2 * channels * width + width
    positions = width + (1 + (size // patch) ** 2) * width
    attention = 4 * (width**2 + width)
    mlp = width * 4 * width + 4 * width + 4 * width * width + width
    block = 2 * 2 * width + attention + mlp
    return embedding + positions + depth * block + 2 * width + width * classes + classes


# %% tags=["check", "long"]
with exercise_check("Exercise 2"):
    small = transformer(32, 3, 2, Shape(16, 24, 3, heads=2)).count_params()
    mine = filled(parameters(24, 3, 16, 32, 3, 2))
    require(isinstance(mine, int), f"you return {mine!r}; expected a whole number")
    block = 4 * 24 + 4 * (24**2 + 24) + 8 * 24**2 + 5 * 24
    parts = {
        "the patches: their matrix": 16 * 16 * 3 * 24,
        "the biases of the patches, the class token, or its position": 24,
        "two of these: the biases of the patches, the class token, its position": 48,
        "the positions of the patches, or those and no others": 4 * 24,
        "all positions": 5 * 24,
        "the biases of attention, or the norms of the blocks": 3 * 4 * 24,
        "one matrix of attention in each block": 3 * (24**2 + 24),
        "the first biases of the MLP": 3 * 4 * 24 + 0,
        "the biases of the MLP": 3 * 5 * 24,
        "the second biases of the MLP": 3 * 24,
        "one of the two matrices of the MLP": 3 * 4 * 24**2,
        "all blocks but one": 2 * block,
        "the biases of the head": 2,
        "the head": 2 * 24 + 2,
    }
    names = [name for name, count in parts.items() if count == small - mine]
    guess = f": missing may be {'; or '.join(names)}" if names else ""
    way = "more" if small > mine else "fewer"
    said = f"for a small one you count {mine}; it has {abs(small - mine)} {way}{guess}"
    require(mine == small, said)
    base_count = parameters(768, 12)
    require(base_count == 86_567_656, f"for ViT-B/16 you count {base_count}")

# %% [markdown] tags=["hint"]
# Write a line for each part, and count the small ones first: the class token is one token, and each patch and the class
# token have a position.

# %% [markdown] tags=["hint"]
# A matrix with biases from a to b features has `a * b + b` numbers. In a block: four of `width` to `width`, one of
# `width` to `4 * width`, one back, and two norms of `2 * width`. The patches: one of `patch**2 * channels` to `width`.

# %% [markdown] tags=["teacher"]
# The class token and its position are what nearly everybody forgets, then the biases. The check counts a small network
# in which each forgotten part has a number of its own, and names the part; two parts of equal size it names together.

# %% [markdown] tags=["question"]
# A patch of 8 instead of 16 pixels gives four times as many tokens. What happens to the matrix of attention weights?
#
# - It grows sixteenfold. :: Right: each token looks at each, so it grows with the square of their number. That is what
#   keeps patches large.
# - It grows fourfold. :: No: there are four times as many rows, and each has four times as many columns.
# - It stays, as the parameters do. :: No: the parameters of a block stay; the weights of attention are computed for
# each
#   picture, and take memory.

# %% [markdown]
# ## The same, from helpers
#
# `helpers.models.transformer` holds these blocks as a function, and some sizes. "base" should be the network of the
# paper to the digit; with the weights of an independent implementation, torchvision's, ours gives its answers to four
# decimals, and a test of this course checks that.

# %%
import pandas as pd

from helpers.models.transformer import SHAPES

base = transformer(224, 3, 1000, "base")
record("parameters_of_base", base.count_params())
pd.DataFrame({name: vars(shape) for name, shape in SHAPES.items()}).T

# %% [markdown]
# Weights learnt from a million photographs are a better start than random ones. If Kaggle has attached a file of
# them, or you name one in WEIGHTS, the next line loads it; if not, it says so and leaves the network as it is. The
# same line starts a network with two classes: all but the head is taken over.

# %%
from helpers.models import imagenet

imagenet.load(base, WEIGHTS)
del base  # 87 million numbers

# %% [markdown] tags=["paper: section 1.1"]
# ## The gate, as in the paper
#
# Without them we learn from our own slices. How many are there, and how many show tumour?

# %%
truth = store.voxels_per_class[:, 1:].sum(axis=1) > 0  # (slices,)


def rows_of(ids) -> np.ndarray:
    """The slices of these patients that show brain; others are too easy."""
    rows = store.rows(ids)
    return rows[store.has_brain[rows]]


train, chosen, tested = map(rows_of, (split.train, split.validation, split.test))
parts = {"train": train, "choose": chosen, "test": tested}
for name, ids in zip(parts, (split.train, split.validation, split.test), strict=True):
    rows = parts[name]
    counts = f"{len(ids):3d} patients, {len(rows):5d} slices"
    print(f"{name:6s} {counts}, {truth[rows].mean():.0%} with tumour")

# %% [markdown]
# The paper's recipe: its transforms anew in every epoch (on our smaller pictures), cross-entropy, Adam with a learning
# rate of 0.001.


# %%
from helpers.learn.predict_batches import predict_batches


def views(rows, rng=None) -> np.ndarray:
    """(n, size, size, 3) float32: pictures after the paper's transforms.

    Without rng they are not flipped and not turned.
    """
    images = pictures(rows)
    if rng is not None:
        images = [paper.flip(one) if rng.random() < 0.5 else one for one in images]
        angles = rng.uniform(-paper.DEGREES, paper.DEGREES, len(images))
        images = [paper.rotate(*pair) for pair in zip(images, angles, strict=True)]
    normalised = [paper.normalise(paper.to_tensor(one)) for one in images]
    return np.stack(normalised).transpose(0, 2, 3, 1)


def class_probabilities(network, rows) -> np.ndarray:
    """(n, classes): what a network predicts for slices."""
    return predict_batches(network, views(rows), 64)  # all of one size: built once


# %% [markdown]
# After each epoch we look at the **AUC**: the chance that a slice with tumour is given a higher probability than one
# without. 1 is perfect, and a coin gets 0.5. Accuracy would depend on how many slices show tumour; the AUC does not.

# %%
from helpers.measure.classification import auc


def train_as_in_the_paper(network, rate, class_weight=None) -> list[float]:
    """Train for EPOCHS; the AUC on the validation patients after each."""
    network.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    network.optimizer.build(network.trainable_variables)  # else it is traced twice
    rng, curve = np.random.default_rng(SEED), []
    how = {"batch_size": 32, "class_weight": class_weight, "verbose": 0}
    for _ in range(EPOCHS):
        network.fit(views(train, rng), truth[train].astype(int), **how)
        curve.append(auc(truth[chosen], class_probabilities(network, chosen)[:, 1]))
    return curve


plain = Shape(8, WIDTH, DEPTH, heads=4)
curves, networks = {}, {}
keras.utils.set_random_seed(SEED)
as_it_is = transformer(SIZE, 3, 2, plain, dropout=0.1)
networks["the paper's way"] = as_it_is
curves["the paper's way"] = train_as_in_the_paper(as_it_is, 1e-3)

# %% [markdown]
# Three things may help. Adam's first steps are blind, so the rate **warms up**; at the end it falls along a
# **cosine**, so that the network settles. **Class weights** make both kinds of slices count alike, however many there
# are.

# %%
steps = EPOCHS * math.ceil(len(train) / 32)
warm, half = min(20, steps // 4), 0.5 / truth[train].mean()
decay = keras.optimizers.schedules.CosineDecay
schedule = decay(0.0, steps - warm, warmup_target=1e-3, warmup_steps=warm)
weight = {0: 0.5 / (1 - truth[train].mean()), 1: half}
keras.utils.set_random_seed(SEED)
warmed = transformer(SIZE, 3, 2, plain, dropout=0.1)
networks["warm-up and weights"] = warmed
curves["warm-up and weights"] = train_as_in_the_paper(warmed, schedule, weight)

# %% [markdown]
# The last help changes the network. A transformer has to learn from examples that neighbours belong together; a
# convolution knows. So let a few convolutions, a **stem**, find the patches (Xiao et al. 2021). And let the training
# ask more than yes or no: we have masks, so each patch is asked which tissue it covers, by a second head that is thrown
# away afterwards. `helpers.tasks.gate.training` does this, with the augmentation of lesson 03. Which of the three will
# be best on the test patients: the paper's way, the first helps, or this one?

# %% tags=["guess"]
my_guess = None  # the name of a curve, such as "the paper's way"

# %%
from helpers.learn.budget import Budget
from helpers.tasks.gate.inference import Gate
from helpers.tasks.gate.training import fit_gate

keras.utils.set_random_seed(SEED)
compact = transformer(SIZE, 3, 2, replace(plain, mlp=2, stem=True), dropout=0.1)
gate = Gate(compact, MODALITIES, store.grid)


def validate(_) -> dict[str, float]:
    probabilities = gate.slice_probabilities(store.images[chosen])
    return {"val_auc": auc(truth[chosen], probabilities)}


without_t2 = tuple(MODALITIES.index(modality) for modality in OPTIONAL)
budget, silent = Budget(epochs=EPOCHS), lambda _: None
how = {"optional": without_t2, "seed": SEED, "log": silent}
history = fit_gate(compact, store, split, budget, validate, **how)
curves["stem and patches"] = list(history["val_auc"])

# %%
figure = Figure(figsize=(8, 2.8))
ax = figure.subplots()
for name, curve in curves.items():
    ax.plot(range(1, EPOCHS + 1), curve, marker="o", markersize=3, label=name)
ax.axhline(0.5, color="#888888", linestyle=":", label="a coin")
ax.set(xlabel="epoch", ylabel="AUC, validation", ylim=(0, 1.02))
ax.set_xticks(range(1, EPOCHS + 1))
figure.legend(loc="outside right center")
figure.suptitle(f"Three ways to learn, on {len(split.validation)} validation patients")
style.alt(figure, "AUC on validation patients after each epoch for three trainings.")

# %% [markdown]
# What did each curve do?

# %%
from helpers.lessons.verdict import trend, verdict

for name, curve in curves.items():
    print(f"{name}: {trend(curve)}")
    if curve[0] < 0.4:
        print("   after its first epoch it ranks the slices the wrong way round")

# %% [markdown]
# An AUC far below one half is no lesser kind of knowledge: turned round it would be a good one. While the rate is
# warming
# up a network has found what differs between slices, how much brain they show for instance, and not yet which way.
# These
# curves rest on few patients, as the title says, so the judgement belongs to the test patients, with an interval that draws
# patients, since the slices of one head are no independent witnesses.

# %%
from helpers.measure.classification import interval

last = "stem and patches"
predictors = {}
for name, network in networks.items():
    predictors[name] = lambda rows, it=network: class_probabilities(it, rows)[:, 1]
predictors[last] = lambda rows: gate.slice_probabilities(store.images[rows])
rows_each = [rows_of([one]) for one in split.test]
predicted = {}
for name, ask in predictors.items():
    predicted[name] = [ask(rows) for rows in rows_each]


def by_patient(name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Truth and probabilities of each test patient's slices."""
    return list(zip([truth[rows] for rows in rows_each], predicted[name], strict=True))


# %%
scores = {}
for name in predictors:
    pairs = by_patient(name)
    value = auc(*map(np.concatenate, zip(*pairs, strict=True)))
    low, high = interval(pairs, auc, samples=300)
    scores[name] = {"AUC": value, "from": low, "to": high}
record("auc", {name: score["AUC"] for name, score in scores.items()})
record("auc_of_the_gate", scores[last]["AUC"])
scores["a coin"] = {"AUC": 0.5}
print(f"{len(split.test)} test patients, {len(tested)} slices")
pd.DataFrame(scores).T.style.format("{:.3f}", na_rep="")

# %% [markdown]
# Hold the intervals against each other before you name a winner. Better still, hold the networks against each other
# patient by patient: the AUC within each test patient, of those who have slices of both kinds.

# %%
each = {}
for name in predictors:
    both_kinds = [pair for pair in by_patient(name) if 0 < pair[0].mean() < 1]
    each[name] = [auc(*pair) for pair in both_kinds]
each["a coin"] = [0.5 for _ in each["the paper's way"]]
said = verdict(each, "the paper's way", trivial="a coin", score="AUC")
print(said)
ours = {name: each[name] for name in ("the paper's way", "stem and patches")}
helped = verdict(ours, "the paper's way", score="AUC")
record("verdict_of_the_helps", helped.outcome)
print(helped)

# %%
from helpers.lessons.guess import compare_guess

best = max(predictors, key=lambda name: np.mean(each[name]))
print(compare_guess("The network with the highest mean AUC", my_guess, best))
ending = {
    "helped": "It helped here, so we go on with it for a reason.",
    "hurt": "It is worse here than the paper's, and we go on with it all the same:",
}.get(
    helped.outcome,
    "It has not shown here that it is better than the paper's. We go on with it:",
)
print(ending, "it is what `train gate` trains, in lesson 11 and at your site.")

# %% [markdown] tags=["question"]
# Two networks have AUCs of 0.969 and 0.948 on the same ten patients, and their intervals overlap. What do you know?
#
# - That they are equally good. :: No: overlapping intervals do not show that, and the same patients are behind both.
# - That the first is better, by 0.021. :: No: the difference has an interval of its own, and it may include 0.
# - Too little yet: compare them patient by patient. :: Right. What makes a patient hard is the same for both networks
#   and drops out of the difference.

# %% [markdown]
# ## One number to decide by
#
# A gate does not say 0.7, it opens or stays shut. Where is the threshold? A shut gate in front of a tumour cannot be
# made good by the U-Net behind it, so we want a sensitivity of 98 %: of the slices with tumour, at most one in fifty
# is lost, a false negative. We choose on the validation patients; choosing on the test patients would be peeking.
#
# **Exercise 3** (core, 8 minutes). Write `my_threshold(truth, probabilities, sensitivity)`: the highest threshold at
# which
# that share of the slices with tumour still passes; a slice passes at or above it. `truth` is (slices,) bool. A right
# answer is one of the probabilities that the network gave to a slice with tumour.


# %% tags=["stub"]
def my_threshold(truth, probabilities, sensitivity):
    return ...


# %% tags=["solution"]
def my_threshold(truth, probabilities, sensitivity):
    ranked = np.sort(probabilities[truth])[::-1]  # the slices with tumour, surest first
    return ranked[int(np.ceil(sensitivity * len(ranked))) - 1]


# %% tags=["check", "long"]
with exercise_check("Exercise 3"):
    toy_p = np.array([0.9, 0.85, 0.7, 0.6, 0.2, 0.5, 0.4, 0.1, 0.05])
    toy_truth = np.arange(9) < 5
    mine = filled(my_threshold(toy_truth, toy_p, 0.8))
    require(np.ndim(mine) == 0, f"you return {np.shape(mine)} numbers; expected one")
    mine = float(mine)
    passes = (toy_p[toy_truth] >= mine).mean()
    said = f"at {mine:.3g} the share of tumour slices that pass is {passes:.0%}"
    require(mine > 0.05, f"{said}, but so does every other slice: hold more back")
    require(
        not np.isclose(mine, np.quantile(toy_p, 0.2)),
        f"{said}; you ranked all slices, those without tumour too",
    )
    require(passes >= 0.8, f"{said}; asked were 80%")
    said = f"{said}; asked were 80%, and 0.6 is the highest threshold that passes these"
    require(np.isclose(mine, 0.6), said)
    every = float(my_threshold(toy_truth, toy_p, 1.0))
    require(np.isclose(every, 0.2), f"for 100% you return {every:.3g}; expected 0.2")

# %% [markdown] tags=["hint"]
# Only the slices with tumour matter. Sort their probabilities from the highest down: how many have to pass?

# %% [markdown] tags=["hint"]
# Of 5 slices 80 % are 4, so the fourth highest probability is the threshold: index 3. For other numbers round up,
# `np.ceil`, since "at least".

# %% [markdown] tags=["teacher"]
# `np.quantile` of the tumour slices is the elegant answer, and it interpolates: between two slices every threshold has
# the same sensitivity, and only the highest holds back the most. The check tells that apart from a quantile of all
# slices, which depends on how many healthy ones there are.

# %%
from helpers.measure.classification import sensitivity, specificity, threshold_for

promised = 0.98
predict = predictors[last]
threshold = threshold_for(truth[chosen], predict(chosen), sensitivity=promised)
decided = [(real, said >= threshold) for real, said in by_patient(last)]
real, passed = map(np.concatenate, zip(*decided, strict=True))
print(f"threshold {threshold:.3f}, chosen on {len(split.validation)} patients")
for name, statistic in (("sensitivity", sensitivity), ("specificity", specificity)):
    low, high = interval(decided, statistic, samples=300)
    reached = record(name, statistic(real, passed))
    print(f"{name} {reached:.3f}, between {low:.3f} and {high:.3f}", end="; ")
    print(f"{len(decided)} patients")
kept = sensitivity(real, passed)
word = "kept" if kept >= promised else "broken"
print(f"promised {promised:.0%}, reached {kept:.1%}: the promise is {word}")

# %% [markdown]
# Another threshold would have been another bargain. A **ROC curve** has, for every threshold, the share of the slices
# with tumour that pass over that of the slices without; a **precision-recall curve** has how many of those that pass
# show tumour. A dot is the threshold of each network, chosen for each in the same way.

# %%
from helpers.measure.classification import SlicePredictions
from helpers.show import classification

gates = {}
for name, ask in predictors.items():
    at = threshold_for(truth[chosen], ask(chosen), sensitivity=promised)
    trios = zip(split.test, by_patient(name), strict=True)
    gates[name] = [SlicePredictions(one, *pair, at) for one, pair in trios]
heading = f"Every threshold, and the one we chose ({len(split.test)} patients)"
classification.curves(gates, title=heading)

# %% [markdown]
# The promise was made on other patients, and with few patients to choose by a threshold is an estimate like any other.
# What it came to, in slices:

# %%
from sklearn import metrics

counts = metrics.confusion_matrix(real, passed)
pd.DataFrame(counts, ["no tumour", "tumour"], ["held back", "passes"])

# %% [markdown] tags=["paper: figure 8"]
# ## Which tissue is it?
#
# The paper's network also tells kinds of tumour apart (section 1.1). Our patients have one kind; but the same trunk can
# be asked what a slice shows most of: nothing, core, oedema or enhancing tumour. Only the labels and the head change,
# so keep the trained trunk, and let a new head read its class token: a **linear probe**, fitted in a second. First
# count: how many slices, and of how many patients, are there to learn each answer from?

# %%
voxels = store.voxels_per_class
tissue = np.where(truth, 1 + voxels[:, 1:].argmax(axis=1), 0)  # (slices,)
names = ["nothing", "core", "oedema", "enhancing"]
rows = []
for label, name in enumerate(names):
    who = [one for one in split.train if (tissue[rows_of([one])] == label).any()]
    rows.append(
        (
            name,
            (tissue[train] == label).sum(),
            len(who),
            (tissue[tested] == label).sum(),
        )
    )
columns = ["", "slices to train on", "of so many patients", "slices to test on"]
pd.DataFrame(rows, columns=columns).set_index("")

# %%
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

trunk = keras.Model(compact.input, compact.get_layer("head").input)


def read(rows) -> np.ndarray:
    """The class token of slices, (n, width)."""
    return predict_batches(trunk, store.images[rows], 64)


probe = LogisticRegression(class_weight="balanced", max_iter=1000)
head = make_pipeline(StandardScaler(), probe)
head.fit(read(train), tissue[train])
told = head.predict(read(tested))
table = metrics.confusion_matrix(tissue[tested], told, labels=range(4))
there = table.sum(axis=1) > 0
recalls = table.diagonal() / np.maximum(table.sum(axis=1), 1)
balanced = record("balanced_accuracy_of_four", float(recalls[there].mean()))
print(f"mean share right, over {there.sum()} answers that occur: {balanced:.2f}")
print(f"a network that always says the same: {1 / there.sum():.2f}")
are, answers = ([f"{word} {name}" for name in names] for word in ("is", "said"))
pd.DataFrame(table, are, answers)

# %% [markdown]
# In a tumour oedema is nearly always the largest tissue, so the rows of core and enhancing are short. Look at the count
# above before you trust a row: an answer that is rare among few patients is learnt from very few people, and whatever it scores, it is about them.
#
# ## Where was it looking?
#
# Attention has weights, so it seems that one need only print them. **Rollout** does (Abnar and Zuidema 2020): in each
# block a token keeps half of itself and takes half from the others, by the weights averaged over heads; multiplied
# through all blocks, this says how much of each patch reaches the class token. It does not know what the answer was.
# **Grad-CAM** does (Selvaraju et al. 2017): it asks which features would raise the score of "tumour", by their
# gradient, and where these features are.

# %%
from helpers.models.attention import attention_weights, grad_cam, rollout, shuffled

inside = store.soft_labels[tested][..., 1:].sum(axis=-1) > 127  # (slices, size, size)
sure = np.where(truth[tested], np.concatenate(predicted[last]), 0)
surest = int(np.argmax(sure))  # of the slices with tumour
outline = inside[surest].astype(int)
slice_ = store.images[[tested[surest]]].astype("float32")  # (1, size, size, 3)
maps = {"rollout": rollout(compact, slice_), "Grad-CAM": grad_cam(compact, slice_)}
pixels = inside[surest].sum()
hardly = " and even there it is hardly sure" if sure[surest] < 0.7 else ""
print(f"of its surest slice it says {sure[surest]:.2f}{hardly}")
print(f"the tumour has {pixels} pixels there")

# %% [markdown]
# Before the maps of the whole network, what is a row of attention? Choose a patch by hand, and see which patches it
# listens to in the last block. Here the chosen patch walks through the row that holds most tumour.

# %%
from helpers.show.attention import attention_of

weights = attention_weights(compact, slice_)  # (blocks, 1, tokens, tokens)
side = SIZE // plain.patch  # patches along each side
tiles = inside[surest].reshape(side, plain.patch, side, plain.patch).sum(axis=(1, 3))
head_ = slice_[0].any(axis=-1).reshape(side, plain.patch, side, plain.patch)
brain_patches = head_.mean(axis=(1, 3)).ravel() >= 0.5
column = int(tiles.sum(axis=0).argmax())  # file order: shown as a row
walk = [row * side + column for row in range(side)]
walk = [patch for patch in walk if brain_patches[patch]]
walk.append(int(tiles.argmax()))  # it ends where most tumour is
title = "Last block: a patch, and what it listens to"
attention_of(slice_[0, :, :, 0], weights[-1, 0], walk, view, title)

# %%
tumour = tiles.ravel() >= plain.patch**2 / 2
listening = weights[-1, 0, 1:, 1:]
to_tumour = {"of tumour": tumour, "of other brain": brain_patches & ~tumour}
for name, which in to_tumour.items():
    if which.any() and tumour.any():
        share = listening[which][:, tumour].sum(axis=1).mean()
        print(f"patches {name} give {share:.1%} of their attention to tumour", end="; ")
print(f"even attention would give {tumour.sum() / side**2:.1%}")

# %% [markdown]
# A row says what one patch took from the others in one block, no more. Now the maps of the whole network. A map will
# always look like something. Before we believe it, the test of Adebayo et al. (2018): draw the map of a network whose
# weights have been shuffled, which knows nothing. A map that stays the same shows the image, not the network.

# %%
lost = shuffled(compact, SEED)
nonsense = {"rollout": rollout(lost, slice_), "Grad-CAM": grad_cam(lost, slice_)}


def alike(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of two maps; 0 where one of them is empty."""
    if not (first.any() and second.any()):
        return 0.0
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


similarity = {name: alike(map_, nonsense[name]) for name, map_ in maps.items()}
record("map_like_that_of_a_shuffled_network", similarity)
for name, value in similarity.items():
    words = "some likeness" if value > 0.1 else "no likeness"
    words = "much the same map" if value > 0.7 else words
    words = "bright where the other is dark" if value < -0.1 else words
    print(f"{name}, correlation with the shuffled network's: {value:+.2f}, {words}")


# %%
def over(ax, map_, title) -> None:
    """The slice, the outline of its tumour, and a map laid over it."""
    show_slice(ax, slice_[0, :, :, 0], view, None, outline, {1: "white"}, marks=False)
    how = {"cmap": "inferno", "alpha": 0.55, "interpolation": "bilinear", "vmin": 0}
    ax.imshow(view.turn(map_[0]), extent=ax.images[0].get_extent(), **how)
    ax.set_title(title)


figure = Figure(figsize=(8, 5.4))
arms = {"the gate": (compact, maps), "weights shuffled": (lost, nonsense)}
for row, (who, arm) in zip(figure.subplots(2, 3), arms.items(), strict=True):
    network, found = arm
    show_slice(row[0], slice_[0, :, :, 0], view, None, outline, {1: "white"})
    row[0].set_title(f"{who} says {network.predict(slice_, verbose=0)[0, 1]:.2f}")
    for ax, (name, map_) in zip(row[1:], found.items(), strict=True):
        over(ax, map_, f"{name}, {who}")
figure.suptitle("The surest slice. Bright: where it looked. White: where the tumour is")
style.alt(figure, "Two maps of the surest slice, by gate and shuffled weights.")

# %% [markdown]
# A number for what the eye sees: how much of the map lies inside the outline, divided by what an even map would have
# there. 1 means that it looked no more at the tumour than anywhere else in the brain. First for this slice, then, since
# one slice is an anecdote, for the test slices with most tumour.


# %%
def lifts_of(drawn: np.ndarray, rows) -> np.ndarray:
    """How many times more of each map is on the tumour than of an even one, (rows,)."""
    brain = store.images[tested[rows]].any(axis=-1)
    within = (drawn * inside[rows]).sum(axis=(1, 2))
    on_tumour = within / np.maximum((drawn * brain).sum(axis=(1, 2)), 1e-9)
    return on_tumour / (inside[rows].sum(axis=(1, 2)) / brain.sum(axis=(1, 2)))


here = {name: float(lifts_of(map_, [surest])[0]) for name, map_ in maps.items()}
for name, value in here.items():
    print(f"surest slice, {name}: {value:.1f} times what an even map has on the tumour")

# %%
largest = np.argsort(inside.sum(axis=(1, 2)))[::-1]
rows = np.sort(largest[: min(60, inside.any(axis=(1, 2)).sum())])
many = store.images[tested[rows]].astype("float32")
explain = {"rollout": rollout, "Grad-CAM": grad_cam}
lifts = {}
for who, network in {"the gate": compact, "weights shuffled": lost}.items():
    drawn = {name: map_of(network, many) for name, map_of in explain.items()}
    lifts[who] = {name: lifts_of(one, rows) for name, one in drawn.items()}
record("lift_of_grad_cam", float(lifts["the gate"]["Grad-CAM"].mean()))
owner = np.repeat(split.test, [len(rows_of([one])) for one in split.test])[rows]
print(f"mean over {len(rows)} slices of {len(set(owner))} patients")
pd.DataFrame(lifts).map(np.mean).T.round(2)

# %% [markdown]
# Compare the rows before the columns: only what the shuffled network cannot do counts for the map. Is that more than
# chance, patient by patient?

# %%
words = {
    "helped": "more on the tumour than that of shuffled weights",
    "hurt": "less on the tumour than that of shuffled weights",
    "cannot be told": "not to be told from that of shuffled weights",
}
named = {"shuffled weights": "weights shuffled", "trained weights": "the gate"}
looked = {}
for name in explain:
    of = {}
    for arm, who in named.items():  # a patient's mean over the slices
        of[arm] = pd.Series(lifts[who][name]).groupby(owner).mean().to_numpy()
    looked[name] = verdict(of, "shuffled weights", score=f"lift of {name}")
    print(looked[name])
    print(f"   so the map is {words[looked[name].outcome]}")
_ = record("verdicts_of_the_maps", {name: one.outcome for name, one in looked.items()})

# %% [markdown] tags=["question"]
# A map lies neatly on the tumour. What may you say of the network?
#
# - That it recognised the tumour. :: No: a map can lie there because tumours are bright, whatever the weights are; that
#   is what the shuffled network is for.
# - That what it computed depended on these patches more than on others, if the shuffled network's map does not lie
#   there. :: Right, and no more: whether it drew the right conclusion, the map does not show.
# - That its answer is right. :: No: it may look at the tumour and say no, as the surest mistakes do.

# %% [markdown]
# ## A gate that reads the scanner
#
# A public set of brain pictures in four classes, three kinds of tumour and "no tumour", was put together from three
# sources (Nickparvar's set, from figshare, SARTAJ and Br35H). All its pictures without tumour come from one of them. So
# what does a network learn that tells the four classes apart?
#
# We can make such a set. Deal our patients to two hospitals, A and B. They have the same scanner, but B's software
# writes its pictures a little brighter. Here is one slice as A and as B would export it; T1ce, as in the public set.


# %%
def exported(rows, hospital: str) -> np.ndarray:
    """(n, size, size) in [0, 1]: T1ce as a hospital's software writes it."""
    grey = pictures(rows)[..., 1] / 255
    return grey ** (0.8 if hospital == "B" else 1.0)


figure = Figure(figsize=(5.4, 2.8))
for ax, hospital in zip(figure.subplots(1, 2), "AB", strict=True):
    ax.imshow(exported([six[3]], hospital)[0], vmin=0, vmax=1)
    ax.text(0.02, 0.5, "R", color="white", transform=ax.transAxes)
    ax.set_axis_off()
    ax.set_title(f"exported by hospital {hospital}")
figure.suptitle("Would you have noticed?")
style.alt(figure, "The same T1ce slice twice, the second a little brighter.")

# %% [markdown]
# Of each slice we keep a single number, the mean grey level of its brain. No tumour can be outlined with that.


# %%
def grey_levels(patient, hospital: str, half: str) -> pd.DataFrame:
    """Mean grey level of each slice with at least half as much brain as the fullest."""
    rows = rows_of([patient.id])
    brain = store.images[rows].any(axis=-1).sum(axis=(1, 2))
    rows = rows[brain >= brain.max() / 2]
    images = exported(rows, hospital)  # (n, size, size)
    grey = images.sum(axis=(1, 2)) / (images > 0).sum(axis=(1, 2))
    whose = {"patient": patient.id, "hospital": hospital, "half": half}
    return pd.DataFrame(whose | {"grey": grey, "tumour": truth[rows]})


places = [("A", "train"), ("B", "train"), ("A", "test"), ("B", "test")]  # dealt in turn
dealt = [grey_levels(one, *places[i % 4]) for i, one in enumerate(patients)]
slices = pd.concat(dealt, ignore_index=True)
slices.groupby(["half", "hospital"])["patient"].nunique().unstack()

# %% [markdown]
# The set like the public one: "no tumour" from A, "tumour" from B. Half of the patients train a straight line on that
# one number, the others test it.

# %%
public = slices[slices["tumour"] == (slices["hospital"] == "B")]
known, unseen = (public[public["half"] == half] for half in ("train", "test"))
probe = make_pipeline(StandardScaler(), LogisticRegression())
probe.fit(known[["grey"]], known["tumour"])
cheating = auc(unseen["tumour"].to_numpy(), probe.predict_proba(unseen[["grey"]])[:, 1])
record("auc_of_the_cheat", cheating)
count = unseen["patient"].nunique()
print(f"{count} patients it has never seen: AUC {cheating:.3f}")

# %% [markdown]
# One number a slice, a straight line, patients it has never seen. Nothing in the evaluation is wrong but the set. Now
# the same test patients where the probe cannot cheat: all their slices, so that tumour and
# no tumour come from both hospitals.

# %%
honest = slices[slices["half"] == "test"]
predictions = [
    (own["tumour"].to_numpy(), probe.predict_proba(own[["grey"]])[:, 1])
    for _, own in honest.groupby("patient")
]  # fmt: skip
fair = auc(*map(np.concatenate, zip(*predictions, strict=True)))
low, high = interval(predictions, auc, samples=300)
record("auc_where_it_cannot_cheat", fair)
print(f"all slices of {len(predictions)} patients: AUC {fair:.3f}", end=", ")
print(f"between {low:.3f} and {high:.3f}; a coin gets 0.5")

# %%
figure = Figure(figsize=(8, 3))
left, right = figure.subplots(1, 2, sharey=True)
colours = {"A": "#0072B2", "B": "#D55E00"}
sets = {"a set like the public one": unseen, "all slices of these patients": honest}
for ax, (name, rows) in zip((left, right), sets.items(), strict=True):
    for (has, hospital), own in rows.groupby(["tumour", "hospital"]):
        place = has + np.random.default_rng(0).uniform(-0.2, 0.2, len(own))
        look = {"s": 6, "color": colours[hospital], "alpha": 0.6}
        ax.scatter(place, own["grey"], label=f"hospital {hospital}", **look)
    ax.set_xticks([0, 1], ["no tumour", "tumour"])
    ax.set_title(name)
left.set_ylabel("mean grey level")
handles = dict(zip(*reversed(right.get_legend_handles_labels()), strict=True))
place = {"loc": "outside right center", "markerscale": 2.5}
figure.legend(handles.values(), handles.keys(), **place)
reads_export = low <= 0.5
reads = "the export, not the tumour" if reads_export else "more than the export"
figure.suptitle(f"It reads {reads} ({honest['patient'].nunique()} patients)")
style.alt(figure, "Grey levels with and without tumour, by hospital.")

# %% [markdown]
# A network has millions of numbers to find the hospital by, not one: sharpness, noise, the margin round the head. Had
# we normalised the grey levels, it would have read those. What helps is to look before training: can a simple **domain
# probe** tell the sources apart? Then a class that comes from one source alone is worthless, and so is its AUC.
#
# **Exercise 4** (stretch, 15 minutes). Write `source_auc(features, source, patient)`: how well a probe, trained on
# other patients, tells the source of a
# slice. Use `cross_val_predict` with `GroupKFold`, so that no patient is on both sides. A right answer is near 1 for
# the grey level above, and near one half for features that only know the patient.


# %% tags=["stub"]
def source_auc(features, source, patient) -> float:
    """AUC of a probe for `source`, (slices,) bool, from `features`, (slices, n)."""
    ...


# %% tags=["solution"]
def source_auc(features, source, patient) -> float:
    """AUC of a probe for `source`, (slices,) bool, from `features`, (slices, n)."""
    from sklearn.model_selection import GroupKFold, cross_val_predict

    probe = make_pipeline(StandardScaler(), LogisticRegression())
    folds = GroupKFold(n_splits=min(5, len(set(patient))))
    how = {"groups": patient, "cv": folds, "method": "predict_proba"}
    return auc(source, cross_val_predict(probe, features, source, **how)[:, 1])


# %% tags=["check", "long"]
with exercise_check("Exercise 4"):
    toy = np.random.default_rng(1)
    people = np.tile(np.arange(40), 10)  # every block of slices holds all
    origin = people % 2 == 0
    telling = origin[:, None] + toy.normal(0, 0.3, (400, 1))
    mine = filled(source_auc(telling, origin, people))
    require(np.ndim(mine) == 0, f"you return {np.shape(mine)}; expected one AUC")
    said = f"for a feature that gives the source away your AUC is {mine:.2f}"
    require(mine > 0.1, f"{said}; the probabilities are those of the wrong class")
    require(mine > 0.9, f"{said}; it should be near 1")
    decided = "these are the probe's decisions; rank by its probabilities"
    require(mine > 0.98, f"{said}, too low for it: {decided}")
    require(mine < 1, f"{said}: is it the truth that you rank by?")
    faces = toy.normal(size=(40, 40))[people]  # who it is, nothing more
    faces = faces + toy.normal(0, 0.1, (400, 40))
    mine = source_auc(faces, origin, people)
    said = f"for features that only know the patient your AUC is {mine:.2f}"
    require(mine < 0.8, f"{said}: slices of a patient are on both sides")

# %% [markdown] tags=["hint"]
# `cross_val_predict` predicts every slice from folds that it was not in; `GroupKFold` sees to it that a patient is in
# one fold alone, if you tell it the groups.

# %% [markdown] tags=["hint"]
# `cross_val_predict(probe, features, source, groups=patient, cv=GroupKFold(5), method="predict_proba")[:, 1]`, and
# `auc(source, ...)` of it. With fewer patients than five, fewer folds.

# %% [markdown] tags=["teacher"]
# Without groups the probe recognises the patient, and the AUC is near 1 for features that know nothing of the source:
# the check plants such features. Others take the first column of `predict_proba`, which is the other class. It is the
# leak of lesson 01 again, in five lines of scikit-learn.

# %%
from helpers.measure.domain_probe import domain_probe_auc

each_patient = slices.groupby(["hospital", "patient"])[["grey"]].mean()  # one number
by_hospital = [each_patient.loc[hospital] for hospital in "AB"]
counts = " and ".join(str(len(one)) for one in by_hospital)
given_away = domain_probe_auc(*by_hospital)
print(
    f"of {counts} patients a probe that has not seen them tells the hospital:", end=" "
)
print(f"AUC {given_away:.2f}; a coin gets 0.5")

# %%
from helpers.lessons.closing import closing_table

rows = []
for name, one in {"warm-up and weights": None, last: helped}.items():
    pair = {key: each[key] for key in ("the paper's way", name)}
    one = one or verdict(pair, "the paper's way", score="AUC")
    gain = one.comparisons[name].difference
    cost = "a schedule" if name != last else "masks to ask the patches by"
    rows.append((name, f"AUC {gain:+.3f}", cost, one.title))
for name, one in looked.items():
    pair = one.comparisons["trained weights"]
    said = f"{words[one.outcome]} ({pair.n} patients)"
    what = f"{name}, against shuffled"
    rows.append((what, f"lift {pair.difference:+.2f}", "a shuffled twin", said))
drop = f"AUC {fair - cheating:+.3f} where it cannot cheat"
cheat = "a class from each hospital"
rows.append((cheat, drop, "none that shows", "it reads " + reads))
closing_table(rows)

# %% [markdown]
# ## The question of the beginning
#
# The network says there is tumour in this slice. Where was it looking?

# %%
for name, one in looked.items():
    times = f"{here[name]:.1f} times an even map"
    print(f"By {name}: {words[one.outcome]}; on the surest slice {times}.")

# %% [markdown]
# That is the answer for our gate, as far as it goes: a map is evidence only where it differs from that of a network
# that
# knows nothing. And a gate can look at the right place in every picture it is shown and still have learnt the scanner:
# that is seen in no map, only in who the patients are.
#
# To go on by yourself: `helpers.data.chest` reads the X-rays of two hospitals, each labelled normal or tuberculosis.
# Train this lesson's gate on one hospital and test it in the other, without flips, since the heart is on the left; and
# before you believe the first number, run `source_auc` on the second.
#
# We left out pretraining on unlabelled scans (He et al. 2022) and transformers that outline (Hatamizadeh et al.
# 2022). Lesson 07 goes back to the U-Net and asks what makes a training slow; lesson 11 puts this gate before it.
