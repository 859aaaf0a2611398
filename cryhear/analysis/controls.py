"""Controls of chapter 10: does the pipeline work, what else is in the embeddings, what does sound add.

And whose cry it is: neighbours, verification, and a probe that names infants. 'Infant' is an installation
of the app: its voice, its telephone and its room together.

Every score is over infant-grouped folds drawn without labels, pairs within fold (and platform), with
a bootstrap over infants of fixed out-of-fold predictions: 'test-sampling only'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import StratifiedKFold

from cryhear.analysis import leakage, penalty, permutation, power
from cryhear.analysis.exploration import neighbour_purity, sampled
from cryhear.analysis.primary_auc import FoldPlan, predictions, repeat_auc
from cryhear.corpus import splits
from cryhear.corpus.labels import CLASSES
from cryhear.embedding.tables import StudySet
from cryhear.evaluation import bootstrap
from cryhear.evaluation.auc import Ranked
from cryhear.evaluation.bootstrap import draw_weights, mean_interval
from cryhear.evaluation.validation import strata
from cryhear.models.fitted import Reduction
from cryhear.models.primary import PRIMARY

PROBES: dict[str, tuple[str, ...]] = {
    "platform": (),
    "age_band": ("platform",),
    "sex": ("platform",),
}
"""Attributes asked of the embeddings, and within what their pairs are counted."""

EQUAL = ("label", "infant", "age_band", "sex", "platform")
"""What the same probe is asked for at the same strengths."""

PROBE_C = penalty.BESIDE
FEWEST_INFANTS = 10
"""Infants a value of an attribute needs, below which it is left out of its probe."""
FEWEST_RECORDINGS = 5
"""Recordings of an infant that a probe of infants asks for: one a fold."""

PLANTED = 1.2
"""Effect put in for the positive control, between-infant standard deviations: the largest of the
power study."""

METADATA = {"platform": "platform", "age band": "age_band", "sex": "sex", "level": "level_dbfs"}
"""Pieces of metadata by the name they carry in tables."""

GAPS_S = {"within 5 minutes": 300.0, "5 minutes to a day": 86_400.0, "more than a day": np.inf}
"""Time between two recordings of an infant: name and upper end, s."""


class Setting(NamedTuple):
    """Folds and their repeats, bootstrap draws of infants, and the seed of both."""

    folds: int
    repeats: int
    draws: int
    seed: int

    def plan(self, data: StudySet) -> FoldPlan:
        """Folds by infant, drawn without labels, with their inner folds."""
        return FoldPlan.of(data.recordings, self.folds, self.repeats, self.seed)

    def predictions(self, data: StudySet) -> pd.DataFrame:
        """Out-of-fold predictions of the primary procedure, every repeat."""
        plan = self.plan(data)
        return pd.concat([predictions(data, plan, r) for r in range(self.repeats)])


def probe(
    data: StudySet, column: str, setting: Setting, strengths: Sequence[float] = (PROBE_C,)
) -> pd.DataFrame:
    """How well a linear probe reads an attribute of infants it has not heard, at fixed strengths.

    Parameters
    ----------
    column : str
        An attribute of the recordings; 'label' for the label itself; 'infant' for the infant, which
        can only be asked of new recordings of known infants: folds over recordings, infants with at
        least FEWEST_RECORDINGS of them.
    strengths : sequence of float
        C of the class-weighted logistic regression on components that hold 95 % of the variance.

    Returns
    -------
    pandas.DataFrame, one row a strength
        ``target``, ``C``, ``value`` (mean one-vs-rest AUC), ``low``, ``high`` (test-sampling only),
        ``chance``, ``n``, ``infants``, ``values`` (how many the attribute has), ``fewest`` (infants
        of the value that fewest have); ``value`` is NaN with fewer than two values.
    """
    table, known = data.recordings, column == "infant"
    counted = table.loc[table[column] != ""].groupby(column)
    sizes = counted.size() if known else counted["infant"].nunique()
    kept = sorted(sizes[sizes >= (FEWEST_RECORDINGS if known else FEWEST_INFANTS)].index)
    own = data.subset(table[column].isin(kept).to_numpy())
    found = {"target": column, "chance": 0.5, "n": len(own.X), "values": len(kept)}
    found["infants"] = own.recordings["infant"].nunique()
    found["fewest"] = 1 if known else int(sizes[kept].min()) if kept else 0
    if len(kept) < 2:
        return pd.DataFrame(
            [{**found, "C": C, "value": np.nan, "low": np.nan, "high": np.nan} for C in strengths]
        )
    target = pd.Categorical(own.recordings[column], categories=kept).codes.astype(int)
    folds, repeats, draws, seed = setting
    unit = "recording" if known else "infant"
    drawn = [
        splits.folds(own.recordings, unit, folds, seed + r, stratify=False) for r in range(repeats)
    ]
    stratum = [_within(own, fold, PROBES.get(column, ("platform",))) for fold in drawn]
    scores = [_probe(own.X, target, fold, strengths) for fold in drawn]
    rows_of = []
    for i, C in enumerate(strengths):
        interval = _interval_by_class if known else _interval
        at = [score[i] for score in scores]
        measured = interval(at, target, stratum, own.recordings["infant"], draws, seed)
        rows_of.append({**found, "C": C, **measured})
    return pd.DataFrame(rows_of)


def above(probes: pd.DataFrame, target: str, C: float) -> bool:
    """Whether a target's interval lies above that of the label at the same strength.

    Parameters
    ----------
    probes : pandas.DataFrame
        Of `probe`, with ``target`` and ``C`` as its index.
    """
    if not {(target, C), ("label", C)} <= set(probes.index):
        return False
    return bool(probes.loc[(target, C), "low"] > probes.loc[("label", C), "high"])


def contrast(
    data: StudySet, positive: Sequence[str], negative: Sequence[str], setting: Setting
) -> dict[str, Any]:
    """AUC of some classes against others: the exploratory two-class views.

    The primary procedure on two classes, with inner folds as ever.

    Returns
    -------
    dict
        ``contrast``, ``value``, ``low``, ``high``, ``chance``, ``n``, ``infants``.
    """
    own = data.subset(data.recordings["label"].isin([*positive, *negative]).to_numpy())
    y = own.recordings["label"].isin(negative).to_numpy().astype(int)
    two = own.with_labels(y)
    p = setting.predictions(two)["p_pain"].to_numpy(float).reshape(setting.repeats, -1)
    score = [np.column_stack([own_p, -own_p]) for own_p in p]
    stratum = [_within(two, fold, ("platform",)) for fold in setting.plan(two).folds]
    infant, draws, seed = two.recordings["infant"], setting.draws, setting.seed
    measured = _interval(score, y, stratum, infant, draws, seed)
    name = f"{' or '.join(positive)} against {' or '.join(negative)}"
    infants = two.recordings["infant"].nunique()
    return {"contrast": name, **measured, "chance": 0.5, "n": len(y), "infants": infants}


def pipeline_checks(data: StudySet, plan: FoldPlan, null: pd.DataFrame, seed: int) -> pd.DataFrame:
    """What must come out if the pipeline works.

    A planted signal must be found; labels that change places between infants, and random numbers in
    place of embeddings, must score at chance.

    Parameters
    ----------
    data : StudySet
    plan : FoldPlan
    null : pandas.DataFrame
        Of chapter 9: ``permutation``, ``auc``.
    seed : int

    Returns
    -------
    pandas.DataFrame
        ``target``, ``value`` (macro AUC), ``expected`` (sentence), ``chance``, ``passes`` (bool).
    """
    rng = np.random.default_rng(seed)
    planted = power.inject(data.X, data.y, data.infants, PLANTED, rng)
    noise = rng.normal(size=data.X.shape).astype(np.float32)
    permuted = null.loc[null["permutation"] > 0, "auc"]
    mean, (low, high) = permuted.mean(), permuted.quantile([0.005, 0.995])
    found, random = (float(repeat_auc(X, data.y, plan).mean()) for X in (planted, noise))
    table = [
        ("planted signal", found, "above every permutation", found > permuted.max()),
        ("labels exchanged (mean)", mean, "0.5 within 0.02", abs(mean - 0.5) <= 0.02),
        ("random embeddings", random, "among the permutations", low <= random <= high),
    ]
    out = pd.DataFrame(table, columns=["target", "value", "expected", "passes"])
    return out.assign(chance=0.5, passes=out["passes"].astype(bool))


def without_sound(data: StudySet, setting: Setting) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Each piece of metadata alone, all of it, the sound, and both together.

    Returns
    -------
    alone : pandas.DataFrame
        ``what``, ``value`` (macro AUC), ``low``, ``high``, ``chance``.
    increments : pandas.DataFrame
        ``what`` minus all metadata, from the same draws: ``value``, ``low``, ``high``.
    """
    everything = permutation.metadata_matrix(data.recordings)
    features = {name: _only(data.recordings, column) for name, column in METADATA.items()}
    features |= {"all metadata": everything, "sound": data.X}
    features["sound and metadata"] = np.column_stack([data.X, everything])
    made = [setting.predictions(data.with_features(X, name)) for name, X in features.items()]
    table, kept = pd.concat(made, ignore_index=True), ["representation", "value", "low", "high"]
    draws, seed, within = setting.draws, setting.seed, ("platform",)
    alone = bootstrap.bootstrap(table, draws, seed, within)
    compared = "representation", "all metadata"
    more = bootstrap.paired_difference(table, *compared, draws, seed, within)
    more = more[more["representation"].isin(["sound", "sound and metadata"])]
    alone, more = (
        t.loc[t["metric"] == "auc_macro", kept].rename(columns={"representation": "what"})
        for t in (alone, more)
    )
    return alone.assign(chance=0.5).reset_index(drop=True), more.reset_index(drop=True)


