# %% tags=["parameters"]
SEED = 0  # of everything that is drawn: faults, weights, batches
DATA_DIR = ""  # folder with BraTS patients; empty: the Kaggle set, else phantoms
OUTPUT_DIR = ""  # where slices and models go; empty: beside the data
PATIENTS = 20  # of the catalogue
SIZE = 48  # pixels along each side of the networks' window; 128 in the paper
FILTERS = 8  # features of their first level; 32 in the paper
BATCH = 8  # slices in a batch
FOLDS = 2  # one patient in so many is tested
MENDED = 3  # of those, how many are preprocessed in every way: it takes seconds each
EPOCHS = 3  # of each training
LOSSES_TRIED = ["cross-entropy", "dice+cross-entropy"]  # of helpers.learn.losses
FOCUS_TRIED = [0.0]  # shares of tumour slices in a batch; one half is tried in any case

# %%
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from helpers.data import sources
from helpers.data.brats import read_catalogue
from helpers.data.normalise import zscore
from helpers.data.volumes import read_scan
from helpers.lessons.checks import exercise_check, filled, require
from helpers.lessons.guess import compare_guess
from helpers.lessons.record import record
from helpers.lessons.verdict import verdict
from helpers.show import slices, style

style.use()
PAIR = ("flair", "t1ce")
patients = read_catalogue(sources.brats(DATA_DIR)).require(PAIR)[:PATIENTS]
folder = Path(OUTPUT_DIR) if OUTPUT_DIR else sources.home() / "lesson_05"
scan = read_scan(patients[0], PAIR)

# %% [markdown]
# A slice, the same slice from a noisier scanner, and what is left when a filter has taken the noise away. The smallest
# part of the tumour, its enhancing rim, is outlined in the first.


# %%
from helpers.prepare import preprocess


def noisy(volume):
    """The volume with noise; a scanner shows magnitudes, so nothing is below 0."""
    grain = np.random.default_rng(SEED).standard_normal(volume.shape, np.float32)
    brain = volume != 0
    return np.where(brain, np.abs(volume + 1.5 * volume[brain].std() * grain) + 1, 0)


flair = scan.image("flair")
opening = {"as it is": flair, "noisy": noisy(flair)}
opening["filtered"] = preprocess.nonlocal_means(opening["noisy"])

# %%
from helpers.show.panel import plane, show_slice

k, view = slices.busiest(scan), plane(scan.affine)
box = view.brain(scan.images)
rim = {3: style.CLASS_COLOURS[3]}


def panel(ax, volume, title, labels=None, marks=False):
    """One slice of a z-scored volume, in the same window for all."""
    picture = view.cut(zscore(volume[..., None])[..., 0], k, box)
    show_slice(ax, picture, view, (-2, 3), labels, rim, marks=marks)
    ax.set_title(title)


figure = Figure(figsize=(8, 3.2))
for ax, (name, volume) in zip(figure.subplots(1, 3), opening.items(), strict=True):
    first = name == "as it is"
    panel(ax, volume, name, view.cut(scan.seg, k, box) if first else None, first)
share = (scan.seg == 3).sum() / (flair != 0).sum()
figure.suptitle(f"Noise can be filtered. The rim stays small: {share:.1%} of the brain")
style.alt(figure, "FLAIR as it is, with planted noise, and after a filter.")

# %% [markdown] tags=["paper: section 3.1 challenge 2"]
# **Your scanner gives you the middle one. Would your network rather have the right one? And would it find the rim if a
# loss told it that the rim counts more?** Say yes or no, and by how much. Now that we have a network (lesson 04), it
# can be asked.
#
# ## Mending the picture first
#
# The paper's second challenge is noise and poor quality, and its answer a "robust preprocessing pipeline" (section
# 3.1). It does not say which, nor what it gained. So here are five remedies, each with the fault that it is for. We
# plant the faults ourselves, in a scan that has little of them.


