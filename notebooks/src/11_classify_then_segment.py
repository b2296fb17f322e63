# %% tags=["parameters"]
SEED = 0  # of the split, the weights and the order of slices
DATA_DIR = ""  # folder with BraTS patients; empty: the Kaggle set, else phantoms
OUTPUT_DIR = ""  # where models and report go; empty: a scratch folder
PATIENTS = 20  # how many of the catalogue take part
SIZE = 64  # pixels along each side of the 192 mm window, for both networks
FILTERS = 8  # features of the U-Net's first level; 32 in the paper
EPOCHS = 8  # of the U-Net
GATE_EPOCHS = 6  # of the gate
BATCH = 8  # slices in a batch of the U-Net
FOLDS = 2  # one patient in so many is tested
PASSES = 4  # Monte Carlo dropout passes of the U-Net

# %%
import tempfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from helpers.data import sources
from helpers.data.brats import read_catalogue
from helpers.data.splits import make_split
from helpers.data.volumes import read_scan
from helpers.lessons.checks import exercise_check, filled, require
from helpers.lessons.guess import compare_guess
from helpers.lessons.record import record
from helpers.lessons.verdict import order_verdict, verdict, volume_verdict
from helpers.show import certainty, outlined, slices, style

# %%
style.use()
MODALITIES = ("flair", "t1ce")
catalogue = read_catalogue(sources.brats(DATA_DIR))
patients = catalogue.require(MODALITIES)[:PATIENTS]
split = make_split(patients, SEED, FOLDS)
tested = [patient for patient in patients if patient.id in split.test]
folder = Path(OUTPUT_DIR or tempfile.mkdtemp())

# %%
unseen = [patient for patient in catalogue.patients if patient.seg is None] or tested
stranger = read_scan(unseen[0], MODALITIES, seg=False)
slices.modalities(stranger, title="A patient whom none of our models has met")

# %% [markdown] tags=["paper: section 1.1"]
# In a minute a program of ours will outline this patient. Suppose that the outline looks right. **How would you know if
# it were not?** There is no ground truth to hold it against; on the day it matters there never is.
#
# The paper's promise is a sequence: a transformer says whether a slice is abnormal, and only then the U-Net outlines
# it. We put the two together, measure what the first gains and what it costs, and then estimate how sure the outcome
# is.
#
# ## Two models
#
# Both learn from the same patients, and neither sees the others. First the U-Net of lesson 07, small and briefly
# trained: here, unless another lesson of the same run has trained this very model before.

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
data = {"data": store.manifest["checksums"], "split": split.digest, "seed": SEED}


quiet = {"seed": SEED, "log": lambda text: None}


def train_unet(place):
    keras.utils.set_random_seed(SEED)
    network = unet(SIZE, len(MODALITIES), filters=FILTERS)
    fit_brain(network, store, split, place, Budget(epochs=EPOCHS), recipe, **quiet)


# %%
sizes = {"size": SIZE, "filters": FILTERS, "epochs": EPOCHS, "recipe": vars(recipe)}
unet_folder = train_once(train_unet, folder / "unet", "brain", **data, **sizes)
network = keras.models.load_model(unet_folder / "model.keras")
segmenter = Segmenter(network, MODALITIES, grid)

# %% [markdown]
# Then the gate of lesson 06, with two channels instead of three.

# %%
from helpers.measure.classification import auc, threshold_for
from helpers.models.transformer import Shape, transformer
from helpers.tasks.gate.inference import Gate
from helpers.tasks.gate.training import SENSITIVITY, fit_gate

rows = store.rows(split.validation)
rows = rows[store.has_brain[rows]]
truth = store.voxels_per_class[rows, 1:].any(axis=1)
# patches of 8, width 64, 3 blocks, 4 heads
shape = Shape(8, 64, 3, 4, mlp=2, stem=True)


def train_gate(place):
    keras.utils.set_random_seed(SEED)
    network = transformer(SIZE, len(MODALITIES), 2, shape, dropout=0.1)
    gate = Gate(network, MODALITIES, grid)

    def validate(_):
        found = gate.slice_probabilities(store.images[rows])
        return {"val_auc": auc(truth, found)}

    budget = Budget(epochs=GATE_EPOCHS)
    fit_gate(network, store, split, budget, validate, "none", **quiet)
    network.save(place / "model.keras")