def within_platform(data: StudySet, rungs: Sequence[str], setting: Setting) -> pd.DataFrame:
    """The ladder on each platform's recordings alone: no telephone can stand in for a label.

    A platform with fewer infants of a class than folds is left out; where that leaves none, all
    recordings stand as one series.

    Returns
    -------
    pandas.DataFrame
        ``series`` (platform, or 'all'), ``rung``, ``value``, ``low``, ``high``, ``n``, ``infants``.
    """
    parts = {}
    for platform in sorted(set(data.recordings["platform"]) - {""}):
        own = data.subset((data.recordings["platform"] == platform).to_numpy())
        infants = own.recordings.groupby("label")["infant"].nunique()
        if infants.reindex(CLASSES, fill_value=0).min() >= setting.folds:
            parts[platform] = own
    tables = []
    for name, own in (parts or {"all": data}).items():
        no_copies = np.empty((0, *own.X.shape), np.float32)
        for fit in leakage.fits(rungs, setting.repeats):
            made = leakage.predict(own, no_copies, setting.folds, setting.seed, fit)
            tables.append(made.assign(series=name))
    found = bootstrap.bootstrap(
        pd.concat(tables, ignore_index=True), setting.draws, setting.seed, by=("series", "protocol")
    )
    found = found[found["metric"] == "auc_macro"]
    found = found.rename(columns={"protocol": "rung", "units": "infants"})
    return found[["series", "rung", "value", "low", "high", "n", "infants"]].reset_index(drop=True)


