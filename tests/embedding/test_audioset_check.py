"""What YAMNet hears, with a stand-in that calls loud clips a crying baby."""

from __future__ import annotations

import numpy as np
import pandas as pd
import soundfile

from cryhear.embedding import audioset_check
from cryhear.embedding.tables import kind_of
from cryhear.embedding.yamnet import BABY_CRY, N_SCORES


class Loud:
    """Scores by level: a clip over 0.05 RMS is a baby's cry, any other is class 0."""

    def scores(self, clips: np.ndarray) -> np.ndarray:
        scores = np.zeros((len(clips), N_SCORES), np.float32)
        loud = np.sqrt((clips**2).mean(axis=1)) > 0.05
        scores[np.arange(len(clips)), np.where(loud, BABY_CRY, 0)] = 0.9
        return scores


def test_each_recording_is_asked_and_the_useless_have_no_row(tmp_path, tone, monkeypatch):
    monkeypatch.setattr(audioset_check, "INFANTS", 3)
    sounds = {"loud": tone(3.0), "faint": tone(3.0, amplitude=0.01), "short": tone(1.0)}
    for name, samples in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, 16_000)
    (tmp_path / "broken.wav").write_text("no sound")
    names = [*sounds, "broken"]
    recordings = pd.DataFrame({"recording": names, "source": "uploads"})
    recordings["path"] = [str(tmp_path / f"{name}.wav") for name in names]
    found = audioset_check.table(recordings, Loud(), seed=3)
    assert found.columns.tolist() == audioset_check.COLUMNS
    own = found[found["source"] == "uploads"].set_index("recording")
    assert own["crying_first"].to_dict() == {"faint": False, "loud": True}
    assert own["baby_cry"].round(3).to_dict() == {"faint": 0.0, "loud": 0.9}
    assert (found["source"] == audioset_check.SYNTHETIC).sum() >= 4
    pd.testing.assert_frame_equal(found, audioset_check.table(recordings, Loud(), seed=3))


def test_summary_has_a_row_for_each_kind_of_sound():
    found = pd.DataFrame(
        {
            "source": [
                "uploads",
                "uploads",
                audioset_check.SYNTHETIC,
                "rain",
                "dog bark",
                "baby cry",
            ],
            "recording": list("abcdef"),
            "baby_cry": [0.2, 0.4, 0.8, 0.0, 0.1, 0.9],
            "crying_first": [True, False, True, False, False, True],
        }
    )
    table = audioset_check.summary(found, "uploads").set_index("sound")
    assert table["n"].tolist() == [2, 1, 1, 2]
    assert table.loc[audioset_check.REAL, "crying_first"] == 0.5
    assert table.loc[audioset_check.REAL, "baby_cry"] == np.mean([0.2, 0.4])
    assert table.loc[audioset_check.OTHER, ["crying_first", "baby_cry"]].tolist() == [0.0, 0.05]
    alone = audioset_check.summary(found[found["source"] == audioset_check.SYNTHETIC], "uploads")
    assert alone["sound"].tolist() == [audioset_check.SYNTHETIC]


def test_recordings_of_a_set_that_is_not_used_are_no_other_sounds():
    found = pd.DataFrame(
        {
            "source": ["uploads", "cleaned", "rain"],
            "recording": list("abc"),
            "baby_cry": [0.2, 0.4, 0.0],
            "crying_first": [True, False, False],
        }
    )
    sets = ["uploads", "cleaned"]
    cleaned = audioset_check.summary(found, "cleaned", sets)
    assert cleaned[["sound", "n"]].to_numpy().tolist() == [
        [audioset_check.REAL, 1],
        [audioset_check.OTHER, 1],
    ]
    everything = audioset_check.summary(found, "all", sets)
    told = audioset_check.summary(found.assign(source=["all", "all", "rain"]), "all", sets)
    assert told["n"].tolist() == [2, 1], "tables made for all sets name them so"
    assert everything[["sound", "n"]].to_numpy().tolist() == [
        [audioset_check.REAL, 2],
        [audioset_check.OTHER, 1],
    ]


def test_a_folder_of_esc10_names_its_kind():
    assert kind_of("004 - Baby cry") == audioset_check.BABY
    assert kind_of("rain") == "rain"
