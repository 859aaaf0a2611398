"""What the corpus could show: power, size and coverage by simulation, and the ceiling of its labels.

A simulated study keeps the real infants, platforms and numbers of recordings, and real embeddings.
Its labels are exchanged between infants, which leaves no true difference; then each class is moved
by a known effect. Everything is computed by the functions that compute the real result. The end-to-end
check moves not embeddings but the sound itself, of synthetic cries.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest, norm

from cryhear import embedding
from cryhear.analysis.permutation import (
    Z_95,
    exchange_labels,
    infant_weights,
    interval,
    p_value,
    permutation_null,
)
from cryhear.analysis.primary_auc import (
    FoldPlan,
    components,
    held_out_probabilities,
    in_place,
    pooled_auc,
    repeat_auc,
    weighted_auc,
)
from cryhear.corpus import manifest, synthetic
from cryhear.corpus.labels import CLASSES
from cryhear.embedding import extract, store
from cryhear.embedding.tables import StudySet, pool
from cryhear.errors import EvaluationError
from cryhear.evaluation.bootstrap import percentiles
from cryhear.models.primary import PRIMARY, Procedure
from cryhear.params import Preprocess

SMALL = (0.0, 0.05, 0.075, 0.1, 0.15)
"""Class shifts around what can just be found, between-infant standard deviations."""
LARGE = (0.2, 0.5, 0.8, 1.2)
"""Class shifts that are found nearly always."""
LEVEL, POWER = 0.05, 0.8
"""Level of the test, and the share of studies that should find what is there."""
WIDEST_STEP = 0.1
"""Largest step in AUC between two simulated effects across which power is interpolated."""
END_TO_END = "logmel"
"""Representation of the end-to-end check: needs no weights, so that it runs everywhere."""
DIRECTIONS = (0, 1)
"""Behind the seed, what sets the directions' random numbers apart from those of every run."""
_EMPTY_RUN = 1_000_000
"""Number of the first study without an effect, so that none repeats a run of `simulated_study`."""


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


@dataclass(frozen=True)
class Simulation:
    """How a simulated study is tested.

    Attributes
    ----------
    permutations : int
        At least 19. With 39, a run is significant when at most one beats it: the size is exact,
        the power a little below that of the real test.
    refits : int
        Refitting bootstraps of each run, for the coverage of the headline's interval; 0 for none.
    draws : int
        Bootstraps of each run over its fixed predictions ('test-sampling only').
    seed : int
    procedure : Procedure

    Raises
    ------
    EvaluationError
        Fewer permutations than with which p can reach LEVEL.
    """

    permutations: int = 19
    refits: int = 0
    draws: int = 400
    seed: int = 42
    procedure: Procedure = PRIMARY

    def __post_init__(self) -> None:
        if self.permutations < 19:
            raise EvaluationError(
                f"permutations is {self.permutations}; expected at least 19, with fewer p never "
                "reaches .05"
            )


def simulated_study(
    data: StudySet,
    plan: FoldPlan,
    how: Simulation,
    run: int,
    effects: tuple[float, ...] = SMALL + LARGE,
) -> pd.DataFrame:
    """One simulated study of each effect, tested as the real one is.

    The directions are the same in every run, so that an effect is one true AUC and not a mixture; run
    i draws the same labels for every effect. A run's test stops after 19
    permutations when so many beat it that it can no longer reach LEVEL (Besag and Clifford 1991);
    whether it is significant is then known, and its p is a lower bound.

    Parameters
    ----------
    data, plan
        As `permutation.permutation_null`. One repeat of folds makes a run about ten times cheaper
        than the real test, and a little less powerful.
    how : Simulation
    run : int
        Number of the study: with the seed, what its labels are drawn from.
    effects : tuple of float
        In between-infant standard deviations.

    Returns
    -------
    pandas.DataFrame
        One row an effect: `effect`, `auc`, `p`, `permutations` (made), `significant`,
        `se_refit` (NaN without refits), `sampling_low`, `sampling_high` (NaN without draws), `run`.
    """
    rows = [_simulate(data, plan, how, run, effect) | {"run": run} for effect in effects]
    return pd.DataFrame(rows)


