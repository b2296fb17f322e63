"""What the JSON files of a training hold, as JSON Schema; `helpers.learn.run_folder` reads them.

Each part that a mistake can reach has a `description`: what is expected there, for the message. Entries that older
versions did not write may be missing, those that inference needs may not; further ones are left alone.
"""

from collections.abc import Mapping
from typing import Any

from helpers.data.brats import MODALITIES
from helpers.data.chest import SITES
from helpers.runtime.options import DECISIONS, NETWORKS, NORMALISATIONS
from helpers.runtime.settings import MAX_FILTERS, MAX_SEED, MAX_SIZE

TASKS = ("brain", "gate", "lungs")
"""The tasks that a network is trained for."""


def _object(properties: Mapping[str, Any], *required: str, description: str = "an object") -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "description": description,
    }


_NUMBER = {"type": "number", "description": "a number"}
_STRING = {"type": "string", "description": "a string"}
_STRINGS = {"type": "array", "items": _STRING, "description": "a list of strings"}
_SIZE = {
    "type": "integer",
    "minimum": 8,
    "maximum": MAX_SIZE,
    "description": f"a whole number of pixels from 8 to {MAX_SIZE}",
}
_FILTERS = {
    "type": "integer",
    "minimum": 1,
    "maximum": MAX_FILTERS,
    "description": f"a whole number from 1 to {MAX_FILTERS}",
}
_COMMON = {
    "size": _SIZE,
    "seed": {"type": "integer", "minimum": 0, "maximum": MAX_SEED, "description": "a whole number of at least 0"},
    "split": {"type": "string", "description": "the digest of split.json"},
    "minutes": {
        "type": ["number", "null"],
        "exclusiveMinimum": 0,
        "description": "a number of minutes above 0, or null",
    },
}
_WINDOW = {
    "modalities": {
        "type": "array",
        "items": {"enum": list(MODALITIES), "description": f"one of {', '.join(MODALITIES)}"},
        "minItems": 1,
        "uniqueItems": True,
        "description": f"a list of modalities, each once, of {', '.join(MODALITIES)}",
    },
    "extent_mm": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 1000,
        "description": "the millimetres along each side of the window, above 0, such as 192",
    },
}
_RANGE = _object(
    dict.fromkeys(("low", "high", "mean", "sd"), _NUMBER), "low", "high", "mean", "sd", description="a range"
)
_STATISTICS = _object(
    {
        "fitted_on": _STRINGS,
        "ranges": {
            "type": "object",
            "additionalProperties": {"type": "object", "additionalProperties": _RANGE, "description": "ranges by name"},
            "required": ["head"],
            "description": "the ranges of the training patients' fingerprints",
        },
    },
    description="the statistics of the training patients",
)
_LEARNED_FROM = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": _STRING,
        "description": "the hashes of a patient's voxels",
    },
    "description": "the hashes of the voxels of each patient that the model learned from",
}
_TOP = {
    "task": {"enum": list(TASKS), "description": f"one of {', '.join(TASKS)}"},
    "precision": _STRING,
    "versions": {"type": "object", "description": "versions by package"},
    "device": _STRING,
    "learned_from": _LEARNED_FROM,
    "statistics": _STATISTICS,
    "members": {
        "type": "array",
        "items": {
            "type": "string",
            "pattern": r"^(?!\.+$)[^/\\]+$",  # a folder beside the file: nothing outside is ever read
            "description": "the name of a folder",
        },
        "minItems": 2,
        "uniqueItems": True,
        "description": "the names of the members' folders, two at least",
    },
    "member_digests": {**_STRINGS, "minItems": 2, "description": "the digests of the members, as many as these"},
    "model_sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "a SHA-256 of 64 letters"},
}


def _run(parameters: Mapping[str, Any], needed: tuple[str, ...], further: Mapping[str, Any], *top: str) -> dict:
    about = "the parameters of the training"
    inner = _object({**_COMMON, **parameters}, *needed, description=about)
    return _object({**_TOP, "parameters": inner, **further}, "task", "parameters", *top, description="a training")


