"""Domain probe: can a linear classifier tell two hospitals apart by a network's features of their radiographs?"""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def domain_probe_auc(first: ArrayLike, second: ArrayLike, folds: int = 5, seed: int = 0) -> float:
    """Cross-validated AUC of a linear probe (logistic regression) that predicts the hospital from the features.

    1: the hospitals are separable; 0.5: chance. On features without domain information the AUC may fall a little below
    one half.

    Args:
        first: features of the first hospital's radiographs, shape (radiographs, features), two radiographs or more.
        second: features of the second hospital's radiographs, shape (radiographs, features), two radiographs or more.
        folds: folds of the cross-validation; fewer where a hospital has fewer radiographs.
        seed: of the assignment of radiographs to folds.

    Returns:
        Area under the ROC curve, in [0, 1].

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
    splitter = StratifiedKFold(min(folds, *map(len, sets)), shuffle=True, random_state=seed)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    predicted = cross_val_predict(probe, np.concatenate(sets), hospital, cv=splitter, method="predict_proba")[:, 1]
    return float(roc_auc_score(hospital, predicted))
