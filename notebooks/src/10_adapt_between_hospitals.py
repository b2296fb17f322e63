# %% tags=["parameters"]
SEED = 0  # of the split, and of what is drawn on this page
DATA_DIR = ""  # folder with both hospitals; empty: the Kaggle set, else phantoms
OUTPUT_DIR = ""  # where the trainings go, and are found again; empty: a scratch folder
FROM = "montgomery"  # the hospital whose radiographs come with masks
TO = "shenzhen"  # the other one
# of the ladder, see helpers.tasks.adaptation.ladder
EXPERIMENTS = ["source", "histogram", "xray", "adda", "target"]
CHECKS = []  # of the game: "itself" and "shuffled", a training each
PLANTED = 0  # steps of each game with a planted fault of scaling; 0: it is not played
SIZE = 48  # pixels along each side of what the network sees; a multiple of 16
FILTERS = 8  # features of its first level; 32 in the paper
EPOCHS = 6  # of each training, 20 steps each
FOLDS = 2  # one radiograph in so many is tested, in both hospitals

# %%
import json
import logging
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
from helpers.lessons.guess import compare_guess
from helpers.lessons.record import record
from helpers.show import ladder as show_ladder
from helpers.show import radiographs as show
from helpers.show import style

# %%
style.use()
logging.getLogger("tensorflow").setLevel("ERROR")  # it warns of many small networks
data = sources.chest(DATA_DIR)
catalogue = read_chest(data)
split = split_radiographs(list_radiographs(data), SEED, FOLDS)
tested = {
    site: [xray for xray in catalogue.require(site) if xray.id in split.test]
    for site in (FROM, TO)
}
runs = Path(OUTPUT_DIR or tempfile.mkdtemp())
counts = {site: len(radiographs) for site, radiographs in tested.items()}
print("test radiographs with a mask:", counts)

# %% [markdown]
# Six radiographs, three of each of two hospitals, with the lungs as somebody outlined them.

# %%
figure = Figure(figsize=(8, 5.4))
for row, site in zip(figure.subplots(2, 3), (FROM, TO), strict=True):
    for ax, xray in zip(row, tested[site], strict=False):
        show.show_radiograph(ax, *read_xray(xray), marks=ax is row[0])
    row[0].set_title(site.title())
figure.suptitle("Two hospitals, one organ")
style.alt(
    figure,
    f"Three chest radiographs of {FROM} above three of {TO}, with the lungs outlined.",
)

# %% [markdown]
# A network learns to outline lungs at the upper hospital, from its radiographs and its masks. On radiographs of that
# hospital that were kept out it does well. **How well will it do at the lower one?** Write a number down.

# %% tags=["guess"]
my_guess_target = None  # the mean Dice at the lower hospital, between 0 and 1

# %% [markdown]
# From here on the upper hospital is the **source**, whose masks we have, and the lower one the **target**, of which we
# have radiographs and no masks. (This set has them. They give the scores, the pictures and two yardsticks that will say
# so; nothing that adapts ever sees one.)
#
# ## One hospital's model
#
# The network is lesson 09's. `helpers.tasks.adaptation.ladder` runs one **experiment** after the other on this page:
# each trains a model in a folder of its own, and scores it on radiographs of both hospitals that nobody trained on.
# What is finished is not run again.

# %%
from helpers.tasks.adaptation.ladder import radiograph_scores, run_folder, run_ladder
from helpers.tasks.adaptation.results import as_frame

DIRECTION = f"{FROM}-{TO}"


def results(*names) -> list[dict]:
    """Train and score these experiments if need be; their rows of the table."""
    settings = {"epochs": EPOCHS, "size": SIZE, "filters": FILTERS, "split": split}
    rows = run_ladder(data, runs, [DIRECTION], names, log=lambda text: None, **settings)
    return [row for row in rows[DIRECTION] if row["experiment"] in names]


plain_rows = results("source")
reached = plain_rows[0]["target"]["mean"]
print(compare_guess("Dice at the target", my_guess_target, reached))
as_frame(plain_rows)[["Dice, source", "Dice, target"]]

# %% [markdown]
# The first number is what a paper would report; the second is what the other hospital would get. Each is a mean over
# radiographs, with its 95 % interval. For comparison, the mean of the source's masks, which has looked at no radiograph
# at all:

# %%
metrics = (run_folder(runs, DIRECTION, "source") / "metrics.json").read_text()
trivial = json.loads(metrics)["trivial"]
lazy = {site: trivial[site]["dice"]["mean"] for site in (FROM, TO)}
pd.Series(lazy, name="mean mask").to_frame().round(3)

# %% [markdown]
# And this is how it looks on the target's radiographs that suffer most:

# %%
from helpers.tasks.lungs.inference import LungSegmenter

plain = LungSegmenter.load(run_folder(runs, DIRECTION, "source"))
scores = radiograph_scores(runs, DIRECTION).query("seed == 0")
source_scores = scores[
    (scores["site"] == TO) & (scores["experiment"] == "source")
].sort_values("dice")
worst = [
    next(xray for xray in tested[TO] if xray.id == name)
    for name in source_scores["radiograph"][:3]
]
pictures, masks = zip(*map(read_xray, worst), strict=True)
drawn = [plain.predict(picture) for picture in pictures]
heading = f"{FROM.title()}'s model at {TO.title()}: the worst of {len(tested[TO])}"
show.compare(pictures, masks, drawn, title=heading)

# %% [markdown]
# What differs? The patients; who drew the masks, and how; and the radiographs. Without a mask from there only the
# radiographs can be looked at, so begin with them. The network sees every radiograph with mean 0 and spread 1 (lesson
# 09), so mere brightness is gone already. What is left?


# %%
def seen(xray) -> tuple[np.ndarray, np.ndarray]:
    """What a network sees of a radiograph, (SIZE, SIZE, 1), and where it is lung."""
    radiograph, mask = read_xray(xray)
    return preprocess(radiograph, SIZE), lung_soft_labels(mask, SIZE)[..., 1] > 127


inputs = {
    site: [np.stack(part) for part in zip(*map(seen, radiographs), strict=True)]
    for site, radiographs in tested.items()
}

# %%
heading = ", ".join(f"{len(i)} of {site.title()}" for site, (i, _) in inputs.items())
show.greys(inputs, f"Does one grey mean one thing in both hospitals? ({heading})")

