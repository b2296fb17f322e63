# %% tags=["parameters"]
SEED = 0  # of the split, the weights and the order of slices
DATA_DIR = ""  # folder with BraTS patients; empty: the Kaggle set, else phantoms
OUTPUT_DIR = ""  # where the model goes; empty: beside the data
SIZE = 64  # pixels along each side of the 192 mm window; 128 in the paper
FILTERS = 8  # features of the U-Net's first level; 32 in the paper
EPOCHS = 5  # of training
BATCH = 8  # slices in a batch
FOLDS = 3  # one patient in so many is tested

# %%
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from helpers.data import sources
from helpers.data.brats import read_catalogue
from helpers.data.splits import make_split
from helpers.data.volumes import read_scan
from helpers.lessons.checks import exercise_check, filled, require
from helpers.lessons.record import record
from helpers.lessons.verdict import verdict
from helpers.measure import regions
from helpers.show import scores, slices, style

style.use()
MODALITIES = ("flair", "t1ce")
patients = read_catalogue(sources.brats(DATA_DIR)).require(MODALITIES)
split = make_split(patients, SEED, FOLDS)
tested = [patient for patient in patients if patient.id in split.test]
folder = Path(OUTPUT_DIR) if OUTPUT_DIR else sources.home() / "lesson_07"

# %%
scan = read_scan(tested[0], MODALITIES)
nothing = np.zeros_like(scan.seg)  # a model without a single weight: "background", everywhere
right = (scan.seg == nothing).mean()
slices.compare(scan, scan.seg, nothing, title=f"{right:.1%} of this patient's voxels are right")

# %% [markdown]
# The model in the middle calls everything background. **How can it be that right and find nothing?** And if a number
# can be that wrong about a model, which other numbers can? We shall train one model, keep its masks as they are, and
# score them again and again. Beside each score of the model stands that of the model above.
#
# ## One model, one set of masks
#
# This is lesson 06 in a few lines. The model is small and briefly trained; it will make mistakes, which is what we
# need. `train_once` trains it here, unless another lesson of the same run has trained this very model before.

# %%
from helpers.data.resample import Grid
from helpers.data.store import open_store
from helpers.learn.budget import Budget
from helpers.lessons.shared_training import train_once
from helpers.models.unet import unet
from helpers.tasks.brain.inference import Segmenter
from helpers.tasks.brain.training import Recipe, fit_brain

grid = Grid(SIZE)
store = open_store(patients, folder / "slices", MODALITIES, grid)
recipe = Recipe(augmentation="none", batch_size=BATCH)


def train(place):
    keras.utils.set_random_seed(SEED)
    network = unet(SIZE, len(MODALITIES), filters=FILTERS)
    fit_brain(network, store, split, place, Budget(epochs=EPOCHS), recipe, SEED)


# %%
made = {"recipe": vars(recipe), "size": SIZE, "filters": FILTERS, "epochs": EPOCHS, "seed": SEED}
place = train_once(train, folder / "unet", "brain", data=store.manifest["checksums"], split=split.digest, **made)
model = keras.models.load_model(place / "model.keras")
print(
    f"{len(split.train)} patients to train on, {len(split.validation)} to choose by, {len(split.test)} to be scored on"
)

# %% [markdown]
# Three lists, one volume for each test patient, all on the patients' own grids: the **ground truth**, or truth for
# short; the model's masks; and masks of nothing.

# %%
segmenter = Segmenter(model, MODALITIES, grid)
scans = (read_scan(patient, MODALITIES) for patient in tested)
spacings, truths, drawn = zip(*((scan.spacing, scan.seg, segmenter.predict(scan)) for scan in scans), strict=True)
blank = [np.zeros_like(truth) for truth in truths]
len(truths), truths[0].shape, drawn[0].shape  # (rows, columns, slices)

# %% [markdown]
# Every score goes into a ledger.

# %%
ledger = {}