_NORMALISATION = {"enum": list(NORMALISATIONS), "description": f"one of {', '.join(NORMALISATIONS)}"}
_RECIPE = _object(
    {
        "normalisation": _NORMALISATION,
        "decision": {"enum": list(DECISIONS), "description": f"one of {', '.join(DECISIONS)}"},
        "residual": {"type": "boolean", "description": "true or false"},
        "reach": {"type": "integer", "minimum": 0, "maximum": 4, "description": "a whole number from 0 to 4"},
        "crop": {"type": "number", "minimum": 0, "maximum": 1, "description": "a share from 0 to 1"},
        "modality_dropout": {
            "type": "number",
            "minimum": 0,
            "exclusiveMaximum": 1,
            "description": "a share of at least 0 and below 1",
        },
    },
    description="the recipe of the training",
)

_CALIBRATION = _object(
    {
        "temperature": {"type": "number", "exclusiveMinimum": 0, "description": "a temperature above 0"},
        "islands": _object(
            {
                "min_share": {"type": "number", "minimum": 0, "maximum": 1, "description": "a share from 0 to 1"},
                "min_certainty": {
                    "type": ["number", "null"],
                    "minimum": 0,
                    "maximum": 1,
                    "description": "a probability, or null",
                },
            },
            "min_share",
            "min_certainty",
        ),
    },
    "temperature",
    "islands",
    description="the calibration of the model",
)

_SHAPE_NUMBERS = ("parts", "area", "balance", "level", "smoothness")
_ENDS = {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2, "description": "two numbers"}
_SHAPE = _object(
    {
        "ranges": _object(dict.fromkeys(_SHAPE_NUMBERS, _ENDS), *_SHAPE_NUMBERS, description="ranges by name"),
        "masks": {"type": "integer", "minimum": 1, "description": "a number of masks"},
    },
    "ranges",
    "masks",
    description="the shape of the masks that the model learned from",
)

RUN: dict[str, dict[str, Any]] = {
    "brain": _run(
        {**_WINDOW, "filters": _FILTERS, "recipe": _RECIPE},
        ("size", "extent_mm", "modalities"),
        {"calibration": _CALIBRATION},
    ),
    "gate": _run(
        {
            **_WINDOW,
            "network": {"enum": list(NETWORKS), "description": f"one of {', '.join(NETWORKS)}"},
            "weights": {"type": ["string", "null"], "description": "a file, or null"},
        },
        ("size", "extent_mm", "modalities"),
        {
            "threshold": {
                "type": "number",
                "minimum": 0,
                "maximum": 1.001,  # a sum of float32 probabilities may be a little above 1
                "description": "a probability from 0 to 1",
            }
        },
        "threshold",
    ),
    "lungs": _run(
        {
            "site": {"enum": [*SITES.values(), "both"], "description": f"{', '.join(SITES.values())} or both"},
            "filters": _FILTERS,
            "normalise": {"type": "boolean", "description": "true or false"},  # of older versions; see `read_run`
            "normalisation": _NORMALISATION,
            "adapted": {"type": "object", "description": "how the model was adapted"},
        },
        ("size",),
        {
            "prepare": {
                "type": ["object", "null"],
                "properties": {
                    "histogram": {
                        "type": "array",
                        "items": {"type": "number", "minimum": 0, "description": "a share of at least 0"},
                        "minItems": 256,
                        "maxItems": 256,
                        "description": "256 numbers, the share of each grey level",
                    }
                },
                "description": "the preprocessing of radiographs, or null",
            },
            "shape": _SHAPE,
        },
    ),
}
"""`run.json`, by task."""