# %%
def uneven(volume):
    """Brighter towards one side of the room; the logarithm of the field is smooth."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in volume.shape), indexing="ij")
    return volume * np.exp(x + 0.6 * y * z - 0.6 * y)


def bent(volume):
    """Another curve from tissue to grey, as of another scanner: z-scores keep it."""
    top = np.percentile(volume[volume != 0], 99.9)
    return np.where(volume != 0, top * (volume / top) ** 2.0 + 1, 0)


faults = {"as it is": lambda volume: volume, "noise": noisy}
faults |= {"uneven field": uneven, "other contrast": bent}

# %% [markdown]
# A **median** filter and **non-local means** average noise away, the second among voxels whose surroundings look alike.
# **N4** estimates the slow drift of brightness that a coil leaves, the **bias field**, and divides by it. **Histogram
# matching** gives a volume the greys of another one, rank by rank; **CLAHE** spreads the greys of each neighbourhood
# over the whole scale. All of them work on the brain alone, from `helpers.prepare.preprocess`. What does that mean, on
# the brain alone? Write the simplest of them.

# %% [markdown]
# **Exercise 1** (core, 8 minutes). Write `my_median(slice_)` for a slice (rows, columns): each brain pixel becomes the
# median of the *brain* pixels in the 3 x 3 pixels round it; the background, 0, stays 0. A right answer removes a single
# bright pixel and leaves the rim of the brain as bright as it was.


# %% tags=["stub"]
def my_median(slice_):
    """The slice after a median filter on its brain."""
    return ...


# %% tags=["solution"]
def my_median(slice_):
    """The slice after a median filter on its brain."""
    brain = np.where(slice_ != 0, slice_, np.nan)
    padded = np.pad(brain, 1, constant_values=np.nan)
    filtered = np.zeros(slice_.shape)
    for row, column in np.argwhere(slice_ != 0):
        filtered[row, column] = np.nanmedian(padded[row : row + 3, column : column + 3])
    return filtered


# %% tags=["check", "long"]
with exercise_check("Exercise 1"):
    toy = np.zeros((7, 7))
    toy[1:6, 1:6] = np.arange(10, 35).reshape(5, 5)
    toy[3, 3] = 900
    given = filled(my_median(toy.copy()))
    require(np.shape(given) == (7, 7), f"7 x 7 pixels became {np.shape(given)}")
    given = np.asarray(given, float)
    require(
        not given[toy == 0].any(),
        "the background is 0 no longer; filter the brain alone",
    )
    padded = np.pad(np.where(toy != 0, toy, np.nan), 1, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))[toy != 0]
    windows = windows.reshape(-1, 9)  # (brain pixels, 9)
    mine, right = given[toy != 0], np.nanmedian(windows, axis=1)
    require(not np.allclose(mine, toy[toy != 0]), "your filter changes nothing")
    average = np.nanmean(windows, axis=1)
    said = "this is the mean, which spreads a bright pixel over its neighbours"
    require(not np.allclose(mine, average), said)
    darkened = np.median(np.nan_to_num(windows), axis=1)
    said = "you count background among the neighbours, which darkens the brain's rim"
    require(not np.allclose(mine, darkened), said)
    wrong = np.flatnonzero(~np.isclose(mine, right))
    first = wrong[:1].sum()  # the first of them, or 0
    said = f"{mine[first]:g} where the median is {right[first]:g}"
    require(not wrong.size, f"{wrong.size} of {mine.size} brain pixels differ: {said}")

# %% [markdown] tags=["hint"]
# Replace the background by `np.nan` first. NumPy has a median that leaves such values out.

# %% [markdown] tags=["hint"]
# Pad the slice by one pixel of `np.nan` on each side; then `padded[row : row + 3, column : column + 3]` is the square
# round pixel (row, column), and `np.nanmedian` its median. `np.argwhere(slice_ != 0)` lists the brain.

# %% [markdown] tags=["teacher"]
# Nearly everybody calls a library's median filter first, and gets a brain with a dark rim: zeros are neighbours to it.
# The check tells that apart from a mean. It is worth a picture: the rim that a filter darkens is where the skull was
# taken off, and a network learns it.

# %%
from helpers.data.splits import make_split

split = make_split(patients, SEED, FOLDS)
by_id = {patient.id: patient for patient in patients}
model_head = read_scan(by_id[split.train[0]], PAIR)  # whose greys the others are given


def without_field(volume, _):
    return volume / preprocess.bias_field(volume, scan.spacing)  # one spacing for all


def as_the_model(volume, modality):
    return preprocess.match_histogram(volume, model_head.image(modality))


remedies = {
    "nothing": lambda volume, _: volume,
    "median": lambda volume, _: preprocess.median(volume),
    "non-local means": lambda volume, _: preprocess.nonlocal_means(volume),
    "N4": without_field,
    "histogram matching": as_the_model,
    "CLAHE": lambda volume, _: preprocess.clahe(volume),
}

# %%
meant_for = {
    "noise": ("median", "non-local means"),
    "uneven field": ("N4",),
    "other contrast": ("histogram matching", "CLAHE"),
}

# %%
shown = {"as it is": None, "noise": "non-local means"}
shown |= {"uneven field": "N4", "other contrast": "histogram matching"}
figure = Figure(figsize=(8, 5.4))
for column, (fault, cure) in zip(figure.subplots(2, 4).T, shown.items(), strict=True):
    broken = faults[fault](flair)
    panel(column[0], broken, fault, marks=not cure)
    column[1].set_axis_off()
    if cure:
        panel(column[1], remedies[cure](broken, "flair"), f"after {cure}")
figure.suptitle("Above the fault, below its remedy")
told = "FLAIR as it is, noisy, uneven, of another contrast, and after a remedy."
style.alt(figure, told)

# %% [markdown]
# To the eye the remedies work. Did the right thing happen, or does it only look so? Where we planted a fault, we can
# measure it. First the field: what was planted, against what N4 found.

# %%
healthy = (flair != 0) & (scan.seg == 0)
planted = uneven(flair)[healthy] / flair[healthy]
found = preprocess.bias_field(uneven(flair), scan.spacing)[healthy]
own = preprocess.bias_field(flair, scan.spacing)[healthy]  # the scan came with one
agreement = np.corrcoef(np.log(planted), np.log(found / own))[0, 1]
record("bias_field_correlation", round(float(agreement), 3))
print(f"field planted and field found: correlation {agreement:.2f}")

# %% [markdown]
# Then the noise: what was planted, what the filter took, and what that leaves of the difference to the scan as it was.
# Look for the shape of the brain in the third panel.

# %%
grain, taken = opening["noisy"] - flair, opening["noisy"] - opening["filtered"]
parts = {
    "planted": grain,
    "taken by the filter": taken,
    "taken too much, or left": taken - grain,
}
spread = flair[healthy].std()
levels = {name: preprocess.noise_level(one) / spread for name, one in opening.items()}
lasting = levels["filtered"] >= levels["as it is"]
outcome = "leaves some noise" if lasting else "takes more than was planted"
figure = Figure(figsize=(8, 3.2))
for ax, (name, volume) in zip(figure.subplots(1, 3), parts.items(), strict=True):
    picture = view.cut(np.where(flair != 0, volume, 0) / spread, k, box)
    show_slice(ax, picture, view, (-3, 3), marks=False)
    ax.set_title(name)
figure.suptitle(f"The filter {outcome}")
for name, level in levels.items():
    print(f"noise, {name:9s}{level:.2f} of the brain's spread")
style.alt(figure, f"Planted noise, what the filter took, the difference: it {outcome}.")

# %% [markdown]
# Where the filtered scan has less noise than the scan had before we planted any, the filter has smoothed what the
# scanner saw: its own noise, and with it fine structure. A smoother picture is not a truer one.
#
# ## What does the network say?
#
# We train one small U-Net on the scans as they are, and a twin with all kinds of augmentation, which has met noise,
# fields and contrasts in training. Neither sees the patients that are scored.

# %%
from helpers.data.resample import Grid
from helpers.data.store import open_store
from helpers.learn.budget import Budget
from helpers.lessons.shared_training import train_once
from helpers.models.unet import unet
from helpers.tasks.brain.inference import Segmenter
from helpers.tasks.brain.training import Recipe, fit_brain

grid = Grid(SIZE)
store = open_store(patients, folder / "slices", PAIR, grid)


# %% tags=["long"]
def train(loss, focus, augmentation="none", slices_of=store, prepared="as they are"):
    """A network trained from the same start as all others; prints what became of it."""
    recipe = Recipe(loss, augmentation, focus, BATCH)

    def fit(place):
        keras.utils.set_random_seed(SEED)
        network, budget = unet(SIZE, len(PAIR), filters=FILTERS), Budget(epochs=EPOCHS)
        silent = lambda _: None  # noqa: E731
        fit_brain(network, slices_of, split, place, budget, recipe, SEED, silent)

    made = {
        "recipe": vars(recipe),
        "prepared": prepared,
        "size": SIZE,
        "filters": FILTERS,
    }
    made |= {"epochs": EPOCHS, "seed": SEED, "split": split.digest}
    own = folder / f"{loss}_{focus}_{augmentation}_{prepared.replace(' ', '_')}"
    place = train_once(fit, own, "brain", data=store.manifest["checksums"], **made)
    best = pd.read_csv(place / "history.csv")["val_dice"].max()
    what = f"{loss}, {focus:.0%} tumour slices, augmentation {augmentation}"
    print(f"{what}, scans {prepared}: validation Dice {best:.2f}")
    network = keras.models.load_model(place / "model.keras")
    return Segmenter(network, PAIR, grid, flip=False)


twins = {
    "trained as it is": train("dice+cross-entropy", 0.5),
    "trained with augmentation": train("dice+cross-entropy", 0.5, "all"),
}

# %% [markdown]
# Look at the pictures above once more. Which of the three faults will cost the first network most Dice?

# %% tags=["guess"]
my_guess = None  # "noise", "uneven field" or "other contrast"

# %% [markdown]
# Each fault with each remedy meant for it, and each remedy on scans that need none. The score is the Dice of the whole
# tumour, per patient, on the patient's own grid.

# %%
from helpers.measure.overlap import dice
from helpers.runtime.threads import map_threads


def changed(one, fault, remedy):
    """A patient's scan with a fault and a remedy, both modalities at once."""

    def mended(name):
        return remedies[remedy](faults[fault](one.image(name)), name)

    seen = map_threads(mended, PAIR)
    return replace(one, images=np.stack(list(seen), axis=-1))