def note(name, score, truths=truths, drawn=drawn):
    """Score the model's masks and empty ones, and show the ledger so far."""
    empty = [np.zeros_like(truth) for truth in truths]
    ledger[name] = {"all background": float(score(truths, empty)), "our model": float(score(truths, drawn))}
    return pd.DataFrame(ledger).T.round(3)


def accuracy(truths, predictions):
    return np.mean([(t == p).mean() for t, p in zip(truths, predictions, strict=True)])


note("pixel accuracy", accuracy)

# %% [markdown]
# Training has moved the accuracy in its last digits. The reason is a third number, the share of voxels that are tumour:

# %%
tumour = np.mean([(truth > 0).mean() for truth in truths])
print(f"tumour: {tumour:.2%} of all voxels, so a model that finds nothing is right in the other {1 - tumour:.2%}")

# %% [markdown]
# ## A number that leaves the background out
#
# The **Dice coefficient** of two masks $A$ and $B$ is the part they share, measured against their mean size:
#
# $$D = \frac{2\,|A \cap B|}{|A| + |B|}$$
#
# No voxel that both call background occurs in it. But what if both masks are empty? A patient without enhancing tumour
# exists, and a model that draws none is right. The BraTS rule: two empty masks score 1, one empty mask scores 0.
#
# **Exercise 1** (core, 5 minutes). Write `my_dice` for two boolean arrays of any shape, with that rule.


# %% tags=["stub"]
def my_dice(truth, prediction):
    return ...


# %% tags=["solution"]
def my_dice(truth, prediction):
    total = truth.sum() + prediction.sum()
    if total == 0:
        return 1.0
    return 2 * (truth & prediction).sum() / total


# %% tags=["check"]
from helpers.measure.overlap import dice

with exercise_check("Exercise 1"):
    none, some, other = np.zeros(6, bool), np.arange(6) < 4, np.arange(6) > 1
    value = filled(my_dice(some, some))
    require(value == 1, f"your Dice of a mask with itself is {value}; it should be 1")
    value = my_dice(some, other)
    require(np.isclose(value, 0.5), f"two masks of 4 voxels that share 2 get {value:.3f}; it should be 0.5")
    require(my_dice(some, none) == 0, f"a mask against an empty one gets {my_dice(some, none)}; by our rule 0")
    require(
        my_dice(none, none) == 1, f"your Dice of two empty masks is {my_dice(none, none)}; by our rule it should be 1"
    )

# %% [markdown]
# From here on we use `dice` from `helpers.measure.overlap`: the same, and it complains about arrays that are no masks.
# The **Jaccard index**, also called IoU, divides the shared part by the part that either mask covers.


# %%
def my_jaccard(truth, prediction):
    either = (truth | prediction).sum()
    return (truth & prediction).sum() / either if either else 1.0


from helpers.measure.overlap import jaccard  # the same

for patient, truth, labels in list(zip(tested, truths, drawn, strict=True))[:4]:
    d, j = dice(truth > 0, labels > 0), jaccard(truth > 0, labels > 0)
    print(f"{patient.id}   Dice {d:.3f}   Jaccard {j:.3f}   D / (2 - D) {d / (2 - d):.3f}")

# %% [markdown]
# The last two columns agree: $J = D/(2-D)$. The two order masks alike, and Jaccard is always the lower. So they are two
# units for one thing, like Celsius and Fahrenheit, and a paper that reports a Jaccard *above* its Dice has made a
# mistake somewhere.
#
# ## The metric that was not the metric
#
# The public kernel reports a Jaccard index as well, from `keras.metrics.MeanIoU(num_classes=4)`. That metric wants
# whole numbers, one label a pixel; the kernel gives it one-hot masks, four numbers a pixel. It does not complain. Guess
# what the model without a weight gets.


