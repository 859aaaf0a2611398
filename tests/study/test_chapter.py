"""A chapter's two ends: what `open_chapter` refuses, where a run writes, what it records."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from numrole import show

import cryhear
from cryhear.errors import LedgerError, MissingArtefactError, ParameterError
from cryhear.files import read_json, write_json
from cryhear.study.chapter import CHAPTERS, Run

STUDY = {"name": "toy", "source": {"derived": "data/toy"}}


@pytest.fixture
def run_folder(tmp_path):
    write_json(tmp_path / "params.json", STUDY)
    return tmp_path


def opened(run_folder, chapter="01_audit", **parameters) -> Run:
    return cryhear.open_chapter(chapter, {"study": str(run_folder), **parameters})


def test_a_misspelt_parameter_is_refused_by_name(run_folder):
    with pytest.raises(ParameterError, match=r"unknown parameter 'sede'.*did you mean 'seed'"):
        opened(run_folder, sede=7)


def test_modules_and_private_names_are_no_parameters(run_folder):
    assert opened(run_folder, json=json, _hidden=1, seed=3).seed == 3


def test_a_folder_without_a_run_says_what_to_do(tmp_path):
    with pytest.raises(MissingArtefactError, match="make report"):
        opened(tmp_path)


def test_a_chapter_names_the_one_to_run_first(run_folder):
    with pytest.raises(MissingArtefactError, match="Run 01_audit first: papermill"):
        opened(run_folder, "04_exploration")


def test_an_unknown_chapter_lists_the_known(run_folder):
    with pytest.raises(ParameterError, match="expected one of 01_audit"):
        opened(run_folder, "99_nothing")


def test_other_parameters_never_write_over_the_studys_own(run_folder, capsys):
    assert opened(run_folder).folder == run_folder / "01_audit"
    other = opened(run_folder, seed=7)
    assert other.folder.parent == run_folder / "variants"
    assert "not the study's own" in capsys.readouterr().out
    assert opened(run_folder, seed=7).folder == other.folder
    assert opened(run_folder, seed=8).folder != other.folder


def test_a_conclusion_from_a_number_that_is_not_to_be_had_is_left_out(run_folder):
    run = opened(run_folder)
    run.number("n", 2, "count")
    run.absent("sex")
    run.conclude("both", True, "It reads {num}`audit.sex`.", "No.", of=["sex", "n"])
    run.conclude("one", True, "It counts {num}`audit.n`.", "No.", of=["n"])
    assert "does not allow" not in run.ledger.numbers["one"]["value"]
    assert "left out here" in run.ledger.numbers["both"]["value"]
    assert "holds" not in run.ledger.numbers["both"]


def test_a_figure_that_cannot_be_drawn_is_words(run_folder):
    run = opened(run_folder)
    run.figure("none", None, "Nothing. No spread.", "Never read.", pd.DataFrame({"x": []}))
    assert run.ledger.figures["none"]["alt"].startswith("Not drawn")
    assert (run.folder / "figures" / "none.svg").stat().st_size > 0


def test_a_table_of_numbers_is_recorded_at_once(run_folder):
    run = opened(run_folder)
    run.record({"n": np.int64(3), "verdict": "It holds."}, "count", note="of all")
    gap = float("nan")
    rows = {
        "value": [0.5, 0.25],
        "low": [0.4, gap],
        "high": [0.6, gap],
        "n": [9, gap],
        "note": ["", "x"],
    }
    run.record(pd.DataFrame(rows, index=["auc", "ece"]), "score")
    assert run.ledger.numbers == {
        "n": {"value": 3, "unit": "count", "note": "of all"},
        "verdict": {"value": "It holds.", "unit": "text", "note": "of all"},
        "auc": {"value": 0.5, "unit": "score", "low": 0.4, "high": 0.6, "n": 9},
        "ece": {"value": 0.25, "unit": "score", "note": "x"},
    }
    with pytest.raises(LedgerError, match="has columns auc; expected one called 'value'"):
        run.record(pd.DataFrame({"auc": [0.5]}, index=["one"]), "score")
    with pytest.raises(LedgerError, match=r"audit\.bad is nan"):
        run.record({"bad": gap}, "score")


def test_a_figure_without_a_table_or_words_is_refused(run_folder):
    run = opened(run_folder)
    run.figure("line", None, pd.DataFrame({"x": []}), alt="Rises.")
    assert "caption" not in run.ledger.figures["line"]
    with pytest.raises(
        LedgerError, match=r"figure 'bare' of 01_audit lacks .*run\.figure\(name, figure, table"
    ):
        run.figure("bare", None, pd.DataFrame({"x": []}))


def test_what_a_chapter_records_can_be_read_back(run_folder):
    run = opened(run_folder)
    table = pd.DataFrame({"x": [0, 1], "y": [0.5, 1.5]})
    run.write("rows", table)
    run.number("n", 2, "count")
    run.conclude("verdict", False, "Yes.", "No.")
    figure = Figure()
    figure.subplots().plot(table["x"], table["y"])
    run.figure("line", figure, "A line of\n  two points.", "A rising line.", table)
    shown = run.table("rows", table, "Two rows")
    assert 'id="T_rows"' in shown.to_html()
    run.close()
    ledger = read_json(run_folder / "01_audit" / "ledger.json")
    assert ledger["numbers"]["verdict"]["value"] == "No."
    assert ledger["figures"]["line"]["caption"] == "A line of two points."
    assert (
        (run_folder / "01_audit" / ledger["figures"]["line"]["file"])
        .read_bytes()
        .startswith(b"<?xml")
    )
    assert (run_folder / "01_audit" / "tables" / "line.csv").read_text() == "x,y\n0,0.5\n1,1.5\n"
    assert "study" not in ledger["parameters"]

    later = opened(run_folder, "04_exploration")
    pd.testing.assert_frame_equal(later.read("01_audit", "rows"), table)
    assert "01_audit/rows.parquet" in later.ledger.inputs
    with pytest.raises(MissingArtefactError, match="chapter 01_audit writes it"):
        later.read("01_audit", "nothing")


def test_a_figure_and_a_table_of_one_name_are_refused(run_folder):
    run = opened(run_folder)
    table = pd.DataFrame({"x": [1.0]})
    run.figure("ladder", None, "A line. No spread.", "Rises.", table)
    with pytest.raises(LedgerError, match="records 'ladder' as a figure and once more"):
        run.table("ladder", table, "Rows")
    run.table("rows", table, "Rows")
    with pytest.raises(LedgerError, match="records 'rows' as a table and once more"):
        run.figure("rows", None, "A line. No spread.", "Rises.", table)


def test_a_table_is_written_for_people_on_the_page_and_for_programs_in_the_file(run_folder):
    run = opened(run_folder)
    table = pd.DataFrame(
        {
            "model": ["svm_rbf", "A_b <i>", "{not json", ""],
            "duration_s": [7.0, 0.12345, 1234.5, float("nan")],
            "params": ['{"C": 0.000123456, "depth": null}', "[1]", "{1}", "x" * 60 + "!"],
        }
    )
    shown = run.table("people", table, "A <b>table</b>").to_html()
    for text in ("SVM (RBF)", "duration (s)", "C 0.000123, depth None", "0.123", "{not json"):
        assert f">{text}<" in shown
    assert "A_b &lt;i&gt;" in shown
    assert "A &lt;b&gt;table" in shown
    written = pd.read_csv(run.folder / "tables" / "people.csv", keep_default_na=False)
    assert list(written.columns) == list(table.columns)
    assert list(written["model"]) == list(table["model"])


def test_a_figure_is_the_same_file_at_every_run(run_folder):
    def drawn(name):
        from cryhear.figures import style

        figure, axes = style.new()
        axes.plot([0, 1], [1, 0])
        run = opened(run_folder)
        run.figure(name, figure, "c", "a", pd.DataFrame())
        return (run.folder / "figures" / f"{name}.svg").read_bytes()

    assert drawn("one") == drawn("two")


def test_chapters_only_read_what_comes_before_them():
    order = list(CHAPTERS)
    for chapter, earlier in CHAPTERS.items():
        assert all(order.index(name) < order.index(chapter) for name in earlier)


def test_a_number_that_cannot_be_had_is_said_in_words(run_folder):
    run = opened(run_folder)
    run.number("there", 1, "count")
    run.absent("there", "missing")
    assert run.ledger.numbers["there"]["value"] == 1
    assert run.ledger.numbers["missing"]["unit"] == "text"
    assert show(run.ledger.numbers["missing"], "ci") == run.ledger.numbers["missing"]["value"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with one run, and folders in which a notebook may be opened."""
    for name in ("notebooks", "book/chapters", "notebooks/own", "results/toy"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "Snakefile").write_text("")
    write_json(tmp_path / "results" / "toy" / "params.json", STUDY)
    (tmp_path / "data" / "toy").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)  # and back afterwards
    return tmp_path


