# %% tags=["parameters"]
SEED = 0  # of the split, and of what is drawn on this page
DATA_DIR = ""  # folder with the chest X-rays of both hospitals; empty: the Kaggle set, else phantoms
OUTPUT_DIR = ""  # where the trainings go, and are found again; empty: a scratch folder
FROM = "montgomery"  # the hospital whose radiographs come with masks
TO = "shenzhen"  # the other one
EXPERIMENTS = ["source", "histogram", "xray", "adda", "target"]  # of the ladder, see helpers.tasks.adaptation.ladder
SIZE = 48  # pixels along each side of what the network sees; a multiple of 16
FILTERS = 8  # features of its first level; 32 in the paper
EPOCHS = 6  # of each training, 20 steps each
FOLDS = 2  # one radiograph in so many is tested, in both hospitals

# %%
import json
import tempfile
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import ops
from matplotlib.figure import Figure

from helpers.data import sources
from helpers.data.chest import list_radiographs, read_chest, read_xray
from helpers.data.radiographs import lung_soft_labels, preprocess, split_radiographs
from helpers.lessons.checks import exercise_check, filled, require
from helpers.lessons.record import record
from helpers.show import ladder as show_ladder
from helpers.show import radiographs as show
from helpers.show import style

# %%
style.use()
data = sources.chest(DATA_DIR)
catalogue = read_chest(data)
split = split_radiographs(list_radiographs(data), SEED, FOLDS)
tested = {site: [xray for xray in catalogue.require(site) if xray.id in split.test] for site in (FROM, TO)}
runs = Path(OUTPUT_DIR or tempfile.mkdtemp())
pd.Series(
    {site: len(radiographs) for site, radiographs in tested.items()}, name="test radiographs with a mask"
).to_frame()

# %% [markdown]
# Six X-rays, three of each of two hospitals, with the lungs as somebody outlined them.

# %%
figure = Figure(figsize=(8, 5.4))
for row, site in zip(figure.subplots(2, 3), (FROM, TO), strict=True):
    for ax, xray in zip(row, tested[site], strict=False):
        show.show_radiograph(ax, *read_xray(xray), marks=ax is row[0])
    row[0].set_title(site.title())
figure.suptitle("Two hospitals, one organ")
style.alt(figure, f"Three chest radiographs of {FROM} above three of {TO}, with the lungs outlined.")

# %% [markdown]
# A network learns to outline lungs at the upper hospital, from its X-rays and its masks. On X-rays of that hospital
# that were kept out it does well. **How well will it do at the lower one?** Write a number down.
#
# From here on the upper hospital is the **source**, whose masks we have, and the lower one the **target**, of which
# we have X-rays and no masks. (This set has them. They give the scores, the pictures and two yardsticks that will say
# so; nothing that adapts ever sees one.)
#
# ## One hospital's model
#
# The network is lesson 09's. `helpers.tasks.adaptation.ladder` runs one **experiment** after the other on this page:
# each trains a model in a folder of its own, and scores it on X-rays of both hospitals that nobody trained on. What is
# finished is not run again.

# %%
from helpers.tasks.adaptation.ladder import radiograph_scores, run_folder, run_ladder
from helpers.tasks.adaptation.results import as_frame

DIRECTION = f"{FROM}-{TO}"


def results(*names) -> list[dict]:
    """Train and score these experiments, unless they are finished; their rows of the table."""
    settings = {"epochs": EPOCHS, "size": SIZE, "filters": FILTERS, "split": split}
    rows = run_ladder(data, runs, [DIRECTION], names, log=lambda text: None, **settings)
    return [row for row in rows[DIRECTION] if row["experiment"] in names]


as_frame(results("source"))[["Dice, source", "Dice, target"]]

# %% [markdown]
# The first number is what a paper would report; the second is what the other hospital would get. Each is a mean over
# X-rays, with its 95 % interval. For comparison, the mean of the source's masks, which has looked at no X-ray at all:

# %%
scored = json.loads((run_folder(runs, DIRECTION, "source") / "metrics.json").read_text())
pd.Series({site: scored["trivial"][site]["dice"]["mean"] for site in (FROM, TO)}, name="mean mask").to_frame().round(3)

# %% [markdown]
# And this is how it looks on the target's X-rays that suffer most:

# %%
from helpers.tasks.lungs.inference import LungSegmenter

