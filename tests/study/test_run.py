"""The engine: what a chapter depends on, and a toy study driven through Snakemake and Papermill."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy

from cryhear import params
from cryhear.errors import ParameterError, StudyError
from cryhear.study import plan
from cryhear.study import run as study

RUN = "from cryhear.cli import main; raise SystemExit(main(['study', 'params/toy.yaml'{more}]))"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy project whose study has run once."""
    folder = toy.make(tmp_path_factory.mktemp("project"))
    done = run(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ran 2 steps" in done.stdout
    return folder


def run(folder: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    more = "".join(f", '--set', {setting!r}" for setting in settings)
    return toy.cryhear(folder, RUN.format(more=more))


def test_the_closure_of_a_module_holds_what_it_imports_at_any_depth() -> None:
    paths = plan.import_closure(["study.chapter"])
    names = {path.relative_to(plan.PACKAGE).as_posix() for path in paths}
    assert {"study/chapter.py", "params.py", "errors.py", "study/ledger.py"} <= names
    assert {"embedding/tables.py", "files.py"} <= names  # read by what it reads
    assert not {"study/run.py", "study/book.py", "cli.py"} & names


def test_a_re_exported_name_counts_as_the_module_it_comes_from() -> None:
    tree = ast.parse("import cryhear\nrun = cryhear.open_chapter('x', globals())")
    assert plan._imports(tree) == ["study.chapter"]


def test_a_submodule_counts_without_its_whole_package() -> None:
    tree = ast.parse("from cryhear.embedding import store\nfrom cryhear import errors, files as f")
    assert plan._imports(tree) == ["embedding.store", "errors", "files"]


def test_a_study_runs_what_its_chapters_read(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    assert plan.chapters_of(params.load("params/toy.yaml")) == ("01_audit", "04_exploration")
    with pytest.raises(StudyError, match="05_classical"):
        plan.chapters_of(params.load("params/toy.yaml", {"chapters": ["05_classical"]}))


def test_a_source_that_is_not_there_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    with pytest.raises(StudyError, match="nowhere"):
        plan.Plan.of("params/toy.yaml", {"source.derived": "nowhere"})


def test_parameters_are_refused_before_anything_is_written(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    with pytest.raises(ParameterError, match="did you mean 'neighbours'"):
        plan.Plan.of("params/toy.yaml", {"name": "other", "exploration.neighbors": 3})
    assert not Path("results/other").exists()


def test_a_run_holds_its_chapters(project: Path) -> None:
    folder = project / "results" / "toy" / "04_exploration"
    artefacts = json.loads((folder / "artefacts.json").read_text())
    assert set(artefacts) == {"ledger.json", "figures/curve.svg", "tables/curve.csv"}
    notebook = json.loads((folder / "notebook.ipynb").read_text())
    assert set(notebook["metadata"]["cryhear"]) == {"source", "parameters", "lock"}
    assert len(json.loads((folder / "timings.json").read_text())["cells_s"]) > 0


def test_nothing_changed_means_nothing_to_do(project: Path) -> None:
    for path in [*project.glob("notebooks/*"), *project.glob("data/*")]:
        path.touch()
    done = run(project)
    assert done.returncode == 0
    assert "Nothing to do: 2 steps are up to date" in done.stdout


def test_a_study_is_quiet_or_tells_why_each_step_runs(project: Path) -> None:
    again = "exploration.neighbours=9"
    quiet = toy.cryhear(project, RUN.format(more=f", '--set', '{again}', '--quiet'"))
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    verbose = toy.cryhear(project, RUN.format(more=", '--verbose'"))
    assert verbose.returncode == 0
    assert "Reason: Params have changed" in verbose.stdout
    assert "Re-used: chapter 01_audit" in verbose.stdout


def test_a_summary_names_steps_as_the_snakefile_does(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.write_chapter(project, "12_recording", "", "seed = 1", "# Recording\n\nWhat?", "Words.")
    (project / "params" / "own.yaml").write_text(
        "name: own\nsource: {synthetic: {}}\nrepresentations: [logmel]\nprimary: logmel\n"
        "chapters: [04_exploration, 12_recording]\n"
    )
    dry = [sys.executable, "-m", "snakemake", "book", "-n", "--config", "params=params/own.yaml"]
    done = subprocess.run(
        dry, cwd=project, env=toy.environment(project), capture_output=True, text=True, timeout=400
    )
    named = set(re.findall(r"^Job \d+: (.+)", done.stdout + done.stderr, re.M))
    monkeypatch.chdir(project)
    steps = study._steps_of(plan.Plan.of("params/own.yaml"), "book")
    assert sorted(named) == sorted(steps)
    assert {"embedding logmel, part 1", "the model for new recordings", "the book"} < named


def test_only_what_a_parameter_affects_runs_again(project: Path) -> None:
    done = run(project, "exploration.neighbours=7")
    assert "Ran 1 step in" in done.stdout
    assert "Re-used: chapter 01_audit" in done.stdout
    ledger = json.loads((project / "results/toy/04_exploration/ledger.json").read_text())
    assert ledger["parameters"]["neighbours"] == 7


def test_a_question_that_cannot_be_asked_does_not_stop_the_study(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = project / "notebooks" / "04_exploration.ipynb"
    before = path.read_text()
    notebook = json.loads(before)
    notebook["cells"][4]["source"] = (
        "raise cryhear.errors.NotAskedError('Three infants are too few.')"
    )
    path.write_text(json.dumps(notebook))
    try:
        done = run(project)
    finally:
        path.write_text(before)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = project / "results" / "toy" / "04_exploration"
    ledger = json.loads((folder / "ledger.json").read_text())
    assert (ledger["refused"], ledger["numbers"]) == ("Three infants are too few.", {})
    assert "Three infants are too few." in (folder / "notebook.ipynb").read_text()
    assert set(json.loads((folder / "artefacts.json").read_text())) == {"ledger.json"}


def test_a_failing_cell_stops_the_study_with_chapter_cell_and_message(project: Path) -> None:
    path = project / "notebooks" / "04_exploration.ipynb"
    before = path.read_text()
    notebook = json.loads(before)
    notebook["cells"][4]["source"] = "raise ValueError('clip 7 holds NaN')"
    path.write_text(json.dumps(notebook))
    try:
        done = run(project)
    finally:
        path.write_text(before)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-2:] == [
        "cryhear: Chapter 04_exploration stopped at cell 5, under 'The step'.",
        "ValueError: clip 7 holds NaN",
    ]
    assert "Traceback" not in done.stdout + done.stderr
    assert run(project).returncode == 0


def test_snakemake_alone_refuses_a_wrong_parameter(project: Path) -> None:
    command = [sys.executable, "-m", "snakemake", "-c1", "-n", "--config", "params=params/toy.yaml"]
    done = subprocess.run(
        [*command, "exploration={neighbors: 3}"], cwd=project, env=toy.environment(project),
        capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode != 0
    assert "did you mean 'neighbours'" in done.stdout + done.stderr


def test_a_killed_run_goes_on_where_it_stopped(project: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", RUN.format(more=", '--set', 'exploration.umap_seeds=9'")],
        cwd=project, env=toy.environment(project), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    notebook = project / "results/toy/04_exploration/notebook.ipynb"
    ledger = notebook.with_name("ledger.json")
    deadline = time.monotonic() + 400
    while ledger.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert run(project).stderr.count("is being made by another process") == 1
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    done = run(project, "exploration.umap_seeds=9")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Re-used: chapter 01_audit" in done.stdout
    assert json.loads(ledger.read_text())["parameters"]["umap_seeds"] == 9


def test_a_job_ended_from_outside_is_said_without_its_progress_bar(tmp_path: Path) -> None:
    job = tmp_path / "job.txt"
    job.write_text("listing 19 recordings\rlogmel:  50%|#####     | 9/19\r")
    log = tmp_path / "snakemake.log"
    log.write_text(
        f"Command 'x' died with <Signals.SIGKILL: 9>.\n    log: {job} (check log file(s))\n"
    )
    message = study._failure(log)
    assert "%|" not in message
    assert message.startswith("listing 19 recordings")
    assert message.endswith(
        "A job was ended from outside (SIGKILL): run again, it goes on where it stopped."
    )


def test_a_failure_of_snakemake_itself_shows_no_call_stack(tmp_path: Path) -> None:
    log = tmp_path / "snakemake.log"
    log.write_text('Building DAG\nTraceback (most recent call last):\n  File "/x/cli.py", line 3\n    f()\n'
                   "OSError: [Errno 28] No space left on device\n")  # fmt: skip
    message = study._failure(log)
    assert "No space left on device" in message
    assert str(log) in message
    assert "Traceback" not in message
    assert "cli.py" not in message
