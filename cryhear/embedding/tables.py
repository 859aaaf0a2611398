"""The derived tables a study starts from: the manifest, embeddings, and what figures need of sound.

One folder, the same whether it came with the project, or was made from recordings by
`cryhear.embedding.build_tables`:

=============================  =========================================================
``manifest.parquet``           one row a recording found
``clips/NAME.parquet``         clip embeddings of representation NAME
``variants/NAME.parquet``      recording embeddings of altered copies (augmented, perturbed)
``other/NAME.parquet``         clip embeddings of sounds that are no study recordings
``signals/*.parquet``          envelopes, spectra, spectrograms behind figures; what YAMNet hears
``provenance.json``            how the tables were made
=============================  =========================================================
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryhear.audio.augment import COPY
from cryhear.corpus import labels as label_rules
from cryhear.errors import CorpusError, MissingArtefactError
from cryhear.files import existing, read_json, read_table, read_vectors, sha256_of

NOWHERE = "(no derived tables)"
"""Folder of features that no derived tables hold: they have no altered versions and no clips."""


def kind_of(folder: str) -> str:
    """What kind of sound a folder of ESC-10 holds: '004 - Baby cry' is a 'baby cry'."""
    return re.sub(r"^\d+ - ", "", folder).lower()


def pool(keys: pd.DataFrame, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average clip embeddings over each recording.

    Parameters
    ----------
    keys : pandas.DataFrame, n rows
        With a column ``recording``.
    vectors : numpy.ndarray, shape (n, d), float32

    Returns
    -------
    recordings : numpy.ndarray of str, shape (m,)
        Sorted.
    means : numpy.ndarray, shape (m, d), float32
        Summed in float64, so the mean does not depend on the order of the clips beyond rounding.

    Examples
    --------
    >>> keys = pd.DataFrame({"recording": ["b", "a", "b"]})
    >>> recordings, means = pool(keys, np.array([[1.0], [5.0], [3.0]]))
    >>> recordings.tolist(), means.tolist()
    (['a', 'b'], [[5.0], [2.0]])
    """
    recordings, index = np.unique(keys["recording"].to_numpy(dtype=str), return_inverse=True)
    sums = np.zeros((len(recordings), vectors.shape[1]))
    np.add.at(sums, index, vectors)
    counts = np.bincount(index, minlength=len(recordings))[:, None]
    return recordings, (sums / counts).astype(np.float32)


@dataclass(frozen=True)
class StudySet:
    """The labelled recordings of one set with one representation, row by row.

    Attributes
    ----------
    recordings : pandas.DataFrame, n rows
        The manifest's columns with ``label`` and ``y`` (int class code), index 0 to n-1.
    X : numpy.ndarray, shape (n, d), float32
        Mean embedding of each recording.
    representation, set, labels : str
        What was asked for.
    derived : Derived
        Where it came from; NOWHERE where the features are others than those of its tables.
    """

    recordings: pd.DataFrame
    X: np.ndarray
    representation: str
    set: str
    labels: str = "original"
    derived: Derived = field(default_factory=lambda: Derived(NOWHERE))

    def __len__(self) -> int:
        return len(self.recordings)

    @property
    def y(self) -> np.ndarray:
        """Class codes, int64 [n], in the order of `cryhear.corpus.labels.CLASSES`."""
        return self.recordings["y"].to_numpy()

    @property
    def infants(self) -> np.ndarray:
        """Infant of each recording, str [n]."""
        return self.recordings["infant"].to_numpy(dtype=str)

    def variant(self, name: str) -> np.ndarray:
        """Mean embeddings of an altered version of the same recordings, float32 [n, d].

        A recording for which the version could not be made keeps its plain embedding.
        """
        recordings, vectors = self.derived.variant(self.representation, name)
        position = {recording: i for i, recording in enumerate(recordings)}
        rows = [position.get(r, -1) for r in self.recordings["recording"]]
        found = np.asarray(rows) >= 0
        changed = self.X.copy()
        changed[found] = vectors[np.asarray(rows)[found]]
        return changed

    def copies(self) -> np.ndarray:
        """Embeddings of the augmented copies, float32 [c, n, d]; c is 0 where none were made."""
        names = self.derived.variants(self.representation)
        copies = [self.variant(name) for name in names if name.startswith(COPY)]
        return np.stack(copies) if copies else np.empty((0, *self.X.shape), np.float32)

    def with_labels(self, y: np.ndarray) -> StudySet:
        """The same rows with other labels, given as class codes."""
        names = np.array(label_rules.CLASSES, dtype=object)[y]
        return replace(self, recordings=self.recordings.assign(y=y, label=names))

    def with_features(self, X: np.ndarray, representation: str | None = None) -> StudySet:
        """The same rows with other features, of which no altered versions are known."""
        named = representation or self.representation
        return replace(
            self, X=np.asarray(X, np.float32), representation=named, derived=Derived(NOWHERE)
        )

    def subset(self, keep: np.ndarray) -> StudySet:
        """The rows where `keep` is true."""
        rows = np.flatnonzero(keep)
        table = self.recordings.iloc[rows].reset_index(drop=True)
        return replace(self, recordings=table, X=self.X[rows])


