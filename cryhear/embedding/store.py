"""A store of embeddings: Parquet parts that are only ever added, a clip identified by content.

A store is one folder for one representation, backend version and preprocessing. Each batch becomes
a part under a name of its own, written aside and renamed, so that a process killed at any moment
loses at most the batch at hand, and several processes may add at once. Parts are neither changed nor
taken away: what reads them needs no lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryhear.embedding.base import Backend
from cryhear.errors import CryhearError
from cryhear.files import read_table, read_vectors, write_vectors

KEYS = ["recording", "start_sample"]
"""What identifies a clip: the recording's short hash, and its first sample at 16 kHz."""

_CLIPS = "n_clips"
"""Clips of the clip's recording, which tells when a recording is complete; 0 where not known."""
_PATTERN = "part-*.parquet"
_NO_KEYS = pd.DataFrame({"recording": [""], "start_sample": [0], _CLIPS: np.zeros(1, np.int32)})[:0]


def preprocess_key(settings: Any, tag: str = "") -> str:
    """Hash of preprocessing settings: 16 hexadecimal digits.

    Parameters
    ----------
    settings : cryhear.params.Preprocess or mapping
    tag : str
        What else was done to the recordings (the copy of an augmentation, a perturbation).
    """
    plain = settings.model_dump(mode="json") if hasattr(settings, "model_dump") else dict(settings)
    text = json.dumps({"settings": plain, "tag": tag}, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Store:
    """Embeddings of one representation, backend version and preprocessing.

    Parameters
    ----------
    folder : path-like
        Holds the stores of any number of representations; made when something is added.
    backend : Backend
        Gives the name and version in the store's own path.
    preprocess_key : str
        From `preprocess_key`.

    Attributes
    ----------
    folder : pathlib.Path
        ``<folder>/<name>/<version>/<preprocess_key>``.
    """

    def __init__(self, folder: str | Path, backend: Backend, preprocess_key: str) -> None:
        parts = (backend.name, backend.version, preprocess_key)
        self.folder = Path(folder).joinpath(*(re.sub(r"[^A-Za-z0-9._+-]", "-", p) for p in parts))
        self._dimension = backend.dimension

    def keys(self) -> pd.DataFrame:
        """Every clip in the store: `recording`, `start_sample`, sorted, and `n_clips`."""
        return _without_duplicates([_read_keys(part) for part in self.parts()])[0]

    def add(self, keys: pd.DataFrame, vectors: np.ndarray) -> None:
        """Add one batch as a part of its own.

        Parameters
        ----------
        keys : pandas.DataFrame, n rows
            `recording` (str), `start_sample` (int) and, where known, `n_clips`.
        vectors : numpy.ndarray, shape (n, d), float32, finite
        """
        if not len(keys):
            return
        rows = pd.DataFrame(
            {
                "recording": keys["recording"].astype(str),
                "start_sample": keys["start_sample"].astype(np.int64),
                _CLIPS: np.asarray(keys.get(_CLIPS, 0), dtype=np.int32),
            }
        )
        write_vectors(self.folder / f"part-{uuid.uuid4().hex}.parquet", rows, vectors)

    def read(self) -> tuple[pd.DataFrame, np.ndarray]:
        """Read the store.

        Returns
        -------
        keys : pandas.DataFrame
            `recording`, `start_sample`; sorted, one row a clip.
        vectors : numpy.ndarray, shape (n, d), float32
        """
        pairs = [read_vectors(part) for part in self.parts()]
        keys, order = _without_duplicates([pair[0] for pair in pairs])
        none = np.empty((0, self._dimension), dtype=np.float32)
        return keys[KEYS], np.concatenate([pair[1] for pair in pairs] or [none])[order]

    def complete(self) -> set[str]:
        """Recordings of which every clip is in the store."""
        keys = self.keys()
        counts = keys.groupby("recording")[_CLIPS].agg(["size", "max"])
        return set(counts.index[(counts["max"] > 0) & (counts["size"] >= counts["max"])])

    def parts(self) -> list[Path]:
        """The files of the store; what is still being written is not among them."""
        return sorted(self.folder.glob(_PATTERN))


def count_clips(folder: str | Path) -> int:
    """How many clips the stores below `folder` hold; a store with a damaged part counts as empty."""
    total = 0
    for store in {part.parent for part in Path(folder).rglob(_PATTERN)}:
        with contextlib.suppress(CryhearError):  # for whoever reads the vectors to tell
            parts = [_read_keys(part) for part in store.glob(_PATTERN)]
            total += len(_without_duplicates(parts)[0])
    return total


def _read_keys(part: Path) -> pd.DataFrame:
    return read_table(part, columns=[*KEYS, _CLIPS])


def _without_duplicates(tables: list[pd.DataFrame]) -> tuple[pd.DataFrame, np.ndarray]:
    """Sorted keys, one row a clip (the fullest `n_clips` wins), and their places in the tables."""
    keys = pd.concat([_NO_KEYS, *tables], ignore_index=True)
    ordered = keys.sort_values([*KEYS, _CLIPS], kind="stable")
    kept = ordered[~ordered.duplicated(KEYS, keep="last")]
    return kept.reset_index(drop=True), kept.index.to_numpy()
