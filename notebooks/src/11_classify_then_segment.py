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
from helpers.lessons.record import record
from helpers.lessons.verdict import order_verdict, verdict
from helpers.show import certainty, slices, style

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

# %% [markdown]
# In a minute a program of ours will outline this patient, and the outline will look right. **How would you know if it
# were not?** There is no ground truth to hold it against; on the day it matters there never is.
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


def train_unet(place):
    keras.utils.set_random_seed(SEED)
    network = unet(SIZE, len(MODALITIES), filters=FILTERS)
    fit_brain(network, store, split, place, Budget(epochs=EPOCHS), recipe, SEED)


# %%
sizes = {"size": SIZE, "filters": FILTERS, "epochs": EPOCHS, "recipe": vars(recipe)}
unet_folder = train_once(train_unet, folder / "unet", "brain", **data, **sizes)
segmenter = Segmenter(keras.models.load_model(unet_folder / "model.keras"), MODALITIES, grid)

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


def train_gate(place):
    keras.utils.set_random_seed(SEED)
    network = transformer(SIZE, len(MODALITIES), 2, Shape(8, 64, 3, 4, mlp=2, stem=True), dropout=0.1)
    in_training = Gate(network, MODALITIES, grid)

    def validate(_):
        return {"val_auc": auc(truth, in_training.slice_probabilities(store.images[rows]))}

    fit_gate(network, store, split, Budget(epochs=GATE_EPOCHS), validate, "none", seed=SEED)
    network.save(place / "model.keras")


# %%
gate_folder = train_once(train_gate, folder / "gate", "gate", size=SIZE, epochs=GATE_EPOCHS, **data)
gate = Gate(keras.models.load_model(gate_folder / "model.keras"), MODALITIES, grid)
gate = replace(gate, threshold=threshold_for(truth, gate.slice_probabilities(store.images[rows]), SENSITIVITY))
print(f"a slice passes from a probability of {gate.threshold:.3f}: {SENSITIVITY:.0%} of the validation tumour passes")

# %% [markdown]
# ## One patient, step by step
#
# A patient whom both models have not seen, and who has a ground truth, the **truth** for short. The gate looks at every
# slice; the orange line says where there is tumour.

# %%
scan = read_scan(tested[0], MODALITIES)
slice_probabilities = gate.probabilities(scan)  # (slices,)
passed = gate.predict(scan)  # (slices,), True or False
certainty.gate_strip(
    slice_probabilities, gate.threshold, scan.seg.any(axis=(0, 1)), title=f"{passed.sum()} of {passed.size} slices pass"
)

# %% [markdown]
# The U-Net sees the blue slices and no others.

# %%
seen, centre = segmenter.preprocess(scan)  # (slices, SIZE, SIZE, 2), and the middle of the window in mm
seen = seen[passed]  # (passed slices, SIZE, SIZE, 2)
probabilities = segmenter.network_probabilities(seen)  # (passed slices, SIZE, SIZE, 4)
seen.shape, probabilities.shape

# %% [markdown]
# What it predicts goes back to the patient's own grid: probabilities first, then the largest wins, as in lesson 08.
# Slices that did not pass stay background.

# %%
shape = (*scan.images.shape[:2], len(seen))
tumour = grid.up(probabilities[..., 1:], shape, scan.spacing, centre)  # (rows, columns, passed slices, 3)
background = 1 - tumour.sum(axis=-1, keepdims=True)
labels = np.zeros(scan.seg.shape, np.uint8)  # (rows, columns, slices)
labels[..., passed] = np.concatenate([background, tumour], axis=-1).argmax(axis=-1)
slices.compare(
    scan, scan.seg, labels, title="Gate, then U-Net: which are the false negatives, which the false positives?"
)

# %% [markdown]
# A clinician wants to know how much, and where. A voxel has a volume, so counting gives millilitres; and the core is
# shown on three axes, as in figure 11 of the paper.