plain = LungSegmenter.load(run_folder(runs, DIRECTION, "source"))
scores = radiograph_scores(runs, DIRECTION).query("seed == 0")
source_scores = scores[(scores["site"] == TO) & (scores["experiment"] == "source")].sort_values("dice")
worst = [next(xray for xray in tested[TO] if xray.id == name) for name in source_scores["radiograph"][:3]]
pictures, masks = zip(*map(read_xray, worst), strict=True)
drawn = [plain.predict(picture) for picture in pictures]
show.compare(pictures, masks, drawn, title=f"{FROM.title()}'s model at {TO.title()}, where it is worst")

# %% [markdown]
# What differs? The patients; who drew the masks, and how; and the X-rays. Without a mask from there only the X-rays can
# be looked at, so begin with them. The network sees every X-ray with mean 0 and spread 1 (lesson 09), so mere
# brightness is gone already. What is left?


# %%
def seen(xray) -> tuple[np.ndarray, np.ndarray]:
    """What a network sees of a radiograph, and where it is lung: (SIZE, SIZE, 1) float32 and (SIZE, SIZE) bool."""
    radiograph, mask = read_xray(xray)
    return preprocess(radiograph, SIZE), lung_soft_labels(mask, SIZE)[..., 1] > 127


inputs = {
    site: [np.stack(part) for part in zip(*map(seen, radiographs), strict=True)] for site, radiographs in tested.items()
}
figure = Figure(figsize=(8, 2.6))
for ax, (site, (images, lungs)) in zip(figure.subplots(1, 2, sharey=True), inputs.items(), strict=True):
    for inside, colour, name in ((lungs, "#0072B2", "lungs"), (~lungs, "#9A9A9A", "the rest of the radiograph")):
        ax.hist(images[inside & (images[..., 0] != 0)], np.linspace(-2.5, 2.5, 60), density=True, alpha=0.6,
                color=colour, label=name)  # fmt: skip
    ax.set(title=site.title(), xlabel="grey, after the z-score", yticks=[])
figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right center")
figure.suptitle("Does one grey mean one thing in both hospitals?")
style.alt(figure, "Histograms of z-scored greys inside and outside the lungs, one panel a hospital.")

# %% [markdown] tags=["paper: section 3.1 challenge 5"]
# Nearly: lungs are dark in both. But what surrounds them is spread otherwise. An X-ray has a curve by which exposure
# becomes grey, a frame around the chest, bands where nothing was exposed, letters in a corner. Each hospital has its
# habits in all of these, and the network has met the habits of one. When the X-rays change and the task stays, that is
# called a **domain shift**. (The task stays only as far as both hospitals draw lungs alike, which is worth a look at
# the worst X-rays above.)
#
# ## How large is the gap?
#
# The yardstick is a model of the target's own, trained on its masks, with its X-rays augmented as you will see below.
# It is called the **ceiling**, though a model may pass it; the plain model is the floor, and between them lies the
# **gap**. That is not what is lost on the way: other X-rays may be harder for everybody, or easier.

# %%
rows = results("source", "target")
floor, ceiling = (row["target"]["mean"] for row in rows)
record("dice_source_at_home", rows[0]["source"]["mean"])
record("gap", ceiling - floor)
print(f"lost on the way: {rows[0]['source']['mean']:.3f} - {floor:.3f} = {rows[0]['source']['mean'] - floor:.3f}")
print(f"gap at the target: {ceiling:.3f} - {floor:.3f} = {ceiling - floor:.3f}")

# %% [markdown]
# Of whatever we try from now on we ask how much of the gap it closes. With s, a and c for the mean Dice of source,
# adapted model and ceiling, that is
#
# $$\mathrm{share} = \frac{a - s}{c - s}$$
#
# which is 0 for doing nothing and 1 for the ceiling. It needs an interval, and there is a trap. All three models are
# scored on the same X-rays, and an X-ray that is hard for one tends to be hard for the others. Draw X-rays, and take
# all three scores of each along: then what makes X-rays hard cancels. Draw anew for each model, and it adds up.
#
# ### Exercise 1: a paired interval *(core, 8 minutes)*
#
# Write `share_interval(source, adapted, ceiling, rng)`: 2,000 times draw as many X-rays as there are, with
# replacement; take the share of their means; return the 2.5th and 97.5th percentile. A right answer for the X-rays of
# the check holds the planted share of 0.4, and is far narrower than one that draws anew for each model.


# %% tags=["stub"]
def share_interval(source, adapted, ceiling, rng):
    """The middle 95 % of the share over draws of radiographs; three arrays (radiographs,) to two numbers."""
    ...