@pytest.mark.parametrize("place", [".", "notebooks", "book/chapters", "notebooks/own"])
@pytest.mark.parametrize("given", ["results/toy", "full", "from here"])
def test_a_chapter_finds_its_run_from_where_it_is_opened(project, monkeypatch, place, given):
    monkeypatch.chdir(project / place)
    full = project / "results" / "toy"
    study = {"results/toy": given, "full": str(full), "from here": os.path.relpath(full)}[given]
    run = cryhear.open_chapter("01_audit", {"study": study})
    assert run.folder.resolve() == full / "01_audit"
    assert run.derived.folder.resolve() == project / "data" / "toy"


def test_a_chapter_opened_elsewhere_says_what_to_set(project, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(MissingArtefactError, match=r"set `study` .* full path"):
        cryhear.open_chapter("01_audit", {"study": "results/toy"})
    run = cryhear.open_chapter("01_audit", {"study": str(project / "results" / "toy")})
    assert run.folder.resolve() == project / "results" / "toy" / "01_audit"


def test_names_of_a_users_start_up_files_are_no_parameters(run_folder):
    left = {"helper": opened, "limit": 3, "seed": 5}
    shell = SimpleNamespace(user_ns_hidden={**left})
    names = {"study": str(run_folder), "get_ipython": lambda: shell, **left, "seed": 7}
    assert cryhear.open_chapter("01_audit", names).seed == 7
    with pytest.raises(ParameterError, match="limit"):
        cryhear.open_chapter("01_audit", {**names, "limit": 4})


def test_a_parameter_twice_in_a_runs_own_record_is_refused(run_folder):
    (run_folder / "params.json").write_text(
        '{"name": "toy",\n "seed": 1,\n "seed": 2, "source": {"derived": "d"}}'
    )
    with pytest.raises(ParameterError, match="line 3 gives 'seed' again"):
        opened(run_folder)
