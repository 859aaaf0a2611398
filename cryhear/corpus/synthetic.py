"""A corpus of synthetic cries with known causes: infants, recordings, labels, names and folders.

Each infant has its own F0, roughness, breathiness, melody and tract, in units of the standard
deviation between infants, and its own phone and room; a class moves a recording along some of
these by `effect` such units. (The power analysis moves embeddings by standard deviations of their own:
equal numbers there and here are not equal effects.) The corpus is written as WAV files
under Donate-a-Cry's folders and names, so that the whole study runs on it, decoding included. It
checks the pipeline; it is not data about infants.

Only pain has signs in the literature: F0 higher (Parga et al. 2020, PMC7033040), roughness higher
(Koutseff et al., Bioacoustics 27(4):313), the first cry longer (Runefors et al. 2000, Acta Paediatr.
89(1):68), melody different, here more varied (Lenti Boero et al. 1998, doi
10.2466/pms.1998.86.3c.1123). No source gives a sign for hunger against discomfort: the breathiness
of 'neurological' is invented, so that there are three classes to tell apart.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import soundfile
from pydantic import BaseModel, ConfigDict, Field, field_validator

from cryhear.audio.synthesis import CrySettings, cry
from cryhear.files import atomic, write_json, write_table

__all__ = ["QUANTITIES", "CrySettings", "SyntheticCorpus", "corpus", "cry", "recording_settings"]

ROOT_NAME = "synthetic-cries"
"""Name of the corpus folder: says in every path that these are no recordings of infants."""

QUANTITIES = ("f0", "roughness", "first_cry", "melody", "breathiness", "tract", "expiration")
"""What differs between infants, each standard normal; a class may move any of them."""

REASONS = {
    "pain": {"ti": 0.57, "bp": 0.26, "bu": 0.17},
    "hunger": {"hu": 1.0},
    "neurological": {"dc": 0.43, "lo": 0.26, "sc": 0.17, "ch": 0.14},
}
"""Reason codes of each class and their shares among Donate-a-Cry's uploads (original rules)."""

AGES = {
    "04": (0.33, 7.3), "48": (0.12, 7.6), "26": (0.35, 8.2), "72": (0.18, 9.2), "22": (0.02, 10.0),
}  # fmt: skip
"""Age bands: share in the cleaned Donate-a-Cry set, and tract length in cm. The lengths are by
arithmetic, from 7-8 cm at birth and the growth that Vorperian et al. (2005) describe."""

_FOLDERS = {
    "android": "donateacry-android-upload-bucket",
    "ios": "donateacry-ios-upload-bucket",
}
_GOLDEN = 0.6180339887498949  # spreads the classes evenly over infants, however many there are


