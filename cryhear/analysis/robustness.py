"""Chapter 11: what noise, level, band, codec and offset do to a prediction; what a sound that is no cry gets.

The primary procedure is fitted on plain recordings, infants apart, and asked about the altered
versions of the recordings it has not heard. Nothing is fitted on an altered recording.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cryhear.analysis.primary_auc import Plan, weighted_auc
from cryhear.analysis.trials import Rows
from cryhear.audio.perturb import PERTURBATIONS
from cryhear.corpus.labels import CLASSES
from cryhear.embedding.tables import StudySet, kind_of, pool
from cryhear.errors import MissingArtefactError
from cryhear.evaluation import bootstrap
from cryhear.evaluation.auc import Ranked
from cryhear.evaluation.bootstrap import draw_weights
from cryhear.models import batched_logistic, primary
from cryhear.models.fitted import Reduction, distance
from cryhear.models.primary import PRIMARY

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


def fitted(rows: Rows, plan: Plan) -> list[Fold]:
    """The primary procedure fitted for every fold of a plan."""
    made = []
    for (repeat, _), inner in zip(plan.parts, plan.inner, strict=True):
        train, test = np.flatnonzero(inner >= 0), np.flatnonzero(inner < 0)
        reduction = Reduction.fit(rows.X[train], PRIMARY.explained)
        Z = reduction(rows.X[train])
        coef, intercept, _ = primary.fit(Z, rows.y[None, train], inner[train])
        made.append(Fold(repeat, train, test, reduction, Z.std(axis=0), coef, intercept))
    return made


def out_of_fold(folds: list[Fold], X: np.ndarray) -> np.ndarray:
    """Probabilities of each row by the models that have not heard its infant, shape (r, n, K)."""
    p = np.empty((1 + max(f.repeat for f in folds), len(X), len(CLASSES)))
    for fold in folds:
        p[fold.repeat, fold.test] = fold.probabilities(X[fold.test])
    return p


def stability(
    study_set: StudySet, rows: Rows, plan: Plan, folds: list[Fold], draws: int, seed: int
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
    weights = draw_weights(rows.recordings["infant"], draws, seed)
    plain = out_of_fold(folds, rows.X)
    made = []
    there = set(study_set.derived.variants(study_set.representation))
    for name in (PLAIN, *(n for n in PERTURBATIONS if n in there)):
        X = rows.X if name == PLAIN else study_set.variant(name)
        p = plain if name == PLAIN else out_of_fold(folds, X)
        each = {
            "same label": (p.argmax(2) == plain.argmax(2)).mean(axis=0),
            "moved": np.abs(p - plain).sum(axis=2).mean(axis=0) / 2,
            "similarity": _cosine(rows.X, X),
        }
        measured = {k: _mean(v, weights) for k, v in each.items()}
        wide = np.column_stack([np.ones(len(weights)), weights])
        measured["auc"] = bootstrap.estimate(weighted_auc(p, rows.y, plan, wide), "macro AUC")
        made += [{**_described(name), "measure": k, **v} for k, v in measured.items()]
    counts = {"n": len(rows.X), "infants": rows.recordings["infant"].nunique()}
    return pd.DataFrame(made).assign(**counts)


def missing(study_set: StudySet) -> list[str]:
    """Conditions of `perturb.PERTURBATIONS` whose embeddings the derived data lack."""
    there = set(study_set.derived.variants(study_set.representation))
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


def record_small(run: Any, labelled: pd.DataFrame) -> None:
    """Record what the changes of `SMALL` leave of the labels: the least, whose it is, and a sentence.

    ``slight``, ``slight_title``, ``conclusion_noise``. The shares of single changes that the sentence
    quotes are recorded before, or said to be absent here.
    """
    own = labelled[labelled["condition"].isin(SMALL)]
    run.absent("same_gain_minus_10db", "same_offset_250ms")
    if own.empty:
        says = "No noise, other level or offset was tried here: the derived data hold no altered versions."
        run.absent("slight", "slight_title")
        run.number("conclusion_noise", says, "text")
        return
    least = own.loc[own["value"].idxmin()]
    note = "lowest of the small changes"
    run.number("slight", float(least["value"]), "share", n=int(least["n"]), note=note)
    run.number("slight_title", least["title"], "text")
    run.conclude(
        "conclusion_noise", least["value"] >= 0.9,
        "Noise 20 dB below the cry, 10 dB less level or a start a quarter of a second later leave most "
        "labels as they were: {num}`robustness.slight` with the worst of them.",
        "Small changes change the answer: {num}`robustness.slight_title` leaves {num}`robustness.slight` of "
        "the labels as they were, a level 10 dB lower {num}`robustness.same_gain_minus_10db`, a start a "
        "quarter of a second later {num}`robustness.same_offset_250ms`.",
        of=["slight"], beside=["slight_title", "same_gain_minus_10db", "same_offset_250ms"],
    )  # fmt: skip


def agreement_by_chance(rows: Rows, folds: list[Fold]) -> float:
    """How often two unrelated recordings get the same label: sum of squared shares, mean of repeats."""
    labels = out_of_fold(folds, rows.X).argmax(axis=2)
    shares = np.stack([np.bincount(own, minlength=len(CLASSES)) / len(own) for own in labels])
    return float((shares**2).sum(axis=1).mean())


def references(rows: Rows, seed: int) -> pd.DataFrame:
    """How alike recordings are anyway: cosine with another of the infant, and of another infant.

    Returns
    -------
    pandas.DataFrame
        ``what``, ``value`` (mean cosine of standardised embeddings), ``n``; no row for what no
        recording has, such as another of its infant.
    """
    infant = rows.recordings["infant"].to_numpy()
    rng, at = np.random.default_rng(seed), np.arange(len(infant))
    Z = _unit(rows.X, rows.X)
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


def strangeness(study_set: StudySet, rows: Rows, folds: list[Fold]) -> pd.DataFrame:
    """Distances of held-out cries and of other sounds from the training cries.

    Returns
    -------
    pandas.DataFrame
        One row a recording: ``source`` (CRY or the other sound's category; only CRY where the
        derived data hold no other sounds), ``recording``, ``infant`` ('' for other sounds),
        ``score`` (mean over the models), ``confidence`` (largest probability, mean), ``label`` (of
        the mean probabilities).
    """
    cries = rows.recordings[["recording", "infant"]].assign(source=CRY)
    score, p = np.zeros((2, len(rows.X))), out_of_fold(folds, rows.X)
    for fold in folds:
        score[:, fold.test] += np.stack([fold.distance(rows.X[fold.test]), np.ones(len(fold.test))])
    cries = _judged(cries, score[0] / score[1], p)
    try:
        keys, vectors = study_set.derived.other(study_set.representation)
    except MissingArtefactError:
        return cries
    ids, X = pool(keys, vectors)
    category = keys.drop_duplicates("recording").set_index("recording")["category"]
    other = pd.DataFrame({"source": category.loc[ids].map(kind_of).to_numpy(),
                          "recording": ids, "infant": ""})  # fmt: skip
    own = np.mean([fold.distance(X) for fold in folds], axis=0)
    other = _judged(other, own, np.stack([fold.probabilities(X) for fold in folds]))
    return pd.concat([cries, other], ignore_index=True)


def strange_table(table: pd.DataFrame, draws: int, seed: int) -> pd.DataFrame:
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
            row |= _told_apart(own["score"], cry, draws, seed)
        rows.append(row)
    return pd.DataFrame(rows)


def record_other(run: Any, kinds: pd.DataFrame) -> None:
    """Record what `strange_table` found; where there are no other sounds, text that says so."""
    others = kinds[~kinds["source"].isin([CRY, BABY])]
    _record_other(run, kinds, others)
    if others.empty:
        says = "Sounds that are no cry were not part of this study, so what it says to them was not asked."
        run.number("conclusion_other", says, "text")
    run.absent(*OTHER_KEYS)


def _record_other(run: Any, kinds: pd.DataFrame, others: pd.DataFrame) -> None:
    run.number("n_other", int(kinds["n"].iloc[1:].sum()), "count")
    run.number("confidence_cry", kinds["confidence"].iloc[0], "score", n=int(kinds["n"].iloc[0]))
    if others.empty:
        return
    n, label_shares = int(others["n"].sum()), others[list(CLASSES)]
    at = label_shares.max(axis=1).idxmax()
    mean = {c: float(np.average(others[c], weights=others["n"])) for c in ("strange", "confidence")}
    told = float(others["value"].mean())
    run.number("told_apart", told, "score", n=n, note="mean over kinds of sound")
    run.number("strange_share", mean["strange"], "share", n=n)
    run.number("confidence_other", mean["confidence"], "score", n=n)
    run.number("worst_source", others.loc[at, "source"], "text")
    run.number("worst_label", label_shares.loc[at].astype(float).idxmax(), "text")
    worst = float(label_shares.loc[at].max())
    run.number("worst_share", worst, "share", n=int(others.loc[at, "n"]))
    baby = kinds[kinds["source"] == BABY]
    if len(baby):
        row = baby.iloc[0]
        run.interval("baby", row, "score", n=int(row["n"]))
        run.conclude(
            "conclusion_baby", row["low"] <= 0.6,
            "they are not clearly stranger.", "they are stranger too.",
            of=["baby"],
        )  # fmt: skip
    run.conclude(
        "conclusion_other", mean["confidence"] < kinds["confidence"].iloc[0],
        "A sound that is no cry gets a label too, with less confidence than a cry.",
        "A sound that is no cry gets a label too, with no less confidence than a cry: "
        "of the {num}`robustness.worst_source` clips, {num}`robustness.worst_share` are called "
        "{num}`robustness.worst_label`.",
        of=["confidence_other", "confidence_cry"], beside=["worst_share", "worst_source", "worst_label"],
    )  # fmt: skip
    run.conclude(
        "conclusion_warning", told >= 0.9,
        "Distance from the training cries mostly ranks them apart (AUC {num}`robustness.told_apart` on "
        "average), yet only {num}`robustness.strange_share` of them lie beyond the threshold.",
        "Distance from the training cries tells them apart only in part: AUC "
        "{num}`robustness.told_apart` on average; {num}`robustness.strange_share` of them lie beyond "
        "the threshold.",
        of=["told_apart"], beside=["strange_share"],
    )  # fmt: skip


OTHER_KEYS = ("told_apart", "strange_share", "confidence_other", "worst_source", "worst_label",
              "worst_share", "baby", "conclusion_baby", "conclusion_other", "conclusion_warning")  # fmt: skip


def threshold(table: pd.DataFrame) -> float:
    """Distance above which a sound is called strange."""
    return float(table.loc[table["source"] == CRY, "score"].quantile(STRANGE))


def _told_apart(score: pd.Series, cry: pd.DataFrame, draws: int, seed: int) -> dict[str, float]:
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