# %%
sizes = {"size": SIZE, "epochs": GATE_EPOCHS}
gate_folder = train_once(train_gate, folder / "gate", "gate", **sizes, **data)
gate = Gate(keras.models.load_model(gate_folder / "model.keras"), MODALITIES, grid)
found = gate.slice_probabilities(store.images[rows])
gate = replace(gate, threshold=threshold_for(truth, found, SENSITIVITY))
print(f"AUC on {len(truth)} validation slices: {auc(truth, found):.2f}")
print(f"a slice passes from a probability of {gate.threshold:.3f},")
print(f"so that {SENSITIVITY:.0%} of the validation slices with tumour pass")

# %% [markdown]
# ## One patient, step by step
#
# A patient whom both models have not seen, and who has a ground truth, the **truth** for short. The gate looks at every
# slice; the orange line says where there is tumour. A slice without brain has no bar.

# %%
scan = read_scan(tested[0], MODALITIES)
slice_probabilities = gate.probabilities(scan)  # (slices,)
passed = gate.predict(scan)  # (slices,), True or False
certainty.gate_strip(
    slice_probabilities,
    gate.threshold,
    scan.seg.any(axis=(0, 1)),
    title=f"{passed.sum()} of {passed.size} slices pass",
)

# %% [markdown]
# The U-Net sees the blue slices and no others. How far the bars rise under the orange line, against those beside it, is
# what the gate knows of this patient: of an AUC only the order counts, and a short training may leave all of them close
# to the threshold.

# %%
# (slices, SIZE, SIZE, 2), and the middle of the window in mm
seen, centre = segmenter.preprocess(scan)
seen = seen[passed]  # (passed slices, SIZE, SIZE, 2)
probabilities = segmenter.network_probabilities(seen)  # (passed slices, SIZE, SIZE, 4)
seen.shape, probabilities.shape

# %% [markdown]
# What it predicts goes back to the patient's own grid: probabilities first, then the largest wins, as in lesson 08.
# Slices that did not pass stay background.

# %%
shape = (*scan.images.shape[:2], len(seen))
# (rows, columns, passed slices, 3)
tumour = grid.up(probabilities[..., 1:], shape, scan.spacing, centre)
background = 1 - tumour.sum(axis=-1, keepdims=True)
labels = np.zeros(scan.seg.shape, np.uint8)  # (rows, columns, slices)
labels[..., passed] = np.concatenate([background, tumour], axis=-1).argmax(axis=-1)
heading = "Gate, then U-Net: what is missed, and what is added?"
slices.compare(scan, scan.seg, labels, title=heading)

# %% [markdown]
# A clinician wants to know how much, and where. A voxel has a volume, so counting gives millilitres; and the tumour core,
# the region TC, is shown on three axes, as in figure 11 of the paper.

# %%
from helpers.measure import regions

ml = np.prod(scan.spacing) / 1000  # of one voxel
volumes = {
    region: {
        "outlined": regions.mask(labels, region).sum() * ml,
        "true": regions.mask(scan.seg, region).sum() * ml,
    }
    for region in regions.REGIONS
}
pd.DataFrame(volumes).T.round(1)

# %% tags=["paper: figure 11"]
slices.three_planes(replace(scan, seg=labels), title="The tumour core as outlined")

# %% [markdown]
# All of this is one call in `helpers.apply.system`. It does more, and we shall come to that.

# %%
from helpers.apply.system import System
from helpers.data.out_of_distribution import fit_ranges

learned_from = [store.patients[identity] for identity in split.train]
ranges = fit_ranges([one["fingerprint"] for one in learned_from])  # explained below
system = System(segmenter, gate, ranges, PASSES)
result = system.predict(scan)
print(f"the same mask: {(result.labels == labels).all()}")

# %% [markdown]
# ## What does the gate gain, and what does it cost?
#
# It promises two things: fewer slices for the U-Net, so less time, and no tumour where there is none. And it can do
# harm: tumour in a slice that is held back is lost, a **false negative**. What is drawn where there is none is counted
# in **false positive components**, connected parts of the outline that touch no part of the true tumour.
#
# What share of the slices with brain will it hold back? Guess, then measure.

# %% tags=["guess"]
my_guess = None  # the share of slices with brain that are held back, from 0 to 1

# %%
from helpers.apply.gate_ablation import ARMS, evaluate_case, gate_table

cases = [evaluate_case(system, patient) for patient in tested]
gate_table(cases).round(2)

# %%
means = {arm: np.mean([one[arm]["dice"]["WT"] for one in cases]) for arm in ARMS}
counts = {arm: [one[arm]["false_positive_components"] for one in cases] for arm in ARMS}
record("dice_wt", round(float(means["with gate"]), 4))
record("dice_wt_without_gate", round(float(means["without gate"]), 4))
islands = {arm: round(float(np.mean(one)), 2) for arm, one in counts.items()}
record("false_islands", islands)
skipped = record("skipped", round(float(np.mean([one["skipped"] for one in cases])), 3))
print(compare_guess("The share that is held back", my_guess, skipped))