# %% tags=["solution"]
def share_interval(source, adapted, ceiling, rng):
    """The middle 95 % of the share over draws of radiographs; three arrays (radiographs,) to two numbers."""
    radiographs = rng.integers(len(source), size=(2000, len(source)))  # one draw for all three
    s, a, c = (scores[radiographs].mean(axis=1) for scores in (source, adapted, ceiling))  # (2000,) each
    return np.percentile((a - s) / (c - s), [2.5, 97.5])


# %% tags=["check"]
from helpers.measure.gap_closed import gap_closed

with exercise_check("Exercise 1"):
    toy = np.random.default_rng(0)
    hard = toy.normal(0, 0.05, 60)  # what makes a radiograph hard for all three
    three = [0.8 + gain + hard + toy.normal(0, 0.01, 60) for gain in (0, 0.04, 0.1)]
    low, high = filled(share_interval(*three, np.random.default_rng(1)))
    require(low < 0.4 < high, f"the planted share is 0.4; your interval runs from {low:.2f} to {high:.2f}")
    lowest, highest = gap_closed(*three)[1]
    wide = f"yours is {high - low:.2f} wide, ours {highest - lowest:.2f}"
    require(high - low < 2 * (highest - lowest), f"{wide}; draw radiographs once, for all three models")
    require(high - low > 0.5 * (highest - lowest), f"{wide}; draw as many radiographs as there are, with replacement")

# %% [markdown]
# `helpers.measure.gap_closed.gap_closed` is the same, and refuses where the gap may be nothing: a share of nothing can
# be any number. From here on it is a column of the table.
#
# ## The first experiment: borrowed greys
#
# The obvious remedy touches no network: bring the greys of a target's X-ray to those of the source. **Histogram
# matching** sends the darkest tenth of its pixels to the greys of the source's darkest tenth, and so on up.

# %%
from helpers.prepare.histogram_matching import histogram, match_histogram

learned = [xray for xray in catalogue.require(FROM) if xray.id in split.train]
counts = histogram(read_xray(xray)[0] for xray in learned)  # (256,): how often the source has each grey
radiograph = pictures[0]  # (rows, columns) uint8, the worst one

own = np.bincount(radiograph.ravel(), minlength=256) / radiograph.size  # (256,): how often this radiograph has it
# the share of pixels that are darker, here and at the source: (256,) each
rank, wanted = (np.cumsum(frequencies) - frequencies / 2 for frequencies in (own, counts))
table = np.interp(rank, wanted, np.arange(256)).round().astype("uint8")  # (256,): for each grey the one of equal rank
matched = table[radiograph]  # (rows, columns) uint8
(matched == match_histogram(radiograph, counts)).all()  # the same, from helpers

# %%
figure = Figure(figsize=(8, 3.2))
three = (radiograph, matched, read_xray(tested[FROM][0])[0])
names = (f"{TO.title()}, as it is", f"in {FROM.title()}'s greys", f"a radiograph of {FROM.title()}")
for ax, picture, name in zip(figure.subplots(1, 3), three, names, strict=True):
    show.show_radiograph(ax, picture, marks=picture is radiograph)
    ax.set_title(name)
figure.suptitle("The middle radiograph has the greys of the right one's hospital. In the right places?")
style.alt(figure, "A radiograph of the target, the same with matched greys, and a radiograph of the source.")

# %%
as_frame(results("source", "histogram"))[["Dice, target", "gap closed"]]

# %% [markdown]
# Matching knows how many pixels are dark, not which. Where only the source's X-rays have broad black bands, it takes
# the black that it needs from the air beside the patient, or from the lungs. Where only the target's have them, the
# band itself turns grey.
#
# ## The second experiment: more habits than one
#
# Instead of dressing the target up as the source, show the network in training more habits than any one hospital has.
# That needs no X-ray of the target in training. Lesson 03 has the tools, and anyone who has seen a few X-rays can say
# what differs: contrast and exposure, frame and tilt, black bands. Not left and right; the heart has a side.
# (Somebody did look at X-rays: the bands here are as wide as Montgomery's. The experiment `intensity` does without.)

# %%
from helpers.prepare.augment import XRAY, apply, draw

radiograph, mask = read_xray(tested[FROM][0])
square, soft_labels = (
    array[None].repeat(5, axis=0) for array in (preprocess(radiograph, 128), lung_soft_labels(mask, 128) / 255)
)
params = draw(np.random.default_rng(SEED + 1), 5, 128, 1, XRAY)
augmented, _ = apply(square, soft_labels.astype("float32"), params)  # (5, 128, 128, 1); a band ends where lung begins