# %%
def kernel_iou(truths, predictions):
    metric = keras.metrics.MeanIoU(num_classes=4)
    one_hot = np.eye(4, dtype="uint8")
    for truth, labels in zip(truths, predictions, strict=True):
        metric.update_state(one_hot[truth], one_hot[labels])  # (rows, columns, slices, 4), zeros and ones
    return metric.result()


note("MeanIoU on one-hot", kernel_iou)

# %% [markdown]
# A Jaccard near 1 for finding nothing. What it counted: every *entry* of the one-hot masks as a pixel, with the
# "classes" 0 and 1. Three entries of four are 0 in truth and prediction alike, so nearly all agree. If a share $e$ of
# the pixels is wrong, each wrong pixel spoils one 1 and one 0, and the score is the mean of two numbers that know
# nothing of tumours:
#
# $$\mathrm{IoU}_0 = \frac{3-e}{3+e}, \qquad \mathrm{IoU}_1 = \frac{1-e}{1+e}$$


# %%
def closed_form(accuracy):
    e = 1 - accuracy
    return ((3 - e) / (3 + e) + (1 - e) / (1 + e)) / 2


for name, column in {"all background": blank, "our model": drawn}.items():
    pooled = np.mean(np.concatenate([(t == p).ravel() for t, p in zip(truths, column, strict=True)]))
    print(
        f"{name:15s} metric {float(kernel_iou(truths, column)):.4f}   from its accuracy alone {closed_form(pooled):.4f}"
    )
print(f"a model that is 99.4 % accurate: {record('one_hot_iou_at_accuracy_0994', round(closed_form(0.994), 4)):.4f}")

# %% [markdown]
# The paper reports a training accuracy of 99.4 % and an IoU of 0.9920 (section 6.4). The last line shows that this IoU
# needs no tumour to be found; it follows from the accuracy. That is an inference from two numbers that fit, since we
# have not seen the paper's code.
#
# It gets stranger. The kernel hands over probabilities, and the metric cuts them to whole numbers: 0.97 becomes 0.

# %%
one_hot = np.eye(4, dtype="uint8")
soft = segmenter.probabilities(scan)  # (rows, columns, slices, 4)
for name, given in {"as probabilities": soft, "rounded to one-hot": one_hot[soft.argmax(axis=-1)]}.items():
    metric = keras.metrics.MeanIoU(num_classes=4)
    metric.update_state(one_hot[scan.seg], given)
    print(f"the same prediction, {name:19s} {float(metric.result()):.3f}")

# %% [markdown]
# A metric should be tested like any other code. Two lines would have found both faults: score a model that finds
# nothing, and score the truth against itself. (The trap is known: TensorFlow issue 32875.)
#
# ## Dice, averaged with the wrong things
#
# So we take Dice. The kernel does too, averaged over its four labels. One of them is the background.


# %%
def with_background(truths, predictions):
    pairs = list(zip(truths, predictions, strict=True))
    return np.mean([dice(t == label, p == label) for t, p in pairs for label in range(4)])


note("Dice with background", with_background)

# %% [markdown]
# A quarter of this mean is the background, which is always nearly 1. (The model that finds nothing may get a little
# more than a quarter: where a patient lacks a label, leaving it out is right.)
#
# From here on, the whole tumour alone: labels 1, 2 and 3 together, **WT**. What is a *case* to average over? The kernel
# predicts slices, so let us average over slices. Most show no tumour, and the rule for two empty masks now decides
# about each of them. Three people write this loop; the first scores such a slice 1, the second 0, the third leaves it
# out.


# %%
def per_slice(empty):
    def score(truths, predictions):
        values = []
        for truth, labels in zip(truths, predictions, strict=True):
            for k in range(truth.shape[2]):
                t, p = truth[:, :, k] > 0, labels[:, :, k] > 0
                values.append(dice(t, p) if t.any() or p.any() else empty)
        return np.nanmean(values)

    return score