# %% [markdown]
# Did it help? Every patient was outlined both ways, so each can be compared with itself. And did it save time?

# %%
arms = {"no gate": "without gate", "the gate": "with gate"}
overlap = {
    name: [one[arm]["dice"]["WT"] for one in cases] for name, arm in arms.items()
}
components = {
    name: [one[arm]["false_positive_components"] for one in cases]
    for name, arm in arms.items()
}
said = verdict(overlap, "no gate", score="WT Dice")
count = "number of false positives"
fewer = verdict(components, "no gate", score=count, lower_is_better=True)
record("verdict_of_the_gate", said.outcome)
print(said)
print(fewer)

# %%
seconds = {arm: np.mean([one[arm]["seconds"] for one in cases]) for arm in ARMS}
slower = seconds["with gate"] - seconds["without gate"]
print(f"With the gate a patient takes {slower:+.2f} s.")

# %% [markdown]
# Where neither sentence says that it helped, what is left is the time, if it saves any: the gate spares the U-Net some
# slices, and looks at all of them itself. With a plus in front of the seconds whoever can leaves it out; the promise of
# a sequence is no proof that it helps. False positives it can remove only where the *whole* slice is without tumour: in
# a slice that passes, the U-Net makes as many as before.

# %% [markdown]
# **Exercise 1** (core, 5 minutes). How much tumour did the gate throw away? Write `thrown_away`: the millilitres of
# true tumour in slices that did not pass. A right answer is a number; the table below the exercise has its mean over
# the test patients, and the largest.


# %% tags=["stub"]
def thrown_away(seg, passed, spacing):
    # seg: (rows, columns, slices), passed: (slices,), spacing: mm along the three axes
    return ...


# %% tags=["solution"]
def thrown_away(seg, passed, spacing):
    return (seg[..., ~passed] > 0).sum() * np.prod(spacing) / 1000


# %% tags=["check", "long"]
with exercise_check("Exercise 1"):
    toy = np.zeros((4, 4, 3), int)
    for k, area in enumerate((4, 6, 9)):
        toy[..., k].flat[:area] = 3  # so many voxels of tumour in this slice
    passed_toy, spacing = np.array([True, False, True]), (10, 10, 5)
    value = filled(thrown_away(toy, passed_toy, spacing))
    number = np.ndim(value) == 0 and not isinstance(value, str)
    require(number, f"you return {type(value).__name__}; return one number, in ml")
    usual = {
        6: "that is voxels; a voxel has spacing[0] * spacing[1] * spacing[2] mm³",
        3000: "that is mm³; a millilitre has 1000 of them",
        6.5: "that is what passed; the tumour is lost in the other slices",
        9.5: "that is all of the tumour; look at the slices that did not pass",
        9: "you add up labels; count voxels that are not 0",
    }
    for mistaken, words in usual.items():
        wrong = np.isclose(value, mistaken)
        given = f"6 voxels of 0.5 ml in the lost slice give {value}"
        require(not wrong, f"{given}: {words}")
    words = f"6 voxels of 0.5 ml in the lost slice give {value}; it should be 3 ml"
    require(np.isclose(value, 3), words)
    value = thrown_away(toy, np.ones(3, bool), spacing)
    require(value == 0, f"nothing was held back, and you count {value} ml")

# %% [markdown] tags=["hint"]
# Two things have to be put together: which voxels are tumour, whatever the label, and which slices did not pass. How
# much is a voxel?

# %% [markdown] tags=["hint"]
# `seg[..., ~passed] > 0` are the tumour voxels of the lost slices. `.sum()` counts them, `np.prod(spacing)` is the
# volume of one in mm³, and 1000 mm³ are a millilitre.

# %% [markdown] tags=["teacher"]
# Two errors are frequent: the sum of the labels instead of a count (a voxel of label 3 counts three times), and mm³ for
# ml. Both are named with the number that they give. `passed` without the `~` is told as well. Ask then whether the
# number is large: it has to be seen beside the tumour, which is what the next table does.

# %%
lost = pd.DataFrame({"lost ml": [one["false_negative_ml"] for one in cases]})
lost["tumour ml"] = [one["true_ml"]["WT"] for one in cases]
lost["share"] = lost["lost ml"] / lost["tumour ml"]
lost.describe().loc[["count", "mean", "max"]].round(3)

# %% [markdown]
# No outline can bring back what the gate holds back. The table says how many millilitres that is on average, and how
# many in the worst patient.