def empty_studies(
    data: StudySet, plan: FoldPlan, how: Simulation, start: int, stop: int
) -> pd.DataFrame:
    """Studies without any effect, tested: as `simulated_study` at effect 0, many at the price of a few.

    Nothing is moved, so all share one scaling and one set of components a fold.
    """
    Y: list[np.ndarray] = []
    runs = [_EMPTY_RUN + number for number in range(start, stop)]
    for run in runs:
        rng = np.random.default_rng([how.seed, run])
        labels = exchange_labels(data.recordings, data.y, 1, rng)
        Y += [labels, exchange_labels(data.recordings, labels[0], how.permutations, rng)]
    values = repeat_auc(data.X, np.concatenate(Y), plan, how.procedure).mean(axis=(0, 2))
    values = values.reshape(len(runs), 1 + how.permutations)
    p = ((values[:, 1:] >= values[:, :1]).sum(axis=1) + 1) / (how.permutations + 1)
    table = pd.DataFrame({"effect": 0.0, "run": runs, "auc": values[:, 0], "p": p})
    table = table.assign(permutations=how.permutations, significant=p <= LEVEL)
    return table.assign(se_refit=np.nan, sampling_low=np.nan, sampling_high=np.nan)


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
        low, high = _wilson(int(part["significant"].sum()), len(part))
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


def detectable(summary: pd.DataFrame, null: pd.DataFrame, error: float) -> tuple[float, str]:
    """The smallest AUC found four times in five, and how that was worked out.

    By simulation; where no effect tried is found so often, or the effects tried leap over the
    place where power rises, by formula from the null and the refitted standard error.
    """
    simulated, by_formula = detectable_auc(summary), detectable_auc_normal(null, error)
    if not np.isfinite(simulated):
        return by_formula, "by formula: no effect tried reached it"
    tried = np.sort(summary["auc"].to_numpy())
    place = int(np.searchsorted(tried, simulated))
    if place and tried[min(place, len(tried) - 1)] - tried[place - 1] > WIDEST_STEP:
        return by_formula, "by formula: the simulated effects leap over it"
    return simulated, "simulated"


def implied_coverage(summary: pd.DataFrame) -> pd.DataFrame:
    """Coverage of estimate plus and minus 1.96 refitted standard errors, from its mean error.

    The share a normal spread of `auc_sd` leaves within 1.96 mean `se_refit`: steadier than counting
    a few runs.
    """
    known = summary[summary["se_refit"].notna()].copy()
    reach = Z_95 * known["se_refit"] / known["auc_sd"]
    known["coverage_implied"] = 2 * norm.cdf(reach) - 1
    return known


def kappa(agreement: float, priors: np.ndarray) -> float:
    """Agreement beyond what two labellers reach who both name classes at the base rates.

    Examples
    --------
    >>> round(kappa(0.75, np.full(3, 1 / 3)), 3)
    0.625
    """
    chance = float(np.square(priors).sum())
    return (agreement - chance) / (1 - chance)


def label_ceiling(agreement: float, priors: np.ndarray, pairs: bool = False) -> float:
    """Highest macro AUC of a perfect classifier judged by labels that are not always right.

    A label is the truth with probability a, and otherwise drawn at the base rates. Then a perfect
    classifier's AUC is (1 + a) / 2 for every class. a follows from the agreement, which is
    a + (1 - a) sum(priors^2) between label and truth, and that with a^2 for a between two labels.

    Parameters
    ----------
    agreement : float
        Share of labels equal to the truth, or (`pairs`) of pairs of labels of one truth that agree.
    priors : numpy.ndarray, shape (K,)
        Class shares.
    pairs : bool

    Returns
    -------
    float
        0.5 to 1.

    Examples
    --------
    Three equal classes, labels right three times in four:

    >>> round(label_ceiling(0.75, np.full(3, 1 / 3)), 3)
    0.812
    """
    kept = float(np.clip(kappa(agreement, priors), 0.0, 1.0))
    return 0.5 * (1 + (np.sqrt(kept) if pairs else kept))