# %% [markdown] tags=["paper: section 3.1 challenge 5"]
# Nearly: lungs are dark in both. But what surrounds them is spread otherwise. A radiograph has a curve by which
# exposure becomes grey, a frame around the chest, bands where nothing was exposed, letters in a corner. Each hospital
# has its habits in all of these, and the network has met the habits of one. When the radiographs change and the task
# stays, that is called a **domain shift**. (The task stays only as far as both hospitals draw lungs alike, which is
# worth a look at the worst radiographs above.)
#
# ## How large is the gap?
#
# The yardstick is a model of the target's own, trained on its masks, with its radiographs augmented as you will see
# below. It is called the **ceiling**, though a model may pass it; the plain model is the floor, and between them lies
# the **domain gap**, the gap for short. That is not what is lost on the way: other radiographs may be harder for
# everybody, or easier.

# %%
rows = results("source", "target")
floor, ceiling = (row["target"]["mean"] for row in rows)
record("dice_source_at_home", rows[0]["source"]["mean"])
record("gap", ceiling - floor)
home = rows[0]["source"]["mean"]
print(f"lost on the way: {home:.3f} - {floor:.3f} = {home - floor:.3f}")
print(f"gap at the target: {ceiling:.3f} - {floor:.3f} = {ceiling - floor:.3f}")

# %% [markdown]
# Of whatever we try from now on we ask how much of the gap it closes. With s, a and c for the mean Dice of source,
# adapted model and ceiling, that is
#
# $$\mathrm{share} = \frac{a - s}{c - s}$$
#
# which is 0 for doing nothing and 1 for the ceiling. It needs an interval, and there is a trap. All three models are
# scored on the same radiographs, and a radiograph that is hard for one tends to be hard for the others. Draw
# radiographs, and take all three scores of each along: then what makes radiographs hard cancels. Draw anew for each
# model, and it adds up.
#
# %% [markdown] tags=["question"]
# A table says that a method closes 120 % of the gap. What has happened?
#
# - A mistake: nothing can pass the ceiling. :: No: the ceiling is a model of the target's own, and not the best there
#   could be. A small hospital teaches little, and a method that uses both may pass it.
# - The adapted model beats the target's own on these radiographs. :: Right: a is above c. Whether that would hold on
#   others, the interval of the share says.
# - The gap was measured at the wrong hospital. :: No: s, a and c are all scores at the target; a share above 1 needs no
#   mistake.

# %% [markdown]
# **Exercise 1** (core, 8 minutes). Write `share_interval(source, adapted, ceiling, rng)`: 2,000 times draw as many
# radiographs as there are, with replacement; take the share of their means; return the 2.5th and 97.5th percentile. A
# right answer for the radiographs of the check holds the planted share of 0.4, and is far narrower than one that draws
# anew for each model.


# %% tags=["stub"]
def share_interval(source, adapted, ceiling, rng):
    """The middle 95 % of the share; three arrays (radiographs,) to two numbers."""
    ...


# %% tags=["solution"]
def share_interval(source, adapted, ceiling, rng):
    """The middle 95 % of the share; three arrays (radiographs,) to two numbers."""
    n = len(source)
    drawn = rng.integers(n, size=(2000, n))  # one draw for all three
    # (2000,) each
    s, a, c = (scores[drawn].mean(axis=1) for scores in (source, adapted, ceiling))
    return np.percentile((a - s) / (c - s), [2.5, 97.5])


# %% tags=["check", "long"]
from helpers.measure.gap_closed import gap_closed

with exercise_check("Exercise 1"):
    toy = np.random.default_rng(0)
    hard = toy.normal(0, 0.05, 60)  # what makes a radiograph hard for all three
    three = [0.8 + gain + hard + toy.normal(0, 0.01, 60) for gain in (0, 0.04, 0.1)]
    mine = filled(share_interval(*three, np.random.default_rng(1)))
    kind = f"return two numbers, the lower and the upper end, not {type(mine).__name__}"
    require(np.shape(mine) == (2,) and np.asarray(mine).dtype.kind == "f", kind)
    low, high = map(float, mine)
    require(
        low <= high, f"the lower end comes first; yours are {low:.2f} and {high:.2f}"
    )
    usual = {
        2.5: "(c - s) / (a - s) is upside down",
        0.6: "what is left is no share closed: (a - s), not (c - a)",
    }
    for wrong, words in usual.items():
        require(
            abs((low + high) / 2 - wrong) > 0.1 * wrong,
            f"yours lies round {wrong}; {words}",
        )
    lowest, highest = gap_closed(*three)[1]
    ratio = (high - low) / (highest - lowest)
    wide = f"yours is {high - low:.2f} wide, ours {highest - lowest:.2f}"
    require(ratio > 1e-6, f"{wide}; without replacement every draw is the same")
    require(ratio < 2, f"{wide}; draw radiographs once, for all three models")
    require(
        low < 0.4 < high,
        f"the planted share is 0.4; yours runs from {low:.2f} to {high:.2f}",
    )
    require(ratio > 0.9, f"{wide}; take the 2.5th and the 97.5th percentile")
    require(ratio < 1.12, f"{wide}; draw as many radiographs as there are")
    gains, gaps = np.tile([0.02, 0.0], 30), np.tile([0.02, 0.18], 30)
    of_means = share_interval(0 * gaps, gains, gaps, np.random.default_rng(1))
    each = "you divide radiograph by radiograph; take the means first, then divide"
    require(max(of_means) < 0.3, each)

# %% [markdown] tags=["hint"]
# Draw numbers of radiographs, not scores: `rng.integers` gives 2,000 rows of them at once. Which of the three arrays do
# they belong to?

# %% [markdown] tags=["hint"]
# To all three: `scores[rows].mean(axis=1)` with the same `rows` for source, adapted and ceiling gives three arrays of
# 2,000 means. The share is an array too; `np.percentile` takes both percentiles at once.

# %% [markdown] tags=["teacher"]
# The usual answer calls `rng.choice` three times, once a model: it is right in form, and four times too wide, which is
# what the exercise is for. Ask the class what was thrown away. Some draw without replacement and get no width at all;
# some divide by what is left of the gap.

# %% [markdown]
# `helpers.measure.gap_closed.gap_closed` is the same, and refuses where the gap may be nothing: a share of nothing can
# be any number. From here on it is a column of the table.
#
# ## The first experiment: borrowed greys
#
# The obvious remedy touches no network: bring the greys of a target's radiograph to those of the source. **Histogram
# matching** sends the darkest tenth of its pixels to the greys of the source's darkest tenth, and so on up.

# %%
from helpers.prepare.histogram_matching import histogram, match_histogram

learned = [xray for xray in catalogue.require(FROM) if xray.id in split.train]
# (256,): how often the source has each grey
counts = histogram(read_xray(xray)[0] for xray in learned)
radiograph = pictures[0]  # (rows, columns) uint8, the worst one