# %% [markdown] tags=["question"]
# The threshold lets 98 % of the validation slices with tumour pass. What share of a new patient's tumour does the gate
# lose?
#
# - 2 %. :: No: that is a share of slices, of other patients. A slice at the end of a tumour may hold a voxel or two.
# - None, if the patient has a large tumour. :: No: large or small, each slice is judged alone.
# - It has to be measured, in millilitres and patient by patient. :: Right: which slices are lost decides, and only
#   patients with a truth can tell.

# %% [markdown]
# ## What does it miss?
#
# A clinic will read the millilitres. So here they are, of each test patient, against the true ones. On the dotted line
# they would agree; a dot below it is a patient of whom something is missing. Look at the three panels before you read
# the sentences.

# %%
true = {region: [one["true_ml"][region] for one in cases] for region in regions.REGIONS}
found = {r: [one["volumes_ml"][r]["ml"] for one in cases] for r in regions.REGIONS}
missing = {r: volume_verdict(found[r], true[r], r) for r in regions.REGIONS}
shares = {r: sum(found[r]) / max(sum(true[r]), 1e-9) for r in regions.REGIONS}
record("outlined_share", {r: round(float(share), 3) for r, share in shares.items()})
outlined.volumes(found, true, title=missing[min(shares, key=shares.get)].title)

# %%
for one in missing.values():
    print(one)

# %% [markdown]
# These sentences are computed, and no page of one patient can replace them: a page shows one outline, however right it
# looks, and they say what outlines of this model leave out. A dot on the line is no proof either. A volume may be right
# and lie in the wrong place.

# %% [markdown]
# **Exercise 2** (core, 5 minutes). Take the volume apart. Write `missed_and_added`: the millilitres of true tumour that
# are not outlined, and those outlined that are no tumour, whatever the labels. A right answer is two numbers, and the
# second minus the first is the outlined volume minus the true one.


# %% tags=["stub"]
def missed_and_added(seg, labels, spacing):
    # seg, labels: (rows, columns, slices), 0 is no tumour; spacing: mm along the axes
    return ...


# %% tags=["solution"]
def missed_and_added(seg, labels, spacing):
    ml = np.prod(spacing) / 1000
    missed, added = (seg > 0) & (labels == 0), (labels > 0) & (seg == 0)
    return missed.sum() * ml, added.sum() * ml


# %% tags=["check", "long"]
with exercise_check("Exercise 2"):
    seg, labels = np.zeros((2, 4, 2), int), np.zeros((2, 4, 2), int)
    seg[0], labels[:, 3] = 2, 1  # 8 voxels and 4, of which 2 are in both
    seg[0, 3, 0] = 1  # one of the two with the same label
    labels[1, 0, 0] = 3  # and one more, far away
    value = filled(missed_and_added(seg, labels, (10, 10, 5)))
    two = isinstance(value, tuple | list | np.ndarray) and np.shape(value) == (2,)
    require(two, f"you return {value!r}; return two numbers, missed and added")
    usual = {
        (1.5, 3): "the other way round: first what is missed",
        (6, 3): "these are voxels; one has 0.5 ml",
        (3000, 1500): "these are mm³; a millilitre has 1000 of them",
        (3.5, 2): "two labels that differ are tumour in both; ask for 0 or not",
        (4, 2.5): "these are the volumes; take out of each what both have",
    }
    for mistaken, words in usual.items():
        require(not np.allclose(value, mistaken), f"you return {value}: {words}")
    right = np.allclose(value, (3, 1.5))
    require(
        right, f"you return {value}; 6 voxels are missed and 3 added, of 0.5 ml each"
    )

# %% [markdown] tags=["hint"]
# A voxel is missed if one array has tumour there and the other has none. Say that with `>` and `==`.

# %% [markdown] tags=["hint"]
# `((seg > 0) & (labels == 0)).sum()` counts what is missed; exchange the two for what is added; both times
# `np.prod(spacing) / 1000`.

# %% [markdown] tags=["teacher"]
# Who writes `seg != labels` counts a voxel of another label as missed and added; the toy has two of them. Who takes the
# difference of two volumes gets one number, or both volumes. Afterwards ask the class for a patient whose volume is
# exactly right and whose Dice is 0: two masks side by side.

# %% [markdown] tags=["question"]
# Outlined: 40.0 ml. True: 40.0 ml. What is the Dice?
#
# - 1. :: No: a volume does not say where it lies; two balls side by side have the same volume and share nothing.
# - Anything from 0 to 1. :: Right: missed and added may both be 0, or both 40 ml.
# - At least 0.5. :: No: nothing makes half of them overlap.

