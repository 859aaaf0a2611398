"""The study rehearsed on cries with known causes: written, decoded, embedded, tested.

The power analysis moves embeddings; this moves the sound itself. It shows that the whole pipeline,
from a WAV file on, finds what is there and nothing else. Nothing of it is data about infants.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from cryhear import embedding
from cryhear.analysis import permutation
from cryhear.analysis.primary_auc import Plan
from cryhear.corpus import manifest, synthetic
from cryhear.corpus.labels import CLASSES
from cryhear.embedding import extract, store
from cryhear.embedding.tables import pool
from cryhear.models import primary
from cryhear.params import Preprocess

REPRESENTATION = "logmel"
"""Needs no weights, so that the rehearsal runs everywhere."""


def rehearse(effect: float, infants: int, permutations: int, seed: int) -> pd.DataFrame:
    """One synthetic study from audio to p.

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
    with tempfile.TemporaryDirectory(prefix="cryhear-rehearsal-") as folder:
        recordings, X = _heard(
            Path(synthetic.corpus(Path(folder) / "cries", settings, seed)), Path(folder)
        )
    folds = primary.primary_folds(recordings, 5, 1, seed)
    plan = Plan.draw(recordings, folds, seed=seed)
    y = recordings["y"].to_numpy()
    null = permutation.permutation_null(X, y, recordings, plan, permutations, seed=seed)
    return pd.DataFrame({"effect": [effect], "infants": recordings["infant"].nunique(),
                         "recordings": len(recordings), "auc": null["auc"].iloc[0],
                         "p": permutation.p_value(null)})  # fmt: skip


def _heard(root: Path, folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Labelled recordings of a root and their mean embeddings."""
    table, paths = manifest.build([root])
    chosen = manifest.select(table, set="all", labels="original")
    chosen = chosen[chosen["status"] == "used"]
    plain, backend = Preprocess(), embedding.load(REPRESENTATION)
    target = store.Store(folder / "store", backend, store.preprocess_key(plain))
    wanted = paths[paths["recording"].isin(chosen["recording"])]
    extract.embed_recordings(wanted, backend, plain, target)
    ids, X = pool(*target.read())
    chosen = chosen.set_index("recording").loc[ids].reset_index()
    return chosen.assign(y=chosen["label"].map(CLASSES.index).astype(int)), X