def tumour_slices(truths, predictions):
    pairs = [
        (t[:, :, k] > 0, p[:, :, k] > 0) for t, p in zip(truths, predictions, strict=True) for k in range(t.shape[2])
    ]
    return np.mean([dice(t, p) for t, p in pairs if t.any()])


note("per slice, empty = 1", per_slice(1.0))
note("per slice, empty = 0", per_slice(0.0))
note("slices with tumour only", tumour_slices)

# %% [markdown]
# Look at the last three rows, right column: the same masks, the same formula, and the largest score is far above the
# smallest. Then look left: in the first of the three, the model without a weight does well, since most slices are empty
# and each empty slice is a full point. The third row is kind in another way: it leaves out the false
# positives in slices without tumour.
#
# A slice is not a case. A patient is. We may still go wrong once: by throwing the voxels of all patients into one pot.


# %%
def pooled_dice(truths, predictions):
    return dice(np.concatenate([t.ravel() > 0 for t in truths]), np.concatenate([p.ravel() > 0 for p in predictions]))


def per_patient(truths, predictions):
    return np.mean([dice(t > 0, p > 0) for t, p in zip(truths, predictions, strict=True)])


note("voxels of all patients pooled", pooled_dice)
note("per patient", per_patient)

# %% [markdown]
# In the pot, a large tumour counts as much as ten small ones, and small ones are harder to find. Compare the two rows.
#
# ## On the wrong grid
#
# The network sees a coarser grid than the patient's. It is convenient to score there: truth and prediction are at hand.
# But nobody treats a patient on the network's grid.

# %%
seen = [store.volume(patient.id) for patient in tested]
small_truths = [soft_labels.argmax(axis=-1) for _, soft_labels in seen]  # (slices, SIZE, SIZE)
small_drawn = [segmenter.network_probabilities(images).argmax(axis=-1) for images, _ in seen]
note("per patient, network's grid", per_patient, small_truths, small_drawn)

# %% [markdown]
# Compare with the row above it. Masks differ at the rim of a tumour, and a coarse grid has less rim to be wrong about.
# The truth on it is not the experts' mask either, but ours, resized.
#
# The kernel also drops slices: of 155 it keeps those from 22 to 121. What is dropped cannot be missed.


# %%
def middle(volume):
    n = volume.shape[2]
    return volume[:, :, round(22 / 155 * n) : round(122 / 155 * n)]


lost = [1 - (middle(truth) > 0).sum() / (truth > 0).sum() for truth in truths]
print(f"tumour outside these slices: {np.mean(lost):.1%} on average, {max(lost):.1%} in the worst patient")
note("per patient, slices 22 to 121", per_patient, [middle(t) for t in truths], [middle(p) for p in drawn])

# %% [markdown]
# ## A mask that moves when it is resized
#
# To score on the patient's grid, a mask has to come back to it. The obvious way is nearest neighbour: every pixel takes
# the label of one old pixel. OpenCV's `INTER_NEAREST` picks pixel `floor(i * old / new)`, which is the *corner* of the
# new pixel, not its middle; the image is resized about the middle. No network is needed to see what that costs: send
# the truth to the small grid and back, and score it against itself.


# %%
def nearest(labels, size):
    rows, columns = (np.floor(np.arange(size[i]) * labels.shape[i] / size[i]).astype(int) for i in (0, 1))
    return labels[rows][:, columns]


def moved_mm(before, after, spacing):
    """How far the middle of the tumour went, in the plane of the slice."""
    centres = [np.argwhere(labels > 0).mean(axis=0) for labels in (before, after)]
    return np.linalg.norm(((centres[1] - centres[0]) * spacing)[:2])


there_and_back = [nearest(nearest(truth, (SIZE, SIZE)), truth.shape) for truth in truths]

# %% [markdown]
# And our way: soft labels, averaged by area going down and interpolated going up; the largest wins at the end.

# %%
from helpers.data.resample import soft_labels_on