# %% [markdown]
# ## How sure is it?
#
# The U-Net's last layer gives probabilities. Are they its uncertainty? It was trained to be right about every voxel at
# once, and such networks are sure even where they are wrong. So we run it again and again, each time with other
# features left out: **Monte Carlo dropout** leaves dropout on, as in training, and every second time the head is
# mirrored (Gal and Ghahramani 2016; Wang et al. 2019). Where the passes differ, it guessed. Only slices that passed the
# gate are run, which is where the gate saves most.

# %%
images, _ = segmenter.preprocess(scan)
seen = images[passed]
each = [segmenter.sample(seen, seed, mirrored=seed % 2 == 1) for seed in range(PASSES)]
samples = np.stack(each)  # (passes, passed slices, SIZE, SIZE, 4)
samples.shape

# %% [markdown]
# For each voxel the **entropy** of the mean prediction, in bits: 0 where one class is certain, 1 where two are equally
# likely, 2 where all four are.

# %%
p = np.clip(samples.mean(axis=0), 1e-7, 1)
entropy = -(p * np.log2(p)).sum(axis=-1)  # (passed slices, SIZE, SIZE)
print(f"{(entropy > 0.5).mean():.1%} of the voxels have more than half a bit")
heading = "Where do the passes not agree?"
certainty.outline_and_entropy(scan, result.labels, result.entropy, title=heading)

# %% [markdown]
# A reader wants one number a patient as well. We take the mean Dice between the outline and each pass, the
# **agreement**: 1 where every pass draws the same (after Roy et al. 2019). It needs no truth, unlike the green in the
# figures above, where outline and truth agree. Does it mean anything? Here there is a truth, so we may look.

# %%
confidence = np.array([one["agreement"]["WT"] for one in cases])
dices = np.array([one["with gate"]["dice"]["WT"] for one in cases])
knows = order_verdict(confidence, dices, name="agreement", score="WT Dice")
certainty.confidence_and_error(confidence, dices, title=knows.title)

# %% [markdown]
# On the left, dots that climb mean that confidence is worth something. On the right is the **risk-coverage curve**:
# keep only the surest patients, hand the others to a person, and look at the error that remains. A confidence that
# knows nothing gives the dashed line; one that knows all, the dotted one.

# %%
from helpers.apply.uncertainty import split_by_confidence

surest, rest = split_by_confidence(confidence, dices)
record("surest_half_dice_wt", round(surest, 4))
record("rest_dice_wt", round(rest, 4))
record("verdict_of_the_agreement", knows.outcome)
print(f"mean WT Dice of the surest half {surest:.3f}, of the rest {rest:.3f}")
print(knows)

# %% [markdown]
# The last sentence is the one to go by: two halves differ by something always. Where it cannot tell, this confidence
# has not shown that it is worth a referral; on 20 real patients the course's own models are measured in the same way
# (`helpers.apply.gate_ablation.evaluate_folds`).
#
# And the volumes? From the passes we get a lowest and a highest. It is tempting to print that as an interval. How often
# does it hold the true volume?


# %%
def holds(one, region):
    volume = one["volumes_ml"][region]
    return volume["low"] <= one["true_ml"][region] <= volume["high"]


inside = {r: [holds(one, r) for one in cases] for r in regions.REGIONS}
holding = {r: round(float(np.mean(one)), 2) for r, one in inside.items()}
record("range_holds_truth", holding)
for region, one in inside.items():
    held = f"the passes hold the true volume in {sum(one)} of {len(one)} patients"
    print(f"{region}: the lowest and the highest of {held}")

# %% [markdown] tags=["question"]
# Four passes of one network outline 30.1, 30.4, 30.6 and 30.9 ml of enhancing tumour. What is the true volume?
#
# - Between 30.1 and 30.9 ml. :: No: that is how far the passes vary. They learned from the same patients and miss the
#   same things.
# - 30.5 ml, give or take a little more. :: No: nothing here says how far the mean is off. The panels above do, for
#   other patients.
# - The passes cannot say. :: Right: what they share they all get wrong; hold the model against patients with a truth.

# %% [markdown]
# An interval that deserves the name would hold it in nineteen patients of twenty. The passes know how much the network
# varies, not how far it is wrong: all of them learned from the same few patients. The report below therefore lists the
# volume of each pass, one by one, and calls it no interval.

# %% [markdown]
# **Exercise 3** (core, 5 minutes). A radiologist has time for a share of the patients. Write `refer`: True for
# those that she should look at, the ones that the system is least sure of. A right answer has one boolean for each
# patient.


