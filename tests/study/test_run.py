"""The engine: what a chapter depends on, and a toy study driven through Snakemake and Papermill."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
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


def chapter(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    """Run one chapter of the toy study as the Snakefile does, without Snakemake."""
    given = ["chapter", "results/toy/params.json", name]
    return toy.cryhear(
        folder, f"from cryhear.study.run import main; raise SystemExit(main({given}))"
    )


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


def test_only_what_a_parameter_affects_runs_again_and_then_nothing(project: Path) -> None:
    changed = ["exploration.neighbours=7"]
    more = f", '--set', {changed[0]!r}, '--verbose'"
    done = toy.cryhear(project, RUN.format(more=more))
    assert "Reason: Params have changed" in done.stdout
    assert "Ran 1 step in" in done.stdout
    assert "Re-used: chapter 01_audit" in done.stdout
    ledger = json.loads((project / "results/toy/04_exploration/ledger.json").read_text())
    assert ledger["parameters"]["neighbours"] == 7
    for path in [*project.glob("notebooks/*"), *project.glob("data/*")]:
        path.touch()
    done = run(project, *changed)
    assert done.returncode == 0
    assert "Nothing to do: every step is up to date" in done.stdout


def test_the_users_own_configuration_reaches_no_job(project: Path, tmp_path: Path) -> None:
    """Start-up files that fail, a kernel named python3 that is none, a profile that runs nothing."""
    home = tmp_path / "home"
    startup = home / ".ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("from pathlib import Path\nlimit = 3\n")
    (startup.parent / "ipython_config.py").write_text("raise SystemExit(9)\n")
    (home / "rc.py").write_text("raise SystemExit(9)\n")
    kernel = home / ".local" / "share" / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    spec = {"argv": ["/bin/false"], "display_name": "mine", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    for name in ("matplotlib", "jupyter", "snakemake/mine"):
        (home / ".config" / name).mkdir(parents=True)
    (home / ".config/matplotlib/matplotlibrc").write_text(
        "savefig.transparent: True\nfont.size: 30\n"
    )
    (home / ".config/jupyter/jupyter_config.json").write_text("{]")
    (home / ".config/snakemake/mine/config.yaml").write_text("executor: slurm\nquiet: all\n")
    users = {
        "HOME": str(home), "SNAKEMAKE_PROFILE": "mine", "IPYTHONDIR": str(home / ".ipython"),
        "JUPYTER_PATH": str(kernel.parents[1]), "JUPYTER_CONFIG_DIR": str(home / ".config/jupyter"),
        "MATPLOTLIBRC": str(home / ".config/matplotlib"), "MPLBACKEND": "nonsense",
        "PYTHONSTARTUP": str(home / "rc.py"), "PYTHONWARNINGS": "error", "BASH_ENV": "/nowhere",
    }  # fmt: skip
    curve = project / "results/toy/04_exploration/figures/curve.svg"
    before = curve.read_bytes()
    code = RUN.format(more=", '--set', 'seed=11', '--quiet'")
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", f"import os; os.environ |= {users!r}\n{code}"],
        cwd=project, env=toy.environment(project), capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
    ledger = json.loads((project / "results/toy/04_exploration/ledger.json").read_text())
    assert ledger["parameters"]["seed"] == 11
    assert curve.read_bytes() == before


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
        done = chapter(project, "04_exploration")
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


def test_snakemake_alone_refuses_a_wrong_parameter(project: Path) -> None:
    command = [sys.executable, "-m", "snakemake", "-c1", "-n", "--config", "params=params/toy.yaml"]
    done = subprocess.run(
        [*command, "exploration={neighbors: 3}"], cwd=project, env=toy.environment(project),
        capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode != 0
    assert "did you mean 'neighbours'" in done.stdout + done.stderr


@pytest.mark.slow
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


def test_up_to_date_is_said_only_where_snakemake_said_so(tmp_path: Path) -> None:
    log = tmp_path / "snakemake.log"
    log.write_text("")
    steps = study._Steps(log)
    assert "Nothing to do" not in steps.summary(31.0)
    log.write_text("Nothing to be done (all requested files are present and up to date).\n")
    assert "Nothing to do: every step is up to date" in steps.summary(1.0)
    with log.open("a") as handle:
        handle.write(
            "Job 1: chapter 1\nJob 2: chapter 2\nFinished jobid: 1 (Rule: chapter)\nFinished jo"
        )
    steps.update()
    assert steps.summary(2.0, ["1", "2"]) == "Ran 1 step in 2 s: chapter 1.\nRe-used: chapter 2."
    with log.open("a") as handle:
        handle.write("bid: 2 (Rule: chapter)\n2 of 3 steps (67%) done\n")
    steps.update()
    assert "Ran 2 steps" in steps.summary(2.0, ["1", "2"])


@pytest.mark.parametrize("name", ["SNAKEMAKE_PROFILE", "IPYTHONDIR", "JUPYTER_PATH", "MPLBACKEND",
                                  "MATPLOTLIBRC", "PYTHONSTARTUP", "PYTHONOPTIMIZE", "BASH_ENV"])  # fmt: skip
def test_a_variable_of_the_users_is_not_passed_on(name: str, monkeypatch) -> None:
    monkeypatch.setenv(name, "users-own")
    monkeypatch.setenv("CRYHEAR_CORPORA", "kept")
    found = study.environment()
    assert "users-own" not in found.values()
    assert found["CRYHEAR_CORPORA"] == "kept"


def test_the_search_path_of_jobs_has_no_empty_or_relative_entry(monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{os.pathsep}lib{os.pathsep}{os.pathsep}/opt/x{os.pathsep}")
    places = study.environment()["PYTHONPATH"].split(os.pathsep)
    assert places == [str(plan.PACKAGE.parent), os.path.abspath("lib"), "/opt/x"]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_flock_has_a_lock_all_the_same(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    refused = pytest.raises(StudyError, match=r"being made by another process.*delete")
    with study._only_one(tmp_path), refused, study._only_one(tmp_path):
        pass
    with study._only_one(tmp_path):  # let go
        pass


def test_a_lock_that_fails_otherwise_is_no_missing_flock(tmp_path: Path, monkeypatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.EIO, "disk")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="disk"), study._only_one(tmp_path):
        pass


@pytest.mark.parametrize("name", ["notebooks/01_audit.ipynb", "data/manifest.parquet", "_toc.yml"])
def test_a_date_ahead_of_the_clock_is_one_message(
    name: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    ahead = time.time() + 90_000
    os.utime(name, (ahead, ahead))
    try:
        with pytest.raises(StudyError, match=rf"ahead of this machine's clock, as {name}"):
            plan.Plan.of("params/toy.yaml").check()
    finally:
        os.utime(name)
    plan.Plan.of("params/toy.yaml").check()


@pytest.mark.parametrize("name", ["a {b} c", "крик", 'it\'s "q" $x', "泣 声"])
def test_a_project_plans_in_a_folder_of_any_name(
    name: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / name
    here.mkdir()
    for path in project.iterdir():
        (here / path.name).symlink_to(path)
    monkeypatch.chdir(here)
    found = plan.Plan.of("params/toy.yaml").chapter_inputs("01_audit")
    assert found[0] == "notebooks/01_audit.ipynb"
    monkeypatch.setattr(plan, "PACKAGE", here / "cryhear")
    assert all("{" not in path for path in plan.Plan.of("params/toy.yaml").book_inputs())


def test_braces_below_the_project_are_named(project: Path, monkeypatch) -> None:
    monkeypatch.chdir(project)
    odd = Path("data") / "{x}.json"
    odd.write_text("{}")
    try:
        with pytest.raises(StudyError, match=r"\{x\}\.json has braces"):
            plan.Plan.of("params/toy.yaml").check()
    finally:
        odd.unlink()


@pytest.mark.parametrize("named", ["", "/somewhere/cache"])
def test_where_home_cannot_be_written_caches_lie_beside_the_runs(named, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", named)
    assert (
        study.environment().get("XDG_CACHE_HOME", "") == named
    )  # the user's own, as long as it serves
    monkeypatch.setattr(study.os, "access", lambda *_: False)
    found = study.environment()
    engines = str(tmp_path / "results" / ".engines")
    assert found["NUMBA_CACHE_DIR"].startswith(engines)
    assert found["XDG_CACHE_HOME"] == (named or f"{engines}/cache")


ENDS = ("SIGTERM", "SIGHUP", "SIGINT", "pipe")


def _heed_every_signal() -> None:
    # Under nohup, or in a shell's background, the tests inherit signals that are ignored.
    for name in ENDS[:3]:
        signal.signal(signal.Signals[name], signal.SIG_DFL)


def _is_kernel(process: psutil.Process) -> bool:
    try:
        return "ipykernel" in " ".join(process.cmdline())
    except psutil.Error:  # it ended while it was looked at
        return False


@pytest.mark.slow
@pytest.mark.parametrize("how", ENDS)
def test_whatever_ends_a_study_ends_all_of_it_and_it_goes_on(how: str, project: Path) -> None:
    seed = f"seed={100 + ENDS.index(how)}"  # of its own, so that there is something to do
    started = subprocess.Popen(
        [sys.executable, "-c", RUN.format(more=f", '--set', '{seed}', '--cores', '1'")],
        cwd=project, env=toy.environment(project), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True, preexec_fn=_heed_every_signal,
    )  # fmt: skip
    if how == "pipe":
        started.stdout.close()
    below: list[psutil.Process] = []
    deadline = time.monotonic() + 300
    while how != "pipe" and time.monotonic() < deadline:
        below = psutil.Process(started.pid).children(recursive=True)
        if any(map(_is_kernel, below)):
            break
        time.sleep(0.1)
    if how != "pipe":
        started.send_signal(signal.Signals[how])
    try:
        code = started.wait(timeout=300)
    finally:
        started.kill()  # no test after this one finds its lock held
    assert code == 128 + (signal.SIGPIPE if how == "pipe" else signal.Signals[how])
    assert not psutil.wait_procs(below, timeout=10)[1]
    assert b"Traceback" not in started.stderr.read()
    if how == "SIGTERM":  # what each of them leaves is the same
        done = run(project, seed)
        assert done.returncode == 0, done.stdout + done.stderr
