"""Measurements work in their quick form, and see results that are not equal. No time is asserted."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from benchmarks import NAMES, bench, made, plain
from cryhear.files import read_json

QUICK = ("decode", "search", "folds", "inference", "predict")
"""Measurements run here. The others start what takes 10 to 60 s however little it is given: Snakemake
(`report`, `shards`), a chapter's kernel (`growth`), TensorFlow and PyTorch (`embed`)."""


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
def test_a_quick_run_compares_what_both_gave_and_keeps_nothing(name: str, monkeypatch) -> None:
    compared: list[int] = []

    def watched(check: Callable) -> Callable:
        def counted(ours: Any, theirs: Any, *rest: Any) -> Any:
            compared.append(np.asarray(ours, dtype=object).size)
            return check(ours, theirs, *rest)

        return counted

    for check in ("check_close", "check_same"):
        monkeypatch.setattr(bench, check, watched(getattr(bench, check)))
    kept = {path: path.read_bytes() for path in bench.RESULTS.glob("*")}
    results = bench.Results(name, quick=True)
    # One thread: the data are so small that threads only wait for each other.
    with threadpool_limits(1):
        importlib.import_module(f"benchmarks.{name}").measure(results)
    results.close()
    assert compared
    assert min(compared) > 0
    assert {path: path.read_bytes() for path in bench.RESULTS.glob("*")} == kept
    check_shape(results.ledger.numbers, paired=name != "predict")


def check_shape(numbers: dict[str, dict[str, Any]], paired: bool) -> None:
    """Times and ratios are above 0 and within their spread; of one pair, the ratio is its times'."""
    measured = {k: e for k, e in numbers.items() if e["unit"] in ("ratio", "seconds", "minutes")}
    for key, entry in measured.items():
        least = 0 if key.endswith("_apart") else np.nextafter(0, 1)
        assert least <= entry.get("low", entry["value"]) <= entry["value"] < np.inf, key
        assert entry["value"] <= entry.get("high", entry["value"]), key
    pairs = [key for key in measured if f"{key}_theirs" in measured]
    assert bool(pairs) == paired
    for key in pairs:
        ours, theirs = (measured[f"{key}_{side}"]["value"] for side in ("ours", "theirs"))
        assert measured[key]["n"] == 1
        assert measured[key]["value"] == pytest.approx(theirs / ours)


def test_the_command_of_a_measurement_says_that_a_quick_run_keeps_nothing() -> None:
    done = command("benchmarks.search", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "search: a quick run; nothing is kept" in done.stdout


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


def test_what_a_measurement_is_made_of_decides_whether_its_result_is_current(
    tmp_path, monkeypatch
) -> None:
    concerns = {
        "cryhear/audio/decode.py": set(NAMES),
        "benchmarks/bench.py": set(NAMES),
        "benchmarks/plain.py": set(NAMES),
        "benchmarks/decode.py": {"decode"},
        "Snakefile": {"report", "shards"},
        "notebooks/01_audit.ipynb": {"report", "growth"},
        "params/default.yaml": {"report", "predict"},
        "book/speed.md": set(),
    }
    for name in NAMES:  # what is named is there
        for pattern in bench.BESIDE.get(name, ()):
            assert list(bench.ROOT.glob(pattern)), pattern
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    for path in concerns:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("before")
    before = {name: bench.code_version(name) for name in NAMES}
    for path, names in concerns.items():
        (tmp_path / path).write_text("after")
        assert {n for n in NAMES if bench.code_version(n) != before[n]} == names, path
        (tmp_path / path).write_text("before")


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