conditions = [("as it is", cure) for cure in remedies]
for fault, cures in meant_for.items():
    conditions += [(fault, cure) for cure in ("nothing", *cures)]
rows = []
for identity in split.test[:MENDED]:
    one = read_scan(by_id[identity], PAIR)
    for fault, remedy in conditions:
        seen = changed(one, fault, remedy)
        for twin, segmenter in twins.items():
            overlap = dice(one.seg > 0, segmenter.predict(seen) > 0)
            rows.append((fault, remedy, twin, identity, overlap))
tried = pd.DataFrame(rows, columns=["fault", "remedy", "twin", "patient", "dice"])

# %%
from helpers.measure.statistics import mean_interval


def cell(values):
    """The mean and its 95 % interval; of fewer than eight from lowest to highest."""
    interval = mean_interval(values)
    if interval:
        return f"{np.mean(values):.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"
    return f"{np.mean(values):.2f} ({np.min(values):.2f} to {np.max(values):.2f})"


columns = {}
for twin, part in tried.groupby("twin"):
    columns[twin] = part.groupby(["fault", "remedy"], sort=False)["dice"].apply(cell)
table = pd.DataFrame(columns)[list(twins)]
nothing_drawn = cell(np.zeros(MENDED))  # each of these patients has a tumour
table.loc[("any", "a model that draws nothing"), :] = nothing_drawn
print(f"{len(split.test[:MENDED])} patients, Dice of the whole tumour")
table

# %% [markdown]
# The mean, and in brackets its 95 % interval; in round ones, of fewer than eight patients, just the lowest and the
# highest, which say nothing of the next patient. But the same patients stand in every row, and each can be compared
# with itself. What did a fault cost, and what did its remedy bring back? And the first rows: what did a remedy do where
# nothing was wrong?