# (256,): how often this radiograph has each grey
own = np.bincount(radiograph.ravel(), minlength=256) / radiograph.size
# the share of pixels that are darker, here and at the source: (256,) each
rank, wanted = (np.cumsum(often) - often / 2 for often in (own, counts))
# (256,): for each grey the one of equal rank
table = np.interp(rank, wanted, np.arange(256)).round().astype("uint8")
matched = table[radiograph]  # (rows, columns) uint8
bool((matched == match_histogram(radiograph, counts)).all())  # as in helpers

# %%
three = {
    f"{TO.title()}, as it is": radiograph,
    f"in {FROM.title()}'s greys": matched,
    f"a radiograph of {FROM.title()}": read_xray(tested[FROM][0])[0],
}
heading = (
    "The middle one has the greys of the right one's hospital. In the right places?"
)
show.row(three, heading)


# %%
from helpers.lessons.verdict import verdict


def judged(name, against):
    """The verdict on an experiment, radiograph by radiograph at the target."""
    scores = radiograph_scores(runs, DIRECTION).query("seed == 0 and site == @TO")
    wide = scores.pivot_table(index="radiograph", columns="experiment", values="dice")
    pair = {one: wide[one].to_numpy() for one in (against, name)}
    return verdict(pair, against=against, cases="radiographs")


rows = results("source", "histogram")
print(judged("histogram", "source"))
as_frame(rows)[["Dice, target", "gap closed"]]

# %% [markdown]
# Matching knows how many pixels are dark, not which. Where only the source's radiographs have broad black bands, it
# takes the black that it needs from the air beside the patient, or from the lungs. Where only the target's have them,
# the band itself turns grey.
#
# ## The second experiment: more habits than one
#
# Instead of dressing the target up as the source, show the network in training more habits than any one hospital has.
# That needs no radiograph of the target in training. Lesson 03 has the tools, and anyone who has seen a few radiographs
# can say what differs: contrast and exposure, frame and tilt, black bands. Not left and right; the heart has a side.
# (Somebody did look at radiographs: the bands here are as wide as Montgomery's. The experiment `intensity` does
# without.)

# %%
from helpers.prepare.augment import XRAY, apply, draw

radiograph, mask = read_xray(tested[FROM][0])
square, soft_labels = (
    array[None].repeat(5, axis=0)
    for array in (preprocess(radiograph, 128), lung_soft_labels(mask, 128) / 255)
)
params = draw(np.random.default_rng(SEED + 1), 5, 128, 1, XRAY)
# (5, 128, 128, 1); a band ends where lung begins
augmented, _ = apply(square, soft_labels.astype("float32"), params)


# %%
figure = Figure(figsize=(8, 1.9))
shown = [square[0], *np.array(augmented)]
for ax, picture in zip(figure.subplots(1, 6), shown, strict=True):
    ax.imshow(picture[..., 0], vmin=-2, vmax=2)
    ax.set_axis_off()
figure.suptitle("One radiograph of the source, and five hospitals that do not exist")
told = "A radiograph as it is, and augmented five times"
style.alt(figure, f"{told} in contrast, frame, tilt and bands.")

# %%
rows = results("source", "histogram", "xray")
print(judged("xray", "source"))
as_frame(rows)[["Dice, source", "Dice, target", "gap closed"]]

# %% [markdown]
# Keep the last row in mind, whichever way it went. It is cheap, and many papers on adaptation leave it out of their
# tables. Everything below has to beat it.
#
# ## A game
#
# Now the target's radiographs take part, still without masks. Inside the network a radiograph becomes **features**:
# maps that the encoder hands to the decoder. If those of the two hospitals looked alike, a decoder that reads the
# source's could read the target's as well.
#
# How would one make them look alike? A second network, the **discriminator** d, looks at features and says where they
# come from: 1 for the source, 0 for the target. The encoder learns to fool it. What one of them gains the other
# loses.
#
# **ADDA** (adversarial discriminative domain adaptation, Tzeng et al. 2017; the method of the paper) adds a thought.
# The source's features are good as they are, since the decoder reads them. So their encoder $E_s$ stays as it is. The
# target gets an encoder $E_t$ of its own, a copy at first, and only that one learns.

# %%
from helpers.show.phases import phases

phases(title="What is trained when: never the decoder with the target's radiographs")

# %% [markdown]
# What is a discriminator's loss? The cross-entropy of its output d. Written with what comes before the sigmoid, the
# **logit** z, nothing overflows:


# %%
from helpers.tasks.adaptation.adversarial import patch_bce


def cross_entropy(z, label):
    """-log d for label 1 and -log(1 - d) for label 0, where d = sigmoid(z)."""
    return ops.softplus(z) - label * z


# (radiographs, rows, columns): a logit for each patch
z = np.random.default_rng(SEED).normal(0, 3, (5, 4, 4)).astype("float32")
ours = ops.mean(cross_entropy(z, 1.0), axis=(1, 2))  # (radiographs,)
theirs = patch_bce(z, np.ones(5, "float32"))  # the same, from helpers
float(ops.max(ops.abs(ours - theirs)))

# %% [markdown]
# And the encoder's? It could wish the discriminator ill, and want its loss large. But suppose that the discriminator
# wins, and is sure of every radiograph. How strong is the pull on the encoder then? Take a radiograph of the target,
# label 0, and let the discriminator get surer and surer.

# %%
d = np.linspace(0.5, 0.001, 100)  # from "I do not know" to "of the target, surely"
figure = Figure(figsize=(8, 2.6))
ax = figure.subplots()
ax.plot(1 - d, d, label="its loss turned round: log(1 - d)")
ax.plot(1 - d, 1 - d, label="inverted label: -log d")
ax.set(xlabel="how sure the discriminator is: 1 - d", ylabel="pull on the logit")
figure.legend(loc="outside right center")
figure.suptitle("The loss turned round goes quiet where it is needed most")
told = "The pull of the loss turned round falls to 0 as the discriminator gets sure,"
style.alt(figure, f"{told} that of the inverted label rises to 1.")

# %% [markdown]
# So the encoder should not wish the discriminator ill; it should wish it to say "source". It is trained with the
# **inverted label**. Both want the same in the end; the second pulls when it matters. With radiographs $x_s$ and $x_t$
# of source and target there are two losses:
#
# $$L_D = -\log d(E_s(x_s)) - \log(1 - d(E_t(x_t))) \qquad L_E = -\log d(E_t(x_t))$$

# %% [markdown]
# **Exercise 2** (core, 6 minutes). Write `losses(z_s, z_t)`, from the logits of patches of the source and of the
# target: return $L_D$ and $L_E$, each a mean over patches. `cross_entropy(z, label)` is all you need. A right answer
# gives 1.386 and 0.693 to a discriminator that knows nothing, whose logits are all 0.


