"""The figures of the original study as it printed them, and what follows from them by arithmetic.

Two sets exist, the article's and the published notebook's own outputs; both are kept. `rederived`
checks them against each other: what can be recomputed from printed numbers is, and nothing was run.
`beside` puts ours in the same places.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryhear.corpus.labels import CLASSES, display_name
from cryhear.files import existing, read_json
from cryhear.models.baselines import NO_SOUND

FACTS = Path("data/original/original_study.json")
"""The original's printed figures, with where each was read."""
N_FOLDS = 5


def facts(path: str | os.PathLike[str] = FACTS) -> dict[str, Any]:
    """The original's printed figures, as nested dictionaries."""
    return read_json(existing(path))


def shares(study: dict[str, Any]) -> np.ndarray:
    """Share of each class among the labelled files, float64 (3,), in the order of CLASSES."""
    counts = study["data"]["class_counts"]
    n = np.array([counts[name] for name in CLASSES], dtype=float)
    return n / n.sum()


def identical_share(copies: int, untouched: float, folds: int, plain: float = 0.0) -> float:
    """Share of rows that have an identical row on the training side, folds drawn over rows.

    Parameters
    ----------
    copies : int
        Copies of each training file, beside its plain row.
    untouched : float
        Probability that a copy is left as it was.
    folds : int
    plain : float
        Rows without copies (the validation part) for each training file.

    Notes
    -----
    A sibling is on the training side with probability 1 - 1 / folds. A plain row is repeated by
    each untouched copy; an untouched copy by the plain row and by each other untouched copy; a
    changed copy by nothing.
    """
    apart = 1 - 1 / folds
    missed = 1 - untouched * apart
    of_plain = 1 - missed**copies
    of_copy = untouched * (1 - (1 - apart) * missed ** (copies - 1))
    return (of_plain + copies * of_copy) / (1 + copies + plain)


def untouched(augment: dict[str, Any]) -> float:
    """Probability that a copy is left as it was.

    The original draws whether to alter a copy at all; then each transform draws for itself whether it
    is applied, and now and then none is.

    Examples
    --------
    >>> untouched({"probability_of_augmenting_a_copy": 0.5, "probabilities": {"a": 0.5, "b": 0.5}})
    0.625
    """
    tried = augment["probability_of_augmenting_a_copy"]
    none_applied = np.prod([1 - p for p in augment["probabilities"].values()])
    return float(1 - tried + tried * none_applied)


def rederived(study: dict[str, Any]) -> dict[str, float]:
    """What the printed figures imply, by name.

    Returns
    -------
    dict of str to float
        ``majority_rate``; ``balanced_accuracy`` and ``accuracy_from_recalls`` of the notebook's MLP
        on the holdout, ``f1_from_classes``; ``gain_over_majority``; ``cv_mean``, ``cv_sd`` (of the
        population), ``cv_sd_sample``; ``rows_per_file``, ``cv_rows``, ``copy_untouched`` (probability
        that a copy is as it was), ``identical_share``, ``cv_expected_low`` and ``cv_expected_high``
        (identical rows always right, the others at the file-disjoint accuracy of validation or
        holdout); ``holdout_se``; ``scanned_minus_found``; ``train_accuracy`` implied by the article's
        gap; ``dimension_difference``; ``text_minus_notebook``.
    """
    data, holdout = study["data"], study["notebook_outputs"]["mlp"]["holdout"]
    prior, parts = shares(study), data["split_counts"]
    recalls = np.array([holdout["recall"][name] for name in CLASSES])
    f1 = np.array([holdout["f1"][name] for name in CLASSES])
    folds = np.array(study["notebook_outputs"]["cross_validation_svm_5fold"]["folds"])
    extra = study["augmentation"]["train_embeddings"] // parts["train"] - 1
    kept = untouched(study["pipeline"]["augment"])
    same = identical_share(extra, kept, N_FOLDS, parts["validation"] / parts["train"])
    apart = (
        study["classical_validation_accuracy"]["svm_rbf"],
        study["abstract"]["svm_holdout_accuracy"],
    )
    accuracy, majority = holdout["accuracy"], float(prior.max())
    return {
        "majority_rate": majority,
        "gain_over_majority": accuracy - majority,
        "balanced_accuracy": float(recalls.mean()),
        "accuracy_from_recalls": float(prior @ recalls),
        "f1_from_classes": float(prior @ f1),
        "holdout_se": float(np.sqrt(accuracy * (1 - accuracy) / parts["holdout"])),
        "text_minus_notebook": study["abstract"]["mlp_accuracy"]["holdout"] - accuracy,
        "cv_mean": float(folds.mean()),
        "cv_sd": float(folds.std()),
        "cv_sd_sample": float(folds.std(ddof=1)),
        "rows_per_file": float(1 + extra),
        "cv_rows": float(study["augmentation"]["train_embeddings"] + parts["validation"]),
        "copy_untouched": kept,
        "identical_share": same,
        "cv_expected_low": same + (1 - same) * min(apart),
        "cv_expected_high": same + (1 - same) * max(apart),
        "train_accuracy": study["abstract"]["mlp_accuracy"]["holdout"]
        + study["abstract"]["train_holdout_gap"],
        "dimension_difference": float(
            study["embedding"]["claimed_dim"] - study["embedding"]["printed_dim"]
        ),
        "scanned_minus_found": float(SCANNED - data["files_found"]),
    }


SCANNED = 6258 + 2296
"""Entries of its two collections that the original says it scanned (`sources` of the facts)."""

_MLP = ("accuracy", "precision_weighted", "recall_weighted", "f1_weighted")


