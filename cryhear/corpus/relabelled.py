"""Copies of a corpus' recordings in collections that file them under other names: `data/relabelled`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from cryhear.corpus.labels import decide
from cryhear.errors import NotAskedError
from cryhear.files import existing

FOLDER = Path("data/relabelled")

CODES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "belly pain": ("bp",),
        "burping": ("bu",),
        "cold hot": ("ch",),
        "discomfort": ("dc", "ch"),
        "hungry": ("hu",),
        "lonely": ("lo",),
        "scared": ("sc",),
        "tired": ("ti",),
    }
)
"""Reason codes that agree with a folder's name; the cleaned set merges cold or hot into discomfort."""


def set_of(manifest: pd.DataFrame, folder: str | os.PathLike[str] = FOLDER) -> str:
    """Set of a manifest whose recordings were copied.

    Raises
    ------
    NotAskedError
        None of the manifest's recordings has a copy in the collections.
    """
    listed = pd.read_parquet(existing(Path(folder) / "copies.parquet"))
    found = manifest.loc[manifest["sha256"].isin(listed["sha256"]), "set"]
    if found.empty:
        raise NotAskedError(
            f"This chapter follows recordings of Donate-a-Cry into {listed['collection'].nunique()} "
            f"collections that copied them; of this study's {len(manifest):,} recordings none is there."
        )
    return str(found.mode()[0])


def copies(recordings: pd.DataFrame, folder: str | os.PathLike[str] = FOLDER) -> pd.DataFrame:
    """Copies of these recordings in the collections, byte for byte, one row a copy.

    Parameters
    ----------
    recordings : pandas.DataFrame
        With ``sha256``, ``reason`` and ``label``, one row a recording.
    folder : path-like
        With ``copies.parquet``.

    Returns
    -------
    pandas.DataFrame
        The recording's columns, its own ``label`` as ``tag``, and ``collection``, ``folder``,
        ``label`` (the class that the original's rules read from the folder) and ``contradicts``
        (whether the folder names another reason than the donor).
    """
    listed = pd.read_parquet(existing(Path(folder) / "copies.parquet"))
    found = listed.merge(
        recordings.rename(columns={"label": "tag", "folder": "own_folder"}), on="sha256"
    )
    named = found["folder"].str.replace("_", " ")
    return found.assign(
        label=[decide(name, "", "").label for name in named],
        contradicts=[
            reason not in CODES[name] for reason, name in zip(found["reason"], named, strict=True)
        ],
    )
