"""What chapter 8 computes once the holdout is open: calibration, right and wrong, the original beside.

Everything here takes tables of predictions and scores of one four-way split; nothing is fitted on
features and nothing is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cryhear.corpus.labels import CLASSES
from cryhear.errors import EvaluationError
from cryhear.evaluation import calibration
from cryhear.evaluation.bootstrap import PROBABILITIES, draw_weights
from cryhear.evaluation.calibration import Calibration, fit_temperature
from cryhear.evaluation.metrics import scores
from cryhear.evaluation.score_tables import shown, unit_of
from cryhear.models.baselines import NO_SOUND

NOT_RUN = "not run"
"""Recorded in the place of a number of ours that this run left out."""


def cell(predictions: pd.DataFrame, model: str, part: str) -> pd.DataFrame:
    """Rows of one model and part, of a table that holds one protocol and representation."""
    rows = predictions[(predictions["model"] == model) & (predictions["part"] == part)]
    if rows.empty or rows["recording"].duplicated().any():
        raise EvaluationError(
            f"{len(rows)} rows of {model!r} on {part!r}, of {rows['recording'].nunique()} recordings; "
            "expected one a recording, and some: take one protocol and representation first."
        )
    return rows.reset_index(drop=True)


def calibrated(predictions: pd.DataFrame, model: str) -> tuple[pd.DataFrame, Calibration]:
    """A model's predictions on every part, mended by what its validation part teaches.

    Returns
    -------
    predictions : pandas.DataFrame
        The model's rows with new probabilities.
    calibration : Calibration
        Temperature and biases, fitted on validation.
    """
    valid = cell(predictions, model, "validation")
    fitted = fit_temperature(valid["label"], valid[list(PROBABILITIES)].to_numpy(float))
    rows = predictions[predictions["model"] == model].reset_index(drop=True)
    mended = fitted.apply(rows[list(PROBABILITIES)].to_numpy(float))
    return rows.assign(**dict(zip(PROBABILITIES, mended.T, strict=True))), fitted


def priors(predictions: pd.DataFrame, model: str) -> np.ndarray:
    """Class shares of the training part, float64 (3,)."""
    counts = cell(predictions, model, "train")["label"].value_counts()
    shares = counts.reindex(list(CLASSES), fill_value=0).to_numpy(float)
    return shares / shares.sum()


def calibration_scores(
    tables: Mapping[str, pd.DataFrame], model: str, prior: np.ndarray
) -> pd.DataFrame:
    """Log loss beside the prior's, Brier score and calibration errors of each kind, on the holdout.

    Parameters
    ----------
    tables : dict of str to DataFrame
        Name ('as trained', 'calibrated') to predictions.
    model : str
    prior : shape (3,)
        Class shares of the training part.

    Returns
    -------
    pandas.DataFrame
        ``probabilities``, ``log_loss``, ``log_loss_prior``, ``log_loss_gain`` (above 0 beats the prior),
        ``brier``, ``ece``, ``ece_classwise``.
    """
    kept = ("log_loss", "log_loss_prior", "log_loss_gain", "brier", "ece", "ece_classwise")
    made = []
    for name, table in tables.items():
        rows = cell(table, model, "holdout")
        p = rows[list(PROBABILITIES)].to_numpy(float)
        found = scores(rows["label"], p / p.sum(axis=1, keepdims=True), priors=prior)
        made.append({"probabilities": name} | {metric: found[metric] for metric in kept})
    return pd.DataFrame(made)


def reliability(predictions: pd.DataFrame, model: str, draws: int, seed: int) -> pd.DataFrame:
    """Predicted against observed for the class named on the holdout (`calibration.reliability`)."""
    rows = cell(predictions, model, "holdout")
    p = rows[list(PROBABILITIES)].to_numpy(float)
    weights = draw_weights(rows["infant"], draws, seed)
    return calibration.reliability(rows["label"], p / p.sum(axis=1, keepdims=True), weights=weights)


def right_and_wrong(rows: pd.DataFrame, points: np.ndarray | None = None) -> pd.DataFrame:
    """Each recording's prediction: ``recording``, ``label``, ``predicted``, ``correct``, ``confidence``.

    `points`, shape (n, 2), adds ``x`` and ``y``.
    """
    p = rows[list(PROBABILITIES)].to_numpy(float)
    predicted = np.array(CLASSES)[p.argmax(axis=1)]
    table = rows[["recording", "label"]].assign(predicted=predicted, confidence=p.max(axis=1))
    table["correct"] = table["predicted"] == table["label"]
    if points is not None:
        table[["x", "y"]] = points
    return table.reset_index(drop=True)


def matrix_in_words(table: pd.DataFrame, part: str) -> str:
    """A confusion matrix of one part in a sentence, for those who cannot see it."""
    rows = table[table["part"] == part]
    says = [
        f"{true}: " + ", ".join(f"{r.n:.0f} named {r.predicted}" for r in cells.itertuples())
        for true, cells in rows.groupby("true", sort=False)
    ]
    return f"On the {part}, by true class, {'; '.join(says)}."


def beside(
    printed: pd.DataFrame, tables: pd.DataFrame, rowwise: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The original's figures with ours in the same place, by file and by infant.

    Parameters
    ----------
    printed : pandas.DataFrame
        As `original.figures` returns it.
    tables : pandas.DataFrame
        Scores (`score_tables.scored`) of the protocols split_file and split_infant on one
        representation, of all parts, train among them.
    rowwise : pandas.DataFrame, optional
        Scores of the original's cross-validation (`original_folds.original_folds`), all rows.

    Returns
    -------
    pandas.DataFrame
        The columns of `printed`, then ``ours``, ``low``, ``high`` (split by file, or folds over rows),
        ``infants`` (infants apart) and ``majority`` (of ours); missing where not run.
    """
    heard = tables[tables["representation"] != NO_SOUND]
    keys = ["protocol", "model", "part", "metric"]
    known = heard.set_index(keys)[["value", "low", "high"]]
    rows: Any = [] if rowwise is None else rowwise.set_index(["protocol", "metric"])["value"]

    def value(protocol: str, row: Mapping[str, Any], part: str, what: str = "value") -> float:
        key = (protocol, row["model"], part, row["metric"])
        return float(known.at[key, what]) if key in known.index else np.nan

    made = []
    for row in printed.to_dict("records"):
        part = row["part"]
        found = dict.fromkeys(("ours", "low", "high", "infants", "majority"), np.nan)
        if part == "rows":
            for name, key in (("ours", "rows"), ("infants", "infants")):
                found[name] = rows[(key, "accuracy")] if len(rows) else np.nan
            found["majority"] = rows[("rows", "majority_rate")] if len(rows) else np.nan
        elif part == "gap":
            for name, protocol in (("ours", "split_file"), ("infants", "split_infant")):
                found[name] = value(protocol, row, "train") - value(protocol, row, "holdout")
        else:
            found["ours"] = value("split_file", row, part)
            found["low"] = value("split_file", row, part, "low")
            found["high"] = value("split_file", row, part, "high")
            found["infants"] = value("split_infant", row, part)
            same = {**row, "metric": "majority_rate"}
            found["majority"] = value("split_file", same, part)
        made.append(row | found)
    return pd.DataFrame(made)