# %%
from helpers.measure import regions

ml = np.prod(scan.spacing) / 1000  # of one voxel
volumes = {
    region: {"outlined": regions.mask(labels, region).sum() * ml, "true": regions.mask(scan.seg, region).sum() * ml}
    for region in regions.REGIONS
}
pd.DataFrame(volumes).T.round(1)

# %%
slices.three_planes(replace(scan, seg=labels), title="The outlined core on three axes")

# %% [markdown]
# All of this is one call in `helpers.apply.system`. It does more, and we shall come to that.

# %%
from helpers.apply.system import System
from helpers.data.out_of_distribution import fit_ranges

ranges = fit_ranges([store.patients[identity]["fingerprint"] for identity in split.train])  # explained below
system = System(segmenter, gate, ranges, PASSES)
result = system.predict(scan)
print(f"the same mask: {(result.labels == labels).all()}")

# %% [markdown]
# ## What does the gate gain, and what does it cost?
#
# It promises two things: fewer slices for the U-Net, so less time, and no tumour where there is none. And it can do
# harm: tumour in a slice that is held back is lost, a **false negative**. Guess which of the three you will see, then
# measure. A **false positive component** is a connected part of the outline that touches no part of the true tumour.

# %%
from helpers.apply.gate_ablation import ARMS, evaluate_case, gate_table

cases = [evaluate_case(system, patient) for patient in tested]
gate_table(cases).round(2)

# %%
means = {arm: np.mean([one[arm]["dice"]["WT"] for one in cases]) for arm in ARMS}
false_positives = {arm: np.mean([one[arm]["false_positive_components"] for one in cases]) for arm in ARMS}
record("dice_wt", round(float(means["with gate"]), 4))
record("dice_wt_without_gate", round(float(means["without gate"]), 4))
record("false_islands", {arm: round(float(count), 2) for arm, count in false_positives.items()})
record("skipped", round(float(np.mean([one["skipped"] for one in cases])), 3))
print(f"the gate held back {np.mean([one['skipped'] for one in cases]):.0%} of the slices with brain")

# %% [markdown]
# Fewer slices it certainly gave the U-Net. Did it help otherwise? Every patient was outlined both ways, so each can be
# compared with itself.

# %%
arms = {"no gate": "without gate", "the gate": "with gate"}
overlap = {name: [one[arm]["dice"]["WT"] for one in cases] for name, arm in arms.items()}
components = {name: [one[arm]["false_positive_components"] for one in cases] for name, arm in arms.items()}
said = verdict(overlap, "no gate", score="WT Dice")
fewer = verdict(components, "no gate", score="number of false positives", lower_is_better=True)
record("verdict_of_the_gate", said.outcome)
print(said)
print(fewer)

# %% [markdown]
# Where neither sentence says that it helped, the gate brings what it saves in time and nothing else, and whoever has
# the time would leave it out; the promise of a sequence is no proof that it helps. False positives it can remove only
# where the *whole* slice is without tumour: in a slice that passes, the U-Net makes as many as before.
#
# **Exercise 1** (core, 5 minutes). How much tumour did the gate throw away? Write `thrown_away`: the millilitres of
# true tumour in slices that did not pass.


# %% tags=["stub"]
def thrown_away(seg, passed, spacing):
    return ...  # seg: (rows, columns, slices), passed: (slices,), spacing: mm along the three axes


# %% tags=["solution"]
def thrown_away(seg, passed, spacing):
    return (seg[..., ~passed] > 0).sum() * np.prod(spacing) / 1000


# %% tags=["check"]
with exercise_check("Exercise 1"):
    toy = np.zeros((4, 4, 3), int)
    toy[1:3, 1:3] = 2  # four voxels of tumour in each of three slices
    value = filled(thrown_away(toy, np.array([True, False, True]), (10, 10, 5)))
    require(np.isclose(value, 2), f"four voxels of 0.5 ml in one lost slice give {value}; it should be 2 ml")
    value = thrown_away(toy, np.array([True, True, True]), (10, 10, 5))
    require(value == 0, f"nothing was held back, and you count {value} ml")

