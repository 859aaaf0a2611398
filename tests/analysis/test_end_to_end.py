"""The rehearsal goes from audio to p, and is the same each time."""

from __future__ import annotations

import pandas as pd

from cryhear.analysis import end_to_end


def test_one_synthetic_study_from_audio_to_p():
    first = end_to_end.rehearse(1.2, 24, 19, seed=3)
    assert first["effect"].tolist() == [1.2]
    assert 15 <= first["infants"].iloc[0] <= 24
    assert first["recordings"].iloc[0] >= 40
    assert 0 < first["auc"].iloc[0] < 1
    assert 0.05 <= first["p"].iloc[0] <= 1
    pd.testing.assert_frame_equal(first, end_to_end.rehearse(1.2, 24, 19, seed=3))