class SyntheticCorpus(BaseModel):
    """What a synthetic corpus holds."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    infants: Annotated[int, Field(ge=3, le=100_000, strict=True)] = Field(48, description="infants")
    recordings: tuple[int, int] = Field((2, 6), description="fewest and most recordings an infant")
    seconds: Annotated[float, Field(ge=1, le=60)] = Field(7.0, description="s, of a recording")
    effect: Annotated[float, Field(ge=0, le=5)] = Field(
        0.8, description="class effect, between-infant SD: 0, 0.2, 0.5, 0.8, 1.2 in the power study"
    )
    within_sd: Annotated[float, Field(ge=0, le=3)] = Field(
        0.5, description="SD between recordings of one infant, between-infant SD"
    )
    classes: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {"pain": 0.3, "hunger": 0.4, "neurological": 0.3}, description="shares of the infants"
    )
    directions: dict[str, dict[str, float]] = Field(
        {
            "pain": {"f0": 1.0, "roughness": 1.0, "first_cry": 1.0, "melody": 1.0},
            "neurological": {"breathiness": 1.0},
        },
        description="what an effect moves, by class",
    )
    agreement: Annotated[float, Field(ge=0, le=1)] = Field(
        0.85, description="probability a recording has its infant's usual class"
    )
    unlabelled: Annotated[float, Field(ge=0, le=1)] = Field(0.05, description="share of don't know")
    ios: Annotated[float, Field(ge=0, le=1)] = Field(0.37, description="share of iOS infants")

    @field_validator("recordings")
    @classmethod
    def _ordered(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= value[0] <= value[1]:
            raise ValueError("give [fewest, most] with 1 <= fewest <= most")
        return value

    @field_validator("classes")
    @classmethod
    def _known_classes(cls, value: dict[str, float]) -> dict[str, float]:
        if not set(value) <= set(REASONS) or not sum(value.values()) > 0:
            raise ValueError(f"give shares of {', '.join(REASONS)} that do not all vanish")
        return value

    @field_validator("directions")
    @classmethod
    def _known(cls, value: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        wrong = sorted(set(value) - set(REASONS)) + sorted(
            {quantity for moved in value.values() for quantity in moved} - set(QUANTITIES)
        )
        if wrong:
            raise ValueError(
                f"unknown {', '.join(wrong)}; classes are {', '.join(REASONS)}, "
                f"quantities {', '.join(QUANTITIES)}"
            )
        return value


def corpus(folder: str | os.PathLike[str], settings: SyntheticCorpus, seed: int) -> Path:
    """Write a synthetic corpus.

    Parameters
    ----------
    folder : path-like
        Where to put the corpus folder, `synthetic-cries`.
    settings : SyntheticCorpus
    seed : int
        Infant i depends on the seed and i alone: a larger corpus begins with the smaller one.

    Returns
    -------
    pathlib.Path
        The corpus folder: WAV files (16 bits; Android's at 8 kHz, iOS's at 16 kHz) under
        Donate-a-Cry's folder names, `truth.parquet` with one row a recording, `settings.json`.
    """
    root = Path(folder) / ROOT_NAME
    rows = []
    for index in range(settings.infants):
        for row in _infant(index, settings, seed):
            _write(root / row["path"], row.pop("cry"), row.pop("rng"))
            rows.append(row)
    write_table(root / "truth.parquet", pd.DataFrame(rows))
    write_json(root / "settings.json", {"seed": seed, **settings.model_dump(mode="json")})
    return root


def recording_settings(
    z: dict[str, float], age_band: str, platform: str, **others: float
) -> CrySettings:
    """Settings of one recording from its place between infants.

    Parameters
    ----------
    z : dict of str to float
        `QUANTITIES` in between-infant standard deviations. One of F0 is 95 Hz (Michelsson et
        al.), one of the first cry 0.6 s (same); the others are chosen so that two are plainly
        seen in a spectrogram: 0.1 of roughness, 4 dB of breath noise, 0.3 arcs, 0.3 cm, 15 % of
        the mean expiration.
    age_band : str
        One of `AGES`.
    platform : {'android', 'ios'}
        Sets rate and bandwidth.
    **others : float
        Fields of `CrySettings` to set outright (room, level, length).
    """
    telephone = platform == "android"
    return CrySettings(
        f0_hz=float(np.clip(496 + 95 * z["f0"], 250, 900)),
        roughness=float(np.clip(0.2 + 0.1 * z["roughness"], 0, 0.9)),
        jitter=float(0.006 * np.exp(0.3 * np.clip(z["roughness"], -4, 4))),
        first_expiration_s=float(np.clip(1.8 + 0.6 * z["first_cry"], 0.4, 6)),
        arcs=float(np.clip(1.3 + 0.3 * z["melody"], 1, 4)),
        aspiration_db=float(np.clip(-24 + 4 * z["breathiness"], -50, 0)),
        tract_cm=float(np.clip(AGES[age_band][1] + 0.3 * z["tract"], 5.5, 14)),
        expiration_s=float(np.clip(1.4 * np.exp(0.15 * z["expiration"]), 0.4, 4)),
        sample_rate=8_000 if telephone else 16_000,
        bandwidth_hz=3_700 if telephone else 7_600,
        **others,
    )


def _infant(index: int, s: SyntheticCorpus, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng([seed, index])
    place = np.cumsum(list(s.classes.values())) / sum(s.classes.values())
    turn = (index * _GOLDEN + 0.5) % 1.0
    usual = list(s.classes)[int(np.searchsorted(place, turn, side="right"))]
    about = {
        "instance": str(uuid.UUID(bytes=rng.bytes(16), version=4)),
        "platform": "ios" if rng.random() < s.ios else "android",
        "sex": str(rng.choice(["f", "m"])),
        "age_band": str(rng.choice(list(AGES), p=[share for share, _ in AGES.values()])),
    }
    # F0 stays within the 300 to 700 Hz of the source's infants.
    own = {name: float(np.clip(rng.standard_normal(), -2.06, 2.15)) for name in QUANTITIES}
    room = {
        "reverberation_s": float(rng.uniform(0.2, 0.6)),
        "direct_to_reverberant_db": float(rng.uniform(3, 15)),
        "snr_db": float(np.clip(rng.normal(36, 6), 15, 60)),
    }
    time = 1_425_000_000 + float(rng.uniform(0, 1.5e7))
    rows = []
    for _ in range(int(rng.integers(s.recordings[0], s.recordings[1], endpoint=True))):
        # Most follow within minutes, some after hours, as an app's uploads do.
        time += 12 + float(rng.lognormal(np.log(60), 1.5))
        other = [name for name in s.classes if name != usual] or [usual]
        label = usual if rng.random() < s.agreement else str(rng.choice(other))
        z = _voice(own, label, s, rng)
        level = float(np.clip(rng.normal(-22, 6), -45, -10))
        reason = str(rng.choice(list(REASONS[label]), p=list(REASONS[label].values())))
        reason = "dk" if rng.random() < s.unlabelled else reason
        rows.append({
            "path": _name(about, time, reason), "infant": index, "label": label, "reason": reason,
            **about, **{f"z_{name}": value for name, value in z.items()},
            "cry": recording_settings(
                z, about["age_band"], about["platform"], seconds=s.seconds, level_dbfs=level, **room
            ),
            "rng": np.random.default_rng(rng.integers(2**63)),
        })  # fmt: skip
    return rows


def _voice(
    own: dict[str, float], label: str, s: SyntheticCorpus, rng: np.random.Generator
) -> dict[str, float]:
    """`QUANTITIES` of one recording: the infant's own, its day, and what the class does to it."""
    moved = s.directions.get(label, {})
    return {
        name: own[name] + s.within_sd * float(rng.standard_normal())
        + s.effect * moved.get(name, 0.0)
        for name in QUANTITIES
    }  # fmt: skip


def _name(about: dict[str, str], time: float, reason: str) -> str:
    end = f"{about['sex']}-{about['age_band']}-{reason}.wav"
    if about["platform"] == "ios":
        return f"{_FOLDERS['ios']}/{about['instance'].upper()}-{time:.0f}-1.1-{end}"
    return f"{_FOLDERS['android']}/{about['instance']}-{time * 1000:.0f}-1.7-{end}"


def _write(path: Path, settings: CrySettings, rng: np.random.Generator) -> None:
    with atomic(path) as temporary:
        soundfile.write(
            temporary, cry(settings, rng), settings.sample_rate, subtype="PCM_16", format="WAV"
        )