# %% tags=["stub"]
def losses(z_s, z_t):
    """L_D and L_E, two numbers; logits above 0 say "source"."""
    ...


# %% tags=["solution"]
def losses(z_s, z_t):
    """L_D and L_E, two numbers; logits above 0 say "source"."""
    loss_d = ops.mean(cross_entropy(z_s, 1.0)) + ops.mean(cross_entropy(z_t, 0.0))
    return loss_d, ops.mean(cross_entropy(z_t, 1.0))  # the inverted label


# %% tags=["check", "long"]
with exercise_check("Exercise 2"):
    of_s, of_t = np.float32([3, 2, 1]), np.float32([-2, -1, 1])
    mine = filled(losses(of_s, of_t))
    pair = isinstance(mine, tuple | list) and len(mine) == 2
    require(pair, f"return two numbers, L_D and L_E; yours is {type(mine).__name__}")
    require(
        all(np.ndim(one) == 0 for one in mine),
        "each loss is one number: a mean over patches",
    )
    got_d, got_e = map(float, mine)
    right, fooled = (
        (lambda z: np.logaddexp(0, -z).mean()),
        (lambda z: np.logaddexp(0, z).mean()),
    )
    s_1, s_0, t_1, t_0 = right(of_s), fooled(of_s), right(of_t), fooled(of_t)

    def same(one, other):
        return abs(one - other) < 1e-4

    require(
        not (same(got_d, t_1) and same(got_e, s_1 + t_0)), "L_D comes first, then L_E"
    )
    require(
        not same(got_d, s_0 + t_1),
        "the discriminator's labels are exchanged: 1 is the source",
    )
    require(
        not same(got_d, (s_1 + t_0) / 2),
        "L_D is the sum of its two terms, not their mean",
    )
    require(
        not (same(got_d, s_1) or same(got_d, t_0)),
        "L_D has two terms, one for each hospital",
    )
    require(same(got_d, s_1 + t_0), f"L_D is {got_d:.3f}; it should be {s_1 + t_0:.3f}")
    helps = "with label 0 the encoder helps the discriminator; invert the label"
    require(not same(got_e, t_0), helps)
    require(
        not same(got_e, -t_0),
        "that is the loss turned round; it goes quiet. Invert the label instead",
    )
    require(not same(got_e, t_1 + s_0), "E_s is frozen: the source has no part in L_E")
    require(same(got_e, t_1), f"L_E is {got_e:.3f}; it should be {t_1:.3f}")

# %% [markdown] tags=["hint"]
# Each minus log in the formulas is one call of `cross_entropy`. Which label makes it -log d, and which -log(1 - d)?

# %% [markdown] tags=["hint"]
# $L_D$: label 1 for the source's logits plus label 0 for the target's. $L_E$: the target's logits again, with label 1.
# `ops.mean` of each.

# %% [markdown] tags=["teacher"]
# What goes wrong is the label of $L_E$: with 0 both players pull the same way, the game is a classifier's training, and
# the curves look splendid. The check tells it from the loss turned round, which many know from other courses. Let them
# say who is trained by each loss; nothing in the formulas says it, and it is half of the method.

# %% [markdown]
# ### One step, in the open
#
# A step of the game is a move of each player: $L_D$ moves the discriminator alone, then $L_E$ the encoder alone. Here
# it is, for the coarsest maps and with a single convolution as discriminator, on radiographs that nobody is scored on.

# %%
import tensorflow as tf

from helpers.data.pictures import read_image
from helpers.tasks.adaptation.adversarial import encoder

E_s = encoder(plain.network, [4])  # a radiograph -> the map at the bottom of the U
E_t = keras.models.clone_model(E_s)
E_t.set_weights(E_s.get_weights())  # a copy at first
d = keras.layers.Conv2D(1, 1)  # a logit for each patch
adam_d, adam_e = keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.00003)


# %%
def one_step(x_s, x_t):
    """A move of the discriminator, then one of the target's encoder."""
    with tf.GradientTape() as tape:
        loss_d = ops.mean(cross_entropy(d(E_s(x_s)), 1.0))
        loss_d += ops.mean(cross_entropy(d(E_t(x_t)), 0.0))
    adam_d.apply(tape.gradient(loss_d, d.trainable_variables), d.trainable_variables)
    with tf.GradientTape() as tape:
        loss_e = ops.mean(cross_entropy(d(E_t(x_t)), 1.0))  # the inverted label
    moves = tape.gradient(loss_e, E_t.trainable_variables)
    adam_e.apply(moves, E_t.trainable_variables)
    return float(loss_d), float(loss_e)


# %%
chest = [xray for xray in list_radiographs(data) if xray.id in split.train]


def eight(site):
    """Eight radiographs as the network sees them, without their masks."""
    of_site = [xray for xray in chest if xray.site == site][:8]
    return np.stack([preprocess(read_image(xray.image), SIZE) for xray in of_site])


x_s, x_t = eight(FROM), eight(TO)  # (8, SIZE, SIZE, 1) each
game = pd.DataFrame([one_step(x_s, x_t) for _ in range(12)], columns=["L_D", "L_E"])
game.index.name = "after steps"
game.iloc[[0, 3, 7, 11]].round(3)

# %% [markdown]
# Neither column has to fall: what lowers the one raises the other. $E_s$ has no line of its own, for nothing moves it;
# the decoder is not even mentioned. `helpers.tasks.adaptation.adversarial.ADDA` is this step, compiled, with three
# changes: a discriminator of several layers that sees three levels of the U at once, radiographs that are augmented,
# and 0.9 for the source instead of 1, so that the discriminator never gets infinitely sure.
#
# ### Two players go in circles
#
# One thing more before they play to the end. A network alone walks downhill and comes to rest. Two of them chase each
# other. The smallest game there is: one player owns the number x and wants the product xy to be small, the other owns y
# and wants it to be large. Both would rest at 0. Where do they go?

# %%
x, y, path = 1.0, 0.0, []
for _ in range(400):
    x, y = x - 0.05 * y, y + 0.05 * x  # each follows the gradient of its own number
    path.append((x, y))
path = np.array(path)  # (400, 2)
# (400, 2): 0.99 of it and 0.01 of the new
ema = pd.DataFrame(path).ewm(alpha=0.01, adjust=False).mean().to_numpy()

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
    "Two players wind outwards round the origin; their average circles close to it.",
)