by_soft_labels = []
for patient in tested:
    scan = read_scan(patient, MODALITIES)
    centre = grid.brain_centre(scan.images, scan.spacing)
    soft_labels = soft_labels_on(scan.seg, grid, scan.spacing, centre) / np.float32(255)  # (slices, SIZE, SIZE, 4)
    up = grid.up(soft_labels, scan.seg.shape, scan.spacing, centre)  # (rows, columns, slices, 4)
    up[..., 0] = 1 - up[..., 1:].sum(axis=-1)  # outside the window all is background
    by_soft_labels.append(up.argmax(axis=-1))

for name, masks in {"nearest neighbour": there_and_back, "soft labels": by_soft_labels}.items():
    moved = np.mean([moved_mm(t, m, mm) for t, m, mm in zip(truths, masks, spacings, strict=True)])
    print(
        f"{name:18s} the truth moved by {moved:.2f} mm and scores Dice {per_patient(truths, masks):.3f} against itself"
    )

# %% [markdown]
# The second number of each line is a ceiling: a perfect network on this grid scores no more. Hold the first ceiling
# against the model's own score in the ledger: with nearest neighbour a better model soon has nothing left to gain;
# and every mask that is delivered lies beside its tumour, by the first number of the line.
#
# ## What Dice cannot see
#
# The **95 % Hausdorff distance**, HD95, asks how far apart the two surfaces lie, in millimetres: from each surface
# voxel of one mask to the nearest of the other, the 95th percentile of these ways, both ways round, the larger of the
# two. Here are a truth and two predictions, A and B.


# %%
def ball(centre, radius):
    return ((np.indices((40, 40, 40)) - np.reshape(centre, (3, 1, 1, 1))) ** 2).sum(axis=0) <= radius**2


truth = ball((16, 16, 20), 10)
masks = {
    "A: a voxel too thin, all round": ball((16, 16, 20), 9),
    "B: exact, and a fleck": truth | ball((34, 34, 20), 4),
}
figure = Figure(figsize=(8, 3.3))
for ax, (name, mask) in zip(figure.subplots(1, 2), masks.items(), strict=True):
    ax.imshow(np.where(mask, 0.35, np.nan)[:, :, 20], cmap="Blues", vmin=0, vmax=1)
    ax.contour(truth[:, :, 20], levels=[0.5], colors=["#D55E00"])
    ax.set_title(f"{name}\nDice {dice(truth, mask):.2f}")
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
figure.suptitle("B has the higher Dice (orange: the truth)")
style.alt(figure, "Two masks of a ball: A slightly too small, B exact with a small separate ball far away.")

# %% [markdown]
# **Exercise 2** (core, 2 minutes). Which of them has the better, that is smaller, HD95? Answer "A" or "B" before you
# compute anything.

# %% tags=["stub"]
better = ...

# %% tags=["solution"]
better = "A"

# %% tags=["check"]
with exercise_check("Exercise 2"):
    require(filled(better) in ("A", "B"), f'you answered {better!r}; answer "A" or "B"')
    require(
        better == "A", "B's fleck is a small part of its volume but a larger part of its surface; measure from there"
    )

# %%
from helpers.measure.surface import hd95

one_voxel = truth.copy()
one_voxel[38, 38, 20] = True
for name, mask in {**masks, "exact, and one stray voxel": one_voxel, "nothing": np.zeros_like(truth)}.items():
    print(f"{name:31s} Dice {dice(truth, mask):.3f}   HD95 {hd95(truth, mask, (1, 1, 1)):5.1f} mm")
thin = ball((16, 16, 20), 9)  # A again
print(f"A, if slices were 5 mm apart    Dice {dice(truth, thin):.3f}   HD95 {hd95(truth, thin, (1, 1, 5)):5.1f} mm")