# %%
lost = pd.DataFrame(
    {"lost ml": [one["false_negative_ml"] for one in cases], "tumour ml": [one["true_ml"]["WT"] for one in cases]}
)
lost.assign(share=lost["lost ml"] / lost["tumour ml"]).describe().loc[["mean", "max"]].round(3)

# %% [markdown]
# What is lost is lost mostly at the ends of a tumour, where a slice shows little of it, and no outline can bring it
# back. The table says how many millilitres that is on average, and how many in the worst patient.
#
# ## How sure is it?
#
# The U-Net's last layer gives probabilities. Are they its uncertainty? It was trained to be right about every voxel at
# once, and such networks are sure even where they are wrong. So we run it again and again, each time with other
# features left out: **Monte Carlo dropout** leaves dropout on, as in training, and every second time the head is
# mirrored (Gal and Ghahramani 2016; Wang et al. 2019). Where the passes differ, it guessed. Only slices that passed the
# gate are run, which is where the gate saves most.

# %%
images, _ = segmenter.preprocess(scan)
passes = [segmenter.sample(images[passed], seed, mirrored=seed % 2 == 1) for seed in range(PASSES)]
samples = np.stack(passes)  # (passes, passed slices, SIZE, SIZE, 4)
samples.shape

# %% [markdown]
# For each voxel the **entropy** of the mean prediction, in bits: 0 where one class is certain, 1 where two are equally
# likely.

# %%
p = np.clip(samples.mean(axis=0), 1e-7, 1)
entropy = -(p * np.log2(p)).sum(axis=-1)  # (passed slices, SIZE, SIZE)
print(f"{(entropy > 0.5).mean():.1%} of the voxels have an entropy of more than half a bit")
certainty.outline_and_entropy(scan, result.labels, result.entropy, title="Where do the passes not agree?")

# %% [markdown]
# A reader wants one number a patient as well. We take the mean Dice between the outline and each pass, the
# **agreement**: 1 where every pass draws the same (after Roy et al. 2019). It needs no truth. Does it mean anything?
# Here there is a truth, so we may look.

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
from helpers.apply.uncertainty import risk_coverage, split_by_confidence

surest, rest = split_by_confidence(confidence, dices)
record("surest_half_dice_wt", round(surest, 4))
record("rest_dice_wt", round(rest, 4))
record("verdict_of_the_agreement", knows.outcome)
print(f"mean WT Dice of the surest half {surest:.3f}, of the rest {rest:.3f}; {len(dices)} patients")
print(knows)

# %% [markdown]
# The last sentence is the one to go by: two halves differ by something always. Where it cannot tell, this confidence
# has not shown that it is worth a referral; on 20 real patients the course's own models are measured in the same way
# (`helpers.apply.gate_ablation.evaluate_folds`).
#
# And the volumes? From the passes we get a lowest and a highest. It is tempting to print that as an interval. How often
# does it hold the true volume?

# %%
inside = {
    region: np.mean(
        [
            one["volumes_ml"][region]["low"] <= one["true_ml"][region] <= one["volumes_ml"][region]["high"]
            for one in cases
        ]
    )
    for region in regions.REGIONS
}
record("range_holds_truth", {region: round(float(share), 2) for region, share in inside.items()})
for region, share in inside.items():
    print(f"{region}: the range over the passes holds the true volume in {share:.0%} of the patients")

# %% [markdown]
# An interval that deserves the name would do so in most patients. The passes know how much the network varies, not how
# far it is wrong: all of them learned from the same few patients. The report below therefore says "lowest to highest
# pass", and no more.
#
# **Exercise 2** (core, 5 minutes). A radiologist has time for a share of the patients. Write `refer`: True for
# those that she should look at, the least sure ones.


