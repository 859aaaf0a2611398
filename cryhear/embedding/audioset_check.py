"""YAMNet AudioSet scores of real, synthetic and non-cry recordings.

YAMNet was trained on AudioSet, two of whose classes are crying. Asked about a synthetic cry it says
whether the synthesiser is worth its name; asked about the real recordings, how many are cries at all.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from cryhear import progress
from cryhear.audio.decode import decode
from cryhear.audio.preprocess import clips
from cryhear.corpus import find, synthetic
from cryhear.embedding import SAMPLE_RATE
from cryhear.embedding.yamnet import BABY_CRY, CRYING, YAMNet
from cryhear.errors import AudioError
from cryhear.params import Preprocess

REAL = "real recordings"
SYNTHETIC = "synthetic cries"
BABY = "baby cry"
OTHER = "other sounds (ESC-10)"
INFANTS = 24
"""Synthetic infants asked about."""

COLUMNS = ["source", "recording", "baby_cry", "crying_first"]


def table(recordings: pd.DataFrame, model: YAMNet, seed: int) -> pd.DataFrame:
    """Ask about recordings, and about a corpus of synthetic cries written and decoded for it.

    Parameters
    ----------
    recordings : pandas.DataFrame
        ``recording``, ``source`` (what kind of sound it is) and ``path``.
    model : YAMNet
    seed : int
        Of the synthetic corpus.

    Returns
    -------
    pandas.DataFrame
        ``source``, ``recording``, ``baby_cry`` (the score 'Baby cry, infant cry' of the clip where it
        is highest, 0 to 1) and ``crying_first`` (bool: of all classes, a crying one has the highest
        mean score). A recording that cannot be decoded or is shorter than a clip has no row.
    """
    with tempfile.TemporaryDirectory(prefix="cryhear-heard-") as folder:
        settings = synthetic.SyntheticCorpus(infants=INFANTS)
        made, _ = find.hashed([synthetic.corpus(folder, settings, seed)])
        asked = pd.concat([recordings, made.assign(source=SYNTHETIC)], ignore_index=True)
        rows = [
            _row(row.source, row.recording, Path(row.path), model)
            for row in progress.bar(asked.itertuples(), total=len(asked), desc="heard")
        ]
    found = pd.DataFrame([row for row in rows if row], columns=COLUMNS)
    return found.sort_values(["source", "recording"], ignore_index=True)


def _row(source: str, recording: str, path: Path, model: YAMNet) -> tuple | None:
    try:
        samples = decode(path, sample_rate=SAMPLE_RATE).samples
    except AudioError:
        return None  # the manifest lists it with its problem
    _, cut = clips(samples, Preprocess())
    if not len(cut):
        return None
    scores = model.scores(cut)
    first = int(scores.mean(axis=0).argmax()) in CRYING
    return source, recording, float(scores[:, BABY_CRY].max()), first


def summary(found: pd.DataFrame, set_name: str, sets: Collection[str] = ()) -> pd.DataFrame:
    """Shares of the study's set, of synthetic cries and of all other sounds in which a cry is heard.

    Parameters
    ----------
    found : pandas.DataFrame
        As `table` gives it.
    set_name : str
        The source that holds the study's recordings; 'all' for all `sets`.
    sets : collection of str
        Sources that are sets of recordings: those that the study does not use are left out.

    Returns
    -------
    pandas.DataFrame
        ``sound``, ``n``, ``crying_first`` (share), ``baby_cry`` (median), ``low``, ``high``
        (quartiles), a row for each kind of sound that is there.
    """
    recordings = {"all", *sets}
    used = recordings if set_name == "all" else {set_name}
    found = found[~found["source"].isin(recordings - used)]
    kinds = {**dict.fromkeys(used, REAL), SYNTHETIC: SYNTHETIC, BABY: "babies (ESC-10)"}
    sound = found["source"].map(kinds).fillna(OTHER)
    groups = found.assign(sound=sound).groupby("sound")
    score = groups["baby_cry"]
    shares = pd.DataFrame(
        {
            "n": groups.size(),
            "crying_first": groups["crying_first"].mean(),
            "baby_cry": score.median(),
            "low": score.quantile(0.25),
            "high": score.quantile(0.75),
        }
    )
    order = [kind for kind in dict.fromkeys([*kinds.values(), OTHER]) if kind in shares.index]
    return shares.loc[order].rename_axis("sound").reset_index()
