"""Can two hospitals be told apart by what a network makes of their films?"""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def told_apart(first: ArrayLike, second: ArrayLike, folds: int = 5, seed: int = 0) -> float:
    """AUC of a linear probe for the hospital, each film judged by a probe that was fitted to others.

    1: told apart without fail; 0.5: a coin does as well. A probe that sees nothing may fall a little below one half.

    Args:
        first, second: (films, features) of either hospital, at least two films each.
        folds: parts that the films are dealt into; fewer where a hospital has fewer films.
        seed: of the deal.

    Raises:
        ValueError: a hospital has fewer than two films, or the features differ in number.
    """
    sets = [np.asarray(films, dtype=float) for films in (first, second)]
    if any(films.ndim != 2 or len(films) < 2 for films in sets) or sets[0].shape[1] != sets[1].shape[1]:
        shapes = " and ".join(str(films.shape) for films in sets)
        raise ValueError(f"the films have shapes {shapes}; expected (films, features), two films of each or more")
    hospital = np.repeat([0, 1], [len(films) for films in sets])
    deal = StratifiedKFold(min(folds, *map(len, sets)), shuffle=True, random_state=seed)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    said = cross_val_predict(probe, np.concatenate(sets), hospital, cv=deal, method="predict_proba")[:, 1]
    return float(roc_auc_score(hospital, said))