# %% [markdown]
# Steps without end and without length would make a circle; real ones overshoot, so it widens. The average does not
# arrive either, but it stays several times nearer. So whatever a method moves here, what is saved is the **EMA**
# (exponential moving average) of the network's weights: after each step 99 parts of what it was, and one of the network
# as it is now (Yazici et al. 2019). After n steps a share of $0.99^n$ is still the model that it began with, most of it
# after an epoch of 20; remember that when a row below looks like the source's.
#
# ### The game is played
#
# Now the helper plays it, for as many steps as a training has. Before you run it, guess how often the discriminator is
# right at the end.

# %% tags=["guess"]
my_guess_right = None  # a share of the patches, between 0 and 1

# %%
adda = results("source", "adda")
curves = pd.read_csv(run_folder(runs, DIRECTION, "adda") / "history.csv")
right = record("discriminator_right", round(float(curves["accuracy"].iloc[-1]), 3))
record("discriminator_right_first", round(float(curves["accuracy"].iloc[1]), 3))
print(compare_guess("The share of the patches", my_guess_right, right))
heading = f"At the end the discriminator is right in {right:.0%} of the patches"
show_ladder.adversarial_curves(curves, title=heading)

# %% [markdown]
# Left, the losses of both players; in the middle, how often the discriminator is right; on the right, what the course's
# model selection goes by, of which more below (epoch 0 there is the source's model, before the game, and no candidate).
# Read the middle. At 1 the discriminator sees through everything. At one half it guesses: then either the features have
# become alike, or it is too weak to see how they differ, and the curve does not say which. And losses that neither rise
# nor fall may be a game in full swing. Nothing in the first two panels says whether the *outlines* got better; that is
# what makes such trainings hard.
#
# The features can be looked at, and asked: a **domain probe**, as in lesson 06, is a straight line fitted to the means
# of the maps over some radiographs and tried on others. An AUC of 1 says that it separates the hospitals without fail,
# one half that a coin would do. Each dot is a radiograph, its maps' means laid onto the plane in which all radiographs
# differ most (a PCA). The source's radiographs go through the encoder that was left alone, in both panels; on the right
# the target's go through the other one, its EMA as the game ended.


# %%
from helpers.measure.domain_probe import domain_probe_auc

levels = encoder(plain.network)  # a radiograph -> maps of five levels
last = LungSegmenter.load(run_folder(runs, DIRECTION, "adda")).network


def features(encoder_model, site) -> list[np.ndarray]:
    """(radiographs, features) for each level: the mean of each map."""
    maps = encoder_model.predict(inputs[site][0], verbose=0)
    return [part.mean(axis=(1, 2)) for part in maps]


def ended(experiment) -> keras.Model:
    """The network as this game ended: each time the same one, with other weights."""
    checkpoints = run_folder(runs, DIRECTION, experiment) / "checkpoints"
    newest = max(checkpoints.glob("*.weights.h5"))  # they are named by their epoch
    last.load_weights(newest)
    return last


# %%
before = {site: np.concatenate(features(levels, site), axis=1) for site in (FROM, TO)}
moved = np.concatenate(features(encoder(ended("adda")), TO), axis=1)
after = {FROM: before[FROM], TO: moved}  # (radiographs, features) each
probe = [domain_probe_auc(*moment.values()) for moment in (before, after)]
n = " and ".join(f"{len(part)}" for part in before.values())
heading = (
    f"AUC of a domain probe: {probe[0]:.2f} before, {probe[1]:.2f} after (n = {n})"
)
show_ladder.features(before, after, title=heading)

# %% [markdown]
# Clouds can also part; then, as a game, it was lost. And where the dots have met, the domain probe may separate the
# hospitals all the same: it is fitted afresh to what is left, and looks at more than two dimensions. What did the game
# make of the outlines, on the network's own grid?


# %%
from helpers.learn.predict_batches import predict_batches
from helpers.measure.overlap import dice


def dice_at(site, network) -> float:
    images, lungs = inputs[site]
    drawn = predict_batches(network, images)[..., 0] > 0.5  # (radiographs, SIZE, SIZE)
    return float(np.mean([dice(*pair) for pair in zip(lungs, drawn, strict=True)]))


moments = {
    "before": dice_at(TO, plain.network),
    "as it ended": dice_at(TO, ended("adda")),
}
record("dice_as_adda_ended", moments["as it ended"])
pd.Series(moments, name="Dice at the target").to_frame().round(3)

# %% [markdown] tags=["question"]
# At the end of a game the discriminator is right in half of the cases. What follows?
#
# - The features of the two hospitals are alike. :: No: or this discriminator is too weak to see how they differ. A
#   probe that is fitted afresh may still separate them; the title above the clouds says what it did here.
# - The outlines at the target are right. :: No: nobody in the game has seen an outline. Features can coincide with one
#   hospital's lungs where the other's hearts are.
# - Nothing, before the Dice has been looked at. :: Right: half may be success or weakness, and either may help or hurt
#   the outlines.

# %% [markdown]
# ## Side by side
#
# Enough of features. The same radiographs of the target that the source's model outlined worst, by three models: the
# source's, the one with augmentation, and the one that played.

# %% tags=["paper: figure 15"]
models = {"source alone": "source", "augmentation": "xray", "ADDA": "adda"}
segmenters = {
    name: LungSegmenter.load(run_folder(runs, DIRECTION, one))
    for name, one in models.items()
}
outlines = {
    name: [one.predict(picture) for picture in pictures]
    for name, one in segmenters.items()
}
heading = (
    f"The worst {len(pictures)} of {len(tested[TO])} at {TO.title()}, by three models"
)
show.by_model(pictures, masks, outlines, heading)

# %% [markdown]
# The paper's figure 15 has such outlines, "with adversarial learning", and no column to their left. Without that column
# nobody can tell what the adversary did. (These radiographs were chosen because the first model fails on them, so the
# others look good by comparison; the table of all radiographs is below.)
#
# ## Which checkpoint?
#
# A game has no last move that is its best. Up to ten checkpoints were saved; which of them is the model? This is
# **model selection**. With masks of the target one would take the best, and we have none. A paper that takes it all the
# same has used the labels that it says it can do without. Ours goes by three things that can be had: Dice on the
# source's validation radiographs, less the **relative entropy gap** (by how much the entropy of its predictions is
# higher at the target than at the source), less the **implausible fraction** (how many of its outlines at the target
# are, by number or size, no pair of lungs). That is the **selection score**, and the checkpoint with the highest is
# taken. The panel on the right above has all of them. (Entropy at the target alone would not do: whoever goes on
# learning the source's masks gets surer of everything.)
#
# What does not knowing cost? The column "oracle" has the Dice of the checkpoint that the masks of the target's
# validation radiographs would have chosen. It is there to be compared with, and counts for nothing else.