def neighbours(data: StudySet) -> pd.DataFrame:
    """Whose the nearest recording is, and of which class: cosine distance of standardised embeddings.

    Returns
    -------
    pandas.DataFrame
        ``question``, ``n`` (recordings that could have such a neighbour), ``value``, ``chance``.
        Of many recordings, a sample (`exploration.sampled`).
    """
    data = data.subset(sampled(data.recordings["infant"]))
    Z = Reduction.fit(data.X, 0.95)(data.X)
    infants, labels = list(data.infants), list(data.recordings["label"])
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


def verification(data: StudySet, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Are two recordings of one infant? AUC of the cosine similarity of standardised embeddings.

    Pairs of one infant against pairs of two infants on the same platform; chance is 1/2.

    Parameters
    ----------
    data : StudySet
        Its recordings with `infant`, `platform` and `time_s`.
    draws, seed : int
        Bootstrap over infants of the pairs of one infant; the others' are so many that their
        spread does not count.

    Returns
    -------
    pandas.DataFrame
        ``gap`` ('any', and those of GAPS_S that occur), ``pairs``, ``infants``, ``value``, ``low``,
        ``high``, ``chance``. Of many recordings, a sample (`exploration.sampled`).
    """
    data = data.subset(sampled(data.recordings["infant"]))
    recordings, Z = data.recordings, Reduction.fit(data.X, 0.95)(data.X)
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


def named_infants(
    X: np.ndarray, infants: np.ndarray, shuffles: int = 5, seed: int = 0
) -> dict[str, float]:
    """How often a linear probe names the infant of a new recording.

    Ridge classifier on standardised components, five folds over recordings, infants with at least
    FEWEST_RECORDINGS recordings; all of it again on shuffled names for its chance.

    Returns
    -------
    dict
        ``infants``, ``recordings``, ``value`` (share named right), ``chance`` (mean of the shuffles).
        ``value`` is NaN with fewer than two such infants.
    """
    _, codes, counts = np.unique(infants, return_inverse=True, return_counts=True)
    keep = counts[codes] >= FEWEST_RECORDINGS
    found = {"infants": int((counts >= FEWEST_RECORDINGS).sum()), "recordings": int(keep.sum())}
    if found["infants"] < 2:
        return {**found, "value": np.nan, "chance": np.nan}
    X, codes = np.asarray(X, float)[keep], codes[keep]
    rng = np.random.default_rng(seed)
    shuffled = [_named_right(X, rng.permutation(codes), seed) for _ in range(shuffles)]
    chance = float(np.mean(shuffled))
    return {**found, "value": _named_right(X, codes, seed), "chance": chance}


def _only(recordings: pd.DataFrame, column: str) -> np.ndarray:
    """Metadata with every column but one blanked, so that coding is one and the same."""
    blank: Mapping[str, Any] = {"platform": "", "sex": "", "age_band": "", "level_dbfs": 0.0}
    hidden = {name: value for name, value in blank.items() if name != column}
    return permutation.metadata_matrix(recordings.assign(**hidden))


def _within(data: StudySet, fold: np.ndarray, columns: tuple[str, ...]) -> np.ndarray:
    table = data.recordings[list(columns)].assign(fold=fold)
    return strata(table, ["fold", *columns])


def _probe(
    X: np.ndarray, target: np.ndarray, fold: np.ndarray, strengths: Sequence[float]
) -> np.ndarray:
    """Out-of-fold scores of every value at every strength, shape (strengths, n, k)."""
    score = np.zeros((len(strengths), len(X), target.max() + 1))
    for k in np.unique(fold):
        train, test = fold != k, np.flatnonzero(fold == k)
        reduction = Reduction.fit(X[train], PRIMARY.explained)
        Z, heard = reduction(X[train]), reduction(X[test])
        for i, C in enumerate(strengths):
            model = LogisticRegression(C=C, class_weight="balanced", max_iter=2000)
            model.fit(Z, target[train])
            score[i][np.ix_(test, model.classes_)] = model.predict_proba(heard)
    return score


def _interval(
    score: list[np.ndarray],
    target: np.ndarray,
    stratum: list[np.ndarray],
    infants: pd.Series,
    draws: int,
    seed: int,
) -> dict[str, float]:
    """Mean one-vs-rest AUC over repeats, and its percentiles over draws of infants."""
    weights = np.column_stack([np.ones(len(target)), draw_weights(infants, draws, seed)])
    values = [
        [Ranked(target == k, own[:, k], part).auc(weights) for k in range(own.shape[1])]
        for own, part in zip(score, stratum, strict=True)
    ]
    means = np.mean(values, axis=(0, 1))
    return bootstrap.estimate(means, "probe")


def _interval_by_class(
    score: list[np.ndarray],
    target: np.ndarray,
    stratum: list[np.ndarray],
    infants: pd.Series,
    draws: int,
    seed: int,
) -> dict[str, float]:
    """As `_interval` where each value is an infant: infants' own AUCs are drawn, not recordings."""
    each = np.ones((len(target), 1))
    values = [
        [Ranked(target == k, own[:, k], part).auc(each)[0] for k in range(own.shape[1])]
        for own, part in zip(score, stratum, strict=True)
    ]
    by_infant = np.nanmean(values, axis=0)
    by_infant = by_infant[np.isfinite(by_infant)]
    weights = bootstrap.unit_draws(len(by_infant), draws, seed)
    means = by_infant @ weights / len(by_infant)
    return bootstrap.estimate(np.append(by_infant.mean(), means), "probe")


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