_INTERVAL = _ENDS
_NONE = {"type": "null", "description": "null"}
_TALLY = {"type": "integer", "minimum": 0, "description": "a number of patients"}
_ABOUT_A_MEAN = {
    "interval": {"anyOf": [_INTERVAL, _NONE], "description": "two numbers or null"},
    "range": {"anyOf": [_INTERVAL, _NONE], "description": "two numbers or null"},
    **dict.fromkeys(("n", "undefined", "diagonals"), _TALLY),
}


def _score(key: str = "mean") -> dict[str, Any]:
    return _object(
        {key: _NUMBER, "ci95": _INTERVAL, **_ABOUT_A_MEAN}, key, "ci95", description="a score with its interval"
    )


_SCORE_OR_NONE = _object(
    {
        "mean": {"type": ["number", "null"], "description": "a number or null"},
        "ci95": {"anyOf": [_INTERVAL, _NONE], "description": "two numbers or null"},
        **_ABOUT_A_MEAN,
    },
    "mean",
    "ci95",
    description="a score with its interval",
)
"""What older versions did not write, and what has no value where no patient has one."""


_COUNT = {"type": "integer", "minimum": 1, "description": "a number of at least 1"}


def _scores(names: tuple[str, ...], *counts: str) -> dict[str, Any]:
    table = _object({"n": _COUNT, **dict.fromkeys(names, _score())}, *names, *counts)
    table["additionalProperties"] = _SCORE_OR_NONE
    return {"type": "object", "additionalProperties": table, "description": "scores by name"}


def _rows(*names: str) -> dict[str, Any]:
    row = _object({}, *names)
    return {"type": "array", "items": row, "minItems": 1, "description": "a list of objects, one at least"}


_BRAIN = ("dice", "jaccard", "hd95_mm", "volume_error_ml")
_LUNGS = ("dice", "jaccard", "assd_px")
_GATE = ("auc", "sensitivity", "specificity", "skipped")

METRICS: dict[str, dict[str, Any]] = {
    "brain": _object(
        {
            "n": _COUNT,
            "regions": _scores(_BRAIN),
            "trivial": _scores(_BRAIN),
            "sites": {
                "type": "object",
                "additionalProperties": _object(
                    {"n": _COUNT, "regions": _scores(("dice",))}, "n", "regions", description="scores of a site"
                ),
                "description": "scores by site",
            },
            "patients": _rows("id", "regions", "trivial"),
            "run": _object({}),
        },
        "n", "regions", "trivial", "patients", "run",
    ),
    "gate": _object(
        {
            "n": _COUNT,
            "slices": _object(dict.fromkeys(("all", "brain", "tumour"), _NUMBER), "all", "brain", "tumour"),
            **dict.fromkeys(_GATE, _score("value")),
            "trivial": _object(dict.fromkeys(_GATE, _NUMBER), *_GATE),
            "patients": _rows("id", "truth", "probabilities", "threshold", "without_brain"),
            "run": _object({}),
        },
        "n", "slices", *_GATE, "trivial", "patients", "threshold", "run",
    ),
    "lungs": _object(
        {
            "n": _COUNT,
            "sites": _scores(_LUNGS, "n"),
            "trivial": _scores(_LUNGS),
            "images": _rows("id", "site", "dice", "trivial"),
            "run": _object({}),
        },
        "n", "sites", "trivial", "images", "run",
    ),
}  # fmt: skip
"""`metrics.json`, by task."""

IMAGES: dict[str, Any] = _object({"images": _rows("id", "site", "dice")}, "images")
"""The part of a `metrics.json` of lungs that the ladder reads."""

SCORES: dict[str, Any] = _object(
    {
        "made": _object({}),
        "radiographs": {
            "type": "array",
            "items": _object(
                {"radiograph": _STRING, "site": _STRING, "dice": _NUMBER, "oracle": _NUMBER},
                "radiograph", "site", "dice",
            ),
            "description": "a list of radiographs",
        },
    },
    "made", "radiographs",
)  # fmt: skip
"""`scores.json`, that an experiment of the ladder leaves in its folder."""
