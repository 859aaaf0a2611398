"""Make the shipped cry gate and measure it, and measure what preparing clip by clip changes.

One command, from the recordings of Donate-a-Cry and ESC-10::

    python tools/make_gate.py corpora data/gate

The gate is trained on ESC-10's folds 1 and 2 and on the cries of half of the infants, and measured on
fold 3 and the other half: sounds, infants and sources it never heard. Every sound of ESC-10 is heard
twice, as it is and as an 8 kHz telephone would store it, because most cries of the corpus were:
otherwise a narrow band would be all there is to tell. Thresholds are set on the training side, out
of fold; none is chosen on the measured side.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryhear import __version__, params
from cryhear.analysis import robustness
from cryhear.analysis.cross_validation import P_COLUMNS
from cryhear.analysis.primary_auc import FoldPlan
from cryhear.audio import decode, perturb, preprocess
from cryhear.corpus import find
from cryhear.embedding import load
from cryhear.embedding.base import CLIP_SAMPLES, SAMPLE_RATE
from cryhear.embedding.tables import Derived, StudySet
from cryhear.errors import CorpusError, CryhearError
from cryhear.evaluation import bootstrap
from cryhear.evaluation.auc import Ranked
from cryhear.evaluation.bootstrap import draw_weights, percentiles
from cryhear.files import write_json
from cryhear.models import batched_logistic
from cryhear.models.fitted import Reduction
from cryhear.prediction import bundle, decide, gate
from cryhear.prediction import train as training

SETTINGS = params.Preprocess()
CS = (1e-4, 1e-3, 1e-2, 1e-1)
FOLDS = 5
DRAWS = 2000
REPEATS = 3
"""Repeats of five folds over infants, where clip by clip is compared with whole."""
SEED = 42
CRIES, BABY, OTHER = "cries", "ESC-10 cries", "other sounds"
TELEPHONE = "resample_8khz"
"""The version of an ESC-10 sound that a telephone would store (`cryhear.audio.perturb`)."""
PLAIN, STORED = "as recorded", "telephone"
SHARES = {(CRIES, PLAIN): 0.5, (BABY, PLAIN): 0.25, (BABY, STORED): 0.25,
          (OTHER, PLAIN): 0.5, (OTHER, STORED): 0.5}  # fmt: skip
"""What each part counts in training: half of the cries are ESC-10's, the only ones with a full band."""
LICENCE = (
    "Computed from ESC-10 (K. J. Piczak, doi 10.1145/2733373.2806390; Creative Commons Attribution 3.0) "
    "and from the Donate-a-Cry corpus (Open Database License 1.0), and under the latter for that part."
)


@dataclass(frozen=True)
class Sounds:
    """Every clip of both corpora, prepared by itself.

    Attributes
    ----------
    clips : pandas.DataFrame, n rows
        ``kind`` (CRIES, BABY or OTHER), ``version`` ('as recorded' or 'telephone'), ``recording``,
        ``group`` (infant, or ESC-10 source), ``measured`` (bool: kept out of training),
        ``category``, ``yamnet`` (score; missing without YAMNet).
    X : numpy.ndarray, shape (n, 320), float32
    """

    clips: pd.DataFrame
    X: np.ndarray

    @property
    def cry(self) -> np.ndarray:
        """Whether each clip is of a cry, bool (n,)."""
        return (self.clips["kind"] != OTHER).to_numpy()

    def keep(self, rows: np.ndarray) -> Sounds:
        """Some of the rows."""
        at = np.flatnonzero(rows)
        return Sounds(self.clips.iloc[at].reset_index(drop=True), self.X[at])