figure = Figure(figsize=(8, 1.9))
for ax, picture in zip(figure.subplots(1, 6), [square[0], *np.array(augmented)], strict=True):
    ax.imshow(picture[..., 0], vmin=-2, vmax=2)
    ax.set_axis_off()
figure.suptitle("One radiograph of the source, and five hospitals that do not exist")
style.alt(figure, "A radiograph as it is, and augmented five times in contrast, frame, tilt and bands.")

# %%
as_frame(results("source", "histogram", "xray"))[["Dice, source", "Dice, target", "gap closed"]]

# %% [markdown]
# Keep the last row in mind. It is cheap, and many papers on adaptation leave it out of their tables. Everything below
# has to beat it.
#
# ## A game
#
# Now the target's X-rays take part, still without masks. Inside the network an X-ray becomes **features**: maps that
# the encoder hands to the decoder. If those of the two hospitals looked alike, a decoder that reads the source's could
# read the target's as well.
#
# How would one make them look alike? A second network, the **discriminator** d, looks at features and says where they
# come from: 1 for the source, 0 for the target. The encoder learns to fool it. What one of them gains the other
# loses.
#
# ### First move: turn the gradient round
#
# As the discriminator learns, it sends back a gradient that says how features would have to change to be separated
# *better*. The encoder wants the opposite. So a layer goes between the two that does nothing on the way forward, and
# on the way back multiplies the gradient by $-\lambda$: **gradient reversal** (Ganin and Lempitsky 2015). First a toy
# that shows which way a gradient pulls: a single weight, whose own value is its loss, and one step of descent.


# %%
class Weight(keras.Model):
    """One weight, 3 at first, then a layer; what comes out is the loss."""

    def __init__(self, layer) -> None:
        super().__init__()
        self.layer, self.w = layer, self.add_weight(shape=(), initializer=keras.initializers.Constant(3.0))

    def call(self, x):
        return self.layer(self.w * x) + 0 * self.w  # so that a missing gradient counts as 0 and is no error


def moved_by(layer) -> float:
    """How far one step of gradient descent, at rate 1, moves the weight."""
    model = Weight(layer)
    model.compile(keras.optimizers.SGD(1.0), lambda truth, loss: loss)
    model.fit(np.ones((1, 1)), np.ones((1, 1)), verbose=0)
    return float(ops.convert_to_numpy(model.w)) - 3


moved_by(lambda x: x), moved_by(ops.stop_gradient)

# %% [markdown]
# With nothing in the way the loss falls as the weight goes down by 1. `ops.stop_gradient(x)` has the value of x and
# no gradient, so the weight stays.
#
# ### Exercise 2: gradient reversal *(core, 8 minutes)*
#
# Write `turn_round(x, strength)`: the value of x, and its gradient times -strength. Think of a sum of two terms, one
# of which has no gradient. A right answer is one line; at strength 0.5 the weight above goes up by 0.5.


# %% tags=["stub"]
def turn_round(x, strength):
    """x, whose gradient is multiplied by -strength."""
    ...


# %% tags=["solution"]
def turn_round(x, strength):
    """x, whose gradient is multiplied by -strength."""
    return ops.stop_gradient((1 + strength) * x) - strength * x


# %% tags=["check"]
with exercise_check("Exercise 2"):
    value = float(filled(turn_round(ops.ones(()) * 3, 0.5)))
    require(abs(value - 3) < 1e-6, f"a 3 comes out as {value}; on the way forward nothing should change")
    moved = moved_by(lambda x: turn_round(x, 0.5))
    require(moved != 0, "the weight stays where it is; only one of the two terms may stand in stop_gradient")
    require(abs(moved - 0.5) < 1e-6, f"the weight moves by {moved:+.1f}; reversed at strength 0.5 it goes up by 0.5")

# %% [markdown]
# `reverse_gradient` in `helpers.tasks.adaptation.adversarial` is this line. And what is a discriminator's loss? The
# cross-entropy of its output d. Written with what comes before the sigmoid, the **logit** z, nothing overflows:


# %%
from helpers.tasks.adaptation.adversarial import patch_bce


def cross_entropy(z, label):
    """-log d for label 1 and -log(1 - d) for label 0, where d = sigmoid(z)."""
    return ops.softplus(z) - label * z


z = np.random.default_rng(SEED).normal(0, 3, (5, 4, 4)).astype("float32")  # (radiographs, rows, columns): one a patch
ours = ops.mean(cross_entropy(z, 1.0), axis=(1, 2))  # (radiographs,)
theirs = patch_bce(z, np.ones(5, "float32"))  # the same, from helpers
float(ops.max(ops.abs(ours - theirs)))

