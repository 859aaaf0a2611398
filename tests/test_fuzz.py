"""Hostile recordings: a few of every kind, and a whole corpus of them with good ones among."""

from __future__ import annotations

import fuzz
import numpy as np
import pytest
import soundfile

from cryhear.corpus import manifest

EACH = 6
"""Files of a kind; `python tests/fuzz.py` makes any number."""

pytestmark = pytest.mark.slow


def test_every_hostile_file_is_read_or_refused_with_a_reason(tmp_path):
    ends = list(fuzz.run(tmp_path, EACH * len(fuzz.KINDS)))
    assert [f"{path.name}: {end}" for _, end, path in ends if "DEFECT" in end] == []
    assert {kind for kind, _, _ in ends} == {kind.__name__ for kind in fuzz.KINDS}
    refused = [end for _, end, _ in ends if end.startswith("refused")]
    # Were everything refused, or nothing, this would not have been an attack on a decoder.
    assert 0.2 * len(ends) < len(refused) < 0.8 * len(ends)


def test_good_recordings_among_hostile_ones_are_measured(tmp_path, tone):
    known = fuzz.seeds()
    for number, kind in enumerate(fuzz.KINDS):
        fuzz.make(tmp_path, kind, number, known)
    for i in range(3):
        noise = np.random.default_rng(i).standard_normal(32_000).astype(np.float32)
        soundfile.write(tmp_path / f"good_{i}.wav", 0.1 * noise, 16_000)
    table, paths = manifest.build([tmp_path])
    assert len(table) == len(fuzz.KINDS) + 3
    good = table[table["name"].str.startswith("good_")]
    assert good["problem"].tolist() == ["", "", ""]
    assert good["duration_s"].tolist() == [2.0, 2.0, 2.0]
    bad = table[table["problem"] != ""]
    assert len(bad) > 3
    # The reason alone: where a file lies is nobody's business.
    assert not bad["problem"].str.contains(str(tmp_path), regex=False).any()
    assert set(paths["recording"]) == set(table.loc[table["problem"] == "", "recording"])


@pytest.mark.parametrize("name", sorted(fuzz.seeds()))
def test_the_files_that_are_broken_were_sound_before(tmp_path, name):
    path = tmp_path / f"x.{name.rsplit('.', 1)[1]}"
    path.write_bytes(fuzz.seeds()[name])
    assert fuzz.read(str(path)) == "read"