class Derived:
    """Read the derived tables of a folder.

    Parameters
    ----------
    folder : path-like
        Holds the files named at the head of this module.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._read: dict[str, str] = {}
        self._pooled: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._variants: dict[str, tuple[pd.DataFrame, np.ndarray]] = {}

    def __reduce__(self) -> tuple[type[Derived], tuple[Path]]:
        """Sent to another process, and hashed, as its folder alone: what was read is read again."""
        return Derived, (self.folder,)

    def read_hashes(self) -> dict[str, str]:
        """SHA-256 of every file read so far, by its path in the folder."""
        return dict(self._read)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """How the tables were made: versions, settings, counts."""
        return read_json(self._path("provenance.json"))

    def manifest(self) -> pd.DataFrame:
        """The manifest: one row a recording found."""
        return read_table(self._path("manifest.parquet"))

    def has_manifest(self) -> bool:
        """Whether the manifest is here."""
        return (self.folder / "manifest.parquet").exists()

    def table(self, name: str) -> pd.DataFrame:
        """A table of ``signals/`` by its name."""
        return read_table(self._path(f"signals/{name}.parquet"))

    def has(self, name: str) -> bool:
        """Whether ``signals/`` holds a table of this name."""
        return (self.folder / "signals" / f"{name}.parquet").exists()

    def representations(self) -> list[str]:
        """Representations whose clip embeddings are here, sorted."""
        return sorted(path.stem for path in (self.folder / "clips").glob("*.parquet"))

    def clips(self, representation: str) -> tuple[pd.DataFrame, np.ndarray]:
        """Clip embeddings: keys (recording, start_sample) and float32 [n, d]."""
        self._check(representation)
        return read_vectors(self._path(f"clips/{representation}.parquet"))

    def other(self, representation: str) -> tuple[pd.DataFrame, np.ndarray]:
        """Clip embeddings of other sounds: keys (recording, start_sample, category) and [n, d]."""
        return read_vectors(self._path(f"other/{representation}.parquet"))

    def variants(self, representation: str) -> list[str]:
        """Names of the altered versions made with a representation, sorted."""
        path = self.folder / "variants" / f"{representation}.parquet"
        return (
            sorted(read_table(path, columns=["variant"])["variant"].unique())
            if path.exists()
            else []
        )

    def variant(self, representation: str, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Recordings (str [m]) and their mean embeddings (float32 [m, d]) in an altered version."""
        if representation not in self._variants:
            path = self._path(f"variants/{representation}.parquet")
            self._variants[representation] = read_vectors(path)
        keys, vectors = self._variants[representation]
        rows = np.flatnonzero(keys["variant"].to_numpy() == name)
        if not len(rows):
            raise MissingArtefactError(
                f"{self.folder}/variants/{representation}.parquet has no version {name!r}; it has "
                f"{', '.join(self.variants(representation)) or 'none'}. Add its kind to embed.variants."
            )
        return keys["recording"].to_numpy(dtype=str)[rows], vectors[rows]

    def study_set(
        self,
        set_name: str,
        labels: str,
        representation: str,
    ) -> StudySet:
        """Labelled, usable, distinct recordings of a set, with their mean embeddings."""
        from cryhear.corpus import manifest as manifests

        rows = manifests.select(self.manifest(), set=set_name, labels=labels)
        rows = rows[rows["status"] == "used"]
        if representation not in self._pooled:
            self._pooled[representation] = pool(*self.clips(representation))
        recordings, means = self._pooled[representation]
        known = pd.Index(recordings)
        rows = rows[rows["recording"].isin(known)].sort_values("recording").reset_index(drop=True)
        if rows.empty:
            raise CorpusError(
                f"{self.folder} has no labelled recording of set {set_name!r} under label preset "
                f"{labels!r} with a {representation} embedding; expected at least one a class. "
                "See chapter 1 for what was left out and why."
            )
        rows["y"] = (
            rows["label"].map({c: i for i, c in enumerate(label_rules.CLASSES)}).astype("int64")
        )
        X = means[known.get_indexer(rows["recording"])]
        return StudySet(rows, X, representation, set_name, labels, self)

    def _check(self, representation: str) -> None:
        if representation not in self.representations():
            raise MissingArtefactError(
                f"{self.folder} has no {representation} embeddings; it has "
                f"{', '.join(self.representations()) or 'none'}. Choose one of these, or make them: "
                f"`cryhear doctor` says whether {representation} can run here and what it needs."
            )

    def _path(self, name: str) -> Path:
        path = existing(self.folder / name)
        if name not in self._read:
            self._read[name] = sha256_of(path)
        return path
