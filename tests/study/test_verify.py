"""`verify` passes an equal run and sees every planted fault."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from cryhear import cli
from cryhear.errors import StudyError
from cryhear.files import read_json, read_table, write_json, write_table
from cryhear.study import verify
from cryhear.study.differences import PROBABILITY, compare_tables
from cryhear.study.ledger import Ledger

CHAPTER = "09_leakage"


def predictions() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 40).astype(np.float32)
    table = pd.DataFrame({"recording": np.tile([f"{i:016x}" for i in range(20)], 2)})
    table["infant"] = [f"i{int(r, 16) // 3}" for r in table["recording"]]
    table["label"] = np.tile(["pain", "hunger", "neurological", "hunger"], 10)
    table = table.assign(set="uploads", platform="ios", protocol="L3", part="oof")
    table["repeat"] = np.repeat([0, 1], 20).astype(np.int8)
    table["fold"] = (np.arange(40) % 5).astype(np.int8)
    table = table.assign(model="logistic_regression", representation="made")
    return table.assign(p_pain=p[:, 0], p_hunger=p[:, 1], p_neurological=p[:, 2])


@pytest.fixture
def folders(tmp_path):
    """A published run of one chapter, and the same run again."""
    published = tmp_path / "book" / "chapters"
    ledger = Ledger(CHAPTER, {"seed": 42}, {"manifest.parquet": "aa", "01_audit/x.parquet": "bb"})
    ledger.number("auc", 0.503, "score", low=0.45, high=0.56)
    ledger.number("n", 20, "count")
    ledger.conclude("conclusion", False, "Yes.", "No.")
    ledger.figures["ladder"] = {"file": "figures/ladder.svg", "table": "tables/ladder.csv"}
    ledger.write(published / CHAPTER / "ledger.json")
    (published / CHAPTER / "tables").mkdir()
    table = pd.DataFrame({"rung": ["L0", "L3"], "value": [0.7, 0.5], "n": [20, 20]})
    table.to_csv(published / CHAPTER / "tables" / "ladder.csv", index=False)
    write_table(published / CHAPTER / "predictions.parquet", predictions())
    run = tmp_path / "run"
    shutil.copytree(published, run)
    return run, published


def differences(folders, **options) -> list[str]:
    run, published = folders
    return verify.verify(run, published=published, **options).differences


def edit(folders, change) -> list[str]:
    path = folders[0] / CHAPTER / "predictions.parquet"
    write_table(path, change(read_table(path)))
    return differences(folders)


def test_an_equal_run_passes_and_says_what_was_left_out(folders):
    report = verify.verify(folders[0], published=folders[1])
    assert report.passed
    text = str(report)
    assert "40 predictions of 20 recordings" in text
    assert "3 numbers and sentences" in text
    assert "1 input files" in text
    assert "pictures" in text
    assert "08_evaluation: not published" in text
    assert verify.verify(folders[0], chapter=9, published=folders[1]).passed


def test_a_run_with_other_packages_says_which(folders):
    """Not a difference by itself; before scikit-learn 1.8 the same seed gives other folds by infant."""
    for folder, versions in zip(
        folders,
        ({"numpy": "2.4.6", "scikit-learn": "1.7.2"}, {"numpy": "2.4.6", "scikit-learn": "1.10.0"}),
        strict=True,
    ):
        path = folder / CHAPTER / "ledger.json"
        write_json(path, {**read_json(path), "versions": versions})
    report = verify.verify(folders[0], published=folders[1])
    assert report.passed
    told = "scikit-learn 1.7.2, published with 1.10.0: folds by infant come out otherwise"
    assert report.versions == [told]
    assert told in str(report)


def test_versions_that_are_the_same_are_not_spoken_of(folders):
    assert "Made with other releases" not in str(verify.verify(folders[0], published=folders[1]))


def test_the_order_of_rows_does_not_matter(folders):
    assert edit(folders, lambda t: t.sample(frac=1, random_state=1)) == []


def test_rounding_is_tolerated_and_a_perturbed_value_is_not(folders):
    def moved(by):
        return lambda t: t.assign(p_pain=t["p_pain"] + np.where(t.index == 7, by, 0))

    assert edit(folders, moved(PROBABILITY / 4)) == []
    (found,) = edit(folders, moved(5 * PROBABILITY))
    assert "p_pain differs in 1 of 40 rows" in found


def test_a_swapped_label_is_seen(folders):
    def swap(table):
        labels = table["label"].to_numpy(dtype=object).copy()
        labels[[0, 1]] = labels[[1, 0]]
        return table.assign(label=labels)

    (found,) = edit(folders, swap)
    assert "label differs in 2 of 40 rows" in found
    assert "'pain' published, 'hunger' found" in found


def test_a_dropped_infant_is_seen(folders):
    (found,) = edit(folders, lambda t: t[t["infant"] != "i2"])
    assert "6 predictions of 1 infants not found" in found


def test_a_changed_fold_is_seen(folders):
    def change(table):
        fold = table["fold"].to_numpy().copy()
        fold[3] = (fold[3] + 1) % 5
        return table.assign(fold=fold)

    (found,) = edit(folders, change)
    assert "fold differs in 1 of 40 rows" in found


@pytest.mark.parametrize(
    ("where", "value", "says"),
    [
        (("numbers", "auc", "value"), 0.506, "leakage.auc: published 0.503, found 0.506"),
        (("numbers", "auc", "low"), 0.40, "leakage.auc (low)"),
        (("numbers", "n", "value"), 21, "leakage.n: published 20, found 21"),
        (("numbers", "conclusion", "value"), "Yes.", "found 'Yes.'"),
        (("inputs", "manifest.parquet"), "cc", "manifest.parquet is not the file"),
        (("parameters", "seed"), 7, "parameter seed was 42, is 7"),
    ],
)
def test_a_changed_ledger_is_seen(folders, where, value, says):
    path = folders[0] / CHAPTER / "ledger.json"
    content = read_json(path)
    inner = content
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    write_json(path, content)
    (found,) = differences(folders)
    assert says in found


def test_a_changed_table_is_seen_and_another_chapters_file_is_not_an_input(folders):
    path = folders[0] / CHAPTER / "tables" / "ladder.csv"
    path.write_text(path.read_text().replace("0.7", "0.71"))
    (found,) = differences(folders)
    assert "figures: ladder: value differs in 1 of 2 rows" in found
    path.write_text("rung,value\nL0,0.7\n")
    assert "columns were" in differences(folders)[0]
    path.unlink()
    assert "is not there" in differences(folders)[0]


@pytest.mark.parametrize(
    ("entry", "differ"),
    [
        ({"value": 0.503, "low": 0.46, "high": 0.55}, False),  # ends a fifth of the half width off
        ({"value": 0.503, "low": 0.48, "high": 0.52}, True),  # half as wide
        ({"value": 0.58, "low": 0.45, "high": 0.56}, True),  # outside the published interval
        ({"value": 0.503}, True),  # no interval any more
        ({"value": 0.47, "low": 0.37, "high": 0.58, "n": 180}, False),  # an interval of the draws
        (
            {"value": 0.44, "low": 0.34, "high": 0.55, "n": 18},
            False,
        ),  # of few, which holds the published
        ({"value": 0.44, "low": 0.4, "high": 0.48, "n": 180}, True),
    ],
)
def test_another_number_of_draws_moves_intervals_only_so_far(folders, entry, differ):
    for folder, refits in zip(folders, (100, 200), strict=True):
        path = folder / CHAPTER / "ledger.json"
        content = read_json(path)
        content["parameters"]["refits"] = refits
        content["numbers"]["n_refits"] = {"value": refits, "unit": "count"}
        write_json(path, content)
    path = folders[0] / CHAPTER / "ledger.json"
    content = read_json(path)
    content["numbers"]["auc"].update({"low": None, "high": None, **entry})
    write_json(path, content)
    report = verify.verify(folders[0], published=folders[1])
    assert bool(report.differences) == differ
    assert all("leakage.auc" in line for line in report.differences)
    assert "refits 100, published 200" in str(report)
    assert "params/published.yaml" in str(report)


def test_coordinates_of_a_map_may_drift_and_what_they_are_of_may_not(folders):
    for folder in folders:
        ledger = read_json(folder / CHAPTER / "ledger.json")
        ledger["figures"]["umap-class"] = ledger["figures"].pop("ladder")
        about = "about 0.7" if folder == folders[0] else "about 0.8"
        ledger["numbers"]["umap_overlap"] = {"value": about, "unit": "text"}
        write_json(folder / CHAPTER / "ledger.json", ledger)
    path = folders[0] / CHAPTER / "tables" / "ladder.csv"
    moved = pd.read_csv(path).assign(value=[3.0, -2.0])
    moved.to_csv(path, index=False)
    report = verify.verify(folders[0], published=folders[1])
    assert report.passed
    assert "another processor" in str(report)
    moved.assign(rung=["L0", "L4"]).to_csv(path, index=False)
    assert len(differences(folders)) == 1


def test_settings_in_a_table_are_held_by_their_numbers():
    def table(C):
        return pd.DataFrame({"params": [f'{{"C": {C}, "kernel": "rbf"}}']})

    assert compare_tables(table("0.04296509486733454"), table("0.04296509486733453")) == []
    assert len(compare_tables(table("0.5"), table("0.4"))) == 1
    assert len(compare_tables(table("0.5").replace("rbf", "poly", regex=True), table("0.5"))) == 1


def test_another_number_of_draws_excuses_no_other_outcome(folders):
    path = folders[0] / CHAPTER / "ledger.json"
    content = read_json(path)
    content["parameters"]["refits"] = 100
    content["numbers"]["conclusion"]["value"] = "Yes."
    content["numbers"].pop("n")
    write_json(path, content)
    conclusion, refits = differences(folders)
    assert "leakage.conclusion" in conclusion
    assert "leakage.n" in refits


def test_a_missing_chapter_or_publication_is_no_pass(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    report = verify.verify(tmp_path / "empty", published=folders[1])
    assert not report.passed
    assert "run it first" in report.differences[0]
    with pytest.raises(StudyError, match="nowhere: no such folder"):
        verify.verify(tmp_path / "nowhere", published=folders[1])
    with pytest.raises(StudyError, match="holds no published chapter 3"):
        verify.verify(folders[0], chapter=3, published=folders[1])


def test_the_command_returns_what_was_found(folders, monkeypatch, capsys):
    monkeypatch.setattr(verify, "PUBLISHED", folders[1])
    monkeypatch.setattr(verify.verify, "__defaults__", (None, folders[1]))
    assert cli.main(["verify", str(folders[0])]) == 0
    plain = capsys.readouterr().out
    assert "verified: 0 differences" in plain
    assert cli.main(["verify", str(folders[0]), "--verbose"]) == 0
    assert len(capsys.readouterr().out.splitlines()) > len(plain.splitlines())
    assert cli.main(["verify", str(folders[0]), "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    edit(folders, lambda t: t[t["infant"] != "i2"])
    assert cli.main(["verify", str(folders[0]), "--chapter", "9"]) == 1
    assert "NOT verified" in capsys.readouterr().out