def end_to_end(effect: float, infants: int, permutations: int, seed: int) -> pd.DataFrame:
    """One study of synthetic cries with a known class effect, from audio to p.

    Parameters
    ----------
    effect : float
        Class effect on the voice, between-infant standard deviations.
    infants, permutations, seed : int

    Returns
    -------
    pandas.DataFrame, 1 row
        ``effect``, ``infants``, ``recordings``, ``auc`` (the primary estimand), ``p``.
    """
    settings = synthetic.SyntheticCorpus(infants=infants, effect=effect, seconds=4.0)
    with tempfile.TemporaryDirectory(prefix="cryhear-end-to-end-") as folder:
        data = _embedded(synthetic.corpus(Path(folder) / "cries", settings, seed), Path(folder))
    plan = FoldPlan.of(data.recordings, 5, 1, seed)
    null = permutation_null(data, plan, permutations, seed)
    return pd.DataFrame({"effect": [effect], "infants": data.recordings["infant"].nunique(),
                         "recordings": len(data), "auc": null["auc"].iloc[0],
                         "p": p_value(null)})  # fmt: skip


def _embedded(root: Path, folder: Path) -> StudySet:
    """Labelled recordings of a root with their mean embeddings."""
    table, paths = manifest.build([root])
    chosen = manifest.select(table, set="all", labels="original")
    chosen = chosen[chosen["status"] == "used"]
    plain, backend = Preprocess(), embedding.load(END_TO_END)
    target = store.Store(folder / "store", backend, store.preprocess_key(plain))
    wanted = paths[paths["recording"].isin(chosen["recording"])]
    extract.embed_recordings(wanted, backend, plain, target)
    ids, X = pool(*target.read())
    chosen = chosen.set_index("recording").loc[ids].reset_index()
    chosen["y"] = chosen["label"].map(CLASSES.index).astype(int)
    return StudySet(chosen, X, END_TO_END, "all")


def _simulate(
    data: StudySet, plan: FoldPlan, how: Simulation, run: int, effect: float
) -> dict[str, float]:
    recordings, most = data.recordings, how.permutations
    rng = np.random.default_rng([how.seed, run])
    labels = exchange_labels(recordings, data.y, 1, rng)[0]
    directions = np.random.default_rng([how.seed, *DIRECTIONS])
    moved = inject(data.X, labels, data.infants, effect, directions)
    Z = components(moved, plan, how.procedure)
    allowed = int(np.floor(LEVEL * (most + 1) + 1e-9)) - 1
    drawn = exchange_labels(recordings, labels, most, rng)
    exceeding, made, auc = 0, 0, np.nan
    for first, last in ((0, 19), (19, most)):
        if first == last or exceeding > allowed:
            break
        Y = np.concatenate([labels[None], drawn[first:last]])
        parts = held_out_probabilities(Z, Y, plan, how.procedure)
        values = pooled_auc(parts, Y, plan).mean(axis=(0, 2))
        auc, exceeding, made = values[0], exceeding + int((values[1:] >= values[0]).sum()), last
    low = high = error = np.nan
    if how.draws:
        weights = infant_weights(recordings, how.draws, rng).T.astype(float)
        low, high = percentiles(weighted_auc(in_place(parts, plan), labels, plan, weights))
    if how.refits > 1:
        counted = infant_weights(recordings, how.refits, rng).astype(float)
        errors = [np.nanmean(repeat_auc(moved, labels, plan, how.procedure, w)) for w in counted]
        error = interval(auc, np.asarray(errors))[0]
    return {
        "effect": effect, "auc": float(auc), "p": (exceeding + 1) / (made + 1),
        "permutations": made, "significant": exceeding <= allowed, "se_refit": error,
        "sampling_low": low, "sampling_high": high,
    }  # fmt: skip


def _wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson's (1927) 95 % interval of a share."""
    return tuple(binomtest(hits, n).proportion_ci(2 * norm.cdf(Z_95) - 1, "wilson"))