# %% [markdown]
# ### Second move: invert the label
#
# Reversal has a weakness. Suppose that the discriminator wins, and is sure of every X-ray. How strong is the pull on
# the encoder then? Take an X-ray of the target, label 0, and let the discriminator get surer and surer.

# %%
d = np.linspace(0.5, 0.001, 100)  # from "I do not know" to "of the target, surely"
figure = Figure(figsize=(8, 2.6))
ax = figure.subplots()
ax.plot(1 - d, d, label="gradient reversal: -log(1 - d), turned round")
ax.plot(1 - d, 1 - d, label="inverted label: -log d")
ax.set(xlabel="how sure the discriminator is: 1 - d", ylabel="pull on the logit", ylim=(-0.02, 1.02))
figure.legend(loc="outside right center")
figure.suptitle("Reversal goes quiet where it is needed most")
style.alt(
    figure, "The pull of the reversed gradient falls to 0 as the discriminator gets sure, the other's rises to 1."
)

# %% [markdown]
# So the encoder should not wish the discriminator ill; it should wish it to say "source". It is trained with the
# **inverted label**. Both want the same in the end; the second pulls when it matters.
#
# ADDA (adversarial discriminative domain adaptation, Tzeng et al. 2017; the method of the paper) adds a thought. The
# source's features are good as they are, since the decoder reads them. So their encoder $E_s$ stays as it is. The
# target gets an encoder $E_t$ of its own, a copy at first, and only that one learns. There are two losses, with X-rays
# $x_s$ and $x_t$ of source and target:
#
# $$L_D = -\log d(E_s(x_s)) - \log(1 - d(E_t(x_t))) \qquad L_E = -\log d(E_t(x_t))$$
#
# In code, with numbers instead of encoders, and one convolution for a discriminator:

# %%
rng = np.random.default_rng(SEED)
of_s, of_t = (ops.convert_to_tensor(rng.normal(mean, 1, (4, 4, 4, 8)), "float32") for mean in (0, 1))  # E_s(x), E_t(x)
logit = keras.layers.Conv2D(1, 3, padding="same")  # (4, 4, 4, 8) -> (4, 4, 4, 1): one for each patch

loss_d = cross_entropy(logit(of_s), 1.0) + cross_entropy(logit(ops.stop_gradient(of_t)), 0.0)  # E_t has no part in it
loss_e = cross_entropy(logit(of_t), 1.0)  # the inverted label; the discriminator must have no part in this one
{"discriminator": float(ops.mean(loss_d)), "adversarial": float(ops.mean(loss_e))}

# %% [markdown]
# `helpers.tasks.adaptation.adversarial.ADDA` has both in one training step, and there d is frozen inside $L_E$ in the
# way you know, by `stop_gradient` on its weights. It gives a verdict for each patch of an X-ray: one verdict for the
# whole X-ray would be decided by the easiest thing there is, a letter in a corner. And its $L_D$ is the mean of the two
# terms, with 0.9 for the source instead of 1, so that it never gets infinitely sure.
#
# ### Where must it look?
#
# Tzeng's networks classified digits: one path through the network, features at its end. A U-Net has five **levels**,
# each a path from encoder to decoder: four skips and the bottleneck. Which carries the lungs? Guess, and then we cut
# them one at a time: at one level every X-ray gets the mean of all X-rays, at the others its own.

# %%
from helpers.tasks.adaptation.adversarial import encoder, skips_and_bottleneck

network = plain.network
levels = encoder(network)  # a radiograph -> maps of five levels, each half as fine as the one before
decoder = keras.Model(skips_and_bottleneck(network), network.output)  # and from them to (SIZE, SIZE, 1)
images, lungs = inputs[FROM]  # (radiographs, SIZE, SIZE, 1), (radiographs, SIZE, SIZE)
maps = levels.predict(images, verbose=0)
names = [*(f"skip {level}" for level in range(1, len(maps))), "bottleneck"]
{name: part.shape[1:] for name, part in zip(names, maps, strict=True)}

# %%
from helpers.measure.overlap import dice


def dice_without(cut) -> float:
    """Mean Dice on the source's test radiographs if one level carries the same for all of them; None cuts nothing."""
    parts = [part.mean(axis=0, keepdims=True).repeat(len(part), 0) if i == cut else part for i, part in enumerate(maps)]
    drawn = decoder.predict(parts, verbose=0)[..., 0] > 0.5  # (radiographs, SIZE, SIZE)
    return float(np.mean([dice(truth, mask) for truth, mask in zip(lungs, drawn, strict=True)]))


