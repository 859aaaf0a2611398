"""What the corpus could show: power, size and coverage by simulation.

A simulated study keeps the real infants, platforms and numbers of recordings, and real embeddings.
Its labels are exchanged between infants, which leaves no true difference; then each class is moved
by a known effect. Everything is computed by the functions that compute the real result.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm

from cryhear.analysis.ceiling import wilson
from cryhear.analysis.permutation import Z_95, exchange_labels, infant_weights, interval
from cryhear.analysis.primary_auc import (
    Plan,
    components,
    held_out_probabilities,
    in_place,
    pooled_auc,
    repeat_auc,
    weighted_auc,
)
from cryhear.corpus.labels import CLASSES
from cryhear.errors import EvaluationError
from cryhear.evaluation.bootstrap import percentiles
from cryhear.models.primary import PRIMARY, Procedure

EFFECTS = (0.0, 0.2, 0.5, 0.8, 1.2)
"""Class shifts put in, in between-infant standard deviations."""
LEVEL, POWER = 0.05, 0.8
"""Level of the test, and the share of studies that should find what is there."""
_DIRECTIONS = (0, 1)
"""Behind the seed, what sets the directions' random numbers apart from those of every run."""


def between_infant_rows(X: np.ndarray, infants: np.ndarray) -> np.ndarray:
    """Infants' mean embeddings, features in standard deviations, centred: shape (infants, d)."""
    codes = np.unique(infants, return_inverse=True)[1]
    deviation = X.std(axis=0)
    scaled = X / np.where(deviation > 0, deviation, 1.0)
    sums = np.zeros((codes.max() + 1, X.shape[1]))
    np.add.at(sums, codes, scaled)
    means = sums / np.bincount(codes)[:, None]
    return means - means.mean(axis=0)


def inject(
    X: np.ndarray, y: np.ndarray, infants: np.ndarray, effect: float, rng: np.random.Generator
) -> np.ndarray:
    """Move each class along its own random direction.

    A direction is a random combination of infants' mean embeddings, so it lies where infants
    differ; along it, recordings of the class move by `effect` standard deviations of those means.

    Parameters
    ----------
    X : numpy.ndarray, shape (n, d)
    y : numpy.ndarray, shape (n,), int
    infants : numpy.ndarray, shape (n,)
    effect : float
        0 or more.
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray, shape (n, d)
        A new array.
    """
    means = between_infant_rows(X, infants)
    directions = rng.normal(size=(len(CLASSES), len(means))) @ means
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    spread = (directions @ means.T).std(axis=1, ddof=1)
    shift = effect * spread[:, None] * directions * X.std(axis=0)
    return (X + shift[y]).astype(X.dtype)


