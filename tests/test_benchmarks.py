"""Each measurement works in its quick form, and sees results that are not equal. No time is asserted."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import NAMES, bench, made, plain
from cryhear.files import read_json

QUICK = ("inference",)
"""Measurements run here: the others take minutes in any form."""


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    # One thread: the data are so small that threads only wait for each other.
    environment = {**os.environ, "PYTHONPATH": str(bench.ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=bench.ROOT, env=environment,
        capture_output=True, text=True,
    )  # fmt: skip


def test_all_measurements_are_listed() -> None:
    done = command("benchmarks", "--list")
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == list(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_a_quick_run_finds_equal_results_and_keeps_nothing(name: str) -> None:
    kept = {path: path.read_bytes() for path in bench.RESULTS.glob("*")}
    done = command(f"benchmarks.{name}", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{name}: a quick run; nothing is kept" in done.stdout
    assert {path: path.read_bytes() for path in bench.RESULTS.glob("*")} == kept


def test_pairs_are_run_in_turn() -> None:
    order: list[str] = []
    found = bench.pair(lambda: order.append("a"), lambda: order.append("b"), repeats=3)
    assert order == ["a", "b"] * 4
    assert len(found.ratios) == 3
    slow = found._replace(ours=[1.0, 2.0], theirs=[3.0, 8.0])
    assert slow.ratios == [3.0, 4.0]


@pytest.mark.parametrize("theirs", [[1.0, 2.1], [1.0, np.nan], [1.0], [0.0, 0.0]])
def test_unequal_results_are_refused(theirs: list[float]) -> None:
    with pytest.raises(bench.Unequal):
        bench.check_close([1.0, 2.0], theirs, 1e-3, "numbers")
    assert bench.check_close([1.0, np.nan], [1.0, np.nan], 0.0, "numbers") == 0.0


def test_a_measurement_that_finds_unequal_results_fails_and_keeps_nothing(
    tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    assert bench.run("decode", lambda results: bench.check_same(1, 2, "answers"), []) == 1
    assert "NOT equal: answers: 1 and 2" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_results_are_a_ledger_with_machine_and_code(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(bench, "RESULTS", tmp_path)

    def measure(results: bench.Results) -> None:
        results.ratio("chain", bench.Pair([1.0, 1.0, 2.0], [3.0, 5.0, 8.0], None, None))

    assert bench.run("decode", measure, []) == 0
    content = read_json(tmp_path / "decode.json")
    assert content["numbers"]["chain"] == {
        "value": 4.0,
        "unit": "ratio",
        "low": 3.0,
        "high": 5.0,
        "n": 3,
    }
    assert "cores" in content["numbers"]["machine"]["value"]
    assert os.uname().nodename not in content["numbers"]["machine"]["value"].split()
    assert bench.is_current("decode")
    monkeypatch.setattr(bench, "code_version", lambda name: "other")
    assert not bench.is_current("decode")


def test_the_plain_auc_is_that_of_pairs_within_strata() -> None:
    rng = np.random.default_rng(0)
    y, p, strata = rng.integers(0, 3, 40), rng.random((40, 3)), rng.integers(0, 2, 40)
    weight = rng.integers(0, 3, 40).astype(float)
    won = pairs = 0.0
    for i in np.flatnonzero(y == 0):
        for j in np.flatnonzero((y != 0) & (strata == strata[i])):
            won += weight[i] * weight[j] * ((p[i, 0] > p[j, 0]) + (p[i, 0] == p[j, 0]) / 2)
            pairs += weight[i] * weight[j]
    assert plain.auc(y, p, strata, weight)[0] == pytest.approx(won / pairs, abs=1e-12)


def test_made_recordings_are_the_same_every_time(tmp_path) -> None:
    first, again = (made.recordings(tmp_path / n, 2, 0.5, 16_000) for n in ("a", "b"))
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in again]
    assert first[0].read_bytes() != first[1].read_bytes()
