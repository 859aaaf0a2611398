"""Chapter 11: what noise, level, band, codec and offset do to a prediction; what a sound that is no cry gets.

The primary procedure is fitted on plain recordings, infants apart, and asked about the altered
versions of the recordings it has not heard. Nothing is fitted on an altered recording.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cryhear.analysis.primary_auc import FoldPlan, weighted_auc
from cryhear.audio.perturb import PERTURBATIONS
from cryhear.corpus.labels import CLASSES
from cryhear.embedding.tables import StudySet, kind_of, pool
from cryhear.errors import MissingArtefactError
from cryhear.evaluation import bootstrap
from cryhear.evaluation.auc import Ranked
from cryhear.evaluation.bootstrap import draw_weights
from cryhear.models import batched_logistic, primary
from cryhear.models.fitted import Reduction, distance
from cryhear.models.primary import PRIMARY, Procedure

PLAIN = "as recorded"
STRANGE = 0.95
"""Quantile of the held-out cries' distances above which a sound is called strange."""
CRY = "cries, held out"
BABY = "baby cry"
"""ESC-10's own cries: no other sound."""
SMALL = ("white_noise_20db", "pink_noise_20db", "gain_minus_10db", "offset_250ms")
"""The smallest noise, loss of level and offset that are tried; 10 dB are half as loud to a listener."""


@dataclass(frozen=True)
class Fold:
    """The primary procedure as fitted for one fold.

    Attributes
    ----------
    repeat : int
    train, test : numpy.ndarray of int
    reduction : Reduction
    spread : numpy.ndarray, shape (p,)
        Standard deviation of the training cries on each component.
    coef, intercept : numpy.ndarray, shape (1, K, p), (1, K)
    """

    repeat: int
    train: np.ndarray
    test: np.ndarray
    reduction: Reduction
    spread: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray

    def probabilities(self, X: np.ndarray) -> np.ndarray:
        """Class probabilities of other rows, shape (m, K)."""
        return batched_logistic.probabilities(self.reduction(X), self.coef, self.intercept)[0]

    def distance(self, X: np.ndarray) -> np.ndarray:
        """Distance from the training cries, shape (m,); see `cryhear.models.fitted.distance`."""
        return distance(self.reduction(X), self.spread)


def fitted(data: StudySet, plan: FoldPlan, procedure: Procedure = PRIMARY) -> list[Fold]:
    """The primary procedure fitted for every fold of a plan."""
    made = []
    for (repeat, _), inner in zip(plan.parts, plan.inner, strict=True):
        train, test = np.flatnonzero(inner >= 0), np.flatnonzero(inner < 0)
        reduction = Reduction.fit(data.X[train], procedure.explained)
        Z = reduction(data.X[train])
        coef, intercept, _ = primary.fit(Z, data.y[None, train], inner[train], procedure)
        made.append(Fold(repeat, train, test, reduction, Z.std(axis=0), coef, intercept))
    return made


def out_of_fold(folds: list[Fold], X: np.ndarray) -> np.ndarray:
    """Probabilities of each row by the models that have not heard its infant, shape (r, n, K)."""
    p = np.empty((1 + max(f.repeat for f in folds), len(X), len(CLASSES)))
    for fold in folds:
        p[fold.repeat, fold.test] = fold.probabilities(X[fold.test])
    return p


