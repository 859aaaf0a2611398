"""Copies are found under any name, codec, gain and shift; strangers are not."""

from __future__ import annotations

import numpy as np
import pytest
import soxr

from cryhear.corpus import duplicates as d

RATE = 16_000
# The bound is exact where both recordings are sampled on one grid; float16 keeps 11 bits.
BOUND_SLACK = 2e-3


def _cry(seed: int, seconds: float = 5.0) -> np.ndarray:
    """A harmonic, drifting sound with noise: cry-like enough to fool a spectrum, not a waveform."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE)
    f0 = 400 + 60 * np.cumsum(rng.standard_normal(n)) / np.sqrt(n)
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    x = sum(np.sin(k * phase) / k for k in range(1, 6)) + 0.05 * rng.standard_normal(n)
    return (0.1 * x).astype(np.float32)


def _correlation(x, y, rate_y=RATE):
    return d.correlation(d.waveform(x, RATE), d.waveform(y, rate_y))


def test_a_copy_is_found_whatever_was_done_to_it():
    x = _cry(1)
    noise = 0.01 * np.random.default_rng(2).standard_normal(len(x)).astype(np.float32)
    assert _correlation(x, 0.01 * x) > 0.999
    assert _correlation(x, -x) > 0.999
    assert _correlation(x, soxr.resample(x, RATE, 8000), 8000) > 0.99
    assert _correlation(x, np.concatenate([np.zeros(5000, np.float32), x])) > 0.99
    assert _correlation(x, x + noise) > 0.95
    assert _correlation(x, x + 0.3) > 0.99  # an offset is no sound
    assert _correlation(x, _cry(3)) < 0.5


def test_hum_does_not_make_strangers_alike():
    time = np.arange(5 * RATE) / RATE
    hum = np.sin(2 * np.pi * 50 * time).astype(np.float32)
    assert _correlation(_cry(1) + hum, _cry(2) + hum) < 0.5


def test_short_and_empty_recordings_are_not_compared():
    assert len(d.waveform(_cry(1, 0.5), RATE)) == 0
    assert len(d.waveform(np.zeros(5 * RATE, np.float32), RATE)) == 0
    assert d.correlation(np.zeros(0, np.float32), d.waveform(_cry(1), RATE)) == 0
    assert not d.fingerprint(np.zeros(0, np.float32)).any()


@pytest.mark.parametrize("seconds", [(5.0, 5.0), (3.0, 5.0), (2.0, 9.0)])
def test_the_fingerprint_bounds_the_correlation(seconds):
    """What the pruning rests on: no pair correlates more than its fingerprints."""
    slack = BOUND_SLACK if seconds[0] == seconds[1] else d.MARGIN
    for seed in range(4):
        x = d.waveform(_cry(seed, seconds[0]), RATE)
        for other in (_cry(seed, seconds[1]), _cry(seed + 10, seconds[1])):
            y = d.waveform(other, RATE)
            bound = d.fingerprint(x).astype(float) @ d.fingerprint(y).astype(float)
            assert d.correlation(x, y) <= bound + slack


def test_finds_exactly_the_copies_among_many():
    sounds = [d.waveform(_cry(seed), RATE) for seed in range(20)]
    shifted = np.concatenate([np.zeros(900, np.float32), 0.2 * _cry(4)])
    sounds += [d.waveform(shifted, RATE), d.waveform(_cry(7), RATE)]
    prints = np.stack([d.fingerprint(x) for x in sounds])
    loaded = []

    def load(row: int) -> np.ndarray:
        loaded.append(row)
        return sounds[row]

    found = d.near_duplicates(prints, load)
    assert [(i, j) for i, j, _ in found] == [(4, 20), (7, 21)]
    assert all(0.99 < rho <= 1 for *_, rho in found)
    assert len(loaded) < 3 * len(d.candidates(prints)) + 1


def test_candidates_do_not_depend_on_blocks(monkeypatch):
    prints = np.stack([d.fingerprint(d.waveform(_cry(s % 6), RATE)) for s in range(12)])
    whole = d.candidates(prints)
    monkeypatch.setattr(d, "_BLOCK", 5)
    assert d.candidates(prints) == whole
    assert {(i, i + 6) for i in range(6)} <= set(whole)


def test_groups_are_connected_components():
    assert d.groups(6, [(4, 1), (1, 3), (5, 0)]).tolist() == [0, 1, 2, 1, 1, 0]
    assert d.groups(2, []).tolist() == [0, 1]
    assert d.groups(0, []).tolist() == []