# %% [markdown]
# HD95 sees the fleck that Dice hardly notices, since it counts surface, not volume. A single stray voxel it forgives:
# that is what the 95 % are for. And without the spacing it would be a number of voxels, the same for slices 1 mm and 5
# mm apart. Where the model finds nothing there is no distance; BraTS then gives the worst there is, the diagonal of the
# volume, and so do we. Leaving such patients out would reward a model for finding nothing.
#
# Then there is the **volume error**, in millilitres, predicted minus true. It is what a clinician follows from month to
# month, and blind in its own way:

# %%
shifted = ball((22, 22, 20), 10)
volume_error = (shifted.sum() - truth.sum()) * 1.0 / 1000  # voxels of 1 mm^3 in ml
print(
    f"a ball of the right size in the wrong place: volume error {volume_error:.1f} ml, Dice {dice(truth, shifted):.2f}"
)

# %% [markdown]
# ## The honest table
#
# Per patient, on the patient's own grid, all slices; three regions, four scores; the mean with an interval; the model
# that finds nothing beside it. `evaluate` does all of it. The **95 % interval** comes from the **bootstrap**: draw as
# many patients as there are, with replacement, take their mean, ten thousand times over, and keep the middle 95 % of
# the means.

# %%
from helpers.measure.evaluate import evaluate

masks = {patient.id: labels for patient, labels in zip(tested, drawn, strict=True)}
result = evaluate(lambda scan: masks[scan.id], tested, MODALITIES)


def cell(score, digits):
    low, high = score["ci95"]
    return f"{score['mean']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


digits = {"dice": 2, "jaccard": 2, "hd95_mm": 1, "volume_error_ml": 1}
table = {
    (name, region): {metric: cell(result[key][region][metric], n) for metric, n in digits.items()}
    for name, key in {"our model": "regions", "all background": "trivial"}.items()
    for region in regions.REGIONS
}
for region in regions.REGIONS:
    record(f"dice_{region.lower()}", round(result["regions"][region]["dice"]["mean"], 4))
    record(f"hd95_{region.lower()}_mm", round(result["regions"][region]["hd95_mm"]["mean"], 2))
pd.DataFrame(table).T

# %%
everyone = [patient["regions"] for patient in result["patients"]]
said = {}
for region in regions.REGIONS:
    sets = {
        name: [patient[key][region]["dice"] for patient in result["patients"]]
        for name, key in {"all background": "trivial", "our model": "regions"}.items()
    }
    said[region] = verdict(sets, "all background", trivial="all background", score=f"{region} Dice")
    print(said[region])
record("verdict_et", said["ET"].outcome)
scores.regions(everyone, result["trivial"], title=f"ET: {said['ET'].title}")

# %% [markdown]
# The enhancing tumour is the smallest region and the hardest. If the cross of "all background" is not at 0 there, some
# patients have no enhancing tumour, and finding none is right: the model without a weight has a point for each of them.
# So read the last of the three sentences before the ET row of the table. Where it says that nobody beats all
# background, the model finds no enhancing tumour, and its Dice is that of the patients who have none. That is the
# question of this lesson, asked of our own model: a score means what it adds to that cross.
#
# ## The patient behind the mean
#
# Nobody is treated by a mean. Look at the worst patient before you believe any table.

# %%
worst = min(result["patients"], key=lambda patient: patient["regions"]["WT"]["dice"])
scan = read_scan(next(patient for patient in tested if patient.id == worst["id"]), MODALITIES)
low = worst["regions"]["WT"]
print(
    f"{worst['id']}: WT Dice {low['dice']:.2f}, HD95 {low['hd95_mm']:.1f} mm, "
    f"volume error {low['volume_error_ml']:+.0f} ml"
)
slices.compare(
    scan,
    scan.seg,
    masks[worst["id"]],
    title="The worst patient: which are the false negatives, which the false positives?",
)

# %% [markdown]
# ## How many patients it takes
#
# How wide would the interval be with more patients who vary as ours do? Before you run it: how many do you need to tell
# a Dice of 0.80 from one of 0.82?

# %%
from helpers.measure.statistics import bootstrap_ci