def record_beside(run: Any, table: pd.DataFrame) -> None:
    """Record a table of `beside`: ``article_``, ``notebook_``, ``ours_`` and ``infants_`` numbers.

    Ours are recorded once for both sources; what was not run is recorded as text that says so.
    """
    for row in table.to_dict("records"):
        key, unit = f"{row['model']}_{row['part']}_{row['metric']}", unit_of(row["metric"])
        unit = "difference" if row["part"] == "gap" else unit
        run.number(f"{row['source']}_{key}", row["original"], unit, note="printed by the original")
        for column in ("ours", "infants"):
            if f"{column}_{key}" in run.ledger.numbers:
                continue
            if np.isnan(row[column]):
                run.number(f"{column}_{key}", NOT_RUN, "text")
                continue
            ends = {"low": row["low"], "high": row["high"]} if column == "ours" else {}
            ends = {} if np.isnan(list(ends.values())).any() else ends
            run.number(f"{column}_{key}", row[column], unit, **ends)


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
        repeat the original's model, search and weights (`original_folds`), and they stand first.
    """
    rows = table[(table["metric"] == "accuracy") & (table["part"] != "gap")]
    rows = rows[rows["ours"].notna()].copy()
    names = {"rows": "cross-validation over rows"}
    says = [
        f"{shown(m)}, {names.get(p, p)}" for m, p in zip(rows["model"], rows["part"], strict=True)
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


def class_bars(table: pd.DataFrame) -> pd.DataFrame:
    """Precision, recall and F1 by class from scores of one cell: ``label``, ``metric``, value, ends."""
    made = []
    for metric in ("precision", "recall", "f1"):
        for name in CLASSES:
            row = table[table["metric"] == f"{metric}_{name}"].iloc[0]
            kept = {k: row[k] for k in ("value", "low", "high")}
            made.append({"label": name, "metric": metric, **kept})
    return pd.DataFrame(made)


def record_original(run: Any, facts: Mapping[str, Any], implied: Mapping[str, float]) -> None:
    """Record what the original printed beside scores, and what its figures imply (`original`)."""
    data, counted = facts["data"], ("files_found", "files_labelled")
    for name in counted:
        run.number(f"original_{name}", data[name], "count")
    for group in ("class_counts", "split_counts"):
        for name, n in data[group].items():
            run.number(f"original_n_{name}", n, "count")
    for name in ("claimed_dim", "printed_dim"):
        run.number(f"original_{name}", facts["embedding"][name], "dimensions")
    components = facts["embedding"]["pca_components_for_95_percent_variance"]
    run.number("original_components", components, "count")
    run.number("original_train_rows", facts["augmentation"]["train_embeddings"], "count")
    for source, key in (("notebook", "notebook_outputs"), ("article", "abstract")):
        printed = facts[key]["cross_validation_svm_5fold"]
        run.number(f"original_cv_sd_{source}", printed["sd"], "share")
    training = facts["notebook_outputs"]["mlp_training"]
    for name, key in (("last", ""), ("kept", "kept_")):
        run.number(f"original_{name}_epoch", training[f"{key}epoch"], "count")
        run.number(f"original_train_accuracy_{name}", training[f"{key}accuracy"], "share")
    for part, gap in training["gaps"].items():
        run.number(
            f"original_gap_{part}", gap, "points", note="training minus this part, as printed"
        )
    for name, value in implied.items():
        run.number(f"implied_{name}", value, IMPLIED_UNITS.get(name, "share"))


IMPLIED_UNITS = {
    **dict.fromkeys(("balanced_accuracy", "f1_from_classes"), "score"),
    **dict.fromkeys(("rows_per_file", "cv_rows", "scanned_minus_found"), "count"),
    **dict.fromkeys(("gain_over_majority", "text_minus_notebook"), "points"),
    "dimension_difference": "dimensions",
}
"""Ledger units of `original.rederived`; shares otherwise."""
