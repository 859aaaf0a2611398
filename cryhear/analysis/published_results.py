"""The cross-check: five reasons on the cleaned set, by the protocols of infant-cry-ssl (2026).

Their figures are on 433 recordings (14 that are no cries left out by ear) with other models; ours
are on all 457 with one logistic regression. What is compared is what each protocol does, not a
decimal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from cryhear.evaluation.auc import Ranked
from cryhear.models.fitted import Reduction
from cryhear.models.primary import PRIMARY

REASONS = {"hu": "hungry", "dc": "discomfort", "ch": "discomfort", "ti": "tired",
           "bp": "belly pain", "bu": "burping"}  # fmt: skip
"""Reason codes as the cleaned set's five folders name them: cold or hot went to discomfort."""

C = 0.01
PUBLISHED = (
    ("infants apart", "AUC", "fine-tuned", 0.48, "results/finetuning_results.csv, .47 to .49"),
    ("infants apart", "AUC", "best linear probe", 0.539, "README"),
    ("infants apart", "AUC", "frozen HuBERT", 0.42, "README"),
    ("infants apart", "balanced accuracy", "fine-tuned", 0.23, "results/finetuning_results.csv"),
    ("recordings apart", "accuracy", "fine-tuned", 0.852, "results/finetuning_leaky.csv"),
    ("recordings apart", "AUC", "fine-tuned", 0.697, "results/finetuning_leaky.csv"),
    ("recordings apart", "balanced accuracy", "fine-tuned", 0.307, "results/finetuning_leaky.csv"),
    ("copies on both sides", "accuracy", "fine-tuned", 0.979, "results/finetuning_leaky.csv"),
    ("copies on both sides", "AUC", "fine-tuned", 0.976, "results/finetuning_leaky.csv"),
    ("copies on both sides", "balanced accuracy", "fine-tuned", 0.900, "results/finetuning_leaky.csv"),
)  # fmt: skip
"""infant-cry-ssl's figures: protocol, metric, model, value, where in its repository."""


def five_classes(study_set: Any, seed: int, folds: int = 5, repeats: int = 3) -> pd.DataFrame:
    """Accuracy, balanced accuracy and macro AUC of five reasons under each protocol.

    Parameters
    ----------
    study_set : cryhear.embedding.tables.StudySet
        The cleaned set; its augmented copies, where there are any, make the third protocol.
    seed, folds, repeats : int

    Returns
    -------
    pandas.DataFrame
        ``protocol``, ``metric``, ``value`` (mean over repeats), ``sd`` (over repeats), ``n``, and
        ``chance``, what always naming the commonest reason scores.
    """
    reasons = study_set.recordings["reason"].map(REASONS)
    known = reasons.notna().to_numpy()
    X, infants = study_set.X[known], study_set.infants[known]
    names, y = np.unique(reasons[known].to_numpy(dtype=str), return_inverse=True)
    copies = np.asarray(study_set.copies())[:, known]
    rows = []
    for r in range(repeats):
        grouped = StratifiedGroupKFold(folds, shuffle=True, random_state=seed + r)
        by_file = StratifiedKFold(folds, shuffle=True, random_state=seed + r)
        rows += _scores("infants apart", X, y, grouped.split(X, y, infants), names)
        rows += _scores("recordings apart", X, y, by_file.split(X, y), names)
        if len(copies):
            wide, many = np.concatenate([X, *copies]), np.tile(y, 1 + len(copies))
            rows += _scores("copies on both sides", wide, many, by_file.split(wide, many), names)
    table = pd.DataFrame(rows, columns=["protocol", "metric", "value"])
    by = table.groupby(["protocol", "metric"], sort=False)["value"]
    table = by.agg(value="mean", sd="std").reset_index().assign(n=len(y), classes=len(names))
    most = np.bincount(y).max() / len(y)
    chance = {"accuracy": most, "balanced accuracy": 1 / len(names), "AUC": 0.5}
    return table.assign(chance=table["metric"].map(chance))


def five_classes_of(run: Any, seed: int, folds: int, repeats: int) -> pd.DataFrame:
    """`five_classes` of a run's cleaned set; no row where it has none."""
    if "cleaned" not in set(run.derived.manifest()["set"]):
        return pd.DataFrame(columns=["protocol", "metric", "value", "sd", "n", "classes", "chance"])
    return five_classes(run.load(set="cleaned"), seed, folds, repeats)


def beside_published(ours: pd.DataFrame) -> pd.DataFrame:
    """infant-cry-ssl's figures and ours under the same protocol.

    Returns
    -------
    pandas.DataFrame
        ``quantity``, ``original`` (theirs), ``ours`` and its ``chance`` (missing where we could not
        run), ``source``.
    """
    found = ours.set_index(["protocol", "metric"])[["value", "chance"]]
    nothing = pd.Series(np.nan, found.columns)
    rows = []
    for protocol, metric, model, value, source in PUBLISHED:
        key = (protocol, metric)
        mine, chance = found.loc[key] if key in found.index else nothing
        rows.append((f"{protocol}: {metric} ({model})", value, mine, chance, source))
    return pd.DataFrame(rows, columns=["quantity", "original", "ours", "chance", "source"])


def rises_as_folds_loosen(beside: pd.DataFrame, column: str) -> bool:
    """Whether the AUC of the fine-tuned row rises from infants apart to copies on both sides.

    Parameters
    ----------
    beside : pandas.DataFrame
        As `beside_published` gives it.
    column : {'ours', 'original'}
    """
    values = beside.set_index("quantity")[column]
    strict_first = ("infants apart", "recordings apart", "copies on both sides")
    steps = np.diff([values[f"{protocol}: AUC (fine-tuned)"] for protocol in strict_first])
    return bool((steps > 0).all() and steps[-1] == steps.max())


def _scores(
    protocol: str, X: np.ndarray, y: np.ndarray, split: Any, names: np.ndarray
) -> list[tuple[str, str, float]]:
    score, fold = np.zeros((len(y), len(names))), np.zeros(len(y), int)
    for k, (train, test) in enumerate(split):
        reduction = Reduction.fit(X[train], PRIMARY.explained)
        model = LogisticRegression(C=C, class_weight="balanced", max_iter=2000)
        model.fit(reduction(X[train]), y[train])
        score[np.ix_(test, model.classes_)] = model.predict_proba(reduction(X[test]))
        fold[test] = k
    right = score.argmax(axis=1) == y
    recall = [right[y == k].mean() for k in range(len(names))]
    ones = np.ones((len(y), 1))
    auc = [Ranked(y == k, score[:, k], fold).auc(ones)[0] for k in range(len(names))]
    return [
        (protocol, "accuracy", float(right.mean())),
        (protocol, "balanced accuracy", float(np.mean(recall))),
        (protocol, "AUC", float(np.mean(auc))),
    ]