# %% tags=["stub"]
def refer(confidence, share):
    return ...  # confidence: (patients,), share: between 0 and 1; booleans, (patients,)


# %% tags=["solution"]
def refer(confidence, share):
    chosen = np.zeros(len(confidence), bool)
    chosen[np.argsort(confidence)[: round(share * len(confidence))]] = True
    return chosen


# %% tags=["check"]
with exercise_check("Exercise 2"):
    chosen = np.asarray(filled(refer(np.array([0.9, 0.2, 0.8, 0.5]), 0.5)))
    require(chosen.sum() == 2, f"you chose {chosen.sum()} of four patients; half of them are 2")
    require(bool(chosen[1] and chosen[3]), "the least sure are the ones with 0.2 and 0.5; you left one of them out")
    risk = 1 - dices[~refer(confidence, 0.5)].mean()
    require(
        risk <= risk_coverage(confidence, 1 - dices)[1].max() + 1e-9,
        "those you keep have more error than any share by confidence",
    )
    print(f"risk of those you keep {risk:.3f}, of all {1 - dices.mean():.3f}")

# %% [markdown]
# ## A mask for nonsense
#
# Somebody has named the files the wrong way round: FLAIR is called T1ce and T1ce FLAIR. Guess what the system does, and
# how sure it is.

# %%
exchanged = replace(scan, images=scan.images[..., ::-1].copy())  # the names stay, the volumes change places
nonsense = system.predict(exchanged)
figure = slices.compare(scan, scan.seg, nonsense.labels, title="FLAIR and T1ce exchanged: no error, no complaint")
print(f"agreement of the passes {nonsense.agreement['WT']:.2f}; {result.agreement['WT']:.2f} with the right names")
figure

# %% [markdown]
# It draws. Look at the agreement before you trust it to catch this: disagreement among passes of one network says how
# the network varies on what it was given, and says little about what it should never have been given. Input unlike the
# training data is called **out-of-distribution**.
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
def is_warned(change):
    """For each test patient, whether a warning comes once its images were changed."""
    return np.array([bool(warnings_of(read_scan(patient, MODALITIES), change)) for patient in tested])


def warnings_of(one, change):
    changed = replace(one, images=change(one.images).astype(np.float32))
    return out_of_distribution.warnings(out_of_distribution.fingerprint(changed), ranges)


silent, caught = ~is_warned(lambda images: images), is_warned(lambda images: images[..., ::-1])
record("rightly_judged", round(float((silent.mean() + caught.mean()) / 2), 3))
print(f"{silent.sum()} of {len(tested)} untouched patients pass in silence, {caught.sum()} exchanged ones are caught")

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
#
# **Exercise 3** (stretch, 10 minutes). What does the fingerprint *not* see? Write `fault`: a change of the images that
# would mislead a clinic, and of which no warning comes.


# %% tags=["stub"]
def fault(images):
    return ...  # images: (rows, columns, slices, 2); the same shape


# %% tags=["solution"]
def fault(images):
    return images[::-1]  # left and right exchanged: the mask follows, to the wrong side of the head


# %% tags=["check"]
with exercise_check("Exercise 3"):
    changed = np.asarray(filled(fault(scan.images.copy())))
    require(changed.shape == scan.images.shape, f"the shape became {changed.shape}; keep {scan.images.shape}")
    warning = warnings_of(scan, lambda _: changed)
    require(not warning, f"it was noticed: {warning[0] if warning else ''}")
    misled = system.predict(replace(scan, images=changed.astype(np.float32))).labels
    score = 2 * ((misled > 0) & (scan.seg > 0)).sum() / ((misled > 0).sum() + (scan.seg > 0).sum())
    require(score < 0.5, f"the mask still has a Dice of {score:.2f}; a fault that misleads should cost more than half")