without_level = {"nothing": dice_without(None)} | {name: dice_without(level) for level, name in enumerate(names)}
record("dice_by_road_cut", without_level)
pd.Series(without_level, name="Dice at the source, without").to_frame().round(3)

# %% [markdown]
# The lower a number, the more is lost that no other level makes up for. (Nothing can fall to 0: the mean of all X-rays
# is still a pair of lungs.) No level carries the outline alone. An adversary that sees the bottleneck by itself aligns
# one row of this table, and the rest of the X-ray goes by.
#
# And from which can the hospital be read? A **domain probe**, as in lesson 06: a straight line, fitted to the means of
# a map over some X-rays and tried on others. An AUC of 1 says that it separates the hospitals without fail, one half
# that a coin would do.

# %%
from helpers.measure.domain_probe import domain_probe_auc


def features(encoder_model, site) -> list[np.ndarray]:
    """(radiographs, features) for each level: the mean of each map over the radiograph."""
    return [part.mean(axis=(1, 2)) for part in encoder_model.predict(inputs[site][0], verbose=0)]


of_source, of_target = features(levels, FROM), features(levels, TO)
aucs = {name: domain_probe_auc(one, other) for name, one, other in zip(names, of_source, of_target, strict=True)}
pd.Series(aucs, name="AUC of the domain probe").to_frame().round(2)

# %% [markdown]
# Wherever the AUC is near 1 the hospital can be read. Which levels should the discriminator see, then? No table on this
# page decides that. The two finest show every X-ray's own grain, which an encoder can hardly hide and still hand on the
# edges of the lungs. On X-rays that nobody is scored on we tried all five and the last three, and kept the three. (The
# encoder's way to those leads through the other two, which move along, and nobody watches them.)
#
# ### Two players go in circles
#
# One thing more before they play. A network alone walks downhill and comes to rest. Two of them chase each other. The
# smallest game there is: one player owns the number x and wants the product xy to be small, the other owns y and wants
# it to be large. Both would rest at 0. Where do they go?

# %%
x, y, path = 1.0, 0.0, []
for _ in range(400):
    x, y = x - 0.05 * y, y + 0.05 * x  # each follows the gradient of xy with respect to its own number
    path.append((x, y))
path = np.array(path)  # (400, 2)
ema = pd.DataFrame(path).ewm(alpha=0.01, adjust=False).mean().to_numpy()  # (400, 2): 0.99 of it and 0.01 of the new

figure = Figure(figsize=(8, 3.4))
ax = figure.subplots()
ax.plot(*path.T, color="#0072B2", label="the players")
ax.plot(*ema.T, color="#D55E00", label="their EMA")
ax.plot(0, 0, "k+", markersize=12, label="where both would rest")
ax.set(xlabel="x", ylabel="y", aspect="equal")
figure.legend(loc="outside right center")
figure.suptitle("Neither player arrives; their average stays nearer")
style.alt(
    figure,
    "The path of two players winds outwards round the origin; its exponential moving average circles close to it.",
)

# %% [markdown]
# Steps without end and without length would make a circle; real ones overshoot, so it widens. The average does not
# arrive either, but it stays several times nearer. So whatever a method moves here, what is saved is the **exponential
# moving average** (EMA) of the network's weights: after each step 99 parts of what it was, and one of the network as it
# is now (Yazici et al. 2019). After n steps a share of $0.99^n$ is still the model that it began with, most of it after
# an epoch of 20; remember that when a row below looks like the source's.
#
# ### The game is played
#
# Left, the losses of both players; in the middle, how often the discriminator is right; on the right, what the course's
# model selection goes by, of which more below.

# %%
adda = results("source", "adda")
show_ladder.adversarial_curves(run_folder(runs, DIRECTION, "adda") / "history.csv", title="Does anybody win?")

# %% [markdown]
# Read the middle. At 1 the discriminator sees through everything. At one half it guesses: then either the features
# have become alike, or it is too weak to see how they differ, and the curve does not say which. And losses that
# neither rise nor fall may be a game in full swing. Nothing in the first two panels says whether the *outlines* got
# better; that is what makes such trainings hard.
#
# The features can be looked at. Each dot is an X-ray, its maps' means laid onto the plane in which all X-rays differ
# most (a PCA). The source's X-rays go through the encoder that was left alone, in both panels; on the right the
# target's go through the other one, its EMA as the game ended.