def embed_corpora(root: Path, derived: Derived) -> Sounds:
    """Decode, cut and embed both corpora below `root`."""
    esc = root / "esc10"
    missing = [f for f in (root / "donateacry", esc) if not f.is_dir()]
    if missing:
        raise CorpusError(
            f"{', '.join(map(str, missing))} is not a folder; both corpora are needed. Fetch them "
            f"by `cryhear corpus fetch donateacry {root}` and `cryhear corpus fetch esc10 {root}`"
        )
    used = derived.study_set("uploads", "original", "logmel").recordings
    paths = find.hashed([root / "donateacry"])[0].set_index("recording")
    listed = [
        {"path": paths.loc[r.recording, "path"], "kind": CRIES, "version": PLAIN,
         "recording": r.recording, "group": r.infant, "measured": _coin(r.infant), "category": "cry"}
        for r in used.itertuples() if r.recording in paths.index
    ]  # fmt: skip
    for path in sorted(esc.rglob("*.ogg")):
        category = path.parent.name.partition(" - ")[2].lower()
        about = {"path": str(path), "kind": BABY if "baby" in category else OTHER,
                 "recording": path.stem, "group": path.stem.split("-")[1],
                 "measured": path.stem.startswith("3-"), "category": category}  # fmt: skip
        listed += [about | {"version": version} for version in (PLAIN, STORED)]
    return _embedded(pd.DataFrame(listed))


def _coin(infant: str) -> bool:
    return hashlib.sha256(infant.encode()).digest()[0] % 2 == 1


def _embedded(listed: pd.DataFrame) -> Sounds:
    backend = load("logmel")
    yamnet: Any = load("yamnet") if gate.yamnet_wanted() else None
    rows: list[pd.DataFrame] = []
    vectors = []
    for number, about in enumerate(listed.itertuples(index=False)):
        cut = _prepared(about.path, about.version)
        if not len(cut):
            continue
        table = pd.DataFrame([about._asdict()] * len(cut)).drop(columns="path")
        if yamnet is not None:
            table["yamnet"] = yamnet.scores(cut)[:, list(gate.CRYING)].max(axis=1)
        rows.append(table)
        vectors.append(backend.embed(cut))
        if number % 100 == 0:
            print(f"{number} of {len(listed)}", file=sys.stderr)
    return Sounds(pd.concat(rows, ignore_index=True), np.concatenate(vectors))


def _prepared(path: str, version: str) -> np.ndarray:
    """Sounding clips of a recording, each prepared by itself, float32 (m, 32000)."""
    samples = decode.decode(path).samples
    if version == STORED:
        rng = np.random.default_rng(SEED)
        samples = perturb.PERTURBATIONS[TELEPHONE](samples, SAMPLE_RATE, rng).astype(np.float32)
    return clips_of(samples, SETTINGS)


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
        prepared, level = preprocess.prepare_clip(clip, settings)
        if level >= settings.silence_dbfs:
            kept.append(prepared)
    return np.stack(kept) if kept else np.zeros((0, CLIP_SAMPLES), np.float32)


def weights(sounds: Sounds) -> np.ndarray:
    """Row weights, mean 1: cries count as much as other sounds, and the parts of each by `SHARES`."""
    part = pd.Series(list(zip(sounds.clips["kind"], sounds.clips["version"], strict=True)))
    weight = (part.map(SHARES) / part.map(part.value_counts())).to_numpy(float)
    return weight * len(part) / weight.sum()


def fit(sounds: Sounds) -> tuple[bundle.Bundle, np.ndarray]:
    """Fit the gate on the training side; give also its out-of-fold scores there, which set thresholds."""
    weight, y = weights(sounds), sounds.cry.astype(int)
    fold = sounds.clips["group"].map(
        lambda g: int(hashlib.sha256(f"fold/{g}".encode()).hexdigest(), 16) % FOLDS
    )
    out = np.zeros((len(CS), len(y)))
    for number in range(FOLDS):
        test = (fold == number).to_numpy()
        reduction, coef, intercept = _fit(sounds.X[~test], y[~test], weight[~test], np.array(CS))
        out[:, test] = batched_logistic.probabilities(reduction(sounds.X[test]), coef, intercept)[
            :, :, 1
        ]
    right = np.where(y, out, 1 - out)
    best = int((-np.log(np.maximum(right, 1e-12)) @ weight).argmin())
    reduction, coef, intercept = _fit(sounds.X, y, weight, np.array(CS[best : best + 1]))
    spread = reduction(sounds.X[sounds.cry]).std(axis=0)
    made = bundle.Bundle({"procedure": {"model": "standardise, PCA, weighted L2 logistic regression",
                                        "C": CS[best]}}, reduction, spread, coef, intercept)  # fmt: skip
    return made, out[best]