def stability(
    data: StudySet, plan: FoldPlan, folds: list[Fold], draws: int, seed: int
) -> pd.DataFrame:
    """What each altered version does to predictions, with a bootstrap over infants.

    Returns
    -------
    pandas.DataFrame
        One row a condition and measure: ``condition``, ``title``, ``family``, ``severity`` (in
        ``unit``), ``measure``, ``value``, ``low``, ``high``, ``n``, ``infants``. Measures: 'same
        label' (share of recordings given the label they got as recorded), 'moved' (mean total
        variation between the two probabilities, 0 to 1), 'similarity' (mean cosine of the
        standardised embedding with its plain self) and 'auc'.
    """
    weights = draw_weights(data.recordings["infant"], draws, seed)
    plain = out_of_fold(folds, data.X)
    made = []
    there = set(data.derived.variants(data.representation))
    for name in (PLAIN, *(n for n in PERTURBATIONS if n in there)):
        X = data.X if name == PLAIN else data.variant(name)
        p = plain if name == PLAIN else out_of_fold(folds, X)
        each = {
            "same label": (p.argmax(2) == plain.argmax(2)).mean(axis=0),
            "moved": np.abs(p - plain).sum(axis=2).mean(axis=0) / 2,
            "similarity": _cosine(data.X, X),
        }
        measured = {k: _mean(v, weights) for k, v in each.items()}
        wide = np.column_stack([np.ones(len(weights)), weights])
        measured["auc"] = bootstrap.estimate(weighted_auc(p, data.y, plan, wide), "macro AUC")
        made += [{**_described(name), "measure": k, **v} for k, v in measured.items()]
    counts = {"n": len(data.X), "infants": data.recordings["infant"].nunique()}
    return pd.DataFrame(made).assign(**counts)


def missing(data: StudySet) -> list[str]:
    """Conditions of `perturb.PERTURBATIONS` whose embeddings the derived data lack."""
    there = set(data.derived.variants(data.representation))
    return [name for name in PERTURBATIONS if name not in there]