# %%
wide = tried.pivot_table("dice", ["twin", "patient"], ["fault", "remedy"])
gain = wide.sub(wide[("as it is", "nothing")], axis=0)  # against the untouched scan
cost = {}
for twin, name in zip(twins, ("plain", "augmented"), strict=True):
    record(f"dice_wt_{name}", round(wide.loc[twin, ("as it is", "nothing")].mean(), 4))
    lost = {fault: gain.loc[twin, (fault, "nothing")].mean() for fault in meant_for}
    cost[twin] = {fault: round(value, 3) for fault, value in lost.items()}
    record(f"faults_cost_{name}", cost[twin])
    sound = gain.loc[twin]["as it is"].mean()
    print(
        f"{twin:26s}",
        ", ".join(f"{fault} {value:+.2f}" for fault, value in lost.items()),
    )
    worst = f"{sound.idxmin()} {sound.min():+.2f}"
    print(f"{'':26s} costliest remedy on a sound scan: {worst}")
plain_cost = cost["trained as it is"]
costliest = min(plain_cost, key=plain_cost.get)
print(compare_guess("The fault that costs most", my_guess, costliest))

# %% tags=["long"]
figure = Figure(figsize=(8, 4.6))
ax = figure.subplots()
looks = ("#D55E00", -0.15), ("#0072B2", 0.15)
for twin, (colour, aside) in zip(twins, looks, strict=True):
    for row, pair in enumerate(conditions[1:]):
        values = gain.loc[twin, pair].to_numpy()
        ax.plot(values, [row + aside] * len(values), ".", color=colour, alpha=0.5)
        label = None if row else twin
        ax.plot(values.mean(), row + aside, "o", color=colour, label=label)
ax.axvline(0, color="#555555", linewidth=1)
names = [f"{fault}: {remedy}" for fault, remedy in conditions[1:]]
ax.set_yticks(range(len(names)), names)
ax.invert_yaxis()
ax.set_xlabel(f"change of Dice: {len(values)} patients, a small dot each, and the mean")
figure.legend(loc="outside lower center", ncols=2)
count = f"{len(values)} patients"
figure.suptitle(f"Of the faults, {costliest} costs the plain network most ({count})")
style.alt(figure, f"Change of Dice for each fault and remedy. {costliest} costs most.")

# %% [markdown]
# Compare that order with what your eye minded. Another contrast keeps bright what was bright, and z-scoring does the
# rest; of noise a part goes when a pixel of the window averages several voxels; a field changes what bright means from
# one side of the head to the other.

# %% [markdown]
# **Exercise 2** (core, 6 minutes). Write `brought_back(sound, faulty, mended)`: which share of what a fault cost did
# the remedy bring back? Each is (patients,), the Dice on the sound scan, with the fault, and with fault and remedy;
# take means over patients before you divide. Where the fault cost nothing, return `np.nan`. A right answer is 0 for a
# remedy that does nothing and 1 for one that undoes the fault.


# %% tags=["stub"]
def brought_back(sound, faulty, mended):
    return ...


# %% tags=["solution"]
def brought_back(sound, faulty, mended):
    lost = np.mean(sound) - np.mean(faulty)
    return (np.mean(mended) - np.mean(faulty)) / lost if lost > 0 else np.nan


# %% tags=["check", "long"]
with exercise_check("Exercise 2"):
    toy = np.array([0.8, 0.6]), np.array([0.4, 0.5]), np.array([0.7, 0.5])
    share = filled(brought_back(*toy))
    require(np.ndim(share) == 0, f"you return {np.shape(share)}; expected one share")
    require(isinstance(share, float), f"you return {share!r}; expected a number")
    said = "that is the mended score over the sound one; the faulty one has to come in"
    require(not np.isclose(share, 6 / 7), said)
    said = "that is what is still missing; asked is what was brought back"
    require(not np.isclose(share, 0.4), said)
    said = "that is the mean of each patient's share, where who lost little counts most"
    require(not np.isclose(share, 0.375), f"{said}; take the means first")
    said = "that is the gain in Dice; divide by what was lost"
    require(not np.isclose(share, 0.15), said)
    said = f"of 0.25 lost, 0.15 came back, which is 0.6; you return {share:.3g}"
    require(np.isclose(share, 0.6), said)
    unhurt = brought_back(toy[0], toy[0], toy[2])
    said = f"a fault that cost nothing has nothing to bring back; you return {unhurt}"
    require(unhurt is not None and np.isnan(unhurt), f"{said}, expected nan")

# %% [markdown] tags=["hint"]
# Two differences of means: what was lost, and what came back. Which of the three scores is in both?

# %% [markdown] tags=["hint"]
# Lost: `np.mean(sound) - np.mean(faulty)`. Back: `np.mean(mended) - np.mean(faulty)`. Divide only if the first is above
# 0.

# %% [markdown] tags=["teacher"]
# The usual answers are mended over sound, which is high for any remedy of a harmless fault, and the mean of the
# patients' shares, in which a patient who lost a hundredth outweighs all others. The same share comes back in lesson 10
# as the part of a domain gap that an adaptation closes.

# %%
back = {}
for fault, cures in meant_for.items():
    for cure in cures:
        for twin in twins:
            pairs = ("as it is", "nothing"), (fault, "nothing"), (fault, cure)
            sound, hurt, mended = (wide.loc[twin, pair].mean() for pair in pairs)
            share = (mended - hurt) / (sound - hurt) if sound - hurt > 0.01 else np.nan
            back[f"{fault}: {cure}", twin] = share