def _fit(
    X: np.ndarray, y: np.ndarray, weight: np.ndarray, C: np.ndarray
) -> tuple[Reduction, np.ndarray, np.ndarray]:
    reduction = Reduction.fit(X, 0.95)
    Z = reduction(X).astype(float)
    Y = np.tile(y, (len(C), 1))
    coef, intercept = batched_logistic.fit_batched(
        Z, Y, np.tile(weight, (len(C), 1)), C, n_classes=2
    )
    return reduction, coef, intercept


def threshold(sounds: Sounds, score: np.ndarray) -> float:
    """Score that divides the training side's clips best: cries kept plus other sounds refused.

    Returns
    -------
    float
        Of the scores there are, the lowest with the largest mean of both shares (balanced accuracy;
        Youden 1950), each part counting by `SHARES`.
    """
    weight, cry = weights(sounds), sounds.cry
    order = np.argsort(score, kind="stable")
    kept = 1 - np.cumsum(np.where(cry, weight, 0)[order]) / weight[cry].sum()
    refused = np.cumsum(np.where(cry, 0, weight)[order]) / weight[~cry].sum()
    # Everything up to a row is refused, so the threshold is the next larger score.
    best = int((kept + refused)[:-1].argmax())
    return float(score[order][best + 1])


def measure(sounds: Sounds, score: np.ndarray, limit: float) -> dict[str, Any]:
    """How a gate does on the measured side.

    Parameters
    ----------
    sounds : Sounds
        The measured side only.
    score : numpy.ndarray, shape (n,)
    limit : float

    Returns
    -------
    dict
        ``auc`` (of clips, all cries against all other sounds as recorded; 95 %, bootstrap over
        infants and sources) and, by kind and version, the shares of clips and of recordings let
        through; a recording by the rule of `cryhear.prediction.decide.Recording`: most of its clips. 95 %
        Wilson intervals that count infants or sources, not recordings.
    """
    from scipy.stats import binomtest

    plain = (sounds.clips["version"] == PLAIN).to_numpy()
    ranked = Ranked(sounds.cry[plain], score[plain])
    draws = ranked.auc(draw_weights(sounds.clips["group"][plain], DRAWS, SEED))
    low, high = percentiles(draws)
    found: dict[str, Any] = {
        "auc": {"value": float(ranked.auc(np.ones((plain.sum(), 1)))[0]), "low": float(low),
                "high": float(high), "clips": int(plain.sum())}
    }  # fmt: skip
    table = sounds.clips.assign(passed=score >= limit)
    for (kind, version), own in table.groupby(["kind", "version"]):
        passed = own.groupby("recording")["passed"].mean() >= 0.5
        groups = own["group"].nunique()
        share = float(passed.mean())
        interval = binomtest(round(share * groups), groups).proportion_ci(method="wilson")
        found[f"{kind}, {version}"] = {
            "passed": share, "low": float(interval.low), "high": float(interval.high),
            "recordings": len(passed), "groups": int(groups), "clips_passed": float(own["passed"].mean()),
        }  # fmt: skip
    return found


def make(sounds: Sounds) -> bundle.Bundle:
    """Train the gate on one side of the sounds and measure it, and YAMNet's, on the other."""
    measured = sounds.clips["measured"].to_numpy(bool)
    trained, held = sounds.keep(~measured), sounds.keep(measured)
    made, out_of_fold = fit(trained)
    limits = {"logmel": threshold(trained, out_of_fold)}
    score = batched_logistic.probabilities(made.reduction(held.X), made.coef, made.intercept)[0][
        :, 1
    ]
    performance = {"logmel": measure(held, score, limits["logmel"])}
    if "yamnet" in sounds.clips:
        limits["yamnet"] = threshold(trained, trained.clips["yamnet"].to_numpy(float))
        score = held.clips["yamnet"].to_numpy(float)
        performance["yamnet"] = measure(held, score, limits["yamnet"])
    return replace(made, card=_card(made, trained, limits, performance))