# %%
as_frame(adda)[["Dice, source", "Dice, target", "gap closed", "oracle"]]

# %%
row = adda[1]
saved = curves.query("saved > 0")  # the epochs with a checkpoint
chosen = int(saved.loc[saved["selection_score"].idxmax(), "epoch"])
record("epoch_chosen", chosen)
print(f"of {len(saved)} checkpoints, that of epoch {chosen} was chosen")
print(f"the oracle: {row['oracle']['mean'] - row['target']['mean']:+.3f}")

# %% [markdown]
# How sure is that choice? The implausible fraction moves in steps: one odd outline more or less.

# %%
looked_at = sum(xray.site == TO for xray in chest)  # without masks
best, next_best = saved["selection_score"].nlargest(2)
step, ahead = 1 / looked_at, best - next_best
hangs = "one odd outline could turn it" if ahead < step else "one odd outline could not"
print(f"one odd outline of {looked_at} moves the score by {step:.3f};")
print(f"the best checkpoint is {ahead:.3f} ahead of the next: {hangs}")

# %% [markdown]
# **Exercise 3** (core, 5 minutes). Write `choose(history)`: the epoch whose checkpoint is taken. `history` is a table
# as above, with the columns `epoch`, `saved` (above 0 where there is a checkpoint), `val_dice` (at the source),
# `relative_entropy_gap` and `implausible_fraction`; compute the score yourself. A right answer returns a number of the
# column `epoch`, as an int, and uses nothing that the target's masks tell.


# %% tags=["stub"]
def choose(history):
    """The epoch of the checkpoint with the highest selection score."""
    ...


# %% tags=["solution"]
def choose(history):
    """The epoch of the checkpoint with the highest selection score."""
    saved = history[history["saved"] > 0]
    score = (
        saved["val_dice"]
        - saved["relative_entropy_gap"]
        - saved["implausible_fraction"]
    )
    return int(saved.loc[score.idxmax(), "epoch"])


# %% tags=["check", "long"]
with exercise_check("Exercise 3"):
    toy = pd.DataFrame(
        {
            "epoch": [10, 11, 12, 13, 14, 15],
            "saved": [0, 1, 2, 3, 4, 5],
            "val_dice": [0.95, 0.9, 0.93, 0.92, 0.91, 0.9],
            "relative_entropy_gap": [0, 0.05, 0.3, 0.02, 0.0, 0.5],
            "implausible_fraction": [0, 0.0, 0.1, 0.2, 0.0, 0.5],
            "target_dice": [0.5, 0.99, 0.5, 0.5, 0.5, 0.5],
        },
        index=range(20, 26),
    )
    mine = filled(choose(toy.copy()))
    number = isinstance(mine, int | np.integer) and not isinstance(mine, bool)
    require(number, f"return the epoch, an int; yours is {type(mine).__name__}")
    usual = {
        10: "the checkpoint of epoch 10 was not saved",
        11: "epoch 11 is best at the target: nobody knows that without its masks",
        12: "epoch 12 is best at the source, and unsure at the target: subtract that",
        13: "epoch 13 has a fifth of its outlines implausible; subtract that too",
        15: "the gap and the implausible fraction are bad: subtract them",
        24: "24 is the row; return what stands in the column `epoch`",
        4: "4 is the place in the table; return what stands in the column `epoch`",
        3: "3 is the place among the saved; return what stands in the column `epoch`",
    }
    require(mine not in usual, f"you choose {mine}: {usual.get(mine)}")
    require(mine == 14, f"you choose {mine}; the best score is that of epoch 14")

# %% [markdown] tags=["hint"]
# First the rows that have a checkpoint, then the score of each, then the row with the highest, then its epoch.

# %% [markdown] tags=["hint"]
# The score is `val_dice - relative_entropy_gap - implausible_fraction`. `idxmax` gives the name of a row, and
# `saved.loc[name, "epoch"]` its epoch.

# %% [markdown] tags=["teacher"]
# The table in the check holds a column that must not be used, and someone uses it: the best discussion of the lesson,
# since many published tables did. The other mistakes are signs, and a row number in place of an epoch.

# %% [markdown] tags=["question"]
# A paper says that it needs no masks of the target, and reports the checkpoint with the best Dice there. What is wrong?
#
# - Nothing, since no gradient came from the masks. :: No: the choice came from them. It is a small training on ten
#   candidates, and its gain is reported as the method's.
# - It has used the masks that it says it can do without. :: Right: who has none cannot make this choice, so nobody
#   would get this number. The column "oracle" keeps it apart.
# - It should have taken the last checkpoint. :: No: that would be honest, and still no choice; a game has no last move
#   that is its best.

# %% [markdown]
# An early choice means that by those three things together it went down from there; whether Dice did, the table
# "before" and "as it ended" says. How can a game do harm? Look at the adversarial loss above, the encoder's. Where it
# climbs, the discriminator is hardly ever fooled. The encoder still takes its steps, each about as long as Adam's rate
# allows, and nothing in Tzeng's two losses asks whether the decoder can read what comes of it. For digits that was
# often good enough. A small rate for the encoder, as here, puts the harm off, and that is all. So a third player is
# called in, which we have met: the source's masks. **ADDA with an anchor** trains encoder and decoder on the source's
# radiographs all the while. It is an experiment of its own, `adda+anchor`; add it to EXPERIMENTS, and the ladder below
# has it.
#
# ## Was it the game?
#
# A number that rose may have risen for other reasons. Two checks. **The source to itself**: there is nothing to gain,
# so what is lost is the method's doing. **Shuffled names**: if the hospital that the discriminator is given for a
# radiograph is drawn at random, it has nothing to learn and is right half of the time; what the target gains even so
# was not the game. What it loses was not the game either: the encoder takes its steps all the same, after a
# discriminator that says anything.
#
# A checkpoint chosen at once would hide that, so the table has the end of each game. (A method that goes on with the
# source's masks, as reversal and the anchor do, trains longer besides; the experiment `longer` does that and nothing
# else.) Each check is a training, so the quick profile makes none; where the table has one row, this run cannot tell
# whether it was the game.

# %%
more = results(*CHECKS) if CHECKS else []
checks = {row["experiment"]: row for row in [adda[1], *more]}
column = "discriminator right, at the end"
table = {column: {}, "Dice, source, at the end": {}, "Dice, target, at the end": {}}
for one in checks:
    history = pd.read_csv(run_folder(runs, DIRECTION, one) / "history.csv")
    table[column][one] = float(history["accuracy"].iloc[-1])
    for side, site in (("source", FROM), ("target", TO)):
        table[f"Dice, {side}, at the end"][one] = dice_at(site, ended(one))