shares = pd.Series(back).unstack()[list(twins)]
shares.map(lambda share: "cost next to nothing" if np.isnan(share) else f"{share:.0%}")

# %% [markdown]
# Above 100 % the mended scan is outlined better than the untouched one: the remedy has also taken what the scan came
# with. Below 0 it has done further harm.

# %% [markdown] tags=["question"]
# A remedy raises the Dice in two of two patients. What do you know about the next patient?
#
# - It will help there too: two of two is 100 %. :: No: two of two happens one time in four by a coin.
# - Next to nothing yet; with eight or more one can begin to ask. :: Right. That is why these rows have no interval, and
#   why the full profile mends more patients.
# - The interval of the two says how much it will help. :: No: an interval from two points covers far less often than it
#   promises.

# %% [markdown]
# ## The same for training and test
#
# CLAHE changes what a grey means from place to place. What it does to a sound scan, for a network that has never seen
# such scans, stands in the figure. Is CLAHE to blame, or that training and test differ? Train a third network on scans
# after CLAHE, and give it test scans after CLAHE.

# %%
equalised = store.images.copy()  # (slices, size, size, 2)
for identity in (*split.train, *split.validation):
    seen = changed(read_scan(by_id[identity], PAIR), "as it is", "CLAHE")
    equalised[store.rows([identity])] = twins["trained as it is"].preprocess(seen)[0]
store_after_clahe = replace(store, images=equalised)
third = train("dice+cross-entropy", 0.5, "none", store_after_clahe, "after CLAHE")

# %%
names = ["neither", "CLAHE at the test alone", "CLAHE at both"]
rows = []
for identity in split.test:
    one = read_scan(by_id[identity], PAIR)
    clahe_scan = changed(one, "as it is", "CLAHE")
    first = twins["trained as it is"]
    drawn = (first.predict(one), first.predict(clahe_scan), third.predict(clahe_scan))
    rows.append([dice(one.seg > 0, labels > 0) for labels in drawn])
both_ways = dict(zip(names, np.transpose(rows), strict=True))  # (patients,) each
print(f"{len(rows)} patients, Dice of the whole tumour")
print("\n".join(f"{name:24s}{cell(values)}" for name, values in both_ways.items()))

# %%
pair, fair = ({one: both_ways[one] for one in some} for some in (names[:2], names[::2]))
alone = verdict(pair, "neither", score="WT Dice")
together = verdict(fair, "neither", score="WT Dice")
record("verdicts_clahe", {"test alone": alone.outcome, "both": together.outcome})
print(alone, together, sep="\n")

# %% [markdown]
# The first sentence is about a test scan that was treated as no training scan was. The second is the fair question,
# whether CLAHE helps a network that was trained with it. They need not agree.

# %% [markdown] tags=["question"]
# Suppose that CLAHE at the test alone costs a lot, and CLAHE at both costs nothing. What follows?
#
# - CLAHE is harmful to segmentation. :: No: the network that knows it does as well as without.
# - Whatever is done to a scan belongs to the model, and has to be done in the same way wherever the model is used.
#   :: Right. Preprocessing is a part of a model as much as its weights.
# - CLAHE should be used, as it makes tumours easier to see. :: No: it cost nothing, which is not a gain.

# %% [markdown]
# Augmentation is the other way: let the network meet the faults in training, and nobody has to mend a scan, at no
# hospital, on no day. Whether it was enough here, the two colours of the figure say; it was short, and its fields and
# noise were weaker than ours.
#
# ## Bands and letters
#
# Chest X-rays, or **radiographs**, carry something else. Here is a phantom of one from each of two hospitals, as we
# shall meet them in lesson 09, and what `helpers.prepare.radiograph_artifacts` leaves of them: bands are cut off,
# letters painted over.

# %%
from helpers.data.phantoms.radiograph import plan_radiograph
from helpers.data.phantoms.thorax import take_xray
from helpers.prepare import radiograph_artifacts


def expose(site, number):
    rng = np.random.default_rng([SEED, number])
    plan = plan_radiograph(rng, site, 192)
    return take_xray(rng, plan, tuberculosis=False, woman=bool(number % 2))


def cleaned(radiograph, lungs):
    """Letters painted over, bands cut off; the mask loses the same rows and columns."""
    box = radiograph_artifacts.without_bands(radiograph)
    return radiograph_artifacts.without_markers(radiograph)[box], lungs[box]


exposed = {}
for site in ("montgomery", "shenzhen"):
    exposed[site] = [expose(site, number) for number in range(6)]

# %%
figure = Figure(figsize=(8, 2.7))
axes = figure.subplots(1, 4)
for pair, (site, some) in zip((axes[:2], axes[2:]), exposed.items(), strict=True):
    panels = {site.capitalize(): some[0], "cleaned": cleaned(*some[0])}
    for ax, (title, (radiograph, lungs)) in zip(pair, panels.items(), strict=True):
        ax.imshow(radiograph, vmin=0, vmax=255)
        ax.contour(lungs, levels=[0.5], colors=["#56B4E9"], linewidths=1.2)
        ax.set_title(title)
        ax.set_axis_off()
figure.suptitle("Band and letters say which hospital it was, nothing of the lungs")
style.alt(figure, "A radiograph of each hospital, with and without band and letters.")

# %% [markdown]
# Does the band matter, if no lung is in it? Z-score each radiograph, and look where its lungs end up.


# %%
def lung_level(radiograph, lungs):
    return np.median(radiograph[lungs] - radiograph.mean()) / radiograph.std()