# %% tags=["stub"]
def refer(confidence, share):
    # confidence: (patients,), share: of the patients, 0 to 1; booleans, (patients,)
    return ...


# %% tags=["solution"]
def refer(confidence, share):
    chosen = np.zeros(len(confidence), bool)
    chosen[np.argsort(confidence)[: round(share * len(confidence))]] = True
    return chosen


# %% tags=["check"]
with exercise_check("Exercise 3"):
    sure = np.array([0.9, 0.2, 0.8, 0.45, 0.7, 0.6])
    chosen = np.asarray(filled(refer(sure, 0.5)))
    kind = chosen.dtype == bool and chosen.shape == (6,)
    words = "return one boolean for each patient, True for those to look at"
    require(kind, f"you return {chosen!r}; {words}")
    sureness = np.flatnonzero(chosen).tolist()
    require(sureness != [0, 2, 4], "these are the three that are most sure")
    words = "`share` is a share of the patients, and no bound on confidence"
    require(sureness != [1, 3], f"you chose who has less than 0.5: {words}")
    require(chosen.sum() == 3, f"you chose {chosen.sum()} of six; half of them are 3")
    words = "the least sure have 0.2, 0.45 and 0.6"
    require(sureness == [1, 3, 5], f"you left one out: {words}")
    require(not refer(sure, 0.0).any(), "at a share of 0 nobody is looked at")

# %% [markdown] tags=["hint"]
# Who comes first if you sort the patients by confidence, and how many of them are a share?

# %% [markdown] tags=["hint"]
# `np.argsort(confidence)` has their numbers, the least sure first; take the first `round(share * len(confidence))`, and
# set these to True in an array of False.

# %% [markdown] tags=["teacher"]
# The frequent mistake is `confidence < share`: it takes a share for a threshold, and is told so. Others return numbers
# of patients instead of booleans, or the surest ones. Worth asking: does referring the least sure help here? The
# verdict above has the answer, and it may well be that it cannot be told.

# %% [markdown]
# ## A mask for nonsense
#
# Somebody has named the files the wrong way round: FLAIR is called T1ce and T1ce FLAIR. What will the system do, and
# how sure will it be?

# %% tags=["guess"]
my_guess_agreement = None  # of the passes with the outline, a Dice from 0 to 1

# %%
swapped = scan.images[..., ::-1].copy()
exchanged = replace(scan, images=swapped)  # the names stay, the volumes change places
nonsense = system.predict(exchanged)
agreed = nonsense.agreement["WT"]
print(compare_guess("The agreement", my_guess_agreement, agreed))
lower = int((confidence < agreed).sum())
print(f"{lower} of {len(tested)} test patients with the right names have a lower one")
heading = "FLAIR and T1ce exchanged: no error, and this outline"
slices.compare(scan, scan.seg, nonsense.labels, title=heading)

# %% [markdown]
# It draws. Where no test patient has a lower agreement, the passes have noticed that something is odd, and cannot say
# what; where some have, nobody would have looked. Either way it is one patient, and disagreement was made to say how a
# network varies on what it was given, not what it should never have been given. Input unlike the training data is
# called **out-of-distribution**.
#
# So the training patients leave a **fingerprint**: a few numbers of each volume, chosen so that each says in words what
# is wrong. How large the head is; how bright its rim; how far white matter is brighter than grey; whether small details
# are bright, as vessels are on T1ce, or dark.

# %%
from helpers.data import out_of_distribution

fingerprint = out_of_distribution.fingerprint(scan)
pd.DataFrame({name: fingerprint[name] for name in MODALITIES}).round(2)

# %% [markdown]
# A model keeps the range of each number over its training patients, and a new patient is held against it. This is what
# `system.predict` warned of in the exchanged files:

# %%
for warning in nonsense.warnings:
    print(warning)
print(f"and of the right ones: {result.warnings or 'nothing'}")

# %% [markdown]
# One patient proves little. Every test patient, as it is and exchanged:


# %%
def warnings_of(one, change):
    changed = replace(one, images=change(one.images).astype(np.float32))
    found = out_of_distribution.fingerprint(changed)
    return out_of_distribution.warnings(found, ranges)


def is_warned(change):
    """For each test patient, whether a warning comes once its images were changed."""
    scans = (read_scan(patient, MODALITIES) for patient in tested)
    return np.array([bool(warnings_of(one, change)) for one in scans])


silent = ~is_warned(lambda images: images)
caught = is_warned(lambda images: images[..., ::-1])
record("rightly_judged", round(float((silent.mean() + caught.mean()) / 2), 3))
print(f"{silent.sum()} of {len(tested)} untouched patients pass in silence,")
print(f"{caught.sum()} exchanged ones are caught")