record("discriminator_right_by_check", table[column])
chosen_row = {one: row["target"]["mean"] for one, row in checks.items()}
pd.DataFrame(table | {"Dice, target, as chosen": chosen_row}).round(3)

# %% [markdown]
# ## A fault to look for first
#
# Users of a public ADDA were stranded at 10 to 15 % accuracy. Nothing was wrong with the game: one hospital's images
# came as 0 to 1, the other's as 0 to 255 (corenel/pytorch-adda, pull request 29). A network hardly minds a factor, and
# a discriminator needs nothing else to tell two hospitals apart. Our radiographs are z-scored, which takes any factor
# out, so here the fault is planted: phantoms that are not z-scored, the target's seen through a flat and foggy
# detector.

# %% [markdown] tags=["question"]
# Your adversary's discriminator is right in 100 % of the patches from the tenth step on. What do you look at first?
#
# - A larger encoder. :: No: it would have to hide the same difference, and what that is nobody has looked at yet.
# - The smallest and the largest value of a batch of each hospital. :: Right: one line, and it finds the factor of 255,
#   a forgotten z-score, an inverted picture.
# - A smaller learning rate of the discriminator. :: No: it then takes longer to see what can be seen by anyone, and the
#   curve looks healthier while nothing is better.

# %%
from helpers.tasks.adaptation.planted_scaling import (
    FORGOTTEN,
    fogged,
    phantom_radiographs,
    play,
)

clear = phantom_radiographs(4).images  # (radiographs, rows, columns, 1)
foggy = fogged(phantom_radiographs(4, 1)).images
looked_into = {
    "source": clear,
    "target, scaled alike": foggy,
    "target, as it came": FORGOTTEN * foggy,
}
ends = {name: [one.min(), one.max()] for name, one in looked_into.items()}
pd.DataFrame(ends, ["lowest", "highest"]).T.astype(float).round(2)

# %%
planted = play(steps=PLANTED) if PLANTED else None
if planted is None:
    print("this profile does not play the two games; the full one does")
else:
    record("planted_scaling", planted["Dice, target"].round(4).to_dict())
    lost, won = (
        planted["Dice, target"].iloc[i] - planted["Dice, target"].iloc[0]
        for i in (2, 1)
    )
    print(
        f"against the source model: {won:+.3f} scaled alike, {lost:+.3f} with the fault"
    )
planted if planted is None else planted.round(3)

# %% [markdown]
# ## The ladder
#
# All experiments of this page. In a terminal, `python -m helpers ladder --data DIR --out DIR` runs every one there is,
# in both directions, and goes on where it was stopped: among them a **mean teacher** (Tarvainen and Valpola 2017), a
# steady copy of the network that outlines the target's radiographs for it to learn from, and tuning on 1 to 20
# radiographs of the target *with* their masks.

# %%
rows = results(*EXPERIMENTS)
n = len(tested[TO])
heading = f"From {FROM.title()} to {TO.title()}: who closes the gap? ({n} radiographs)"
show_ladder.ladder(rows, title=heading)

# %%
record(
    "dice_at_target",
    {row["experiment"]: round(row["target"]["mean"], 4) for row in rows},
)
print(f"for comparison, the mean mask: {lazy[TO]:.3f} at the target")
as_frame(rows)

# %% [markdown]
# Now the question for which the table was made. Does the game beat augmentation? Both were scored on the same
# radiographs, so compare radiograph by radiograph.

# %%
game_or_not = judged("adda", "xray")
by_game = game_or_not.comparisons["adda"].difference
record("adda_less_augmentation", round(float(by_game), 4))
print(game_or_not)

# %%
LABELLED = ("source", "target", "labelled", "longer", "itself", "shuffled")
without = [row for row in rows if not row["experiment"].startswith(LABELLED)]
best = max(without, key=lambda row: row["target"]["mean"])
record("dice_best", best["target"]["mean"])
record("dice_best_less_source", best["target"]["mean"] - floor)
reached = best["target"]["mean"]
print(f"without a mask of the target, {best['experiment']} gets furthest:")
print(
    f"{reached:.3f}, where the source's has {floor:.3f} and the ceiling {ceiling:.3f}"
)

# %% [markdown]
# One training of each proves little, and no interval over radiographs says how another training would end; in a
# terminal `--seeds 3` trains three. But where augmentation is ahead or level, others saw the same: Brion et al. (2021)
# between two kinds of CT, where brightness augmentation alone beat their adversary. There is a reason. Augmentation
# learns from *masks*: of every hospital that it makes up it knows where the lungs are. The adversary knows that two
# clouds ought to coincide, and clouds can coincide with one hospital's lungs where the other's hearts are. It also
# hides what differs for good reason: more children, more of the sick. The game may be worth its trouble where nobody
# can say what differs. Here anyone can who looks at ten radiographs. And the two are no rivals: an adaptation can begin
# with the augmented model, as the experiment `xray-mean-teacher` does.
#
# ## Optional: reversal, patches, levels
#
# You can go on with *Back to the question* without loss. Here are three things that the game above took for granted.
#
# ### Reversal: turn the gradient round
#
# Ganin and Lempitsky (2015) play the game with one encoder and one step. As the discriminator learns, it sends back a
# gradient that says how features would have to change to be separated *better*. The encoder wants the opposite. So a
# layer goes between the two that does nothing on the way forward, and on the way back multiplies the gradient by
# $-\lambda$: **gradient reversal**. Its weakness you have seen: it is the loss turned round, and goes quiet when the
# discriminator is sure. First a toy that shows which way a gradient pulls: a weight of 3, whose own value is its loss.


# %%
def moved_by(layer) -> float:
    """How far one step of gradient descent, at rate 1, moves a weight of 3."""
    w = tf.Variable(3.0)
    with tf.GradientTape() as tape:
        loss = layer(w)
    slope = tape.gradient(loss, w)  # None where no gradient arrives
    return 0.0 if slope is None else -float(slope)


moved_by(lambda x: 1 * x), moved_by(ops.stop_gradient)

# %% [markdown]
# With nothing in the way the loss falls as the weight goes down by 1. `ops.stop_gradient(x)` has the value of x and
# no gradient, so the weight stays.

# %% [markdown]
# **Exercise 4** (stretch, 8 minutes). Write `turn_round(x, strength)`: the value of x, and its gradient times
# -strength. Think of a sum of two terms, one of which has no gradient. A right answer is one line; at strength 0.5 the
# weight above goes up by 0.5.


# %% tags=["stub"]
def turn_round(x, strength):
    """x, whose gradient is multiplied by -strength."""
    ...


# %% tags=["solution"]
def turn_round(x, strength):
    """x, whose gradient is multiplied by -strength."""
    return ops.stop_gradient((1 + strength) * x) - strength * x