apart = {}
for way in ("as it is", "cleaned"):
    level = {}
    for site, some in exposed.items():
        pairs = some if way == "as it is" else [cleaned(*one) for one in some]
        level[site] = np.mean([lung_level(*pair) for pair in pairs])
    apart[way] = abs(level["montgomery"] - level["shenzhen"])
    record(f"hospitals_apart_{way.replace(' ', '_')}", round(apart[way], 3))
    levels = ", ".join(f"{site} {value:+.2f}" for site, value in level.items())
    print(f"{way:9s} {levels}, apart by {apart[way]:.2f}; {len(some)} each")
way = "closer together" if apart["cleaned"] < apart["as it is"] else "further apart"
print(f"without bands and letters the hospitals lie {way}")

# %% [markdown] tags=["paper: section 3.1 challenge 1"]
# The band is part of the mean that every other pixel is measured by, so it moves the lungs without touching them. Where
# the hospitals lie further apart without it, the band had hidden a part of another difference, the curve from tissue to
# grey, which is what lesson 10 is about. A cleaner picture is not yet a more comparable one.
#
# ## Rare and small
#
# The paper's first challenge is imbalance, and its answers are a loss that weighs rare classes more, and drawing them
# more often. How rare are they? And how rare in a batch that is drawn from tumour slices alone?

# %%
from helpers.prepare.sampling import SliceSampler


def pixels_in(focus):
    sampler = SliceSampler(store, split.train, BATCH, SEED, focus)
    rows = np.concatenate([sampler(step) for step in range(200)])
    return store.voxels_per_class[rows].sum(axis=0)


focuses = [0.0, 0.5, 1.0]
rows = [f"{focus:.0%} tumour slices" for focus in focuses]
tissues = ["background", *(style.CLASS_NAMES[label] for label in (1, 2, 3))]
balance = pd.DataFrame([pixels_in(focus) for focus in focuses], rows, tissues)
balance.div(balance.sum(axis=1), axis=0).map("{:.2%}".format)

# %% [markdown]
# **Over-sampling** a few times over makes the rare classes as many times less rare, and no sampling of slices can do
# more: a slice with tumour is still mostly background. The rest is for the loss.

# %% [markdown] tags=["question"]
# You draw every batch from slices with tumour alone. What does the network no longer learn?
#
# - How small tumours look. :: No: these slices hold small tumours as well, more of them than before.
# - That a slice may have no tumour at all. :: Right: it has never seen one, and pays with false positives in slices
#   that the test has in plenty.
# - Nothing: background is in every slice. :: No: the background of a slice with tumour is not that of the neck or the
#   crown.

# %% [markdown]
# **Weighted cross-entropy** multiplies each pixel's loss with a weight for its true class. Which weights? One over the
# class's share $s$ would let a tumour pixel count hundreds of times, and a network loses little by drawing tumour
# everywhere. A common middle way is $1/\sqrt{s}$, scaled so that the mean pixel of the training set weighs 1.

# %% [markdown]
# **Exercise 3** (core, 8 minutes). Write `my_class_weights(pixels)`: from the number of pixels of each class to
# their weights, by this rule. A right answer puts the background a little below 1 and the rarest class highest.


# %% tags=["stub"]
def my_class_weights(pixels):
    return ...


# %% tags=["solution"]
def my_class_weights(pixels):
    share = pixels / pixels.sum()
    weights = 1 / np.sqrt(share)
    return weights / (weights * share).sum()  # the mean over pixels, not over classes


# %% tags=["check"]
from helpers.learn.losses import class_weights

with exercise_check("Exercise 3"):
    toy = np.array([900.0, 64.0, 32.0, 4.0])
    given = np.asarray(filled(my_class_weights(toy)), float)
    require(given.shape == (4,), f"your weights have shape {given.shape} for 4 classes")
    said = f"the rarest class weighs {given[3]:.2f}, the commonest {given[0]:.2f}"
    require(given[3] > given[0], f"{said}; turn it round")
    ratio = given[3] / given[0]
    said = f"a class 225 times rarer weighs {ratio:.0f} times as much"
    require(not np.isclose(ratio, 225), f"{said}; with the root it is 15")
    require(np.isclose(ratio, 15), f"{said}; by the root it is 15")
    said = "the mean over the four classes is 1; it should be so over all pixels"
    require(not np.isclose(given.mean(), 1), said)
    require(
        not np.isclose(given.sum(), 1),
        "your weights sum to 1; the mean pixel should weigh 1",
    )
    mean = (given * toy).sum() / toy.sum()
    require(np.isclose(mean, 1), f"the mean pixel weighs {mean:.2f} instead of 1")

# %% [markdown] tags=["hint"]
# First the share of each class, then one over its root. What does a pixel weigh on average, if you draw it from all
# pixels?

# %% [markdown] tags=["hint"]
# The mean over pixels is `(weights * share).sum()`: a class counts as often as it has pixels. Divide by it.

# %% [markdown] tags=["teacher"]
# The scale is where a class goes wrong: weights that average 1 over classes make the loss many times smaller, since
# nearly every pixel is background, and the learning rate that was found for the plain loss is then wrong. The check
# names this, weights that sum to 1, and the missing root.

# %% [markdown]
# The course's default comes from the real patients it is tested on; here it is beside those of your own training set:

# %%
from helpers.learn.losses import CLASS_WEIGHTS

