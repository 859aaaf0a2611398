"""Embed recordings: decode, cut, embed and store, a batch of clips at a time.

Memory does not grow with the corpus: each batch is written to the store as soon as it is embedded.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cryhear import progress
from cryhear.audio import decode, preprocess
from cryhear.embedding.base import SAMPLE_RATE, Backend
from cryhear.embedding.store import Store
from cryhear.errors import CryhearError, RepresentationError

Transform = Callable[..., np.ndarray]
"""Changes a recording's waveform: ``(samples float32 [n], recording=name) -> samples``."""


class Failure(NamedTuple):
    """A recording, or one clip of it, that could not be embedded."""

    recording: str
    path: str
    problem: str


def embed_recordings(
    recordings: pd.DataFrame,
    backend: Backend,
    settings: Any,
    store: Store,
    transform: Transform | None = None,
    denoised: Transform | None = None,
    limit_s: float = 600.0,
) -> pd.DataFrame:
    """Embed what the store does not hold yet, and go on past what cannot be embedded.

    Parameters
    ----------
    recordings : pandas.DataFrame
        Columns `recording` (short hash) and `path`. A recording named twice is read once.
    backend : Backend
        From `cryhear.embedding.load`.
    settings : cryhear.params.Preprocess
        How a recording becomes clips.
    store : Store
        Filled a batch at a time, so a run that was killed goes on where it stopped.
    transform : callable, optional
        ``transform(samples, recording) -> samples``, float32 at 16 kHz, between decoding and
        preprocessing: perturbations. Keep their embeddings in a store of their own, by the `tag`
        of `preprocess_key`.
    denoised : callable, optional
        The same, after denoising and before level and clips: where the original augments.
    limit_s : float
        Seconds; longer recordings are failures.

    Returns
    -------
    pandas.DataFrame
        `recording`, `path`, `problem`: what could not be read, gave no clip, or one of whose clips
        the model refused (its other clips are kept).
    """
    wanted = recordings.drop_duplicates("recording")
    wanted = wanted[~wanted["recording"].isin(store.complete())]
    have = store.keys().groupby("recording")["start_sample"].agg(set).to_dict()
    failures: list[Failure] = []
    waiting: list[tuple[dict[str, Any], np.ndarray]] = []  # keys of a clip, and the clip
    rows = zip(wanted["recording"], wanted["path"].map(os.fspath), strict=True)
    for recording, path in progress.bar(
        rows, total=len(wanted), unit="recording", desc=backend.name
    ):
        try:
            samples = decode.decode(path, sample_rate=SAMPLE_RATE, limit_s=limit_s).samples
            if transform is not None:
                samples = transform(samples, recording=recording)
            after = partial(denoised, recording=recording) if denoised is not None else None
            starts, cut = preprocess.run(samples, settings, transform=after)
        except Exception as problem:  # a damaged file may raise anything; the rest must go on
            failures.append(Failure(recording, path, _said(problem)))
            continue
        if not len(cut):
            failures.append(Failure(recording, path, "gave no clip: too short, or silent"))
        key = {"recording": recording, "n_clips": len(starts), "path": path}
        done = have.get(recording, set())
        waiting += [
            ({**key, "start_sample": start}, clip)
            for start, clip in zip(starts.tolist(), cut, strict=True)
            if start not in done
        ]
        while len(waiting) >= backend.batch_size:
            failures += _embed(waiting[: backend.batch_size], backend, store)
            del waiting[: backend.batch_size]
    if waiting:
        failures += _embed(waiting, backend, store)
    return pd.DataFrame(failures, columns=list(Failure._fields), dtype=object)


def shard(recordings: pd.DataFrame, index: int, count: int) -> pd.DataFrame:
    """The recordings of one of `count` shards, dealt by their hash, so in any order the same.

    Parameters
    ----------
    recordings : pandas.DataFrame with a column `recording` (hexadecimal)
    index : int
        Which shard, 0 to count - 1.
    count : int
    """
    mine = recordings["recording"].map(lambda name: int(name[:8], 16) % count == index)
    return recordings[mine.astype(bool)]


def _embed(
    batch: list[tuple[dict[str, Any], np.ndarray]], backend: Backend, store: Store
) -> list[Failure]:
    """Embed and store a batch; if the backend refuses it, find out which clips it refuses."""
    keys = pd.DataFrame([key for key, _ in batch])
    try:
        store.add(keys, backend.embed(np.stack([clip for _, clip in batch])))
        return []
    except RepresentationError as problem:
        if len(batch) == 1:
            key = batch[0][0]
            said = f"clip at sample {key['start_sample']}: {_said(problem)}"
            return [Failure(key["recording"], key["path"], said)]
    return [failure for single in batch for failure in _embed([single], backend, store)]


def _said(problem: Exception) -> str:
    """A failure's text: our own messages as they are, others with their type."""
    text = " ".join(str(problem).split())
    return text if isinstance(problem, CryhearError) else f"{type(problem).__name__}: {text}"
