"""The lessons whose words depend on a result say the truth when the result is planted, and when it is the other way."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from helpers.lessons.guess import compare_guess
from helpers.lessons.record import record
from helpers.lessons.verdict import order_verdict, trend, verdict, volume_verdict
from helpers.measure import regions
from helpers.measure.classification import auc
from helpers.show import style

SOURCES = Path(__file__).parents[2] / "notebooks/src"
REGIONS = ("WT", "TC", "ET")
RNG = np.random.default_rng(0)
PLAIN = RNG.uniform(0.4, 0.7, 12)
NOISE = RNG.normal(0, 0.01, 12)
IMBALANCE = 'trivial="all background"'


def say(capsys, lesson, marker, **planted):
    """What the one code cell with this marker prints and draws, run on planted results."""
    text = next(SOURCES.glob(f"{lesson}_*.py")).read_text(encoding="utf-8")
    [cell] = [cell for cell in text.split("# %%") if marker in cell and not cell.startswith(" [markdown]")]
    titles = []
    draw = lambda *_, title=None, **__: titles.append(title)  # noqa: E731
    tools = {"np": np, "record": record, "verdict": verdict, "trend": trend, "order_verdict": order_verdict}
    tools |= {"volume_verdict": volume_verdict, "outlined": SimpleNamespace(volumes=draw)}
    tools |= {"pd": pd, "compare_guess": compare_guess, "style": style, "regions": regions, "auc": auc}
    tools |= {"scores": SimpleNamespace(curves=draw, regions=draw), "certainty": SimpleNamespace()}
    tools["certainty"].confidence_and_error = draw
    exec(cell.partition("\n")[2], tools | planted)
    return capsys.readouterr().out + "\n".join(titles)


def scored(**regions_of):
    """The result of `evaluate` with these Dice of the network and of all background, (patients,) each."""
    count = len(next(iter(regions_of.values()))[0])
    return {
        "patients": [
            {
                key: {region: {"dice": regions_of[region][arm][i]} for region in REGIONS}
                for arm, key in enumerate(("regions", "trivial"))
            }
            for i in range(count)
        ]
    }


@pytest.mark.parametrize("curve", [[0.797, 0.681, 0.637, 0.759], [0.1, 0.5, 0.8], [0.8, 0.5, 0.1]])
def test_lesson_00_says_of_its_first_curve_what_it_does(capsys, curve):
    empty = [0.0] * len(curve)
    history = pd.DataFrame({"epoch": empty, "loss": np.flip(curve), "seconds": 30.0, "val_dice_wt": curve})
    history[["val_dice_tc", "val_dice_et"]] = 0.0
    said = say(capsys, "00", "trend(history", history=history)
    assert f"WT's overlap {trend(curve)}" in said
    assert f"The loss {trend(np.flip(curve))}" in said


def test_lesson_00_says_where_the_network_has_learnt_nothing(capsys):
    none, found = np.array([1.0, 0, 0, 0]), np.array([1.0, 0.5, 0.4, 0.6])
    said = say(capsys, "00", "verdict(sets", result=scored(WT=(found, none), TC=(found, none), ET=(none, none)))
    assert "Nobody beats all background: to its ET Dice" in said
    assert "WT Dice is better in 3 and worse in 0" in said
    turned = say(capsys, "00", "verdict(sets", result=scored(WT=(none, none), TC=(found, none), ET=(found, none)))
    assert "Nobody beats all background: to its WT Dice" in turned
    assert "ET Dice is better in 3 and worse in 0" in turned


@pytest.mark.parametrize(("gain", "words"), [(0.1, "The network helped"), (-0.1, "The network hurt")])
def test_lesson_00_says_whether_the_network_beats_brightness(capsys, gain, words):
    result = scored(WT=(PLAIN + gain, 0 * PLAIN), TC=(PLAIN, 0 * PLAIN), ET=(PLAIN, 0 * PLAIN))
    said = say(capsys, "00", "verdict(rivals", result=result, by_brightness=list(PLAIN + NOISE))
    assert words in said or f"the best of 2, the network, {words.split()[-1]}" in said.lower()


@pytest.mark.parametrize("lacking", [True, False])
def test_lesson_01_says_which_side_lacks_a_grade(capsys, lacking):
    grades = ["HGG", "LGG"] * 3 if not lacking else ["HGG", "LGG", "HGG", "HGG", "HGG", "LGG"]
    ids = [f"p{n}" for n in range(6)]
    split = SimpleNamespace(train=ids[:2], validation=ids[2:4], test=ids[4:])
    patients = [SimpleNamespace(id=name, grade=grade) for name, grade in zip(ids, grades, strict=True)]
    tools = {"make_split": lambda *_: split, "patients": patients, "SEED": 0, "pd": pd}
    text = next(SOURCES.glob("01_*.py")).read_text(encoding="utf-8")
    cell = next(cell for cell in text.split("# %%") if 'print("in this split:"' in cell)
    exec(cell.partition("\n")[2].replace("import load_split, make_split, save_split", "import load_split"), tools)
    said = capsys.readouterr().out
    assert ("no LGG in validation" in said) == lacking
    assert ("both grades on every side" in said) != lacking


@pytest.mark.parametrize(("told", "words"), [(0.9, "FLAIR, brighter in 90%"), (0.2, "FLAIR, darker in 80%")])
def test_lesson_02_says_which_modality_tells_a_tissue_and_how(capsys, told, words):
    rows = [("the rest of the tumour", "enhancing"), ("other brain", "core")]
    names = ["FLAIR", "T1", "T1ce", "T2"]
    table = pd.DataFrame(
        [[told, 0.5, 0.5, 0.6], [0.5, 0.5, 0.3, 0.5]], columns=names, index=pd.MultiIndex.from_tuples(rows)
    )
    said = say(capsys, "02", "modalities are the best somewhere", table=table, my_guess_rim="flair")
    assert f"enhancing against the rest of the tumour: {words}" in said
    assert "The modality that tells the rim best is FLAIR, as you guessed." in said
    assert "core against other brain: T1ce, darker in 70%" in said
    assert "2 modalities are the best somewhere, of 4" in said


@pytest.mark.parametrize(("moved", "overlap"), [(0.5, 0.97), (4.0, 0.97), (0.5, 0.90)])
def test_lesson_03_says_whether_soft_labels_come_back_better(capsys, moved, overlap):
    planted = {"dice": lambda *_: overlap, "moved_mm": lambda _: moved, "nearest_mm": 3.0, "nearest_dice": 0.94}
    said = say(capsys, "03", "On this slice soft labels", labels=PLAIN, from_soft=PLAIN, **planted)
    assert ("move the tumour less," in said) == (moved < 3)
    assert ("come closer to the mask" in said) == (overlap > 0.94)
    assert ("not closer to the mask" in said) == (overlap <= 0.94)


@pytest.mark.parametrize(("gain", "words"), [(0.3, "Skips helped"), (-0.3, "Skips hurt"), (0.0, "cannot tell skips")])
def test_lesson_04_says_what_skips_are_worth_and_answers_by_it(capsys, gain, words):
    arms = {"all background": np.zeros(12), "no skips": PLAIN, "skips": PLAIN + gain + NOISE - NOISE.mean()}
    scored = {name: pd.DataFrame(dict.fromkeys(REGIONS, values)) for name, values in arms.items()}
    said = say(capsys, "04", 'arms, "no skips", "all background"', scored=scored, REGIONS=REGIONS, my_guess=0.5)
    assert said.count(words) == 3
    answer = say(capsys, "04", "print(drawn)", worth={"WT": verdict(arms, "no skips", "all background", "WT Dice")})
    assert ("It draws along edges" in answer) == (gain > 0)
    assert ("does not show that it needs its skips" in answer) == (gain <= 0)


@pytest.mark.parametrize(("gain", "words"), [(0.3, "helped"), (-0.3, "hurt"), (0.0, "cannot tell")])
def test_lesson_04_says_whether_sharper_skips_help(capsys, gain, words):
    arms = {"all background": np.zeros(12), "no skips": PLAIN, "skips": PLAIN}
    arms["sharpened skips"] = PLAIN + gain + NOISE - NOISE.mean()
    scored = {name: pd.DataFrame(dict.fromkeys(REGIONS, values)) for name, values in arms.items()}
    assert say(capsys, "04", "sharper, compared", scored=scored, REGIONS=REGIONS).count(words) == 3


@pytest.mark.parametrize(("lasting", "words"), [(0.5, "leaves some noise"), (0.1, "takes more than was planted")])
def test_lesson_05_says_what_the_filter_took(lasting, words):
    """The noise of three volumes: as it came, 0.3, with more planted, and filtered."""
    text = next(SOURCES.glob("05_*.py")).read_text(encoding="utf-8")
    [line] = [line for line in text.splitlines() if line.startswith("lasting = ")]
    [outcome] = [line for line in text.splitlines() if line.startswith("outcome = ")]
    scope = {"levels": {"as it is": 0.3, "noisy": 0.9, "filtered": lasting}}
    exec(f"{line}\n{outcome}", scope)
    assert scope["outcome"] == words


@pytest.mark.parametrize(("alone", "together"), [(-0.2, 0.0), (0.1, 0.1), (0.0, -0.1)])
def test_lesson_05_tells_a_remedy_that_hurts_from_one_that_training_does_not_know(capsys, alone, together):
    gains = {"neither": 0.0, "CLAHE at the test alone": alone, "CLAHE at both": together}
    both_ways = {name: PLAIN + gain + (NOISE - NOISE.mean()) * (name != "neither") for name, gain in gains.items()}
    first, second = say(capsys, "05", "alone = verdict(", both_ways=both_ways, names=list(gains)).splitlines()
    for sentence, gain in ((first, alone), (second, together)):
        assert ("helped" in sentence, "hurt" in sentence) == (gain > 0, gain < 0)


@pytest.mark.parametrize("cost", [{"noise": -0.1, "uneven field": -0.3}, {"noise": -0.3, "uneven field": 0.1}])
def test_lesson_05_names_the_fault_that_costs_most(capsys, cost):
    twins = ("trained as it is", "trained with augmentation")
    changes = {("as it is", "nothing"): 0.0, ("as it is", "median"): -0.01}
    changes |= {(fault, "nothing"): change for fault, change in cost.items()}
    rows = [
        (*pair, twin, f"p{n}", 0.7 + change) for twin in twins for n in range(4) for pair, change in changes.items()
    ]
    tried = pd.DataFrame(rows, columns=["fault", "remedy", "twin", "patient", "dice"])
    said = say(capsys, "05", "costliest = min", tried=tried, twins=twins, meant_for=cost, my_guess="noise")
    assert f"The fault that costs most is {min(cost, key=cost.get)}" in said
    assert said.count("costliest remedy on a sound scan: median -0.01") == 2


@pytest.mark.parametrize(
    ("gain", "words"),
    [(0.1, "dice, half helped: "), (-0.1, "dice, half hurt: "), (0.0, "cannot tell dice, half from ce, half")],
)
def test_lesson_05_says_what_a_loss_did_against_imbalance(capsys, gain, words):
    tissues = [style.CLASS_NAMES[label] for label in (1, 2, 3)]
    arms = {"ce, half": PLAIN, "dice, half": PLAIN + gain + NOISE - NOISE.mean(), "all background": np.zeros(12)}
    rows = [{"": arm, **dict.fromkeys(tissues, value)} for arm, values in arms.items() for value in values]
    compared = pd.DataFrame(rows).groupby("", sort=False)
    said = say(capsys, "05", IMBALANCE, compared=compared, names=dict.fromkeys(list(arms)[:2]))
    assert said.lower().count(words) == 3


def test_lesson_05_says_that_no_loss_finds_the_smallest_class(capsys):
    tissues = [style.CLASS_NAMES[label] for label in (1, 2, 3)]
    without = (np.arange(12) < 4).astype(float)
    rows = [{"": arm, **dict.fromkeys(tissues, v)} for arm in ("ce", "dice", "all background") for v in without]
    compared = pd.DataFrame(rows).groupby("", sort=False)
    said = say(capsys, "05", IMBALANCE, compared=compared, names={"ce": 0, "dice": 0})
    assert said.count("Nobody beats all background") == 3


@pytest.mark.parametrize(("theirs", "words"), [(0.3, "helped"), (-0.3, "hurt")])
def test_lesson_06_says_whether_the_helps_helped(capsys, theirs, words):
    """Slices of 12 patients; the last network's tumour slices stand out more than the paper's, or less."""
    truth = np.arange(40) < 20
    gains = {"the paper's way": 0.6, "warm-up and weights": 0.6, "stem and patches": 0.6 + theirs}
    noise = np.random.default_rng(1).normal(size=(12, 40))
    by_patient = lambda name: [(truth, gains[name] * 2 * truth + row) for row in noise]  # noqa: E731
    said = say(capsys, "06", "helped = verdict(", predictors=gains, by_patient=by_patient)
    assert f"Stem and patches {words}: AUC " in said


@pytest.mark.parametrize(
    ("outcome", "words"),
    [("helped", "It helped here"), ("hurt", "It is worse here"), ("cannot be told", "It has not shown here")],
)
def test_lesson_06_says_with_what_gate_it_goes_on(capsys, outcome, words):
    each = {"the paper's way": [0.6, 0.7], "stem and patches": [0.8, 0.9]}
    planted = {"each": each, "predictors": each, "helped": SimpleNamespace(outcome=outcome), "my_guess": "neither"}
    said = say(capsys, "06", "best = max(predictors", **planted)
    assert words in said
    assert "highest mean AUC is stem and patches; you guessed neither" in said


@pytest.mark.parametrize(("tested", "word"), [([0.9, 0.8, 0.7], "kept"), ([0.9, 0.2, 0.1], "broken")])
def test_lesson_06_says_whether_its_promise_was_kept(capsys, tested, word):
    """Three slices with tumour and three without; the threshold comes from patients whose tumours have 0.6."""
    truth, chosen = np.arange(12) % 2 == 0, np.arange(12)
    real, probabilities = np.arange(6) < 3, np.array([*tested, 0.1, 0.0, 0.05])
    last = "stem and patches"
    planted = {
        "truth": truth,
        "chosen": chosen,
        "last": last,
        "predictors": {last: lambda rows: np.where(truth[rows], 0.6, 0.1)},
        "by_patient": lambda _: [(real, probabilities)],
        "interval": lambda *_, **__: (0.0, 1.0),
        "split": SimpleNamespace(validation=("p1", "p2")),
    }
    said = say(capsys, "06", "promised = 0.98", **planted)
    assert f"the promise is {word}" in said


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("helped", "By rollout: more on the tumour than that of shuffled weights"),
        ("hurt", "By rollout: less on the tumour than that of shuffled weights"),
        ("cannot be told", "By rollout: not to be told from that of shuffled weights"),
    ],
)
def test_lesson_06_answers_its_question_by_what_the_maps_were_worth(capsys, outcome, words):
    gain = {"helped": 0.3, "hurt": -0.3, "cannot be told": 0.0}[outcome]
    lifts = {"weights shuffled": {"rollout": PLAIN}, "the gate": {"rollout": PLAIN + gain + NOISE - NOISE.mean()}}
    text = next(SOURCES.glob("06_*.py")).read_text(encoding="utf-8")
    [cell] = [cell for cell in text.split("# %%") if "looked = {}" in cell]
    rows = np.arange(12)
    scope = {"explain": ["rollout"], "lifts": lifts, "owner": rows, "pd": pd, "verdict": verdict, "record": record}
    exec(cell[cell.index("words = {") :], scope)
    capsys.readouterr()
    planted = {"looked": scope["looked"], "words": scope["words"], "here": {"rollout": 1.3}}
    said = say(capsys, "06", "words[one.outcome]}; on the surest", **planted)
    assert words in said
    assert "on the surest slice 1.3 times an even map" in said


@pytest.mark.parametrize(
    ("advised", "ratios", "words"),
    [
        ("float32", [0.8, 1.7], "the network says otherwise"),
        ("float32", [0.8, 0.9], "the network agrees"),
        ("mixed_bfloat16", [0.8, 1.7], "the network agrees"),
        ("mixed_bfloat16", [1.1, 0.9], "the network says otherwise"),
    ],
)
def test_lesson_07_says_whether_the_trial_of_the_chip_was_right(capsys, advised, ratios, words):
    planted = {"BATCHES": (2, 16), "ratios": np.array(ratios), "half": "mixed_bfloat16", "advised": advised}
    said = say(capsys, "07", "fits = (advised", **planted)
    assert f"batch  16: mixed_bfloat16 is {ratios[1]:.2f} times as fast" in said
    assert words in said


@pytest.mark.parametrize(
    ("losses", "words"),
    [([2.0, 1.0, 3.0], "then the loss climbs"), ([2.0, 1.0, np.nan], "then"), ([2.0, 1.5, 1.0], "has not climbed yet")],
)
def test_lesson_07_says_whether_its_range_test_went_far_enough(losses, words):
    text = next(SOURCES.glob("07_*.py")).read_text(encoding="utf-8")
    [cell] = [cell for cell in text.split("# %%") if "climbs = not" in cell]
    planted = {"descend": lambda *_: losses, "batches": [], "RATE_STEPS": 1.5, "paths": {0.1: 0, 0.001: 0}}
    scope = {"np": SimpleNamespace(geomspace=lambda *_: np.array([0.01, 0.1, 1.0]), nanargmin=np.nanargmin)}
    scope |= {"Figure": Figure, "style": style, **planted}
    exec(cell.partition("\n")[2], scope)
    assert words in scope["figure"].get_suptitle()


@pytest.mark.parametrize(("accuracy", "words"), [([0.9, 0.8], "keep 2 different models"), ([0.8, 0.9], "agree")])
def test_lesson_07_says_whether_the_rules_keep_the_same_model(capsys, accuracy, words):
    dice = [0.1, 0.2]
    history = pd.DataFrame({"epoch": [1, 2], "val_dice": dice, "val_dice_wt": dice, "val_accuracy": accuracy})
    assert words in say(capsys, "07", "rules = {", history=history)


@pytest.mark.parametrize("found", [True, False])
def test_lesson_08_says_whether_its_model_finds_enhancing_tumour(capsys, found):
    none = (np.arange(12) < 4).astype(float)
    network = np.maximum(none, PLAIN) if found else none
    result = scored(WT=(PLAIN, 0 * PLAIN), TC=(PLAIN, 0 * PLAIN), ET=(network, none))
    said = say(capsys, "08", "verdict(", result=result | {"trivial": {}})
    title = "ET: Our model helped (12 patients)" if found else "ET: Nobody beats all background (12 patients)"
    assert said.endswith(title)
    assert ("Nobody beats all background: to its ET Dice" in said) != found


@pytest.mark.parametrize(("sign", "words"), [(1, "Its own network helped"), (-1, "Its own network hurt")])
def test_lesson_09_says_whether_the_own_network_is_ahead(capsys, sign, words):
    sites = ("montgomery", "shenzhen")
    at = lambda site, learnt: PLAIN + 0.05 * sign * (site == learnt) + 0.1 * NOISE * (site == learnt)  # noqa: E731
    said = say(capsys, "09", "verdict(pair", at=at, sites=sites, directions=(sites, sites[::-1]))
    for site, other in (sites, sites[::-1]):
        assert f"At {site.title()}. {words}: Dice {0.05 * sign:+.3f} against the network of {other.title()}" in said


@pytest.mark.parametrize(("gain", "words"), [(0.05, "Histogram helped"), (-0.05, "Histogram hurt")])
def test_lesson_10_says_what_an_experiment_did_at_the_target(capsys, gain, words):
    names = {"source": PLAIN, "histogram": PLAIN + gain + 0.1 * NOISE}
    rows = [
        {"experiment": name, "seed": 0, "site": site, "radiograph": n, "dice": value}
        for name, values in names.items()
        for site, sign in (("shenzhen", 1), ("montgomery", -1))
        for n, value in enumerate(PLAIN + sign * (values - PLAIN))
    ]
    table = pd.DataFrame(columns=["Dice, target", "gap closed"])
    planted = {"runs": "", "DIRECTION": "", "TO": "shenzhen", "results": lambda *_: [], "as_frame": lambda _: table}
    said = say(capsys, "10", "def judged(", radiograph_scores=lambda *_: pd.DataFrame(rows), **planted)
    assert f"{words}: Dice" in said
    assert "12 radiographs" in said


@pytest.mark.parametrize(("ahead", "words"), [(0.01, "one odd outline could turn it"), (0.3, "could not")])
def test_lesson_10_says_whether_one_outline_decides_the_checkpoint(capsys, ahead, words):
    saved = pd.DataFrame({"selection_score": [0.5, 0.5 - ahead]})
    said = say(capsys, "10", "hangs =", saved=saved, chest=[SimpleNamespace(site="there")] * 10, TO="there")
    assert "one odd outline of 10 moves the score by 0.100" in said
    assert words in said


@pytest.mark.parametrize(("fault", "words"), [(-0.2, "the fault cost Dice"), (0.2, "here the fault cost nothing")])
def test_lesson_10_says_what_the_planted_fault_did(capsys, fault, words):
    row = {"experiment": "adda", "target": {"mean": 0.8}}
    planted = {"rows": [row, row], "floor": 0.7, "costs": {}, "judged": lambda *_: "told", "planted": object()}
    tables = []
    say(capsys, "10", "gained = ", lost=fault, won=0.1, closing_table=tables.append, **planted)
    assert tables[0][-1][-1] == words
    assert tables[0][0] == ("adda", "Dice +0.100", "see the ladder", "told")


@pytest.mark.parametrize(("gain", "words"), [(0.05, "helped"), (-0.05, "hurt"), (0, "have the same")])
def test_lesson_11_says_what_the_gate_did(capsys, gain, words):
    cases = [
        {
            "without gate": {"dice": {"WT": dice}, "false_positive_components": 3},
            "with gate": {"dice": {"WT": dice + gain}, "false_positive_components": 3 - round(20 * gain)},
        }
        for dice in PLAIN
    ]
    overlap, components = say(capsys, "11", 'verdict(overlap, "no gate"', cases=cases).splitlines()
    assert words in overlap
    assert words in components
    assert "WT Dice" in overlap
    assert "number of false positives" in components


@pytest.mark.parametrize(("sign", "words"), [(1, "Agreement knows something"), (-1, "Agreement misleads")])
def test_lesson_11_says_whether_confidence_knows_anything(capsys, sign, words):
    cases = [{"agreement": {"WT": sign * dice}, "with gate": {"dice": {"WT": dice}}} for dice in PLAIN]
    assert words in say(capsys, "11", "order_verdict(", cases=cases)
    shuffled = RNG.permutation([case["agreement"]["WT"] for case in cases])
    cases = [{**case, "agreement": {"WT": float(one)}} for case, one in zip(cases, shuffled, strict=True)]
    assert "cannot tell what agreement knows" in say(capsys, "11", "order_verdict(", cases=cases)


@pytest.mark.parametrize(("region", "share"), [("ET", 0.2), ("WT", 0.4)])
def test_lesson_11_has_the_region_of_which_least_is_outlined_in_its_title(capsys, region, share):
    outlined = {one: (share if one == region else 1.0) for one in REGIONS}
    cases = [
        {
            "true_ml": dict.fromkeys(REGIONS, 50 * dice),
            "volumes_ml": {one: {"ml": 50 * dice * outlined[one]} for one in REGIONS},
        }
        for dice in PLAIN
    ]
    whole = 50 * PLAIN.sum()
    said = say(capsys, "11", "volume_verdict(", cases=cases)
    assert said.endswith(f"{region}: {share * whole:.1f} of {whole:.1f} ml are outlined")


def at_a_new_hospital(count, over_nothing, over_before, forgets, rehearsed):
    """What lesson 12 measured: as many patients at the new hospital, and at the old ones, by planted differences."""
    ids, scores = [f"p{n}" for n in range(count)], PLAIN[:count]
    by_id = lambda gain: dict(zip(ids, scores + gain + 0.1 * NOISE[:count], strict=True))  # noqa: E731
    row = lambda start, k, new, old: {"start": start, "k": k, "new": by_id(new), "old": old}  # noqa: E731
    rows = [row("model", k, over_nothing, by_id(-forgets)) for k in (1, 4)]
    rows += [row("nothing", k, 0, None) for k in (1, 4)] + [row("rehearsal", 1, over_nothing, by_id(rehearsed))]
    before = dict(zip(ids, scores + over_nothing - over_before, strict=True))
    return {
        "rows": rows,
        "COUNTS": [1, 4],
        "few": 1,
        "most": 4,
        "before": before,
        "old_before": dict(zip(ids, scores, strict=True)),
        "old_ids": ids,
        "new": {(one["start"], one["k"]): list(one["new"].values()) for one in rows},
    }


@pytest.mark.parametrize(("sign", "words"), [(1, "helped"), (-1, "hurt")])
def test_lesson_12_says_what_given_weights_were_worth(capsys, sign, words):
    planted = at_a_new_hospital(12, 0.1 * sign, 0.05 * sign, 0, 0)
    told = [line for line in say(capsys, "12", "a start from nothing", **planted).splitlines() if ": " in line]
    assert len(told) == 3
    assert all(f"Fine-tuning {words}: WT Dice" in line for line in told)
    assert ["against a start from nothing" in line for line in told] == [True, True, False]


@pytest.mark.parametrize("sign", [1, -1])
def test_lesson_12_says_what_was_forgotten_and_what_rehearsal_did(capsys, sign):
    planted = at_a_new_hospital(12, 0.1, 0.1, 0.1 * sign, 0.1 * sign)
    told = [line for line in say(capsys, "12", "fine-tuning without it", **planted).splitlines() if "At " in line]
    assert f"At the old hospitals. Fine-tuning {'hurt' if sign > 0 else 'helped'}: " in told[0]
    assert f"At the old hospitals. Rehearsal {'helped' if sign > 0 else 'hurt'}: " in told[1]
    assert "the same WT Dice" in told[2]


def test_lesson_12_decides_nothing_below_eight_patients(capsys):
    planted = at_a_new_hospital(6, 0.3, 0.2, 0.2, 0.2)
    for marker in ("a start from nothing", "fine-tuning without it"):
        said = say(capsys, "12", marker, **planted)
        assert "6 patients are too few to tell" in said
        assert not {"helped", "hurt"} & {*said.replace(":", " ").split()}