mine = class_weights(pixels_in(0.0))
pd.DataFrame([CLASS_WEIGHTS, mine], ["default", "these patients"], tissues).round(1)

# %% [markdown]
# The other answers leave off counting pixels. **Focal loss** multiplies cross-entropy by $(1-p)^2$, so that a pixel
# which is 90 % right counts a hundredth. **Dice** and the **Tversky loss** look at overlaps, of which a small structure
# has one just as a large one has; Tversky lets a false negative pixel cost more than a false positive one. And there is
# the sum of Dice and cross-entropy. All of them are in `helpers.learn.losses`, by name.

# %% [markdown]
# **Exercise 4** (stretch, 15 minutes). Write `my_focal(truth, probabilities)`, both (batch, rows, columns, classes),
# with `keras.ops`: $-\sum_c y_c (1-p_c)^2 \log p_c$ in each pixel, and its mean over the pixels of each slice. A right
# answer has shape (batch,), is 0 for a slice that is all right, and a hundredth of the cross-entropy where p is 0.9.
# Then put "focal" into LOSSES_TRIED at the top, and see what it does.


# %% tags=["stub"]
def my_focal(truth, probabilities):
    return ...


# %% tags=["solution"]
def my_focal(truth, probabilities):
    logs = keras.ops.log(keras.ops.clip(probabilities, 1e-30, 1.0))
    each = -truth * (1 - probabilities) ** 2 * logs
    return keras.ops.mean(keras.ops.sum(each, axis=-1), axis=(1, 2))


# %% tags=["check", "long"]
from helpers.learn.losses import Focal

with exercise_check("Exercise 4"):
    rng = np.random.default_rng(0)
    toy_p = rng.dirichlet(np.ones(4), (3, 5, 6)).astype("float32")  # (3, 5, 6, 4)
    toy_y = np.eye(4, dtype="float32")[rng.integers(4, size=(3, 5, 6))]
    mine = np.asarray(filled(my_focal(toy_y, toy_p)), float)
    said = f"your loss has shape {mine.shape} for 3 slices; expected (3,), one each"
    require(mine.shape == (3,), said)
    true = np.asarray(Focal().call(toy_y, toy_p))
    logs = -np.log(toy_p)
    said = "you sum over all classes; only the true one counts, multiply by the truth"
    require(not np.allclose(mine, ((1 - toy_p) ** 2 * logs).sum(-1).mean((1, 2))), said)
    said = "this is the plain cross-entropy; the factor (1 - p)^2 is missing"
    require(not np.allclose(mine, (toy_y * logs).sum(-1).mean((1, 2))), said)
    said = "the factor is p^2, which makes the easy pixels count most; it is (1 - p)^2"
    require(not np.allclose(mine, (toy_y * toy_p**2 * logs).sum(-1).mean((1, 2))), said)
    said = "you take the mean over classes as well; over classes it is a sum"
    require(not np.allclose(mine, true / 4, rtol=1e-3), said)
    said = "the pixels are summed; take their mean, or a larger slice counts more"
    require(not np.allclose(mine, true * 30, rtol=1e-3), said)
    require(not np.allclose(mine, -true, rtol=1e-3), "the sign is turned round")
    said = f"three slices have {np.round(mine, 3)}; expected {np.round(true, 3)}"
    require(np.allclose(mine, true, rtol=1e-3), said)
    right = np.asarray(my_focal(toy_y, toy_y), float)
    require(np.allclose(right, 0), f"a slice all right has {right[0]}; expected 0")

# %% [markdown] tags=["hint"]
# Multiply three arrays of one shape: the truth, `(1 - probabilities) ** 2` and the logarithm. Then sum over classes,
# and take the mean over rows and columns.

# %% [markdown] tags=["hint"]
# The logarithm of 0 is infinite, and 0 times infinity is no number: clip the probabilities at 1e-30 before you take it.
# `keras.ops.mean(..., axis=(1, 2))` leaves the batch.

# %% [markdown] tags=["teacher"]
# Three usual answers: a single number, which two devices would double without a word (lesson 07); the sum over all
# classes, without the truth; and `nan` for a perfect slice, from 0 times the logarithm of 0. The check tells each.

# %% [markdown]
# One thing at a time: the losses with half of each batch from tumour slices, then the sampling with plain
# cross-entropy. Same start, same number of steps. Guess the winner for the smallest class.

# %%
plan = [(loss, 0.5) for loss in LOSSES_TRIED]
plan += [("cross-entropy", focus) for focus in FOCUS_TRIED]
segmenters = {("dice+cross-entropy", 0.5): twins["trained as it is"]}  # it exists
for loss, focus in plan:
    if (loss, focus) not in segmenters:
        segmenters[loss, focus] = train(loss, focus)

# %%
names = {f"{one[0]}, {one[1]:.0%} tumour slices": segmenters[one] for one in plan}
rows = []
for identity in split.test:
    one = read_scan(by_id[identity], PAIR)
    for name, segmenter in {**names, "all background": None}.items():
        drawn = segmenter.predict(one) if segmenter else np.zeros_like(one.seg)
        by_class = {tissues[c]: dice(one.seg == c, drawn == c) for c in (1, 2, 3)}
        volume = (drawn > 0).sum() / (one.seg > 0).sum()
        rows.append({"": name, **by_class, "drawn / true": volume})
compared = pd.DataFrame(rows).groupby("", sort=False)
print(f"{len(split.test)} patients")
compared.agg(cell)

