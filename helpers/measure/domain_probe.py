"""Can two hospitals be told apart by what a network makes of their radiographs?"""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def domain_probe_auc(first: ArrayLike, second: ArrayLike, folds: int = 5, seed: int = 0) -> float:
    """AUC of a linear probe for the hospital, each radiograph judged by a probe that was fitted to others.

    1: told apart without fail; 0.5: a coin does as well. A probe that sees nothing may fall a little below one half.

    Args:
        first, second: (radiographs, features) of either hospital, at least two radiographs each.
        folds: parts that the radiographs are dealt into; fewer where a hospital has fewer radiographs.
        seed: of the deal.

    Raises:
        ValueError: a hospital has fewer than two radiographs, or the features differ in number.
    """
    sets = [np.asarray(radiographs, dtype=float) for radiographs in (first, second)]
    if (
        any(radiographs.ndim != 2 or len(radiographs) < 2 for radiographs in sets)
        or sets[0].shape[1] != sets[1].shape[1]
    ):
        shapes = " and ".join(str(radiographs.shape) for radiographs in sets)
        raise ValueError(
            f"the radiographs have shapes {shapes}; expected (radiographs, features), two radiographs of each or more"
        )
    hospital = np.repeat([0, 1], [len(radiographs) for radiographs in sets])
    deal = StratifiedKFold(min(folds, *map(len, sets)), shuffle=True, random_state=seed)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    said = cross_val_predict(probe, np.concatenate(sets), hospital, cv=deal, method="predict_proba")[:, 1]
    return float(roc_auc_score(hospital, said))
