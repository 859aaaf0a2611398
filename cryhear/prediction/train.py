"""Train the protocol's procedure on every used recording, and write down what it is worth.

The model is fitted once on all recordings. What is known of it comes from the same procedure fitted
on four fifths of the infants and asked about the rest: its macro AUC with its interval, the
calibration of its probabilities, and the distances beyond which a sound is unlike what it heard.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryhear import __version__, params
from cryhear.analysis import robustness
from cryhear.analysis.cross_validation import P_COLUMNS
from cryhear.analysis.primary_auc import FoldPlan
from cryhear.corpus import questions, splits
from cryhear.corpus.labels import CLASSES
from cryhear.embedding.tables import Derived, StudySet
from cryhear.errors import NotAskedError, StudyError
from cryhear.evaluation import bootstrap, calibration, metrics, validation
from cryhear.files import read_json
from cryhear.models import primary
from cryhear.models.fitted import Reduction
from cryhear.prediction.bundle import FORMAT, Bundle, beats_baseline
from cryhear.prediction.gate import FOLDER as GATE

FOLDS = 5
DRAWS = 2000
STRANGE = robustness.STRANGE
"""Quantile of held-out cries' distances beyond which a sound is unlike them: chapter 11's."""

CLIPPED = 0.05
"""Share of a clip's samples at full scale beyond which it is refused. The most of any training
recording is 3 %; a tenth of a cry's samples cut off is heard as distortion."""

INTENDED = (
    "Studying how such models are evaluated: what a trained model answers to a recording, how sure it "
    "is, when it refuses. For researchers, reviewers and students."
)
NOT_FOR = (
    "Any decision about a child: diagnosis, triage, monitoring, advice to parents, or a product that "
    "suggests these. Not a medical device. Recordings of anyone without consent. The class "
    "'neurological' is the original study's name for discomfort, loneliness, fear, cold and heat as "
    "users of a telephone app tagged them; it is no finding about a nervous system."
)
LICENCE = (
    "The weights are computed from the training data and stand under their terms: the Open Database "
    "License 1.0 where these are data/donateacry. The code is under the Apache License 2.0."
)
BASELINE = (
    "The class shares of the other folds, the same for every recording and without its sound: its AUC is "
    "auc_macro.chance, its log loss log_loss.class_shares_alone. beats_baseline: auc_macro.low is above that "
    "AUC, and log_loss.calibrated below that log loss. Where it is false, no class is named."
)
NOTE = "Not a diagnosis and not a medical device: the labels are what users of a telephone app thought."


def train(
    study: params.Study, representation: str | None = None, repeats: int | None = None
) -> Bundle:
    """Fit and judge the model of a study.

    Parameters
    ----------
    study : cryhear.params.Study
        Whose derived tables, set, labels and seed are used.
    representation : str, optional
        By default the study's `model.representation`.
    repeats : int, optional
        Repeats of the folds over infants; by default the study's `model.repeats`.

    Raises
    ------
    MissingArtefactError, CorpusError
        The derived tables are not there, or hold no such embedding.
    NotAskedError
        A class is missing or has too few infants.
    """
    name = representation or study.model_representation
    data = Derived(study.derived).study_set(study.set, study.labels, name)
    if why := questions.refusal(data.recordings, "model", FOLDS):
        raise NotAskedError(f"No model can be trained and judged. {why}")
    plan = FoldPlan.of(data.recordings, FOLDS, repeats or study.model.repeats, study.seed)
    recordings, clips = judge(data, plan)
    reduction, spread, coef, intercept, C = fit(data, study.seed)
    embedded_by = _representation(data, name)
    card = {
        "format": FORMAT,
        "name": f"{study.name}-{name}",
        "cryhear": __version__,
        "classes": list(CLASSES),
        "representation": embedded_by,
        "preprocess": data.derived.provenance["preprocess"],
        "procedure": {"model": "standardise, PCA, class-weighted L2 logistic regression",
                      "explained": primary.PRIMARY.explained, "C": C, "seed": study.seed},
        "training": _training(data),
        "calibration": {"recording": _calibration(recordings), "clip": _calibration(clips)},
        "performance": _performance(recordings, study.seed),
        "limits": _limits(recordings, clips, data),
        "clipwise": measured_clipwise(name, embedded_by["version"]),
        "licence": LICENCE,
        "intended_use": INTENDED,
        "out_of_scope": NOT_FOR,
        "note": NOTE,
    }  # fmt: skip
    return Bundle(card, reduction, spread, coef, intercept)