# %%
last = LungSegmenter.load(run_folder(runs, DIRECTION, "adda")).network


def ended(experiment) -> keras.Model:
    """The network as the game of this experiment ended: the same network each time, with other weights."""
    checkpoints = run_folder(runs, DIRECTION, experiment) / "checkpoints"
    last.load_weights(max(checkpoints.glob("*.weights.h5")))  # they are named by their epoch
    return last


before = {FROM: np.concatenate(of_source, axis=1), TO: np.concatenate(of_target, axis=1)}  # (radiographs, features)
after = {FROM: before[FROM], TO: np.concatenate(features(encoder(ended("adda")), TO), axis=1)}
probe = [domain_probe_auc(*moment.values()) for moment in (before, after)]
print(f"a domain probe separates the hospitals with an AUC of {probe[0]:.2f} before, and {probe[1]:.2f} after")
show_ladder.features(before, after, title="Did the two clouds meet?")

# %% [markdown]
# Clouds can also part; then, as a game, it was lost. And where the dots have met, the domain probe may separate the
# hospitals all the same: it is fitted afresh to what is left, and looks at more than two dimensions. What did the game
# make of the outlines, on the network's own grid?


# %%
from helpers.learn.predict_batches import predict_batches


def dice_at(site, network) -> float:
    images, lungs = inputs[site]
    drawn = predict_batches(network, images)[..., 0] > 0.5  # (radiographs, SIZE, SIZE)
    return float(np.mean([dice(*pair) for pair in zip(lungs, drawn, strict=True)]))


moments = {"before": dice_at(TO, network), "as the game ended": dice_at(TO, ended("adda"))}
record("dice_as_adda_ended", moments["as the game ended"])
pd.Series(moments, name="Dice at the target").to_frame().round(3)

# %% [markdown]
# ## Which checkpoint?
#
# A game has no last move that is its best. Up to ten checkpoints were saved; which of them is the model? This is
# **model selection**. With masks of the target one would take the best, and we have none. A paper that takes it all the
# same has used the labels that it says it can do without. Ours goes by three things that can be had: Dice on the
# source's validation X-rays, less the **relative entropy gap** (by how much the entropy of its predictions is higher at
# the target than at the source), less the **implausible fraction** (how many of its outlines at the target are, by
# number or size, no pair of lungs). That is the **selection score**, and the checkpoint with the highest is taken. The
# panel on the right above has all of them. (Entropy at the target alone would not do: whoever goes on learning the
# source's masks gets surer of everything.)
#
# What does not knowing cost? The column "oracle" has the Dice of the checkpoint that the masks of the target's
# validation X-rays would have chosen. It is there to be compared with, and counts for nothing else.

# %%
as_frame(adda)[["Dice, source", "Dice, target", "gap closed", "oracle"]]

# %%
row = adda[1]
history = pd.read_csv(run_folder(runs, DIRECTION, "adda") / "history.csv").query("saved > 0")  # those with a checkpoint
chosen = history.loc[history["selection_score"].idxmax(), "epoch"]
record("epoch_chosen", int(chosen))
print(f"of {len(history)} checkpoints, that of epoch {chosen} was chosen")
print(f"the oracle would have gained {row['oracle']['mean'] - row['target']['mean']:+.3f}")

# %% [markdown]
# An early choice means that by those three things together it went down from there; whether Dice did, the table before
# the last heading says. How can a game do harm? Look at the adversarial loss above, the encoder's. Where it climbs, the
# discriminator is hardly ever fooled. The encoder still takes its steps, each about as long as Adam's rate allows, and
# nothing in Tzeng's two losses asks whether the decoder can read what comes of it. For digits that was often good
# enough. A small rate for the encoder, as here, puts the harm off, and that is all. So a third player is called in,
# which we have met: the source's masks. **ADDA with an anchor** trains encoder and decoder on the source's X-rays all
# the while. It is an experiment of its own, `adda+anchor`; add it to EXPERIMENTS, and the ladder below has it.
#
# ## Was it the game?
#
# A number that rose may have risen for other reasons. Two checks. **The source to itself**: there is nothing to gain,
# so what is lost is the method's doing. **Shuffled names**: if the hospital that the discriminator is given for an
# X-ray is drawn at random, it has nothing to learn and is right half of the time; what the target gains even so was not
# the game. What it loses was not the game either: the encoder takes its steps all the same, after a discriminator that
# says anything.
#
# A checkpoint chosen at once would hide that, so the table has the end of each game too. (A method that goes on with
# the source's masks, as reversal and the anchor do, trains longer besides. The experiment `longer` does that and
# nothing else; hold them against it.)