# %% tags=["check", "long"]
with exercise_check("Exercise 4"):
    w = tf.Variable(3.0)
    with tf.GradientTape() as tape:
        mine = filled(turn_round(w, 0.5))
        value = float(mine)
    require(
        abs(value - 3) < 1e-6,
        f"a 3 comes out as {value}; on the way forward nothing should change",
    )
    slope = (
        tape.gradient(mine, w) if isinstance(mine, tf.Tensor | tf.Variable) else None
    )
    still = "the weight stays where it is: only one of the terms in stop_gradient"
    require(slope is not None and float(slope) != 0, still)
    slope = float(slope)
    require(
        slope < 0,
        f"the gradient is {slope:+.1f}, not turned round: give the other term a minus",
    )
    require(
        abs(slope + 0.5) < 1e-6,
        f"the gradient is {slope:+.1f}; at strength 0.5 it should be -0.5",
    )

# %% [markdown] tags=["hint"]
# The term that has a gradient must be -strength * x. What has to be added, without a gradient, to make it x again?

# %% [markdown] tags=["hint"]
# x + strength * x, within `ops.stop_gradient`.

# %% [markdown] tags=["teacher"]
# Two traps: everything within `stop_gradient` (no gradient at all), and `stop_gradient(x) - strength * x`, whose value
# is wrong. The check tells them apart. The trick is worth more than this lesson: the same line writes a quantiser that
# learns.

# %% [markdown]
# `reverse_gradient` in `helpers.tasks.adaptation.adversarial` is this line, and the experiment `reversal` plays by it.
#
# ### Patches: a verdict for each part
#
# The discriminator gives a verdict for each patch of a radiograph: one verdict for the whole would be decided by the
# easiest thing there is, a letter in a corner.
#
# ### Levels: where must it look?
#
# Tzeng's networks classified digits: one path through the network, features at its end. A U-Net has five **levels**,
# each a path from encoder to decoder: four skips and the bottleneck. Which carries the lungs? Guess, and then we cut
# them one at a time: at one level every radiograph gets the mean of all radiographs, at the others its own.

# %%
from helpers.tasks.adaptation.adversarial import skips_and_bottleneck

network = plain.network
parts = skips_and_bottleneck(network)
decoder = keras.Model(parts, network.output)  # maps of five levels -> (SIZE, SIZE, 1)
images, lungs = inputs[FROM]  # (radiographs, SIZE, SIZE, 1), (radiographs, SIZE, SIZE)
maps = levels.predict(images, verbose=0)
names = [*(f"skip {level}" for level in range(1, len(maps))), "bottleneck"]
{name: part.shape[1:] for name, part in zip(names, maps, strict=True)}


# %%
def dice_without(cut) -> float:
    """Mean Dice at the source if one level is the same for all; None cuts nothing."""
    parts = [*maps]
    if cut is not None:
        parts[cut] = maps[cut].mean(axis=0, keepdims=True).repeat(len(images), 0)
    drawn = decoder.predict(parts, verbose=0)[..., 0] > 0.5  # (radiographs, SIZE, SIZE)
    return float(
        np.mean([dice(truth, mask) for truth, mask in zip(lungs, drawn, strict=True)])
    )


without_level = {"nothing": dice_without(None)} | {
    name: dice_without(level) for level, name in enumerate(names)
}
record("dice_by_level_cut", without_level)
pd.Series(without_level, name="Dice at the source, without").to_frame().round(3)

# %% [markdown]
# The lower a number, the more is lost that no other level makes up for. (Nothing can fall to 0: the mean of all
# radiographs is still a pair of lungs.) Where every row keeps most of the Dice, no level carries the outline alone. An
# adversary that sees the bottleneck by itself aligns one row of this table, and the rest of the radiograph goes by.
#
# And from which can the hospital be read?

# %%
of_source, of_target = features(levels, FROM), features(levels, TO)
aucs = {
    name: domain_probe_auc(one, other)
    for name, one, other in zip(names, of_source, of_target, strict=True)
}
pd.Series(aucs, name="AUC of the domain probe").to_frame().round(2)

# %% [markdown]
# Wherever the AUC is near 1 the hospital can be read. Which levels should the discriminator see, then? No table on this
# page decides that. The two finest show every radiograph's own grain, which an encoder can hardly hide and still hand
# on the edges of the lungs. On radiographs that nobody is scored on we tried all five and the last three, and kept the
# three. (The encoder's way to those leads through the other two, which move along, and nobody watches them.)
#
# ## What we tried

# %%
from helpers.lessons.closing import closing_table

costs = {
    "histogram": "no training",
    "xray": "a training, no radiograph of the target",
    "adda": "a second training, the target's radiographs",
    "target": "masks of the target",
}

# %%
tried = []
for row in rows[1:]:
    name, gain = row["experiment"], row["target"]["mean"] - floor
    cost = costs.get(name, "see the ladder")
    tried.append((name, f"Dice {gain:+.3f}", cost, str(judged(name, "source"))))
gained = "not measured" if planted is None else f"Dice {lost:+.3f}, mended {won:+.3f}"
said = "not measured"
if planted is not None:
    said = "the fault cost Dice" if lost < won else "here the fault cost nothing"
tried.append(("uneven scaling", gained, "two games", said))
closing_table(tried)

# %% [markdown]
# ## Back to the question
#
# In the numbers of this run:

# %%
own = plain_rows[0]["source"]["mean"]
print(f"At home {own:.3f}, at the next hospital {floor:.3f};")
print(f"a model of that hospital's own has {ceiling:.3f} there.")
print("Augmentation.", judged("xray", "source"))
print("ADDA.", judged("adda", "source"))
felt = "could" if probe[1] > 0.75 else "could hardly"
print(
    f"After the game a probe {felt} still tell the hospitals apart: AUC {probe[1]:.2f}."
)

# %% [markdown]
# How well does a hospital's model do at the next one? Not as its own test radiographs say: you subtracted the two, and
# no score from its own hospital shows it. How much of what is missing there is a hospital's habits, that one can make
# up in training, the row `xray` says; whatever is cleverer has to be measured against that row. And a part of it is
# nobody's habit but that of the people who draw: no radiograph without its mask can show that.
#
# We left out adversaries that see entropy (Vu et al. 2019), translation of radiographs into the other hospital's style
# (Zhu et al. 2017), and networks that adapt to a single radiograph. And a handful of masks is often an afternoon's
# work: what they are worth stands in the ladder's experiments `labelled-1` to `labelled-20`, and in lesson 12 for the
# brain. Lesson 11 goes back to the brain, and puts the whole system together.
