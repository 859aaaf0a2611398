"""What it changes to cut a recording first and prepare each clip by itself, as a stream must be.

Training prepares recordings whole: one estimate of the noise, one gain. Here the recordings are
prepared clip by clip, and the models that never heard their infants are asked about both versions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryhear import params
from cryhear.analysis import robustness, trials
from cryhear.analysis.cross_validation import P_COLUMNS
from cryhear.analysis.primary_auc import Plan
from cryhear.audio import decode, preprocess
from cryhear.corpus import find
from cryhear.embedding import load
from cryhear.embedding.base import CLIP_SAMPLES
from cryhear.embedding.tables import Derived, StudySet
from cryhear.errors import CorpusError
from cryhear.evaluation import bootstrap
from cryhear.models import primary
from cryhear.prediction import decide, train

REPEATS = 3
SEED = 42
DRAWS = 2000


def clips_of(samples: np.ndarray, settings: Any) -> np.ndarray:
    """Cut first, then prepare each clip by itself; what is silent is left out.

    Parameters
    ----------
    samples : numpy.ndarray, shape (n,), float32, 16 kHz
    settings : cryhear.params.Preprocess

    Returns
    -------
    numpy.ndarray, shape (m, 32000), float32
    """
    cutter = decide.Cutter(max(1, int(CLIP_SAMPLES * (1.0 - settings.overlap))))
    cut = [*cutter.push(samples), *cutter.finish()]
    kept = []
    for _, clip in cut:
        if decide.is_dropout(clip):
            continue
        conditioned = preprocess.condition(clip, settings)
        if preprocess.level_dbfs(conditioned) >= settings.silence_dbfs:
            kept.append(decide.levelled(conditioned, settings))
    return np.stack(kept) if kept else np.zeros((0, CLIP_SAMPLES), np.float32)


def measure(
    root: Path, derived: Derived, representation: str = "logmel", repeats: int = REPEATS
) -> dict[str, Any]:
    """Compare both ways on the recordings below `root`.

    Parameters
    ----------
    root : pathlib.Path
        Holds ``donateacry/``.
    derived : cryhear.embedding.tables.Derived
    representation : str
    repeats : int
        Repeats of five folds over infants.

    Returns
    -------
    dict
        ``same_label`` (share of recordings, before calibration), ``moved`` (mean total variation),
        ``auc_whole`` and ``auc_clipwise`` (macro, within fold and platform, 95 %: bootstrap over
        infants), ``unlike`` (share of clips beyond the limit that 5 % of clips prepared whole
        exceed), and of how many recordings.
    """
    data = derived.study_set("uploads", "original", representation)
    backend = load(representation)
    settings = params.Preprocess(**derived.provenance["preprocess"])
    recordings, vectors = heard(data, root, backend, settings)
    data = data.subset(np.isin(data.recordings["recording"].to_numpy(str), recordings))
    rows = trials.Rows.of(data)
    folds = primary.primary_folds(rows.recordings, train.FOLDS, repeats, SEED)
    return {
        "representation": {"name": backend.name, "version": backend.version},
        "recordings": len(rows.X),
        "repeats": repeats,
        **compared(data, rows, Plan.draw(rows.recordings, folds, seed=SEED), recordings, vectors),
    }


def heard(data: StudySet, root: Path, backend: Any, settings: Any) -> tuple[np.ndarray, np.ndarray]:
    """Clips prepared by themselves: the recording of each, str (m,), and its embedding (m, d)."""
    if not (root / "donateacry").is_dir():
        raise CorpusError(
            f"{root / 'donateacry'} is not a folder; the recordings were expected there. Fetch them: "
            "cryhear corpus fetch donateacry"
        )
    paths = find.hashed([root / "donateacry"])[0].set_index("recording")["path"]
    known = [r for r in data.recordings["recording"] if r in paths.index]
    parts = {r: backend.embed(clips_of(decode.decode(paths[r]).samples, settings)) for r in known}
    names = np.repeat(list(parts), [len(v) for v in parts.values()])
    return names.astype(str), np.concatenate(list(parts.values()))


def compared(
    data: StudySet, rows: trials.Rows, plan: Plan, recordings: np.ndarray, vectors: np.ndarray
) -> dict[str, Any]:
    """Ask the models of every fold about the recordings prepared whole and clip by clip."""
    models = robustness.fitted(rows, plan)
    at = pd.Index(rows.recordings["recording"]).get_indexer(recordings)
    vectors, at = vectors[at >= 0], at[at >= 0]
    clipwise = np.zeros(rows.X.shape)
    np.add.at(clipwise, at, vectors)
    clipwise = (clipwise / np.bincount(at, minlength=len(rows.X))[:, None]).astype(np.float32)
    p = [robustness.out_of_fold(models, X) for X in (rows.X, clipwise)]
    judged = train.judge(data, rows, plan)
    limit = train.weighted_quantile(judged.clips["distance"], judged.clips["weight"], train.STRANGE)
    away = np.concatenate([fold.distance(vectors[np.isin(at, fold.test)]) for fold in models])
    tables = [judged.recordings.assign(prepared="whole")]
    tables.append(_with_probabilities(judged.recordings, rows, p[1]).assign(prepared="clipwise"))
    scored = bootstrap.bootstrap(
        pd.concat(tables, ignore_index=True),
        draws=DRAWS,
        seed=SEED,
        within=("platform",),
        by=["prepared"],
    ).set_index(["prepared", "metric"])
    return {
        "same_label": float((p[0].argmax(2) == p[1].argmax(2)).mean()),
        "moved": float(np.abs(p[0] - p[1]).sum(axis=2).mean() / 2),
        **{f"auc_{how}": {k: float(scored.loc[(how, "auc_macro"), k]) for k in ("value", "low", "high")}
           for how in ("whole", "clipwise")},
        "unlike": float((away > limit).mean()),
    }  # fmt: skip


def _with_probabilities(table: pd.DataFrame, rows: trials.Rows, p: np.ndarray) -> pd.DataFrame:
    at = pd.Index(rows.recordings["recording"]).get_indexer(table["recording"])
    changed = table.copy()
    changed[P_COLUMNS] = p[table["repeat"].to_numpy(), at]
    return changed
