"""How much of an embedding is whose cry it is: neighbours, verification, and a probe.

'Infant' is an installation of the app: its voice, its telephone and its room together. Recordings a
few minutes apart share the room and the bout; the verification tells these apart by time.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import StratifiedKFold

from cryhear.analysis.exploration import neighbour_purity, sampled
from cryhear.evaluation.bootstrap import draw_weights, mean_interval
from cryhear.models.fitted import Reduction

GAPS_S = {"within 5 minutes": 300.0, "5 minutes to a day": 86_400.0, "more than a day": np.inf}
"""Time between two recordings of an infant: name and upper end, s."""
FEWEST = 5
"""Recordings of an infant that the probe asks for: one a fold."""


def neighbours(X: np.ndarray, recordings: pd.DataFrame) -> pd.DataFrame:
    """Whose the nearest recording is, and of which class: cosine distance of standardised embeddings.

    Returns
    -------
    pandas.DataFrame
        ``question``, ``n`` (recordings that could have such a neighbour), ``value``, ``chance``.
        Of many recordings, a sample (`exploration.sampled`).
    """
    X, recordings = _looked_at(X, recordings)
    Z = Reduction.fit(X, 0.95)(X)
    infants, labels = recordings["infant"].to_numpy(), recordings["label"].to_numpy()
    asked = (
        ("same infant", infants, None),
        ("same class, any infant", labels, None),
        ("same class, another infant", labels, infants),
    )
    rows = [
        neighbour_purity(Z, of, 1, exclude, each=False, name=name) for name, of, exclude in asked
    ]
    table = pd.concat(rows, ignore_index=True).rename(columns={"target": "question"})
    return table[["question", "n", "purity", "chance"]].rename(columns={"purity": "value"})


def verification(
    X: np.ndarray, recordings: pd.DataFrame, draws: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Are two recordings of one infant? AUC of the cosine similarity of standardised embeddings.

    Pairs of one infant against pairs of two infants on the same platform; chance is 1/2.

    Parameters
    ----------
    X : numpy.ndarray, shape (n, d)
    recordings : pandas.DataFrame, n rows
        With `infant`, `platform` and `time_s`.
    draws, seed : int
        Bootstrap over infants of the pairs of one infant; the others' are so many that their
        spread does not count.

    Returns
    -------
    pandas.DataFrame
        ``gap`` ('any', and those of GAPS_S that occur), ``pairs``, ``infants``, ``value``, ``low``,
        ``high``, ``chance``. Of many recordings, a sample (`exploration.sampled`).
    """
    X, recordings = _looked_at(X, recordings)
    Z = Reduction.fit(X, 0.95)(X)
    Z = Z / np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), 1e-12)
    i, j = np.triu_indices(len(Z), 1)
    infant, platform = recordings["infant"].to_numpy(), recordings["platform"].to_numpy()
    same = infant[i] == infant[j]
    other = np.sort((Z @ Z.T)[i, j][~same & (platform[i] == platform[j])])
    i, j = i[same], j[same]
    score = np.einsum("ij,ij->i", Z[i], Z[j])
    beaten = (np.searchsorted(other, score, "left") + np.searchsorted(other, score, "right")) / 2
    won, gap = beaten / len(other), _gap(recordings["time_s"].to_numpy(float), i, j)
    rows = []
    for name in ("any", *GAPS_S):
        mine = np.ones(len(won), bool) if name == "any" else gap == name
        if mine.any():
            weights = draw_weights(infant[i][mine], draws, seed)
            low, high = mean_interval(won[mine], weights)
            infants = len(set(infant[i][mine]))
            rows.append((name, int(mine.sum()), infants, float(won[mine].mean()), low, high, 0.5))
    return pd.DataFrame(rows, columns=["gap", "pairs", "infants", "value", "low", "high", "chance"])


def _looked_at(X: np.ndarray, recordings: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    keep = sampled(recordings["infant"])
    return X[keep], recordings[keep].reset_index(drop=True)


def probe(X: np.ndarray, infants: np.ndarray, shuffles: int = 5, seed: int = 0) -> dict[str, float]:
    """How often a linear probe names the infant of a recording it has not heard.

    Ridge classifier on standardised components, five folds over recordings, infants with at least
    FEWEST recordings; all of it again on shuffled names for its chance.

    Returns
    -------
    dict
        ``infants``, ``recordings``, ``value`` (share named right), ``chance`` (mean of the shuffles).
        ``value`` is NaN with fewer than two such infants.
    """
    _, codes, counts = np.unique(infants, return_inverse=True, return_counts=True)
    keep = counts[codes] >= FEWEST
    found = {"infants": int((counts >= FEWEST).sum()), "recordings": int(keep.sum())}
    if found["infants"] < 2:
        return {**found, "value": np.nan, "chance": np.nan}
    X, codes = np.asarray(X, float)[keep], codes[keep]
    rng = np.random.default_rng(seed)
    shuffled = [_named_right(X, rng.permutation(codes), seed) for _ in range(shuffles)]
    chance = float(np.mean(shuffled))
    return {**found, "value": _named_right(X, codes, seed), "chance": chance}


def _named_right(X: np.ndarray, codes: np.ndarray, seed: int) -> float:
    right = np.zeros(len(codes), bool)
    for train, test in StratifiedKFold(5, shuffle=True, random_state=seed).split(X, codes):
        reduction = Reduction.fit(X[train], 0.95)
        Z = reduction(X[train])
        model = RidgeClassifier(alpha=float(Z.var(axis=0).sum())).fit(Z, codes[train])
        right[test] = model.predict(reduction(X[test])) == codes[test]
    return float(right.mean())


def _gap(time_s: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Name of the time between two recordings; '' where it is not known."""
    apart, names = np.abs(time_s[i] - time_s[j]), np.full(len(i), "", dtype=object)
    for name, end in reversed(GAPS_S.items()):
        names[apart <= end] = name
    return names
