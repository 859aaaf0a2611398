"""What does not change from machine to machine about a representation, and how fast it runs on one.

The first is shown in the book. The second goes to a side file that no comparison reads.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cryhear.embedding import REPRESENTATIONS, availability, load

NOT_RUN = "not run: gated weights"
"""Said of a representation whose weights need their owner's consent."""
FILL = "cryhear report params/hear.yaml"
"""The command that adds HeAR's column, once its terms are accepted (see the file)."""


@dataclass(frozen=True)
class Card:
    """What a representation's makers say of it."""

    title: str
    dimension: int
    trained_on: str
    licence: str


_HEALTH = "coughs, breaths, laughter, speech; no infant cries"
CARDS = {
    "hear": Card("HeAR (TensorFlow)", 512, _HEALTH, "Health AI Developer Foundations terms; gated"),
    "hear-pytorch": Card(
        "HeAR (PyTorch)", 512, _HEALTH, "Health AI Developer Foundations terms; gated"
    ),
    "yamnet": Card(
        "YAMNet", 1024, "AudioSet: 521 kinds of sound, infant cries too", "Apache-2.0"
    ),
    "egemaps": Card(
        "eGeMAPSv02", 88, "nothing: features made by hand",
        "openSMILE's: free for research",
    ),
    "logmel": Card("log-mel statistics", 320, "nothing: means and spreads of bands", "this project's"),
}  # fmt: skip
"""By representation, from the model cards and papers; a dimension here is only shown where none was
read from a model."""


def table(derived: Any) -> pd.DataFrame:
    """Every representation, and whether the derived tables hold it.

    Parameters
    ----------
    derived : cryhear.embedding.tables.Derived

    Returns
    -------
    pandas.DataFrame
        ``representation``, ``version``, ``dimension``, ``clips`` (0 where not run), ``trained_on``,
        ``licence``, ``status`` ('run', 'not run', or `NOT_RUN`; `FILL` is the command that fills the
        row).
    """
    versions = derived.provenance.get("representations", {})
    rows = []
    for name in REPRESENTATIONS:
        card, here = CARDS[name], name in derived.representations()
        keys, vectors = derived.clips(name) if here else ((), np.empty((0, card.dimension)))
        why = NOT_RUN if name.startswith("hear") else "not run"
        rows.append({
            "representation": card.title, "version": versions.get(name, ""),
            "dimension": vectors.shape[1], "clips": len(keys), "trained_on": card.trained_on,
            "licence": card.licence, "status": "run" if here else why,
        })  # fmt: skip
    return pd.DataFrame(rows)


def notes(derived: Any) -> str:
    """What a reader must know about how the models were run, in sentences."""
    said = derived.provenance.get("notes", {})
    run = (
        " ".join(f"{CARDS[name].title}: {note}" for name, note in sorted(said.items()))
        or "No model needed to be run in another way than its makers describe."
    )
    commits = derived.provenance.get("revisions", {})
    came = (
        f"{CARDS[name].title} is revision {commit}." for name, commit in sorted(commits.items())
    )
    return " ".join([run, *came])


def speed(clips: np.ndarray, names: Iterable[str] = REPRESENTATIONS) -> dict[str, Any]:
    """Which representations can run on this machine, and how many seconds a clip takes.

    Parameters
    ----------
    clips : numpy.ndarray, shape (n, 32000), float32
    names : iterable of str

    Returns
    -------
    dict
        By name: ``available`` (bool), ``found`` (what, or the steps that are missing) and, where it
        ran, ``seconds_a_clip``.
    """
    found: dict[str, Any] = {}
    for name, (here, what) in availability().items():
        if name not in names:
            continue
        found[name] = {"available": here, "found": what}
        if here:
            backend = load(name)
            started = time.perf_counter()
            backend.embed(clips)
            found[name]["seconds_a_clip"] = (time.perf_counter() - started) / len(clips)
    return found