def changed(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Rows of one measure for what was altered; where nothing was, the recordings as they are."""
    own = table[table["measure"] == measure]
    altered = own[own["condition"] != PLAIN]
    return (altered if len(altered) else own).reset_index(drop=True)


def by_noise(table: pd.DataFrame) -> pd.DataFrame:
    """Shares that keep their label by added noise; where none was added, as recorded."""
    own = changed(table, "same label")
    noise = own[own["family"].str.endswith("noise")]
    return noise if len(noise) else own.head(1).assign(severity=PLAIN)


def agreement_by_chance(data: StudySet, folds: list[Fold]) -> float:
    """How often two unrelated recordings get the same label: sum of squared shares, mean of repeats."""
    labels = out_of_fold(folds, data.X).argmax(axis=2)
    shares = np.stack([np.bincount(own, minlength=len(CLASSES)) / len(own) for own in labels])
    return float((shares**2).sum(axis=1).mean())


def references(data: StudySet, seed: int) -> pd.DataFrame:
    """How alike recordings are anyway: cosine with another of the infant, and of another infant.

    Returns
    -------
    pandas.DataFrame
        ``what``, ``value`` (mean cosine of standardised embeddings), ``n``; no row for what no
        recording has, such as another of its infant.
    """
    infant = data.recordings["infant"].to_numpy()
    rng, at = np.random.default_rng(seed), np.arange(len(infant))
    Z = _unit(data.X, data.X)
    same, other = [], []
    for i in at:
        mine = at[(infant == infant[i]) & (at != i)]
        if len(mine):
            same.append(Z[i] @ Z[rng.choice(mine)])
        if len(others := at[infant != infant[i]]):
            other.append(Z[i] @ Z[rng.choice(others)])
    found = {"another recording of the infant": same, "a recording of another infant": other}
    table = [(what, np.mean(values), len(values)) for what, values in found.items() if values]
    return pd.DataFrame(table, columns=["what", "value", "n"])


def ood_scores(data: StudySet, folds: list[Fold]) -> pd.DataFrame:
    """Distances of held-out cries and of other sounds from the training cries.

    Returns
    -------
    pandas.DataFrame
        One row a recording: ``source`` (CRY or the other sound's category; only CRY where the
        derived data hold no other sounds), ``recording``, ``infant`` ('' for other sounds),
        ``score`` (mean over the models), ``confidence`` (largest probability, mean), ``label`` (of
        the mean probabilities).
    """
    cries = data.recordings[["recording", "infant"]].assign(source=CRY)
    score, p = np.zeros((2, len(data.X))), out_of_fold(folds, data.X)
    for fold in folds:
        score[:, fold.test] += np.stack([fold.distance(data.X[fold.test]), np.ones(len(fold.test))])
    cries = _judged(cries, score[0] / score[1], p)
    try:
        keys, vectors = data.derived.other(data.representation)
    except MissingArtefactError:
        return cries
    ids, X = pool(keys, vectors)
    category = keys.drop_duplicates("recording").set_index("recording")["category"]
    other = pd.DataFrame({"source": category.loc[ids].map(kind_of).to_numpy(),
                          "recording": ids, "infant": ""})  # fmt: skip
    own = np.mean([fold.distance(X) for fold in folds], axis=0)
    other = _judged(other, own, np.stack([fold.probabilities(X) for fold in folds]))
    return pd.concat([cries, other], ignore_index=True)


def ood_table(table: pd.DataFrame, draws: int, seed: int) -> pd.DataFrame:
    """For each kind of other sound: how well distance tells it from a held-out cry.

    Returns
    -------
    pandas.DataFrame
        ``source``, ``n``, ``value`` (AUC of the distance against held-out cries; 1 always farther),
        ``low``, ``high`` (bootstrap over infants and over the other recordings), ``strange`` (share
        beyond the 95th percentile of held-out cries), ``confidence``, and the share given each label.
    """
    cry = table[table["source"] == CRY]
    limit = threshold(table)
    rows = []
    for source in [CRY, *sorted(set(table["source"]) - {CRY})]:
        own = table[table["source"] == source]
        row = {"source": source, "n": len(own), "strange": (own["score"] > limit).mean(),
               "confidence": own["confidence"].mean()}  # fmt: skip
        row |= {label: (own["label"] == label).mean() for label in CLASSES}
        if source != CRY:
            row |= _ood_auc(own["score"], cry, draws, seed)
        rows.append(row)
    return pd.DataFrame(rows)


def threshold(table: pd.DataFrame) -> float:
    """Distance above which a sound is called strange."""
    return float(table.loc[table["source"] == CRY, "score"].quantile(STRANGE))


def _ood_auc(score: pd.Series, cry: pd.DataFrame, draws: int, seed: int) -> dict[str, float]:
    both = np.concatenate([score, cry["score"]])
    is_other = np.arange(len(both)) < len(score)
    # Recordings of other sounds are drawn one by one, cries by infant.
    weights = np.concatenate([
        draw_weights(np.arange(len(score)), draws, seed + 1), draw_weights(cry["infant"], draws, seed)
    ])  # fmt: skip
    ranked = Ranked(is_other, both)
    value = ranked.auc(np.ones((len(both), 1)))
    return bootstrap.estimate(np.append(value, ranked.auc(weights)), "distance")


def _judged(table: pd.DataFrame, score: np.ndarray, p: np.ndarray) -> pd.DataFrame:
    labels = np.array(CLASSES, dtype=object)[p.mean(axis=0).argmax(axis=1)]
    return table.assign(score=score, confidence=p.max(axis=2).mean(axis=0), label=labels)


def _described(name: str) -> dict[str, object]:
    if name == PLAIN:
        return {"condition": PLAIN, "title": PLAIN, "family": PLAIN, "severity": np.nan, "unit": ""}
    one = PERTURBATIONS[name]
    return {"condition": name, "title": one.title, "family": one.family, "severity": one.value,
            "unit": one.unit}  # fmt: skip


def _unit(X: np.ndarray, reference: np.ndarray) -> np.ndarray:
    spread = reference.std(axis=0)
    Z = (X - reference.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return Z / np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), 1e-12)


def _cosine(plain: np.ndarray, X: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", _unit(plain, plain), _unit(X, plain))


def _mean(each: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    low, high = bootstrap.mean_interval(each, weights)
    return {"value": float(each.mean()), "low": low, "high": high}