def simulate_power(
    X: np.ndarray,
    y: np.ndarray,
    recordings: pd.DataFrame,
    plan: Plan,
    effects: tuple[float, ...] = EFFECTS,
    runs: int = 60,
    permutations: int = 39,
    refits: int = 0,
    draws: int = 400,
    seed: int = 42,
    start: int = 0,
    stop: int | None = None,
    procedure: Procedure = PRIMARY,
) -> pd.DataFrame:
    """Simulated studies, each tested as the real one is.

    The directions are the same in every run, so that an effect is one true AUC and not a mixture; run
    i draws the same labels for every effect. A run's test stops after 19
    permutations when so many beat it that it can no longer reach LEVEL (Besag and Clifford 1991);
    whether it is significant is then known, and its p is a lower bound.

    Parameters
    ----------
    X, y, recordings, plan, procedure
        As `permutation.permutation_null`. One repeat of folds makes a run about ten times cheaper
        than the real test, and a little less powerful.
    effects : tuple of float
        In between-infant standard deviations.
    runs, start, stop : int
        Runs in all; those from `start` up to `stop` are computed, the same in any pieces.
    permutations : int
        At least 19. With 39, a run is significant when at most one beats it: the size is exact,
        the power a little below that of the real test.
    refits : int
        Refitting bootstraps of each run, for the coverage of the headline's interval; 0 for none.
    draws : int
        Bootstraps of each run over its fixed predictions ('test-sampling only').

    Returns
    -------
    pandas.DataFrame
        One row a run and effect: `effect`, `auc`, `p`, `permutations` (made), `significant`,
        `se_refit` (NaN without refits), `sampling_low`, `sampling_high` (NaN without draws), `run`.
    """
    if permutations < 19:
        raise EvaluationError(
            f"permutations is {permutations}; expected at least 19, with fewer p never reaches .05"
        )
    fixed = (permutations, refits, draws, procedure)
    rows = [
        _simulate(X, y, recordings, plan, effect, seed, run, *fixed) | {"run": run}
        for run in range(start, runs if stop is None else min(stop, runs))
        for effect in effects
    ]
    return pd.DataFrame(rows)


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """Power at each effect (size at 0), and coverage of the refitted interval.

    Returns
    -------
    pandas.DataFrame
        `effect`, `runs`, `auc` (mean over exchanged labels: the effect's true AUC), `auc_sd`,
        `share_significant` with its Wilson 95 % interval `low`, `high`; `se_refit` (mean);
        `coverage_refit` and `coverage_sampling`: shares of runs whose AUC plus and minus 1.96
        refitted standard errors, or whose test-sampling-only interval, holds the mean.
    """
    rows = []
    for effect, part in runs.groupby("effect"):
        low, high = wilson(int(part["significant"].sum()), len(part))
        fitted = part[part["se_refit"].notna()]
        mean = part["auc"].mean()
        inside = (fitted["auc"] - mean).abs() <= Z_95 * fitted["se_refit"]
        drawn = part[part["sampling_low"].notna()]
        within = drawn["sampling_low"].le(mean) & drawn["sampling_high"].ge(mean)
        rows.append({
            "effect": effect, "runs": len(part), "auc": mean, "auc_sd": part["auc"].std(ddof=1),
            "share_significant": part["significant"].mean(), "low": low, "high": high,
            "se_refit": fitted["se_refit"].mean(), "coverage_refit": inside.mean(),
            "coverage_sampling": within.mean(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def detectable_auc(summary: pd.DataFrame) -> float:
    """The smallest mean AUC found significant in a share POWER of runs.

    The shares are made to rise with the effect (isotonic regression) and interpolated.

    Returns
    -------
    float
        NaN if no effect tried reaches POWER.
    """
    from sklearn.isotonic import IsotonicRegression

    ordered = summary.sort_values("effect")
    auc = np.maximum.accumulate(ordered["auc"].to_numpy())
    order = np.arange(len(auc))
    rising = IsotonicRegression().fit(order, ordered["share_significant"], ordered["runs"])
    share = rising.predict(order)
    reached = np.flatnonzero(share >= POWER)
    if not len(reached):
        return float("nan")
    last = reached[0]
    if last == 0 or share[last] == share[last - 1]:
        return float(auc[last])
    part = (POWER - share[last - 1]) / (share[last] - share[last - 1])
    return float(auc[last - 1] + part * (auc[last] - auc[last - 1]))


def detectable_auc_normal(null: pd.DataFrame, error: float) -> float:
    """The same by formula: the null's upper LEVEL point plus z(POWER) refitted standard errors."""
    critical = float(np.quantile(null["auc"].to_numpy()[1:], 1 - LEVEL))
    return critical + float(norm.ppf(POWER)) * error


def _simulate(
    X: np.ndarray,
    y: np.ndarray,
    recordings: pd.DataFrame,
    plan: Plan,
    effect: float,
    seed: int,
    run: int,
    permutations: int,
    refits: int,
    draws: int,
    procedure: Procedure,
) -> dict[str, float]:
    rng = np.random.default_rng([seed, run])
    labels = exchange_labels(recordings, y, 1, rng)[0]
    directions = np.random.default_rng([seed, *_DIRECTIONS])
    moved = inject(X, labels, recordings["infant"].to_numpy(dtype=str), effect, directions)
    Z = components(moved, plan, procedure)
    allowed = int(np.floor(LEVEL * (permutations + 1) + 1e-9)) - 1
    drawn = exchange_labels(recordings, labels, permutations, rng)
    exceeding, made, auc = 0, 0, np.nan
    for first, last in ((0, 19), (19, permutations)):
        if first == last or exceeding > allowed:
            break
        Y = np.concatenate([labels[None], drawn[first:last]])
        parts = held_out_probabilities(Z, Y, plan, procedure)
        values = pooled_auc(parts, Y, plan).mean(axis=(0, 2))
        auc, exceeding, made = values[0], exceeding + int((values[1:] >= values[0]).sum()), last
    fixed = infant_weights(recordings, draws, rng)
    low, high = _sampling_interval(in_place(parts, plan), labels, plan, fixed)
    errors = [
        np.nanmean(repeat_auc(moved, labels, plan, procedure, weight.astype(float)))
        for weight in infant_weights(recordings, refits, rng)
    ]
    error = interval(auc, np.asarray(errors))[0] if refits > 1 else np.nan
    return {
        "effect": effect, "auc": float(auc), "p": (exceeding + 1) / (made + 1),
        "permutations": made, "significant": exceeding <= allowed, "se_refit": error,
        "sampling_low": low, "sampling_high": high,
    }  # fmt: skip


def _sampling_interval(
    p: np.ndarray, y: np.ndarray, plan: Plan, weights: np.ndarray
) -> tuple[float, float]:
    """Percentiles 2.5 and 97.5 of the estimand over weights (draws, n), predictions fixed."""
    if not len(weights):
        return np.nan, np.nan
    low, high = percentiles(weighted_auc(p, y, plan, weights.T.astype(float)))
    return float(low), float(high)