def _card(
    made: bundle.Bundle, trained: Sounds, limits: dict[str, float], performance: dict[str, Any]
) -> dict[str, Any]:
    backend = load("logmel")
    as_it_is = {"temperature": 1.0, "bias": [0.0, 0.0]}
    groups = trained.clips.groupby("kind")["group"].nunique()
    return {
        "format": bundle.FORMAT, "name": "gate", "cryhear": __version__, "classes": list(gate.CLASSES),
        "representation": {"name": "logmel", "version": backend.version, "dimension": backend.dimension},
        "preprocess": SETTINGS.model_dump(mode="json"),
        "procedure": made.card["procedure"],
        "training": {"clips": len(trained.X), "infants": int(groups[CRIES]),
                     "sources": {k: int(groups[k]) for k in (BABY, OTHER)},
                     "sha256": hashlib.sha256(trained.X.tobytes()).hexdigest()},
        "calibration": {"recording": as_it_is, "clip": as_it_is},
        "performance": {"measured_on": "ESC-10 fold 3 and infants kept out of training", **performance},
        "limits": {"recording": {}, "clip": limits},
        "clipwise": {},
        "licence": LICENCE,
        "intended_use": "To refuse sounds that are no infant cry before a label is given to them.",
        "out_of_scope": "Finding cries: speech, music, toys and pets other than ESC-10's were never tried.",
        "note": "A sound that passes is not thereby a cry, and a cry that does not is still one.",
    }  # fmt: skip


def clipwise_effect(
    root: Path, derived: Derived, representation: str = "logmel", repeats: int = REPEATS
) -> dict[str, Any]:
    """What it changes to prepare each clip by itself, as a stream must be, on the recordings below `root`.

    Training prepares recordings whole: one estimate of the noise, one gain. Here the recordings are
    prepared clip by clip, and the models are asked about both versions of held-out infants' cries.

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
    recordings, vectors = embed_clipwise(data, root, backend, settings)
    data = data.subset(np.isin(data.recordings["recording"].to_numpy(str), recordings))
    plan = FoldPlan.of(data.recordings, training.FOLDS, repeats, SEED)
    return {
        "representation": {"name": backend.name, "version": backend.version},
        "recordings": len(data),
        "repeats": repeats,
        **compare(data, plan, recordings, vectors),
    }


def embed_clipwise(
    data: StudySet, root: Path, backend: Any, settings: Any
) -> tuple[np.ndarray, np.ndarray]:
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


def compare(
    data: StudySet, plan: FoldPlan, recordings: np.ndarray, vectors: np.ndarray
) -> dict[str, Any]:
    """Ask the models of every fold about the recordings prepared whole and clip by clip."""
    models = robustness.fitted(data, plan)
    at = pd.Index(data.recordings["recording"]).get_indexer(recordings)
    vectors, at = vectors[at >= 0], at[at >= 0]
    clipwise = np.zeros(data.X.shape)
    np.add.at(clipwise, at, vectors)
    clipwise = (clipwise / np.bincount(at, minlength=len(data))[:, None]).astype(np.float32)
    p = [robustness.out_of_fold(models, X) for X in (data.X, clipwise)]
    judged, clips = training.judge(data, plan)
    limit = training.clip_limit(clips)
    away = np.concatenate([fold.distance(vectors[np.isin(at, fold.test)]) for fold in models])
    tables = [judged.assign(prepared="whole")]
    tables.append(_with_probabilities(judged, data, p[1]).assign(prepared="clipwise"))
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


def _with_probabilities(table: pd.DataFrame, data: StudySet, p: np.ndarray) -> pd.DataFrame:
    at = pd.Index(data.recordings["recording"]).get_indexer(table["recording"])
    changed = table.copy()
    changed[P_COLUMNS] = p[table["repeat"].to_numpy(), at]
    return changed


def main(arguments: list[str] | None = None) -> int:
    """Entry point: ``python tools/make_gate.py CORPORA OUT``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path, help="folder that holds donateacry/ and esc10/")
    parser.add_argument("out", type=Path, nargs="?", default=gate.FOLDER)
    parser.add_argument("--derived", type=Path, default=Path("data/donateacry"))
    given = parser.parse_args(arguments)
    try:
        derived = Derived(given.derived)
        made = make(embed_corpora(given.corpora, derived))
        bundle.write(made, given.out)
        found = clipwise_effect(given.corpora, derived)
        write_json(given.out / "clipwise.json", found)
    except CryhearError as error:
        print(f"make_gate: {error}", file=sys.stderr)
        return 1
    print(pd.json_normalize(made.card["performance"]).T.to_string(header=False))
    print(pd.json_normalize(found).T.to_string(header=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