# %% [markdown]
# Other faults a hospital may send: a head with its skull, intensities that somebody rescaled, half a volume, an empty
# one, and an X-ray, which we make by adding up the head along one axis.

# %% tags=["long"]
from scipy import ndimage

from helpers.runtime.errors import DataError


def with_skull(images):
    brain = images.any(axis=-1)
    steps = [max(1, round(mm / np.mean(scan.spacing))) for mm in (4, 12)]
    bone, scalp = (ndimage.binary_dilation(brain, iterations=n) for n in steps)
    out, middle = images.copy(), np.median(images[brain], axis=0)
    out[scalp & ~brain] = 2.5 * middle  # fat is bright
    out[bone & ~brain] = 0.1 * middle
    return out


def upper_half(images):
    return images * (np.arange(images.shape[2]) >= images.shape[2] // 2)[:, None]


faults = {
    "with its skull": with_skull,
    "rescaled to 0 … 1": lambda images: images / images.max(),
    "half a volume": upper_half,
    "an empty volume": lambda images: 0 * images,
    "an X-ray": lambda images: images.sum(axis=1)[:, :, None],  # (rows, slices, 1, 2)
}
for name, change in faults.items():
    try:
        found = warnings_of(scan, change)
        print(f"{name}: {found[0] if found else 'not noticed'}\n")
    except DataError as error:
        print(f"{name}: refused. {error}\n")

# %% [markdown]
# Some end in a warning above the mask, some in a refusal: where there is no head, there is nothing to outline.

# %% [markdown]
# **Exercise 4** (stretch, 10 minutes). What does the fingerprint *not* see? Write `fault`: a change of the images that
# would mislead a clinic, and of which no warning comes. A right answer keeps the shape, and the Dice of the outline
# falls below one half.


# %% tags=["stub"]
def fault(images):
    return ...  # images: (rows, columns, slices, 2); the same shape


# %% tags=["solution"]
def fault(images):
    return images[::-1]  # left and right exchanged: the outline is on the wrong side


# %% tags=["check"]
from helpers.measure.overlap import dice

with exercise_check("Exercise 4"):
    changed = np.asarray(filled(fault(scan.images.copy())))
    words = f"keep {scan.images.shape}"
    require(
        changed.shape == scan.images.shape, f"the shape is {changed.shape}; {words}"
    )
    require(not np.array_equal(changed, scan.images), "nothing has changed")
    warning = warnings_of(scan, lambda _: changed)
    require(not warning, f"it was noticed: {warning[0] if warning else ''}")
    misled = replace(scan, images=changed.astype(np.float32))
    score = dice(scan.seg > 0, system.predict(misled).labels > 0)
    words = "a fault that misleads should cost more than half"
    require(score < 0.5, f"the outline still has a Dice of {score:.2f}; {words}")

# %% [markdown] tags=["hint"]
# A fingerprint is made of brightnesses, sizes and small details. What about a head does it never look at?

# %% [markdown] tags=["hint"]
# Nothing in it knows left from right, or top from bottom. Turn an axis round: `images[::-1]`.

# %% [markdown] tags=["teacher"]
# Most begin with noise or a bias field, and the message shows the sentence of the warning that noticed it. Those who
# shift the whole head by a few voxels go unnoticed as well. Exchanging left and right is what has happened in
# hospitals, and no number of this lesson sees it: the orientation in the file's header is the only witness (lesson 02).

# %% [markdown]
# A check can only find what somebody thought of. That is why a warning is a help, and silence no proof.
#
# ## Patients nobody outlined
#
# Figure 8 of the paper labels images of a set it never saw. Ours are those of the BraTS validation folder, which has no
# masks; where there is no such folder, test patients. Their outlines, and what we can say without a truth:

# %% [markdown] tags=["question"]
# A new patient's files arrive, and no warning comes. What do you know?
#
# - The files are right. :: No: the exercise above has one that is wrong and passes.
# - The outline can be trusted. :: No: a patient like those of the training may still be outlined badly, as the test
#   patients show.
# - None of the numbers that somebody thought of lies outside what the training patients had. :: Right: and no more.

# %%
handful = [system.read(patient) for patient in unseen[:4]]
answers = [system.predict(one) for one in handful]
captions = [
    f"{one.volumes_ml['WT']['ml']:.0f} ml, agreement {one.agreement['WT']:.2f}\n"
    f"warnings: {len(one.warnings) or 'none'}"
    for one in answers
]
heading = f"Outlined without a truth. Before you trust the agreement:\n{knows.title}"
outlined.patients(handful, [one.labels for one in answers], captions, title=heading)

# %% [markdown]
# And side by side with the truth, where there is one: the test patient of whom the system is least sure.

# %%
least = int(np.argmin(confidence))
one = read_scan(tested[least], MODALITIES)
drawn = system.predict(one).labels
heading = f"The least sure: agreement {confidence[least]:.2f}, Dice {dices[least]:.2f}"
slices.compare(one, one.seg, drawn, title=heading)

# %% [markdown] tags=["paper: section 3.1 challenge 3"]
# ## What a clinic's engineer runs
#
# The models go into folders, as `train brain` and `train gate` leave them: the network, how it was made, from whom it
# learned, and their fingerprint.

# %%
from helpers.learn.run_folder import save_model, training_provenance, write_run

parameters = {"modalities": list(MODALITIES), "size": SIZE, "extent_mm": grid.extent_mm}
made = training_provenance(store, split)
for name, network in (("gate", gate.network), ("unet", segmenter.network)):
    (folder / name).mkdir(exist_ok=True)
    save_model(network, folder / name / "model.keras")
threshold = gate.threshold
write_run(folder / "gate", "gate", parameters, split, **made, threshold=threshold)
write_run(folder / "unet", "brain", parameters, split, **made)
sorted(path.name for path in (folder / "unet").iterdir())

# %% [markdown]
# One file is missing: how well does it do? `train brain` ends with the scores of its test patients, `metrics.json`, and
# so do we. Without that file the page will say that nothing was measured.

# %%
from helpers.learn.test_cases import score_provenance
from helpers.measure.evaluate import evaluate
from helpers.runtime.disk import write_json

scores = evaluate(segmenter.predict, tested, MODALITIES)
scores["run"] = score_provenance(folder / "unet", "test", tested)
write_json(scores, folder / "unet" / "metrics.json")
measured = {r: one["dice"]["mean"] for r, one in scores["regions"].items()}
pd.Series(measured, name=f"Dice of {scores['n']} test patients").to_frame().round(3)

# %% [markdown]
# In a terminal it is `python -m helpers report PATIENT --gate GATE --model MODEL --out OUT`; here the same function. It
# writes the mask on the patient's grid, the numbers as JSON, and a page.

# %%
from helpers.apply.report import report

out = Path(tempfile.mkdtemp(dir=folder)) / "report"
written = report([unseen[0].folder], folder / "gate", folder / "unet", out)
written["patients"][0]["seconds"]

# %%
from html import escape

from IPython.display import publish_display_data

page = escape((out / "report.html").read_text(encoding="utf-8"))
frame = 'width="100%" height="700" title="The report of one patient"'
shown = {"text/html": f'<iframe srcdoc="{page}" {frame}></iframe>'}
publish_display_data(shown | {"text/plain": "The report of one patient, a page."})

# %% [markdown]
# Warnings stand on top, then one sentence, then the volumes, and beside them what was measured on patients with a
# truth. What the passes say comes below, and is called no interval. The page says what it is for.
#
# ## What we tried

# %% tags=["long"]
from helpers.lessons.closing import closing_table

least_outlined = min(shares, key=shares.get)
gain = f"WT Dice {said.comparisons['the gate'].difference:+.3f}"
lost_ml = lost["lost ml"].mean()
halves = f"Dice {surest:.3f} of the surest half, {rest:.3f} of the rest"
n = len(tested)
alarms = f"{(~silent).sum()} of {n} untouched patients are warned of"
less = missing[least_outlined].title
rightly = f"{(silent.mean() + caught.mean()) / 2:.0%} rightly judged, by chance 50%"
closing_table(
    [
        ("the gate", gain, f"{slower:+.2f} s, {lost_ml:.2f} ml lost", said.title),
        ("agreement", halves, f"{PASSES} predictions more", knows.title),
        ("a fingerprint", f"{caught.sum()} of {n} exchanged caught", alarms, rightly),
        ("true volumes", "what is missing", f"{n} truths", less),
    ]
)

# %% [markdown]
# ## Back to the question
#
# How would you know that the outline is wrong? From the outline alone you would not. Three things help, and none is
# proof: whether the patient is in the distribution of those the model learned from, whether the model's passes agree,
# and how it did on patients kept out. A fourth is better than all: a person who looks.
#
# What we left out: ensembles of several trainings, whose spread is more honest than that of dropout (Lakshminarayanan
# et al. 2017; Mehrtash et al. 2020), and calibration of the agreement, so that it could be read as a Dice. And we left
# out your own hospital: its files, its names and its patients are the next lesson.