def fit(data: StudySet, seed: int) -> tuple[Reduction, np.ndarray, np.ndarray, np.ndarray, float]:
    """The primary procedure on all rows: reduction, spread, coefficients, intercepts, C."""
    inner = splits.folds(
        data.recordings, "infant", primary.PRIMARY.inner_folds, seed, stratify=False
    )
    reduction = Reduction.fit(data.X, primary.PRIMARY.explained)
    Z = reduction(data.X)
    coef, intercept, C = primary.fit(Z, data.y[None], inner)
    return reduction, Z.std(axis=0), coef, intercept, float(C[0])


def judge(data: StudySet, plan: FoldPlan) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ask the models of every fold about the recordings, and the clips, of infants they never heard.

    Returns
    -------
    recordings : pandas.DataFrame
        One row a recording and repeat, as `cryhear.analysis.primary_auc.predictions` makes them, with
        ``distance``: of its mean embedding from the training recordings.
    clips : pandas.DataFrame
        One row a clip and repeat: ``label``, ``weight`` (a recording's clips sum to 1), ``distance`` and
        the probabilities.
    """
    models = robustness.fitted(data, plan)
    keys, vectors = data.derived.clips(data.representation)
    at = pd.Index(data.recordings["recording"]).get_indexer(keys["recording"])
    vectors, at = vectors[at >= 0], at[at >= 0]
    labels = data.recordings["label"].to_numpy()
    recordings, clips = [], []
    for fold in models:
        table = data.recordings.iloc[fold.test][["recording", "infant", "platform", "label"]]
        table = table.assign(repeat=fold.repeat, fold=plan.folds[fold.repeat][fold.test[0]])
        table[P_COLUMNS] = fold.probabilities(data.X[fold.test])
        recordings.append(table.assign(distance=fold.distance(data.X[fold.test])))
        own = np.flatnonzero(np.isin(at, fold.test))
        clip = pd.DataFrame(fold.probabilities(vectors[own]), columns=P_COLUMNS)
        clips.append(clip.assign(label=labels[at[own]], weight=1 / np.bincount(at)[at[own]],
                                 distance=fold.distance(vectors[own])))  # fmt: skip
    return pd.concat(recordings, ignore_index=True), pd.concat(clips, ignore_index=True)


def measured_clipwise(representation: str, version: str) -> dict[str, Any]:
    """What cutting first and preprocessing each clip by itself changes; {} where it was not measured.

    Training saw recordings preprocessed whole; a stream can only be preprocessed as it comes. See
    ``tools/make_gate.py``.
    """
    path = GATE / "clipwise.json"
    found = read_json(path) if path.exists() else {}
    same = found.get("representation") == {"name": representation, "version": version}
    return found if same else {}


def _representation(data: StudySet, name: str) -> dict[str, Any]:
    version = data.derived.provenance.get("representations", {}).get(name)
    if not version:
        raise StudyError(
            f"{data.derived.folder}/provenance.json does not give the version of {name}; a bundle needs "
            "it to know what it can be used with. Make the tables again: make data"
        )
    return {"name": name, "version": version, "dimension": data.X.shape[1]}


def _training(data: StudySet) -> dict[str, Any]:
    rows = data.recordings
    digest = hashlib.sha256()
    for part in (rows["recording"], rows["label"]):
        digest.update("\n".join(part).encode())
    digest.update(np.ascontiguousarray(data.X).tobytes())
    return {
        "set": data.set, "labels": data.labels, "recordings": len(rows),
        "infants": int(rows["infant"].nunique()),
        "by_class": {c: int((rows["label"] == c).sum()) for c in CLASSES},
        "sha256": digest.hexdigest(),
    }  # fmt: skip


def _calibration(rows: pd.DataFrame) -> dict[str, Any]:
    weights = rows["weight"].to_numpy() if "weight" in rows else None
    p = summing_to_one(rows[P_COLUMNS].to_numpy())
    fitted = calibration.fit_temperature(rows["label"].to_numpy(), p, weights)
    return {"temperature": fitted.temperature, "bias": list(fitted.bias)}


def summing_to_one(p: np.ndarray) -> np.ndarray:
    """Float32 probabilities as float64 rows that sum to one."""
    p = np.asarray(p, float)
    return p / p.sum(axis=1, keepdims=True)


def _performance(recordings: pd.DataFrame, seed: int) -> dict[str, Any]:
    rows = recordings.copy()
    rows[P_COLUMNS] = summing_to_one(rows[P_COLUMNS].to_numpy())
    scored = bootstrap.bootstrap(rows, draws=DRAWS, seed=seed, within=("platform",)).set_index(
        "metric"
    )
    auc = scored.loc["auc_macro"]
    losses, prior = [], []
    for _, own in rows.groupby("repeat"):
        y = validation.codes(own["label"].to_numpy())
        p = calibration.cross_calibrate(y, own[P_COLUMNS].to_numpy(), own["fold"].to_numpy())
        losses.append(metrics.log_loss(y, p))
        prior.append(metrics.log_loss(y, _shares_elsewhere(y, own["fold"].to_numpy())))
    performance = {
        "protocol": "L3: no infant on both sides", "folds": FOLDS, "repeats": int(auc["repeats"]),
        "auc_macro": {"value": float(auc["value"]), "low": float(auc["low"]),
                      "high": float(auc["high"]), "chance": 0.5},
        "interval": f"95 %, {DRAWS} bootstrap draws over infants, {auc['interval']}",
        "pairs": "within fold and platform",
        "recordings": int(auc["n"]), "infants": int(auc["units"]),
        "log_loss": {"calibrated": float(np.mean(losses)), "class_shares_alone": float(np.mean(prior))},
        "baseline": BASELINE,
    }  # fmt: skip
    return {**performance, "beats_baseline": beats_baseline(performance)}


def _shares_elsewhere(y: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """For each recording the class shares of the other folds: what is known without hearing it."""
    p = np.empty((len(y), len(CLASSES)))
    for own in np.unique(fold):
        p[fold == own] = np.bincount(y[fold != own], minlength=len(CLASSES)) / (fold != own).sum()
    return p


def _limits(recordings: pd.DataFrame, clips: pd.DataFrame, data: StudySet) -> dict[str, Any]:
    return {
        "recording": {"distance": float(np.quantile(recordings["distance"], STRANGE))},
        "clip": {"distance": clip_limit(clips)},
        "quantile": STRANGE,
        "clipped_share": CLIPPED,
        "silence_dbfs": float(data.derived.provenance["preprocess"]["silence_dbfs"]),
    }


def clip_limit(clips: pd.DataFrame) -> float:
    """Distance that clips of at least `STRANGE` of the weight do not exceed."""
    away, weight = clips["distance"].to_numpy(), clips["weight"].to_numpy()
    return float(np.quantile(away, STRANGE, weights=weight, method="inverted_cdf"))


def study_of(
    path: str | os.PathLike[str], derived: str | os.PathLike[str] | None = None
) -> params.Study:
    """A study's parameters, started from other derived tables if they are given."""
    changes = {"source": {"derived": str(derived)}} if derived else {}
    study = params.load(path, changes)
    if not Path(study.derived).is_dir():
        raise StudyError(
            f"{study.derived} is not a folder; derived tables were expected there. Run the study first "
            "(cryhear study), or name a folder of tables with --derived"
        )
    return study