def figures(study: dict[str, Any]) -> pd.DataFrame:
    """Every score that the original printed.

    Returns
    -------
    pandas.DataFrame
        ``source`` ('article', 'notebook'), ``model``, ``part`` ('validation', 'test', 'holdout',
        'rows', 'gap'), ``metric`` (named as in `cryhear.evaluation.metrics.METRICS`), ``original``.
    """
    rows: list[tuple[str, str, str, str, float]] = []
    printed, article = study["notebook_outputs"], study["abstract"]
    for model in ("mlp", "soft_voting"):
        for part, values in printed[model].items():
            rows += [("notebook", model, part, m, values[m]) for m in _MLP if m in values]
            for metric in ("f1", "recall"):
                by_class = values.get(metric, {})
                rows += [
                    ("notebook", model, part, f"{metric}_{c}", by_class[c])
                    for c in CLASSES
                    if c in by_class
                ]
    for model, value in study["classical_validation_accuracy"].items():
        rows.append(("notebook", model, "validation", "accuracy", value))
    for metric in ("accuracy", "f1_weighted"):
        for part, value in article[f"mlp_{metric}"].items():
            rows.append(("article", "mlp", part, metric, value))
    for metric in ("auc", "f1"):
        rows += [
            ("article", "mlp", "holdout", f"{metric}_{c}", article[metric][c]) for c in CLASSES
        ]
    rows.append(("article", "svm_rbf", "holdout", "accuracy", article["svm_holdout_accuracy"]))
    rows.append(("article", "mlp", "gap", "accuracy", article["train_holdout_gap"]))
    printed_gap = printed["mlp_training"]["gaps"]["holdout"]
    rows.append(("notebook", "mlp", "gap", "accuracy", printed_gap))
    for source, cell in (("notebook", printed), ("article", article)):
        mean = cell["cross_validation_svm_5fold"]["mean"]
        rows.append((source, "svm_rbf", "rows", "accuracy", mean))
    return pd.DataFrame(rows, columns=["source", "model", "part", "metric", "original"])


_PLACE = ["model", "part", "metric"]


def beside(
    printed: pd.DataFrame, scores: pd.DataFrame, rowwise: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The original's figures with ours in the same place, by file and by infant.

    Parameters
    ----------
    printed : pandas.DataFrame
        As `figures` returns it.
    scores : pandas.DataFrame
        `score_tables.scored` of the protocols split_file and split_infant on one representation, of all
        parts, train among them.
    rowwise : pandas.DataFrame, optional
        Scores of the original's cross-validation (`four_way.original_folds`), all rows.

    Returns
    -------
    pandas.DataFrame
        The columns of `printed`, then ``ours``, ``low``, ``high`` (split by file, or folds over rows),
        ``infants`` (infants kept whole) and ``majority`` (of ours); missing where not run.
    """
    fitted = scores[scores["representation"] != NO_SOUND]
    cells = fitted[fitted["metric"] == "accuracy"].set_index(
        ["protocol", "model", "metric", "part"]
    )
    by_part = cells["value"].unstack().reindex(columns=["train", "holdout"])
    gap = (by_part["train"] - by_part["holdout"]).rename("value").reset_index().assign(part="gap")
    kept = ["protocol", *_PLACE, "value"]
    tables = [fitted[[*kept, "low", "high"]], gap]
    if rowwise is not None:
        tables.append(rowwise.assign(model="svm_rbf", part="rows")[kept])
    everything = pd.concat(tables, ignore_index=True)
    ours, infants = (
        everything[everything["protocol"].isin(protocols)].set_index(_PLACE)
        for protocols in (("split_file", "rows"), ("split_infant", "infants"))
    )
    columns = {"value": "ours", "low": "low", "high": "high"}
    table = printed.join(ours[[*columns]].rename(columns=columns), on=_PLACE)
    table = table.join(infants["value"].rename("infants"), on=_PLACE)
    majority = ours["value"].xs("majority_rate", level="metric").rename("majority")
    return table.join(majority, on=["model", "part"])


def over_majority(table: pd.DataFrame, majority: float) -> pd.DataFrame:
    """Accuracies of `beside` less the majority rate of their own data, for `figures.beside_original`.

    Parameters
    ----------
    table : pandas.DataFrame
        As `beside` returns it.
    majority : float
        The original's majority rate.

    Returns
    -------
    pandas.DataFrame
        ``quantity``, ``original``, ``ours``, ``low``, ``high``, ``infants``, ``chance`` (0: the majority
        rate) and ``shared``: what the two figures of a row have in common. Only the folds over rows
        repeat the original's model, search and weights (`four_way.original_folds`), and they stand first.
    """
    rows = table[(table["metric"] == "accuracy") & (table["part"] != "gap")]
    rows = rows[rows["ours"].notna()].copy()
    names = {"rows": "cross-validation over rows"}
    says = [
        f"{display_name(m)}, {names.get(p, p)}"
        for m, p in zip(rows["model"], rows["part"], strict=True)
    ]
    rows["quantity"] = [f"{s} ({o})" for s, o in zip(says, rows["source"], strict=True)]
    rows["original"] -= majority
    for column in ("ours", "low", "high", "infants"):
        rows[column] -= rows["majority"]
    rows["low"], rows["high"] = rows["low"].fillna(rows["ours"]), rows["high"].fillna(rows["ours"])
    alike = rows["part"] == "rows"
    rows = rows.assign(chance=0.0, shared=np.where(alike, SAME_SETTINGS, SAME_SPLIT))
    columns = ["quantity", "original", "ours", "low", "high", "infants", "chance", "shared"]
    return pd.concat([rows[alike], rows[~alike]])[columns].reset_index(drop=True)


SAME_SETTINGS, SAME_SPLIT = "same folds and grid", "same split only"
"""What a figure of ours shares with the original's in its place (`over_majority`)."""
