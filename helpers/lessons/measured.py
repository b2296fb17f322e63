"""What was measured beforehand on real patients, and is too long for a lesson: tables that commands wrote."""

import json
from importlib.resources import files
from typing import Any


def read_recipes() -> dict[str, Any]:
    """The table of `python -m helpers recipes --data DIR --json helpers/lessons/measured/recipes.json`.

    Its data were 20 patients of BraTS 2018. Who has other patients makes another table with the same command.

    Returns:
        As `helpers.tasks.brain.recipes.compare_recipes`, without the patients.
    """
    return json.loads(files("helpers.lessons").joinpath("measured", "recipes.json").read_text(encoding="utf-8"))