values = np.array([patient["WT"]["dice"] for patient in everyone])
rng = np.random.default_rng(SEED)
counts = np.unique(np.geomspace(5, 400, 12).astype(int))
widths = [np.mean([np.ptp(bootstrap_ci(rng.choice(values, n), samples=1000)) for _ in range(10)]) for n in counts]
width = record("wt_dice_interval_width", round(float(np.ptp(bootstrap_ci(values))), 3))
needed = int(np.ceil((2 * 1.96 * values.std(ddof=1) / 0.02) ** 2))  # by the normal approximation
print(f"{len(values)} patients: the interval of the WT Dice is {width:.3f} wide")

# %%
figure = Figure(figsize=(8, 2.9))
ax = figure.subplots()
ax.plot(counts, widths, marker="o", markersize=4)
ax.axhline(0.02, color="#555555", linewidth=1, linestyle=":")
ax.text(counts[0], 0.0215, "0.80 against 0.82", fontsize=9, color="#555555")
ax.set(xscale="log", yscale="log", xlabel="test patients", ylabel="width of the 95 % interval")
ax.set_xticks([5, 10, 20, 50, 100, 200, 400], [5, 10, 20, 50, 100, 200, 400])
ax.set_yticks([0.02, 0.05, 0.1, 0.2], [0.02, 0.05, 0.1, 0.2])
ax.minorticks_off()
figure.suptitle("Half the width takes four times the patients")
print(f"the interval gets narrower than 0.02 at about {needed:,} patients")
style.alt(figure, "Width of the interval against the number of patients on logarithmic axes: a straight line, falling.")

# %% [markdown]
# (El Jurdi and Colliot found the same on real networks: an interval 1 % wide takes 100 to 200 cases where patients vary
# little, and more than 1,000 where they vary much.) With a small test set, a difference in the second digit says
# nothing.
#
# ## The whole ledger

# %%
honest = ledger["per patient"]
figure = Figure(figsize=(8, 4.2))
ax = figure.subplots()
for row, score in enumerate(ledger.values()):
    ax.plot(list(score.values()), [row, row], color="#CCCCCC", linewidth=2, zorder=1)
    name = ("all background", "our model") if row == 0 else (None, None)
    ax.plot(score["our model"], row, "o", color="#0072B2", markersize=10, label=name[1])
    ax.plot(score["all background"], row, "X", color="#333333", markersize=7, label=name[0])
ax.axvline(honest["our model"], color="#0072B2", linewidth=1, linestyle=":")
ax.set_yticks(range(len(ledger)), ledger)
ax.get_yticklabels()[list(ledger).index("per patient")].set_fontweight("bold")
ax.set(ylim=(len(ledger) - 0.5, -0.5), xlim=(-0.03, 1.03), xlabel="score")
figure.legend(loc="outside lower center", ncols=2)
figure.suptitle(f"One set of masks, {len(ledger)} scores")
style.alt(figure, "Each score of the ledger for our model and the all-background model; the honest row is in bold.")

# %%
spread = [score["our model"] for score in ledger.values()]
record("score_spread", round(max(spread) - min(spread), 3))
record("trivial_best_score", round(max(score["all background"] for score in ledger.values()), 4))
print(f"one set of masks, scores from {min(spread):.2f} to {max(spread):.2f}")

# %% [markdown]
# Look for the rows where the cross is far to the right: a good score there says little. Look for the dots right of the
# dotted line: each of these is a way to look better without a better model.
#
# ## The question again
#
# A model can be 99 % right and find nothing because nearly all of a scan is background, and an average over voxels is
# an average over background. A number says something about tumours when it leaves that out, counts patients, and stands
# beside the score of a model that finds nothing.
#
# Left out: surface Dice at a stated tolerance, scores per lesion, calibration, and tests for the difference of two
# models (the Metrics Reloaded papers are the place to read on). Next come other organs, other hospitals and the whole
# system; every score in them is made the way of the honest table.