# %% [markdown]
# The last row is the model that draws nothing. Where a patient lacks a class, it is right and has its point; so a Dice
# that equals the last row's is no find. Did any recipe help, against the first row? One verdict a class, patient by
# patient.

# %%
means = compared.mean()
background = means.loc["all background"]
found = means.drop("all background") - background  # what it adds to drawing nothing
plain, said = next(iter(names)), {}
for label in (1, 2, 3):
    tissue = style.CLASS_NAMES[label]
    sets = {name: part[tissue].to_numpy() for name, part in compared}
    score = f"{tissue} Dice"
    said[tissue] = verdict(sets, plain, trivial="all background", score=score)
    print(said[tissue], end="\n\n")
outcomes = {tissue: one.outcome for tissue, one in said.items()}
_ = record("verdicts_imbalance", outcomes)

# %% [markdown]
# Read the last column of the table too: how much tumour is drawn, against how much there is. The Dice of a class hides
# which of the two mistakes it was.

# %%
drawn = means["drawn / true"].drop("all background")
for word, which in {"least": drawn.idxmin(), "most": drawn.idxmax()}.items():
    print(f"{word} drawn: {drawn[which]:.0%} of the true volume, by {which}")
over = [name for name, ratio in drawn.items() if ratio > 1]
print("more than there is:", ", ".join(over) or "nobody")

# %%
record("imbalance", means.round(3).T.to_dict())
record("dice_oedema_best", round(means["oedema"].max(), 4))
figure = Figure(figsize=(8, 4))
ax = figure.subplots()
for label, aside in zip((1, 2, 3), (-0.26, 0, 0.26), strict=True):
    name, colour = style.CLASS_NAMES[label], style.CLASS_COLOURS[label]
    places = np.arange(len(found)) + aside
    ax.barh(places, found[name], 0.24, color=colour, edgecolor="#555555", label=name)
ax.axvline(0, color="#555555", linewidth=1)
ax.set_yticks(range(len(found)), found.index)
ax.invert_yaxis()
ax.set(xlim=(min(-0.1, found.min().min()), 1))
ax.set_xlabel(f"Dice above all background, mean over {len(split.test)} patients")
ax.grid(axis="y", visible=False)
figure.legend(loc="outside lower center", ncols=3)
figure.suptitle(f"The smallest class, enhancing tumour. {said['enhancing'].title}")
told = "What each loss and sampling adds to all background in mean Dice, by class."
style.alt(figure, told)

# %% [markdown]
# What may we conclude? What the three verdicts say, and no more. A bar that ends at the line has found nothing of its
# class, whatever its Dice. Which recipe is best they do not say: so short a training shows who starts early, and the
# next seed or a few patients more may turn neighbours in this table round. And it would be wrong to choose our recipe
# from this table: its patients are the test patients. Choices are made on validation patients, as lesson 07 does.

# %% [markdown] tags=["question"]
# A recipe has a Dice of 0.30 for enhancing tumour, and so has the model that draws nothing. What did the recipe find?
#
# - Nothing: the 0.30 are the patients who have no enhancing tumour, where drawing nothing is right. :: Right, as far as
#   the mean tells: look at the patients who have some.
# - About a third of the rim. :: No: a Dice of 0 in seven patients and of 1 in three gives 0.30 as well.
# - It cannot be said without an interval. :: No: an interval says how sure the mean is; here the mean itself means
#   something else.

# %%
from helpers.lessons.closing import closing_table

rows = []
for fault, cures in meant_for.items():
    for cure in cures:
        plainly = wide.loc["trained as it is"][fault]
        sets = {one: plainly[one] for one in ("nothing", cure)}
        one = verdict(sets, "nothing", score="WT Dice")
        change = one.comparisons[cure].difference
        side = gain.loc["trained as it is", ("as it is", cure)].mean()
        cost_of = f"WT {side:+.2f} on a sound scan"
        rows.append((f"{fault}: {cure}", f"WT {change:+.2f}", cost_of, one.title))
for name, one in {"test alone": alone, "training and test": together}.items():
    change = one.comparisons[one.name].difference
    rows.append((f"CLAHE, {name}", f"WT {change:+.2f}", "for every scan", one.title))
for tissue, one in said.items():
    change = max(pair.difference for pair in one.comparisons.values())
    what = f"losses and sampling, for {tissue}"
    rows.append((what, f"{tissue} {change:+.2f}", f"{len(names)} trainings", one.title))
closing_table(rows)

# %% [markdown]
# ## The question again
#
# What is it worth to mend the one and weigh the other? In the numbers of this run:

# %%
came_back = shares.loc["noise: non-local means", "trained as it is"]
words = f"the filter brought {came_back:.0%} of it back"
if came_back < 0:
    words = f"the filter cost another {-came_back:.0%} of that"
words = "next to nothing" if np.isnan(came_back) else words
lost = f"Noise changed the WT Dice by {plain_cost['noise']:+.2f} in {MENDED} patients"
print(f"{lost}: {words}.")
print(f"The rim. {said['enhancing']}")

# %% [markdown]
# That is the answer for this network and these patients, and the table has the rest of it: numbers with a sign, and
# rows in which it cannot tell. What mends a scan is a claim, until it is measured, on scans with the fault and on scans
# without; and what is done to the scans of the test belongs to the model.
#
# Left out: resampling to one spacing, and normalisation across hospitals beyond matching histograms (Nyul and Udupa
# 1999). Next we build the second network of the paper, which only has to say whether there is a tumour at all.
