"""Tests and intervals of the primary estimand, refitting the whole procedure each time.

The permutation null, the refitting bootstrap and the simulations of `cryhear.analysis.power` are one
function, `primary_auc.repeat_auc`, called on permuted labels, on infants that count several times, and
on embeddings with an effect put in. Intervals of predictions already made are in
`cryhear.evaluation`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cryhear.analysis.primary_auc import Plan, repeat_auc
from cryhear.corpus.labels import CLASSES
from cryhear.models.primary import PRIMARY, Procedure

COLUMNS = [f"auc_{name}" for name in CLASSES]
Z_95 = 1.96
"""Half width of a 95 % interval in standard errors."""


def exchange_blocks(recordings: pd.DataFrame) -> list[np.ndarray]:
    """Infants whose label vectors may be exchanged: equal numbers of recordings, same platforms.

    Returns
    -------
    list of numpy.ndarray of int, shape (infants, size)
        One array a kind of infant; row numbers of `recordings`, an infant's in order of time.
    """
    keys = ["infant", "platform", *(c for c in ("time_s",) if c in recordings), "recording"]
    ordered = recordings.assign(row=np.arange(len(recordings))).sort_values(keys)
    kinds: dict[tuple[str, ...], list[np.ndarray]] = {}
    for _, own in ordered.groupby("infant", sort=True):
        kinds.setdefault(tuple(own["platform"]), []).append(own["row"].to_numpy())
    return [np.stack(rows) for rows in kinds.values()]


def exchange_counts(recordings: pd.DataFrame, y: np.ndarray) -> dict[str, int]:
    """What the permutation moves.

    Returns
    -------
    dict
        `infants` and `recordings` in all; `infants_fixed` and `recordings_fixed`, of a kind with
        one infant, and of these recordings `fixed_<class>`; `infants_alike`, whose kind has several
        infants but one label vector only.
    """
    blocks, y = exchange_blocks(recordings), np.asarray(y)
    alone = [b for b in blocks if len(b) == 1]
    held = np.concatenate([y[:0], *(y[b.ravel()] for b in alone)])
    alike = [b for b in blocks if len(b) > 1 and len(np.unique(y[b], axis=0)) == 1]
    return {
        "infants": sum(len(b) for b in blocks),
        "recordings": len(recordings),
        "infants_fixed": len(alone),
        "recordings_fixed": len(held),
        **{f"fixed_{label}": int((held == code).sum()) for code, label in enumerate(CLASSES)},
        "infants_alike": sum(len(b) for b in alike),
    }


def exchange_labels(
    recordings: pd.DataFrame, y: np.ndarray, permutations: int, rng: np.random.Generator
) -> np.ndarray:
    """Permuted labels: whole label vectors change places within `exchange_blocks`.

    Returns
    -------
    numpy.ndarray, shape (permutations, n), int64
    """
    y = np.asarray(y, dtype=np.int64)
    permuted = np.tile(y, (permutations, 1))
    for block in exchange_blocks(recordings):
        order = rng.permuted(np.tile(np.arange(len(block)), (permutations, 1)), axis=1)
        permuted[:, block] = y[block][order]
    return permuted


def permutation_null(
    X: np.ndarray,
    y: np.ndarray,
    recordings: pd.DataFrame,
    plan: Plan,
    permutations: int = 1000,
    procedure: Procedure = PRIMARY,
    seed: int = 42,
) -> pd.DataFrame:
    """The observed AUC and its null distribution, every permutation refitted and tuned anew.

    Called with other `X` and the same `seed`, it draws the same permutations, as `maximum_p` needs.

    Parameters
    ----------
    X, plan, procedure
        As `repeat_auc`; the folds drawn without labels (`primary.primary_folds`).
    y : numpy.ndarray, shape (n,), int
    recordings : pandas.DataFrame, n rows
        With `recording`, `infant`, `platform`, and `time_s` where known.
    permutations, seed : int

    Returns
    -------
    pandas.DataFrame, 1 + permutations rows
        `permutation` (0 is the data as they are), `auc` (macro), `auc_<class>`.
    """
    drawn = exchange_labels(recordings, y, permutations, np.random.default_rng(seed))
    Y = np.concatenate([np.asarray(y)[None], drawn])
    values = repeat_auc(X, Y, plan, procedure).mean(axis=0)
    return _table(values).rename_axis("permutation").reset_index()


def p_value(null: pd.DataFrame) -> float:
    """One-sided p: (1 + permutations at least as high as the data) / (1 + permutations).

    Examples
    --------
    >>> p_value(pd.DataFrame({"auc": [0.7, 0.5, 0.6, 0.4]}))  # the data, then three permutations
    0.25
    """
    values = null["auc"].to_numpy()
    return float((values[1:] >= values[0]).sum() + 1) / len(values)


def p_two_sided(null: pd.DataFrame) -> float:
    """Two-sided p: twice the smaller of the shares of permutations as high and as low as the data.

    Examples
    --------
    >>> p_two_sided(pd.DataFrame({"auc": [0.3, 0.5, 0.6, 0.4]}))  # below all three permutations
    0.5
    """
    values = null["auc"].to_numpy()
    low = float((values[1:] <= values[0]).sum() + 1) / len(values)
    return min(1.0, 2 * min(p_value(null), low))


def maximum_p(nulls: Mapping[str, pd.DataFrame]) -> pd.Series:
    """P of each representation, corrected by the maximum statistic (Westfall and Young 1993).

    Each representation's AUC is put in standard deviations of its own null, so that a noisier one
    does not decide the maximum.

    Parameters
    ----------
    nulls : mapping of representation to the table of `permutation_null`
        Same permutations in each.
    """
    values = np.stack([null["auc"].to_numpy() for null in nulls.values()], axis=1)
    z = (values - values[1:].mean(axis=0)) / values[1:].std(axis=0, ddof=1)
    highest = z[1:].max(axis=1)
    p = ((highest[:, None] >= z[0]).sum(axis=0) + 1) / len(values)
    return pd.Series(p, index=list(nulls), name="p_maximum")


def infant_weights(recordings: pd.DataFrame, draws: int, rng: np.random.Generator) -> np.ndarray:
    """How often each recording counts when infants are drawn with replacement: int64 (draws, n)."""
    infants, of_row = np.unique(recordings["infant"].to_numpy(dtype=str), return_inverse=True)
    share = np.full(len(infants), 1 / len(infants))
    return rng.multinomial(len(infants), share, size=draws)[:, of_row]


def refit_bootstrap(
    features: Mapping[str, np.ndarray],
    y: np.ndarray,
    recordings: pd.DataFrame,
    plan: Plan,
    draws: int = 200,
    procedure: Procedure = PRIMARY,
    seed: int = 42,
    start: int = 0,
    stop: int | None = None,
) -> pd.DataFrame:
    """AUCs of the procedure refitted, scaling and PCA included, on infants drawn with replacement.

    An infant drawn twice counts twice in fitting and scoring and stays in its fold, so nothing of
    it is on both sides. Differences between features are taken within a draw.

    Parameters
    ----------
    features : mapping of name to numpy.ndarray, shape (n, d)
        What to score: a representation, the metadata.
    draws, start, stop : int
        Draws in all; those from `start` up to `stop` are computed, the same in any pieces.
    Others as `permutation_null`.

    Returns
    -------
    pandas.DataFrame
        `features`, `draw`, `auc`, `auc_<class>`: one row a draw and name. The draws centre low
        (fewer distinct infants train): use their spread, not their percentiles.
    """
    weights = infant_weights(recordings, draws, np.random.default_rng(seed))
    wanted = range(start, draws if stop is None else min(stop, draws))
    jobs = [(name, i) for i in wanted for name in features]
    values = [
        repeat_auc(features[name], y, plan, procedure, weights[i].astype(float)) for name, i in jobs
    ]
    # A repeat in which a class was drawn away entirely says nothing.
    table = _table(np.stack([np.nanmean(v[:, 0], axis=0) for v in values]))
    table.insert(0, "features", [name for name, _ in jobs])
    table.insert(1, "draw", [i for _, i in jobs])
    return table


def interval(estimate: float, draws: np.ndarray) -> tuple[float, float, float]:
    """Standard error of refitted draws, and estimate minus and plus 1.96 of it."""
    error = float(np.nanstd(np.asarray(draws, float), ddof=1))
    return error, estimate - Z_95 * error, estimate + Z_95 * error


def metadata_matrix(recordings: pd.DataFrame) -> np.ndarray:
    """Platform, sex, age band (one column a value) and level: what is known without listening.

    Returns
    -------
    numpy.ndarray, shape (n, m), float32
        An unknown level is the median of the known.
    """
    from cryhear.models.baselines import CATEGORIES, metadata_features

    table = metadata_features(recordings)
    level = table["level_dbfs"].fillna(table["level_dbfs"].median()).fillna(0.0)
    coded = pd.get_dummies(table[list(CATEGORIES)].astype(str))
    return np.column_stack([coded.to_numpy(float), level]).astype(np.float32)


def _table(values: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame(values, columns=COLUMNS)
    table.insert(0, "auc", values.mean(axis=1))
    return table