# %% [markdown]
# A check can only find what somebody thought of. That is why a warning is a help, and silence no proof.
#
# ## Patients nobody outlined
#
# Figure 8 of the paper labels images of a set it never saw. Ours are those of the BraTS validation folder, which has no
# masks; where there is no such folder, test patients. Their outlines, and what we can say without a truth:

# %% tags=["long"]
handful = [(one, system.predict(one)) for one in (system.read(patient) for patient in unseen[:4])]
from matplotlib.figure import Figure

figure = Figure(figsize=(8, 2.9))
for ax, (one, found) in zip(figure.subplots(1, len(handful), squeeze=False)[0], handful, strict=True):
    view, k = slices.plane(one.affine), slices.busiest(one, found.labels)
    box = view.brain(one.images)
    slices.show_slice(
        ax,
        view.cut(one.image("flair"), k, box),
        view,
        labels=view.cut(found.labels, k, box),
        marks=ax is figure.axes[0],
    )
    ax.set_title(
        f"{found.volumes_ml['WT']['ml']:.0f} ml, agreement {found.agreement['WT']:.2f}\n{len(found.warnings)} warnings",
        fontsize=9,
    )
figure.suptitle("Outlined by the system, which knew no truth")
style.alt(figure, "Four patients without truth, their outlines, volumes and the agreement of the passes.")

# %% [markdown]
# And side by side with the truth, where there is one: the test patient of whom the system is least sure.

# %%
least = int(np.argmin(confidence))
one = read_scan(tested[least], MODALITIES)
slices.compare(
    one,
    one.seg,
    system.predict(one).labels,
    title=f"The least sure: agreement {confidence[least]:.2f}, Dice {dices[least]:.2f}",
)

# %% [markdown] tags=["paper: section 3.1 challenge 3"]
# ## What a clinic's engineer runs
#
# The models go into folders, as `train brain` and `train gate` leave them: the network, how it was made, from whom it
# learned, and their fingerprint.

# %%
from helpers.learn.run_folder import save_model, training_provenance, write_run

parameters = {"modalities": list(MODALITIES), "size": SIZE, "extent_mm": grid.extent_mm}
for name, network in (("gate", gate.network), ("unet", segmenter.network)):
    (folder / name).mkdir(exist_ok=True)
    save_model(network, folder / name / "model.keras")
write_run(folder / "gate", "gate", parameters, split, **training_provenance(store, split), threshold=gate.threshold)
write_run(folder / "unet", "brain", parameters, split, **training_provenance(store, split))
sorted(path.name for path in (folder / "unet").iterdir())

# %% [markdown]
# In a terminal it is `python -m helpers report PATIENT --gate GATE --model MODEL --out OUT`; here the same function. It
# writes the mask on the patient's grid, the numbers as JSON, and a page.

# %%
from helpers.apply.report import report

written = report([unseen[0].folder], folder / "gate", folder / "unet", Path(tempfile.mkdtemp(dir=folder)) / "report")
written["patients"][0]["seconds"]

# %%
from html import escape

from IPython.display import HTML

page = next(folder.glob("*/report/report.html")).read_text(encoding="utf-8")
HTML(f'<iframe srcdoc="{escape(page)}" width="100%" height="700" title="The report of one patient"></iframe>')

# %% [markdown]
# Warnings stand on top, then one sentence, then the numbers, then the pictures. It says what it is for.
#
# ## Back to the question
#
# How would you know that the outline is wrong? From the outline alone you would not. Three things help, and none is
# proof: whether the patient is in the distribution of those the model learned from, whether the model's passes agree,
# and how it did on patients kept out. A fourth is better than all: a person who looks.
#
# What we left out: ensembles of several trainings, whose spread is more honest than that of dropout (Lakshminarayanan
# et al. 2017; Mehrtash et al. 2020), and calibration of the agreement, so that it could be read as a Dice. And we left
# out your own hospital: its files, its names and its patients are the next lesson.