# %%
checks = {row["experiment"]: row for row in [adda[1], *results("itself", "shuffled")]}
histories = {name: pd.read_csv(run_folder(runs, DIRECTION, name) / "history.csv") for name in checks}
right = {name: history["accuracy"].iloc[-1] for name, history in histories.items()}
record("discriminator_right", right)
record("discriminator_right_on_shuffled", right["shuffled"])
as_frame(checks.values())[["change at home", "Dice, target"]]

# %%
pd.DataFrame(
    {
        "epoch chosen": {
            name: history[history["saved"] > 0].set_index("epoch")["selection_score"].idxmax()
            for name, history in histories.items()
        },
        "discriminator right, at the end": right,
        "Dice, source, at the end": {name: dice_at(FROM, ended(name)) for name in checks},
        "Dice, target, at the end": {name: dice_at(TO, ended(name)) for name in checks},
    }
).round(3)

# %% [markdown]
# ## The ladder
#
# All experiments of this page. In a terminal, `python -m helpers ladder --data DIR --out DIR` runs every one there is,
# in both directions, and goes on where it was stopped: among them a **mean teacher** (Tarvainen and Valpola 2017), a
# steady copy of the network that outlines the target's X-rays for it to learn from, and tuning on 1 to 20 X-rays of the
# target *with* their masks.

# %%
rows = results(*EXPERIMENTS)
show_ladder.ladder(rows, title=f"From {FROM.title()} to {TO.title()}: who closes the gap?")

# %%
record("dice_at_target", {row["experiment"]: round(row["target"]["mean"], 4) for row in rows})
as_frame(rows)

# %% [markdown]
# Now the question for which the table was made. Does the game beat augmentation? Both were scored on the same X-rays,
# so compare X-ray by X-ray.

# %%
from helpers.measure.statistics import bootstrap_ci

scores = radiograph_scores(runs, DIRECTION)
by_radiograph = scores[scores["site"] == TO].pivot_table(index="radiograph", columns="experiment", values="dice")
difference = by_radiograph["adda"] - by_radiograph["xray"]
low, high = bootstrap_ci(difference)
verdict = "ADDA is ahead" if low > 0 else "augmentation is ahead" if high < 0 else "these radiographs cannot tell"
record("adda_minus_films", difference.mean())  # its name from before; runs are compared by it
print(f"ADDA less augmentation: {difference.mean():+.3f}, between {low:+.3f} and {high:+.3f}: {verdict}")

# %%
CHECKS = ("longer", "itself", "shuffled")
without = [row for row in rows if not row["experiment"].startswith(("source", "target", "labelled", *CHECKS))]
best = max(without, key=lambda row: row["target"]["mean"])
record("dice_best", best["target"]["mean"])
record("dice_best_less_source", best["target"]["mean"] - floor)
reached = best["target"]["mean"]
print(f"without a mask of the target, {best['experiment']} gets furthest: {reached:.3f}, ceiling {ceiling:.3f}")

# %% [markdown]
# One training of each proves little; in a terminal `--seeds 3` trains three. But where augmentation is ahead or level,
# others saw the same: Brion et al. (2021) between two kinds of CT, where brightness augmentation alone beat their
# adversary. There is a reason. Augmentation learns from *masks*: of every hospital that it makes up it knows where the
# lungs are. The adversary knows that two clouds ought to coincide, and clouds can coincide with one hospital's lungs
# where the other's hearts are. It also hides what differs for good reason: more children, more of the sick. The game
# may be worth its trouble where nobody can say what differs. Here anyone can who looks at ten X-rays. And the two are
# no rivals: an adaptation can begin with the augmented model, as the experiment `xray-mean-teacher` does.
#
# ## Back to the question
#
# How well does a hospital's model do at the next one? Not as its own test X-rays say: you subtracted the two, and no
# score from its own hospital shows it. How much of what is missing there is a hospital's habits, that one can make up
# in training, the row `xray` says; whatever is cleverer has to be measured against that row. And a part of it is
# nobody's habit but that of the people who draw: no X-ray without its mask can show that.
#
# We left out adversaries that see entropy (Vu et al. 2019), translation of X-rays into the other hospital's style (Zhu
# et al. 2017), and networks that adapt to a single X-ray. And a handful of masks is often an afternoon's work: what
# they are worth stands in the ladder's experiments `labelled-1` to `labelled-20`, and in lesson 12 for the brain. Lesson
# 11 goes back to the brain, and puts the whole system together.
